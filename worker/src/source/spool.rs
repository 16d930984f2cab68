//! A tree of files as a tar, with its length and digest.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use tokio::io::AsyncRead;

use super::{MAX_FILES, SourceError, is_safe};
use crate::disk_quota::{DiskQuota, SpoolCharge};

/// Trees up to this size stay in memory, once for each job that runs; a usual function has some kilobytes.
const IN_MEMORY_BYTES: usize = 1 << 20;
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
    File(Arc<Spooled<TempPath>>),
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
            Tar::File(spooled) => Box::new(tokio::fs::File::open(&spooled.file).await?),
        })
    }
}

/// Where trees go that do not fit memory, and on whose account. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    directory: PathBuf,
    disk: DiskQuota,
    owner: String,
}

impl Spool {
    /// Files below `directory`, charged to `owner` as long as they are there.
    pub fn new(directory: PathBuf, disk: &DiskQuota, owner: &str) -> Self {
        Self { directory, disk: disk.clone(), owner: owner.to_owned() }
    }
}

/// Writes a tar into memory, and to a temporary file once it is large.
#[derive(Debug)]
struct Writer {
    spool: Spool,
    memory: Vec<u8>,
    file: Option<Spooled<tempfile::NamedTempFile>>,
    len_bytes: u64,
    hash: Sha256,
}

/// A file, and what is charged for it.
#[derive(Debug)]
struct Spooled<F> {
    file: F,
    charge: SpoolCharge,
}

impl Spooled<tempfile::NamedTempFile> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.charge.add(bytes.len() as u64).map_err(io::Error::other)?;
        self.file.write_all(bytes)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY_BYTES {
            let Spool { directory, disk, owner } = &self.spool;
            std::fs::create_dir_all(directory)?;
            let file = tempfile::NamedTempFile::new_in(directory)?;
            let mut spooled = Spooled { file, charge: disk.spool(owner) };
            spooled.write(&std::mem::take(&mut self.memory))?;
            self.file = Some(spooled);
        }
        match &mut self.file {
            Some(spooled) => spooled.write(bytes)?,
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
    tar: tar::Builder<Writer>,
    files: usize,
    announced: usize,
    bytes: u64,
    limit_bytes: u64,
}

/// A file whose length was told before: no byte more or less, or the tar would be garbled.
struct Exactly<'a> {
    bytes: &'a mut dyn Read,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(out)?;
        match self.left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 || out.is_empty() => self.left = left,
            Some(_) | None => return Err(io::Error::other("a file changed while it was read")),
        }
        Ok(read)
    }
}

impl Packer {
    pub(super) fn new(limit_bytes: u64, spool: &Spool) -> Self {
        let writer = Writer {
            spool: spool.clone(),
            memory: Vec::new(),
            file: None,
            len_bytes: 0,
            hash: Sha256::new(),
        };
        Self { tar: tar::Builder::new(writer), files: 0, announced: 0, bytes: 0, limit_bytes }
    }

    fn header(
        &mut self,
        path: &str,
        kind: tar::EntryType,
        mode: u32,
        size: u64,
    ) -> Result<tar::Header, SourceError> {
        if !is_safe(path) {
            return Err(SourceError::path(path));
        }
        self.files += 1;
        // Names are written as well, and many long ones are more than their files.
        self.bytes = self.bytes.saturating_add(size).saturating_add(path.len() as u64);
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

    /// Packs what `bytes` gives, which must be `size` bytes.
    pub(super) fn file(
        &mut self,
        path: &str,
        executable: Executable,
        size: u64,
        bytes: &mut dyn Read,
    ) -> Result<(), SourceError> {
        let mode = match executable {
            Executable::Yes => 0o755,
            Executable::No => 0o644,
        };
        let mut header = self.header(path, tar::EntryType::Regular, mode, size)?;
        let packed = self.tar.append_data(&mut header, path, Exactly { bytes, left: size });
        Ok(packed?)
    }

    /// A link is packed as it is; where it leads is the container's business.
    pub(super) fn link(&mut self, path: &str, target: &[u8]) -> Result<(), SourceError> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut header = self.header(path, tar::EntryType::Symlink, 0o777, 0)?;
        if target.is_empty() || target.contains(&0) {
            return Err(SourceError::path(path));
        }
        Ok(self.tar.append_link(&mut header, path, std::ffi::OsStr::from_bytes(target))?)
    }

    /// Fails early, before a folder with so many entries is entered.
    pub(super) fn announce(&mut self, entries: usize) -> Result<(), SourceError> {
        self.announced = self.announced.saturating_add(entries);
        if self.announced > MAX_FILES { Err(SourceError::TooMany) } else { Ok(()) }
    }

    /// Fails early, before a large file is read.
    pub(super) fn expect(&self, bytes: u64) -> Result<(), SourceError> {
        if self.bytes.saturating_add(bytes) > self.limit_bytes {
            return Err(SourceError::TooLarge { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Tree, SourceError> {
        let Writer { memory, file, len_bytes, hash, .. } = self.tar.into_inner()?;
        let tar = match file {
            Some(Spooled { file, charge }) => {
                Tar::File(Arc::new(Spooled { file: file.into_temp_path(), charge }))
            }
            None => Tar::Memory(memory.into()),
        };
        Ok(Tree { tar, len_bytes, sha256: hash.finalize().into() })
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

    fn spool(folder: &tempfile::TempDir, quota_bytes: u64) -> Spool {
        Spool::new(folder.path().to_owned(), &DiskQuota::new(quota_bytes), "a")
    }

    #[test]
    fn what_does_not_fit_memory_is_charged_as_long_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder, 3 * IN_MEMORY_BYTES as u64);
        let pack = || {
            let mut packer = Packer::new(64 << 20, &spool);
            let bytes = vec![7; IN_MEMORY_BYTES * 2];
            packer.file("a", Executable::No, bytes.len() as u64, &mut &bytes[..])?;
            packer.finish()
        };
        let tree = pack().unwrap();
        assert_eq!(
            pack().unwrap_err().to_string(),
            "the files of this owner's jobs would take more than 3m of a worker's disk at once; let fewer run at \
             a time"
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "of what was refused nothing is left"
        );
        drop(tree);
        pack().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    async fn round_trip(bytes: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(64 << 20, &spool(&folder, 64 << 20));
        packer.file("a", Executable::No, bytes.len() as u64, &mut &bytes[..]).unwrap();
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
        let folder = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(10, &spool(&folder, 1 << 20));
        let mut file = |path: &str, size, mut bytes: &[u8]| {
            packer.file(path, Executable::No, size, &mut bytes).unwrap_err().to_string()
        };
        assert_eq!(file("../a", 0, b""), "the path \"../a\" cannot be unpacked");
        assert_eq!(file("a", 11, b"12345678901"), "the files are larger than 10 bytes in all");
        assert!(matches!(packer.announce(MAX_FILES + 1), Err(SourceError::TooMany)));
    }

    #[test]
    fn a_file_that_is_not_as_long_as_it_was_told_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(1 << 20, &spool(&folder, 1 << 20));
        for size in [2, 4] {
            let packed = packer.file("a", Executable::No, size, &mut &b"123"[..]);
            assert!(matches!(packed, Err(SourceError::Io(_))), "{size}: {packed:?}");
        }
    }
}
