//! A tree of files as a tar, with its length and digest.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use tokio::io::AsyncRead;

use super::{MAX_FILES, SourceError, is_safe};

/// Trees up to this size stay in memory; a usual function has some kilobytes.
const IN_MEMORY_BYTES: usize = 8 << 20;
/// Every entry of a tar has this time, so that the same files give the same bytes. Not zero: some
/// build tools take that for "unknown".
const ENTRY_TIME_S: u64 = 946_684_800;

/// Files as a tar. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tree {
    tar: Tar,
    len_bytes: u64,
    sha256: [u8; 32],
}

#[derive(Debug, Clone)]
enum Tar {
    Memory(Bytes),
    File(Arc<TempPath>),
}

impl Tree {
    /// Takes a whole tar.
    pub fn from_tar(bytes: Bytes) -> Self {
        let sha256 = Sha256::digest(&bytes).into();
        Self { len_bytes: bytes.len() as u64, tar: Tar::Memory(bytes), sha256 }
    }

    /// The length of the tar.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The digest of the tar.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The tar from its beginning.
    ///
    /// # Errors
    /// Our disk.
    pub async fn reader(&self) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        Ok(match &self.tar {
            Tar::Memory(bytes) => Box::new(io::Cursor::new(bytes.clone())),
            Tar::File(path) => Box::new(tokio::fs::File::open(path.as_ref()).await?),
        })
    }
}

/// Writes a tar into memory, and to a temporary file once it is large.
#[derive(Debug)]
struct Spool {
    directory: PathBuf,
    memory: Vec<u8>,
    file: Option<tempfile::NamedTempFile>,
    len_bytes: u64,
    hash: Sha256,
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY_BYTES {
            std::fs::create_dir_all(&self.directory)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.hash.update(bytes);
        self.len_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs entries in the order they are given, within limits.
pub(super) struct Packer {
    tar: tar::Builder<Spool>,
    files: usize,
    bytes: u64,
    limit_bytes: u64,
}

impl Packer {
    pub(super) fn new(limit_bytes: u64, spool: &Path) -> Self {
        let spool = Spool {
            directory: spool.to_owned(),
            memory: Vec::new(),
            file: None,
            len_bytes: 0,
            hash: Sha256::new(),
        };
        Self { tar: tar::Builder::new(spool), files: 0, bytes: 0, limit_bytes }
    }

    fn header(
        &mut self,
        path: &str,
        kind: tar::EntryType,
        mode: u32,
        size: u64,
    ) -> Result<tar::Header, SourceError> {
        if !is_safe(path) {
            return Err(SourceError::Path { path: path.to_owned() });
        }
        self.files += 1;
        self.bytes += size;
        if self.files > MAX_FILES {
            return Err(SourceError::TooMany);
        }
        if self.bytes > self.limit_bytes {
            return Err(SourceError::TooLarge { limit_bytes: self.limit_bytes });
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(ENTRY_TIME_S);
        Ok(header)
    }

    pub(super) fn directory(&mut self, path: &str) -> Result<(), SourceError> {
        let mut header = self.header(path, tar::EntryType::Directory, 0o755, 0)?;
        Ok(self.tar.append_data(&mut header, format!("{path}/"), io::empty())?)
    }

    pub(super) fn file(
        &mut self,
        path: &str,
        executable: Executable,
        bytes: &[u8],
    ) -> Result<(), SourceError> {
        let mode = match executable {
            Executable::Yes => 0o755,
            Executable::No => 0o644,
        };
        let mut header = self.header(path, tar::EntryType::Regular, mode, bytes.len() as u64)?;
        Ok(self.tar.append_data(&mut header, path, bytes)?)
    }

    /// A link is packed as it is; where it leads is the container's business.
    pub(super) fn link(&mut self, path: &str, target: &[u8]) -> Result<(), SourceError> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut header = self.header(path, tar::EntryType::Symlink, 0o777, 0)?;
        if target.is_empty() || target.contains(&0) {
            return Err(SourceError::Path { path: path.to_owned() });
        }
        Ok(self.tar.append_link(&mut header, path, std::ffi::OsStr::from_bytes(target))?)
    }

    /// Fails early, before a large file is read.
    pub(super) fn expect(&self, bytes: u64) -> Result<(), SourceError> {
        if self.bytes + bytes > self.limit_bytes {
            return Err(SourceError::TooLarge { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Tree, SourceError> {
        let spool = self.tar.into_inner()?;
        let tar = match spool.file {
            Some(file) => Tar::File(Arc::new(file.into_temp_path())),
            None => Tar::Memory(spool.memory.into()),
        };
        Ok(Tree { tar, len_bytes: spool.len_bytes, sha256: spool.hash.finalize().into() })
    }
}

/// Whether a file may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Executable {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn round_trip(bytes: &[u8]) -> Vec<u8> {
        let spool = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(64 << 20, spool.path());
        packer.file("a", Executable::No, bytes).unwrap();
        let tree = packer.finish().unwrap();
        let mut tar = Vec::new();
        tree.reader().await.unwrap().read_to_end(&mut tar).await.unwrap();
        assert_eq!(tar.len() as u64, tree.len_bytes());
        assert_eq!(<[u8; 32]>::from(Sha256::digest(&tar)), tree.sha256());
        let mut archive = tar::Archive::new(&tar[..]);
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content).unwrap();
        content
    }

    #[tokio::test]
    async fn small_and_large_trees_read_back_the_same() {
        assert_eq!(round_trip(b"small").await, b"small");
        let large = vec![7; IN_MEMORY_BYTES + 12345];
        assert!(round_trip(&large).await == large);
    }

    #[test]
    fn limits_and_unsafe_paths_are_errors() {
        let spool = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(10, spool.path());
        assert!(matches!(packer.file("../a", Executable::No, b""), Err(SourceError::Path { .. })));
        assert!(matches!(
            packer.file("a", Executable::No, b"12345678901"),
            Err(SourceError::TooLarge { limit_bytes: 10 })
        ));
    }
}
