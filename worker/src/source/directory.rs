//! A directory as it is, less `.git` and what git ignores: what `gitfaas run DIR` runs.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    Found, Selection, SourceError, is_safe,
    spool::{Executable, Packer},
};

/// Files of a directory.
#[derive(Debug, Clone)]
pub struct DirectoryFiles {
    root: PathBuf,
}

impl DirectoryFiles {
    /// The files below `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn read(&self, path: &str, max_bytes: u64) -> Result<Found, SourceError> {
        if !is_safe(path) {
            return Ok(Found::Absent);
        }
        let full = self.root.join(path);
        let metadata = match fs::symlink_metadata(&full) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Found::Absent);
            }
            Err(error) => return Err(error.into()),
        };
        if !metadata.is_file() {
            return Ok(Found::NotAFile);
        }
        if metadata.len() > max_bytes {
            return Ok(Found::TooLarge(metadata.len()));
        }
        let mut bytes = Vec::new();
        // It may have grown since.
        fs::File::open(full)?.take(max_bytes).read_to_end(&mut bytes)?;
        Ok(Found::File(bytes))
    }

    pub(super) fn pack(&self, selection: Selection<'_>, packer: &mut Packer) -> Result<(), SourceError> {
        match selection {
            Selection::Only(paths) => paths.iter().try_for_each(|path| {
                let full = self.root.join(path);
                if is_safe(path) && full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                    pack_one(packer, path, &full)?;
                }
                Ok(())
            }),
            Selection::All => self.pack_all(packer),
        }
    }

    fn pack_all(&self, packer: &mut Packer) -> Result<(), SourceError> {
        let walk = ignore::WalkBuilder::new(&self.root)
            .hidden(false)
            .ignore(false)
            .git_global(false)
            .require_git(false)
            .parents(false)
            .sort_by_file_name(Ord::cmp)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        for entry in walk {
            let entry = entry.map_err(io::Error::other)?;
            let Ok(relative) = entry.path().strip_prefix(&self.root) else { continue };
            if relative.as_os_str().is_empty() {
                continue;
            }
            let path = relative.to_str().ok_or_else(|| SourceError::path(&relative.to_string_lossy()))?;
            pack_one(packer, path, entry.path())?;
        }
        Ok(())
    }
}

fn pack_one(packer: &mut Packer, path: &str, full: &Path) -> Result<(), SourceError> {
    let metadata = fs::symlink_metadata(full)?;
    if metadata.is_dir() {
        packer.directory(path)
    } else if metadata.is_symlink() {
        packer.link(path, fs::read_link(full)?.as_os_str().as_bytes())
    } else if metadata.is_file() {
        packer.expect(metadata.len())?;
        let executable =
            if metadata.permissions().mode() & 0o111 == 0 { Executable::No } else { Executable::Yes };
        packer.file(path, executable, metadata.len(), &mut fs::File::open(full)?)
    } else {
        // A socket or a device is nothing that a commit could hold.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        disk_quota::DiskQuota,
        source::{Files, Spool},
    };

    #[test]
    fn what_git_ignores_and_git_itself_stay_out_and_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let full = dir.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        };
        write(".gitignore", "target/\n");
        write(".git/config", "");
        write("target/x", "");
        write("src/main.py", "print(1)");
        std::os::unix::fs::symlink("/etc/shadow", dir.path().join("link")).unwrap();
        let files = Files::Directory(DirectoryFiles::new(dir.path().to_owned()));
        let spool = Spool::new(dir.path().to_owned(), &DiskQuota::new(1 << 20), "a");
        let tree = files.pack(Selection::All, 1 << 20, &spool).unwrap();
        let again = files.pack(Selection::All, 1 << 20, &spool).unwrap();
        assert_eq!(tree.sha256(), again.sha256());
        assert_eq!(files.read("link", 10).unwrap(), Found::NotAFile);
        assert_eq!(files.read("src/main.py", 3).unwrap(), Found::TooLarge(8));
        assert_eq!(files.read("../x", 10).unwrap(), Found::Absent);
    }
}
