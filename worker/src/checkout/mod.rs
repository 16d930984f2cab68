//! Brings a commit into a mirror on our disk, and reads it from there.
//!
//! A mirror belongs to one worker, one clone URL and one cache scope: a registration, or one owner of
//! calls; a pull request has its own. It is a bare repository that nothing of ours ever checks out;
//! commits are fetched by id, one at a time for each mirror, bounded in bytes and time before anything is
//! expanded (`crate::objects`). Only http and https, only public addresses and what the operator allowed.

mod error;
mod fetch;
mod find;
mod git_session;
mod limited_http;
mod mirrors;
#[cfg(test)]
pub(crate) mod test_mirror;
mod transport;

use std::sync::Arc;

use gix::ObjectId;
use jobs::{CommitSha, Secret};

pub use error::{CheckoutError, CredentialUse, NotGit};
pub use mirrors::{MirrorSettings, Mirrors};

use crate::{
    objects::{Deadline, Store},
    sandbox::CacheScope,
    source::CommitFiles,
};

/// How a clone authenticates; sent to the clone URL's own host alone.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Such as `x-access-token`.
    pub user: String,
    /// Never in a URL.
    pub token: Secret,
}

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Request {
    /// From where.
    pub url: jobs::CloneUrl,
    /// The commit, once it is known; it wins over `reference`.
    pub sha: Option<CommitSha>,
    /// A branch, a tag, a full ref or a full commit id; absent means the default branch.
    pub reference: Option<String>,
    /// For private repositories.
    pub credential: Option<Credential>,
    /// Within which the mirror is shared: what one scope fetches, another does not read.
    pub cache_scope: CacheScope,
}

/// A commit that is all there.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// What was resolved; kept for every later attempt.
    pub sha: CommitSha,
    /// Its files.
    pub files: CommitFiles,
}

impl Mirrors {
    /// Brings the commit that `request` names.
    ///
    /// # Errors
    /// See [`CheckoutError`], which tells whose fault it is.
    pub async fn checkout(&self, request: Request) -> Result<Checkout, CheckoutError> {
        let mirror = self.mirror(&request.cache_scope, &request.url);
        let one_at_a_time = Arc::clone(&mirror.lock).lock_owned().await;
        let timeout = self.settings.timeout;
        let interrupt = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let fetching = tokio::task::spawn_blocking({
            let (mirrors, path) = (self.clone(), mirror.path.clone());
            let deadline = Deadline::new(timeout, Arc::clone(&interrupt));
            move || {
                let brought = fetch::bring(&mirrors.settings, &path, &request, &deadline);
                mirrors.record_use(&path, &request.cache_scope);
                // Held until the fetch has ended, also one that nobody waits for any more.
                drop(one_at_a_time);
                mirrors.evict();
                brought
            }
        });
        // Dropping this future must not leave a fetch running for ever either.
        let _stop_with_us = SetOnDrop(Arc::clone(&interrupt));
        match tokio::time::timeout(timeout, fetching).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(CheckoutError::Broken(panic.to_string())),
            Err(_) => Err(CheckoutError::TimedOut(timeout)),
        }
    }

    /// Brings an older commit for comparing, if it can be had.
    pub async fn base(&self, request: Request) -> Option<CommitFiles> {
        self.checkout(request)
            .await
            .inspect_err(|error| tracing::debug!(%error, "base commit unavailable"))
            .ok()
            .map(|checkout| checkout.files)
    }
}

struct SetOnDrop(Arc<std::sync::atomic::AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn object_id(sha: &CommitSha) -> ObjectId {
    ObjectId::from_hex(sha.as_str().as_bytes()).expect("a commit id is 40 hex digits")
}

fn checkout_of(store: Arc<Store>, commit: ObjectId, tree: ObjectId) -> Checkout {
    let sha = commit.to_hex().to_string().parse().expect("a commit id is 40 hex digits");
    Checkout { sha, files: CommitFiles::new(store, tree) }
}
