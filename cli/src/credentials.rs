//! What `gitfaas login` keeps: one sign-in per gateway, in a file that its owner alone reads.
//!
//! A refresh token works once, so a renewal holds the file's lock from reading the old
//! one until the new one is on the disk: two commands at once renew it once.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

/// The file, in the user's configuration.
const FILE_NAME: &str = "credentials.json";
/// A token this close to its end is renewed first: a request takes a moment, and clocks differ.
const EXPIRY_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// A sign-in at one gateway. Never printed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SignIn {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    /// By this machine's clock.
    pub(crate) expires_at: Timestamp,
}

impl SignIn {
    /// From an answer of the gateway, which says for how many seconds the token is good.
    pub(crate) fn new(token: &str, refresh_token: &str, expires_in_s: i64) -> Self {
        let expires_at = Timestamp::now() + SignedDuration::from_secs(expires_in_s.clamp(0, 86_400));
        Self { token: token.to_owned(), refresh_token: refresh_token.to_owned(), expires_at }
    }

    /// Whether the token is good for the next request.
    pub(crate) fn is_fresh(&self) -> bool {
        Timestamp::now() + EXPIRY_MARGIN < self.expires_at
    }
}

type SignIns = BTreeMap<String, SignIn>;

/// Where sign-ins are kept.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    path: PathBuf,
}

/// The same while nobody else changes it.
pub(crate) struct LockedCredentials {
    path: PathBuf,
    /// Unlocked when it is closed.
    _lock: File,
}

fn key(gateway: &Url) -> String {
    gateway.as_str().trim_end_matches('/').to_owned()
}

fn read(path: &Path) -> anyhow::Result<SignIns> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} cannot be understood; delete it and sign in again", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(SignIns::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

impl Credentials {
    /// In the folder of the user's configuration, which need not be there.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join(FILE_NAME) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The sign-in at this gateway.
    pub(crate) fn get(&self, gateway: &Url) -> anyhow::Result<Option<SignIn>> {
        Ok(read(&self.path)?.remove(&key(gateway)))
    }

    /// Waits for the lock, off the threads that serve others.
    pub(crate) async fn lock(&self) -> anyhow::Result<LockedCredentials> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || LockedCredentials::acquire(path)).await?
    }
}

impl LockedCredentials {
    fn acquire(path: PathBuf) -> anyhow::Result<Self> {
        let folder = path.parent().context("a file lies in a folder")?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let lock_path = path.with_extension("lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.with_context(|| format!("cannot open {}", lock_path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn get(&self, gateway: &Url) -> anyhow::Result<Option<SignIn>> {
        Ok(read(&self.path)?.remove(&key(gateway)))
    }

    pub(crate) fn put(&self, gateway: &Url, sign_in: SignIn) -> anyhow::Result<()> {
        let mut all = read(&self.path)?;
        all.insert(key(gateway), sign_in);
        self.write(&all)
    }

    pub(crate) fn remove(&self, gateway: &Url) -> anyhow::Result<()> {
        let mut all = read(&self.path)?;
        all.remove(&key(gateway));
        self.write(&all)
    }

    /// Beside the file first, so that what breaks off leaves the old one.
    fn write(&self, all: &SignIns) -> anyhow::Result<()> {
        let new = self.path.with_extension("new");
        let written = || -> std::io::Result<()> {
            // One that broke off may lie there with other rights.
            let _ = std::fs::remove_file(&new);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(all)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        written().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_sign_in_is_kept_per_gateway_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::in_folder(&folder.path().join("gitfaas"));
        let (one, other): (Url, Url) =
            ("http://127.0.0.1:3000".parse().unwrap(), "https://faas.example.com/".parse().unwrap());
        assert!(credentials.get(&one).unwrap().is_none());

        let locked = credentials.lock().await.unwrap();
        locked.put(&one, SignIn::new("a", "r", 3600)).unwrap();
        locked.put(&other, SignIn::new("b", "s", 30)).unwrap();
        drop(locked);

        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(credentials.path()), 0o600);
        assert_eq!(mode(credentials.path().parent().unwrap()), 0o700);
        let found = credentials.get(&one).unwrap().unwrap();
        assert_eq!((found.token.as_str(), found.is_fresh()), ("a", true));
        assert!(!credentials.get(&other).unwrap().unwrap().is_fresh());

        credentials.lock().await.unwrap().remove(&one).unwrap();
        assert!(credentials.get(&one).unwrap().is_none());
        assert!(credentials.get(&other).unwrap().is_some());
    }

    #[tokio::test]
    async fn who_comes_second_waits_for_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::in_folder(folder.path());
        let first = credentials.lock().await.unwrap();
        let second = tokio::spawn({
            let credentials = credentials.clone();
            async move { credentials.lock().await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap().unwrap();
    }
}
