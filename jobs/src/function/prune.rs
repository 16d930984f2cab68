//! Bounds the versions of a repository: the oldest go that nothing leads to.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{AliasTarget, version_key};
use crate::{
    RepoId,
    bucket::purge_key,
    ledger::{Ledger, LedgerError},
    streams,
};

/// Versions of one repository that are kept: some years of a busy branch, and 300 KiB of the store that all share.
pub const MAX_VERSIONS: usize = 1000;
/// So many go at once, so that not each further push reads all of them.
const PRUNED: usize = 100;
/// Entries read or purged at once.
const AT_ONCE: usize = 16;

impl Ledger {
    /// Removes a repository's oldest versions, if it has more than [`MAX_VERSIONS`]. What is the newest green commit of
    /// a ref, or what an alias stands for, stays. Returns how many went.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn prune_versions(&self, repo: RepoId) -> Result<usize, LedgerError> {
        let under = format!("{repo}.");
        let keys = self.versions.subjects_under(&under).await?;
        if keys.len() <= MAX_VERSIONS {
            return Ok(0);
        }
        let kept = self.versions_in_use(repo).await?;
        let unused: Vec<String> = keys.into_iter().filter(|key| !kept.contains(key)).collect();
        let reading = stream::iter(unused).map(|key| async move { self.versions.get(&key).await });
        let mut found: Vec<_> = reading.buffer_unordered(AT_ONCE).try_collect().await?;
        // A job's id begins with the time at which it was made.
        found.sort_by_key(|entry| entry.as_ref().map(|entry| entry.value.job));
        let oldest = found.into_iter().flatten().take(PRUNED);
        let purging = stream::iter(oldest)
            .map(|entry| async move { purge_key(&self.js, streams::VERSIONS, &entry.key).await.map(|()| 1) });
        let pruned: Vec<usize> = purging.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(pruned.len())
    }

    /// The keys of versions that a ref or an alias leads to.
    async fn versions_in_use(&self, repo: RepoId) -> Result<HashSet<String>, LedgerError> {
        let under = format!("{repo}.");
        let mut kept = HashSet::new();
        for key in self.live.subjects_under(&under).await? {
            kept.extend(self.live.get(&key).await?.map(|live| version_key(repo, &live.value.sha)));
        }
        for key in self.aliases.subjects_under(&under).await? {
            let Some(alias) = self.aliases.get(&key).await? else { continue };
            // What follows a branch is what the branch leads to.
            if let AliasTarget::To(sha) = alias.value.target {
                kept.insert(version_key(repo, &sha));
            }
        }
        Ok(kept)
    }
}
