//! A filled directory: how large it is, and opening it to every uid when it is done.
//!
//! No symbolic link is followed. The later user of the directory has another uid than the one who
//! filled it, hence the modes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Added for every entry, so that millions of empty files count for something.
const ENTRY_BYTES: u64 = 256;

/// What `statvfs` counts in.
const BLOCK_BYTES: u64 = 512;

/// Bytes on disk below `dir`. Entries that vanish meanwhile are left out.
pub(crate) fn size_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries.flatten().fold(0, |sum, entry| {
        let Ok(metadata) = entry.metadata() else {
            return sum;
        };
        let below = if metadata.is_dir() { size_bytes(&entry.path()) } else { 0 };
        sum + ENTRY_BYTES + metadata.blocks() * BLOCK_BYTES + below
    })
}

/// Lets everybody read all below `dir`, and execute what its owner may.
pub(crate) fn open_to_all(dir: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(dir)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let owner = metadata.mode() & 0o700;
    let executable = metadata.is_dir() || owner & 0o100 != 0;
    let mode = owner | if executable { 0o555 } else { 0o444 };
    if metadata.mode() & 0o7777 != mode {
        fs::set_permissions(dir, Permissions::from_mode(mode))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(dir)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_read_what_was_private_and_links_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("program"), "x").unwrap();
        fs::set_permissions(inner.join("program"), Permissions::from_mode(0o4700)).unwrap();
        std::os::unix::fs::symlink("/nowhere", inner.join("link")).unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o700)).unwrap();

        open_to_all(dir.path()).unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&inner), 0o755);
        assert_eq!(mode(&inner.join("program")), 0o755);
        assert!(size_bytes(dir.path()) >= 3 * ENTRY_BYTES);
    }
}
