//! The file of a master key: 32 random bytes, readable by its owner alone.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::crypto::keys::KEY_BYTES;

/// The file created in the data directory when none is configured.
pub(crate) const FILE_NAME: &str = "master.key";

/// The master key cannot be used: a configuration error, never a transient one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file does not exist, and the installation has a key already.
    #[error(
        "no master key in {path}, but this installation has one: copy the file from another gateway, or set GITFAAS_MASTER_KEY_FILE"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file holds another key than the installation's.
    #[error(
        "the master key in {path} is not the one of this installation (its id is {found}, it must be {wanted})"
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Its id.
        found: String,
        /// The id of the installation's key.
        wanted: String,
    },
    /// The configured file does not exist.
    #[error("there is no master key in {path}")]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Not 32 bytes.
    #[error("{path} is not a master key: it must hold exactly {KEY_BYTES} random bytes")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or created.
    #[error("cannot use the master key file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The key in a file; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, KeyError> {
    let unreadable = |source| KeyError::File { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // One byte more than a key has, so that a longer file is noticed and never read whole.
    let mut bytes = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.try_into() {
        Ok(master) => Ok(Some(master)),
        Err(_) => Err(KeyError::Malformed { path: path.to_owned() }),
    }
}

/// Creates a key file, written and synced, where there is none yet.
pub(crate) fn make(path: &Path) -> Result<[u8; KEY_BYTES], KeyError> {
    let unwritable = |source| KeyError::File { path: path.to_owned(), source };
    let master: [u8; KEY_BYTES] = rand::random();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(unwritable)?;
    file.write_all(&master).and_then(|()| file.sync_all()).map_err(unwritable)?;
    Ok(master)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        assert!(read(&path).unwrap().is_none());
        let made = make(&path).unwrap();
        assert_eq!(read(&path).unwrap(), Some(made));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path).is_err());
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(read(&path), Err(KeyError::Malformed { .. })));
    }
}
