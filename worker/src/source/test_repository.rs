//! A repository for a test, made by the real git.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use super::{CommitFiles, READ_TIMEOUT};
use crate::objects::{Deadline, Store};

/// A working copy and its repository.
pub(crate) struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Deaf to this machine's settings; the output in one line.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path())
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(args)
            .stdin(Stdio::null())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let full = self.path().join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
    }

    /// Commits what the shell makes of the working copy.
    pub(crate) fn commit(&self, script: &str) -> CommitFiles {
        let done = Command::new("sh").current_dir(self.path()).args(["-ec", script]).status().unwrap();
        assert!(done.success(), "{script}");
        self.git(&["add", "--all", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a change"]);
        let id = self.git(&["rev-parse", "HEAD"]);
        let store = Store::open(&self.path().join(".git/objects")).unwrap();
        let id = gix::ObjectId::from_hex(id.as_bytes()).unwrap();
        let (_, tree) = store.commit(id, &Deadline::of(READ_TIMEOUT)).unwrap().unwrap();
        CommitFiles::new(Arc::new(store), tree)
    }

    /// A commit with some files in folders.
    pub(crate) fn first(&self) -> CommitFiles {
        self.write("main.py", "print(1)");
        self.write("docs/a.md", "a");
        self.write("docs/deep/b.md", "b");
        self.write("lib/c.py", "c");
        self.commit("")
    }

    /// The file of an object that was not packed.
    pub(crate) fn object(&self, id: &str) -> PathBuf {
        self.path().join(".git/objects").join(&id[..2]).join(&id[2..])
    }
}
