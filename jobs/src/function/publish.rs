//! Publishes green pushes: writes their versions, and moves the newest green commit of their refs.
//!
//! Every gateway does this for every record that ends, in any order and as often as it likes: a version is only ever
//! created, and the newest green commit only moves to a later push. So a red push takes nothing down, and the rerun of
//! an old commit moves nothing back.

use serde_json::Map;

use super::{GreenPush, LiveVersion, live_key, version_key};
use crate::{
    RepoId,
    bucket::{BucketError, purge_key},
    head_key,
    ledger::{Ledger, LedgerError},
    streams,
};

impl Ledger {
    /// Writes the version of a green push, and makes it the newest green commit of its ref, unless there is a later
    /// one. Returns whether the ref's newest green commit moved.
    ///
    /// # Errors
    /// NATS is away, or a bucket is full; doing it again finishes it.
    pub async fn publish(&self, green: &GreenPush) -> Result<bool, LedgerError> {
        let key = version_key(green.repo, &green.sha);
        let is_new = self.versions.try_write(&key, &green.version, None).await?.is_some();
        let moved = self.make_live(green).await?;
        if is_new {
            self.prune_versions(green.repo).await?;
        }
        Ok(moved)
    }

    /// Makes a push the newest green commit of its ref, unless there is a later one.
    async fn make_live(&self, green: &GreenPush) -> Result<bool, LedgerError> {
        let key = live_key(green.repo, green.reference.as_str());
        let live = LiveVersion {
            sha: green.sha.clone(),
            push_revision: green.push_revision,
            reference: green.reference.clone().into(),
            other: Map::new(),
        };
        loop {
            let found = self.live.get(&key).await?;
            let is_older = found.as_ref().is_none_or(|now| now.value.push_revision < live.push_revision);
            if !is_older || !self.may_be_live(green).await? {
                return Ok(false);
            }
            let revision = found.map(|found| found.revision);
            if self.live.try_write(&key, &live, revision).await?.is_some() {
                break;
            }
        }
        // The ref may have been deleted in between.
        if self.heads.get(&head_key(green.repo, green.reference.as_str())).await?.is_none() {
            self.forget_live(green.repo, green.reference.as_str()).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a push's ref still exists, and the push is not older than the ref's head: deliveries may come in another
    /// order than pushes were made.
    async fn may_be_live(&self, green: &GreenPush) -> Result<bool, LedgerError> {
        let Some(head) = self.heads.get(&head_key(green.repo, green.reference.as_str())).await? else {
            return Ok(false);
        };
        if head.value.after == green.sha {
            return Ok(true);
        }
        // A head without a job is a push that was filtered: what was green before it still is.
        let Some(newest) = head.value.job else { return Ok(true) };
        let newest = self.job(newest).await?;
        // The head's own push was recorded first, and the head was not moved to this one: it is older.
        Ok(newest.is_none_or(|newest| newest.created_revision() > green.push_revision))
    }

    /// A ref that is deleted has no newest green commit. Its versions stay.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn forget_live(&self, repo: RepoId, reference: &str) -> Result<(), BucketError> {
        purge_key(&self.js, streams::LIVE, &live_key(repo, reference)).await
    }

    /// A repository that is not registered any more has no versions.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn forget_versions(&self, repo: RepoId) -> Result<(), BucketError> {
        let all = format!("{repo}.");
        self.live.purge_under(&all).await?;
        self.versions.purge_under(&all).await
    }
}
