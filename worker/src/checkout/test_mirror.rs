//! A mirror with one commit, for tests.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{MirrorSettings, Mirrors, Request, fetch};
use crate::{disk_quota::DiskQuota, sandbox::CacheScope, source::test_repository::Repository};

/// A mirror that has a repository's first commit, as a fetch leaves it. Nothing listens at the clone URL: whoever
/// fetches fails.
pub(crate) struct Filled {
    pub(crate) mirrors: Mirrors,
    /// For the commit.
    pub(crate) request: Request,
    /// The mirror's folder.
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Filled {
    pub(crate) fn new() -> Self {
        let repository = Repository::new();
        repository.first();
        repository.git(&["repack", "-adq"]);
        let sha = repository.git(&["rev-parse", "HEAD"]);
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::open(MirrorSettings {
            directory: folder.path().to_owned(),
            allow: "127.0.0.1".parse().unwrap(),
            ca_bundle: None,
            max_bytes: 1 << 20,
            timeout: Duration::from_secs(60),
            disk: DiskQuota::new(1 << 30),
        })
        .unwrap();
        let request = Request {
            url: "http://127.0.0.1:9/a/pi.git".parse().unwrap(),
            sha: sha.parse().ok(),
            reference: None,
            credential: None,
            cache_scope: CacheScope::new("a", "a".to_owned()),
        };
        let path = mirrors.mirror(&request.cache_scope, &request.url).path;
        fetch::make(&path).unwrap();
        for file in files(&repository.path().join(".git/objects/pack")) {
            std::fs::copy(&file, path.join("objects/pack").join(file.file_name().unwrap())).unwrap();
        }
        std::fs::write(path.join("refs/gitfaas").join(&sha), sha).unwrap();
        Self { mirrors, request, path, _folder: folder }
    }

    /// The file of its pack.
    pub(crate) fn pack(&self) -> PathBuf {
        let mut files = files(&self.path.join("objects/pack")).into_iter();
        files.find(|path| path.extension().is_some_and(|extension| extension == "pack")).unwrap()
    }

    /// Its files, with their bytes.
    pub(crate) fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.path.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in files(&folder) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
