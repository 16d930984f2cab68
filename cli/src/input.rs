//! What a function is to read from standard input: a file, or this command's own standard input.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::Context as _;
use jobs::units::show_bytes;

/// What stands for standard input.
const STDIN: &str = "-";

/// Reads a file of `limit` bytes at most; nothing where none is given.
pub(crate) fn read(path: Option<&Path>, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(path) = path else { return Ok(None) };
    let mut bytes = Vec::new();
    // One byte more tells a file that is too long, without reading all of it.
    let read = if path == Path::new(STDIN) {
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read the input {}", path.display()))?;
    if bytes.len() as u64 > limit {
        anyhow::bail!("the input {} is longer than {}", path.display(), show_bytes(limit));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_file_is_read_to_the_byte_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, b"a\0\xff\n");
        assert_eq!(read(Some(&path), 4).unwrap().unwrap(), b"a\0\xff\n");
        let refused = read(Some(&path), 3).unwrap_err().to_string();
        assert!(refused.ends_with("is longer than 3 bytes"), "{refused}");
        assert!(read(Some(&folder.path().join("none")), 3).is_err());
        assert_eq!(read(None, 3).unwrap(), None);
    }
}
