//! Where a function's files come from: a commit in a mirror, or a directory of `gitfaas run`.
//!
//! Nothing here interprets what it reads. A commit is read from git's objects, so a link is only ever
//! a link inside the container; in a directory, links are not followed.

mod commit;
mod diff;
mod directory;
mod spool;
#[cfg(test)]
pub(crate) mod test_repository;

use std::{io, time::Duration};

pub use commit::CommitFiles;
pub use diff::changed_paths;
pub use directory::DirectoryFiles;
pub use spool::{Spool, Tree};

use crate::{disk_quota::QuotaExceeded, objects::ObjectError};

/// More files than this would exhaust the inodes of `/work` and the time to unpack.
pub const MAX_FILES: usize = 200_000;
/// Reading or packing a commit takes no longer: the largest ones that are allowed take some seconds.
pub const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// A path, in bytes: what Linux takes, less the folder that it is unpacked to.
const MAX_PATH_BYTES: usize = 4000;
/// A name, in bytes: what file systems take.
const MAX_NAME_BYTES: usize = 255;
/// How much of a path that cannot be used is repeated, in characters.
const SHOWN_CHARS: usize = 200;

/// Which files to take.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// These paths, as far as they are there.
    Only(&'a [String]),
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A folder, a link or a submodule.
    NotAFile,
    /// A file of this many bytes, more than was allowed.
    TooLarge(u64),
    /// A regular file.
    File(Vec<u8>),
}

/// Why files cannot be read or packed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// More bytes than allowed.
    #[error("the files are larger than {} in all", jobs::units::show_bytes(*limit_bytes))]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// More files than allowed.
    #[error("there are more than {MAX_FILES} files")]
    TooMany,
    /// A path that would leave `/work`, or that no file system takes.
    #[error("the path {path:?} cannot be unpacked")]
    Path {
        /// The path.
        path: String,
    },
    /// The commit's objects are damaged or missing, or more than is read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// What runs of this owner takes too much of our disk.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// Our disk.
    #[error("cannot read or write files")]
    Io(#[source] io::Error),
}

/// What was read or spooled may have its own reason within.
impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        error
            .downcast::<ObjectError>()
            .map(Self::Object)
            .or_else(|error| error.downcast::<QuotaExceeded>().map(Self::QuotaExceeded))
            .unwrap_or_else(Self::Io)
    }
}

impl SourceError {
    /// A path that cannot be used; of a long one its beginning is told.
    fn path(path: &str) -> Self {
        Self::Path { path: path.chars().take(SHOWN_CHARS).collect() }
    }
}

/// Files of a function.
#[derive(Debug, Clone)]
pub enum Files {
    /// Of a commit.
    Commit(CommitFiles),
    /// Of a directory.
    Directory(DirectoryFiles),
}

impl Files {
    /// Reads one regular file of at most `max_bytes`. Blocking.
    ///
    /// # Errors
    /// Objects or our disk.
    pub fn read(&self, path: &str, max_bytes: u64) -> Result<Found, SourceError> {
        match self {
            Self::Commit(files) => files.read(path, max_bytes),
            Self::Directory(files) => files.read(path, max_bytes),
        }
    }

    /// Packs files into a tar whose bytes depend on the files alone. Blocking; what does not fit
    /// memory is spooled.
    ///
    /// # Errors
    /// A limit, an unsafe path, objects or our disk.
    pub fn pack(&self, selection: Selection<'_>, max_bytes: u64, spool: &Spool) -> Result<Tree, SourceError> {
        let mut packer = spool::Packer::new(max_bytes, spool);
        match self {
            Self::Commit(files) => files.pack(selection, &mut packer)?,
            Self::Directory(files) => files.pack(selection, &mut packer)?,
        }
        packer.finish()
    }
}

/// A path that stays where it is unpacked and that file systems take: relative, not too long, no dots, no
/// `.git` (in any case, and with the dots and spaces that some file systems drop), no NUL.
fn is_safe(path: &str) -> bool {
    let safe = |part: &str| {
        let folded = part.trim_end_matches(['.', ' ']).to_ascii_lowercase();
        let is_short = !part.is_empty() && part.len() <= MAX_NAME_BYTES;
        is_short && part != "." && part != ".." && folded != ".git" && folded != "git~1"
    };
    path.len() <= MAX_PATH_BYTES
        && !path.starts_with('/')
        && !path.contains('\0')
        && path.split('/').all(safe)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    #[test_case("src/main.rs" => true)]
    #[test_case(".gitignore" => true)]
    #[test_case("a/.git/config" => false)]
    #[test_case("a/.GIT ./config" => false ; "dot git in disguise")]
    #[test_case("../x" => false)]
    #[test_case("/etc/passwd" => false)]
    #[test_case("a//b" => false)]
    #[test_case("a/\0" => false)]
    #[test_case(&"n".repeat(256) => false ; "a long name")]
    #[test_case(&"n/".repeat(2001) => false ; "a long path")]
    fn is_safe(path: &str) -> bool {
        super::is_safe(path)
    }
}
