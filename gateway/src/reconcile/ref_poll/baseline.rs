//! Records the refs of a new registration in `heads`, without running them.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hooks::ls_remote::{RemoteRef, RemoteRefs};
use jobs::{RefHead, Repo, RepoId, head_key};
use serde_json::Map;

use crate::{
    error::ApiError,
    reconcile::ref_poll::RefPoll,
    repos::ref_baseline::{Baseline, baseline_key},
};

/// Entries written concurrently.
const MAX_CONCURRENT: usize = 32;

fn head(repo: RepoId, found: &RemoteRef) -> (String, RefHead) {
    let reference = Some(found.reference.clone().into());
    let head = RefHead { before: None, after: found.id.clone(), job: None, reference, other: Map::new() };
    (head_key(repo, found.reference.as_str()), head)
}

impl RefPoll {
    pub(super) async fn has_baseline(&self, repo: RepoId) -> Result<bool, ApiError> {
        Ok(self.baselines.get(&baseline_key(repo)).await?.is_some())
    }

    /// Records all refs within the limits; returns how many. Entries that a delivery has written meanwhile
    /// are kept.
    pub(super) async fn record_baseline(&self, repo: &Repo, refs: &[RemoteRef]) -> Result<usize, ApiError> {
        let allowed = self.budgets.available_refs(repo, refs.len() as u64).await?;
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        if refs.len() > allowed {
            tracing::info!(repo = %repo.id, refs = refs.len(), allowed, "refs over the limit not recorded");
        }
        let refs = &refs[..allowed.min(refs.len())];
        let heads: Vec<(String, RefHead)> = refs.iter().map(|found| head(repo.id, found)).collect();
        let written = stream::iter(heads).map(|(key, head)| async move {
            self.ledger.heads.try_write(&key, &head, None).await.map(|_| ())
        });
        written.buffer_unordered(MAX_CONCURRENT).try_collect::<()>().await?;
        self.budgets.recount_refs(repo.id).await?;
        self.baselines.try_write(&baseline_key(repo.id), &Baseline { other: Map::new() }, None).await?;
        Ok(refs.len())
    }

    /// Records the refs of a new registration in the background. If that fails, the first poll does it.
    pub(crate) fn record_baseline_in_background(self: &Arc<Self>, repo: &Repo) {
        let (ref_poll, repo) = (Arc::clone(self), repo.clone());
        tokio::spawn(async move {
            let stop = ref_poll.stop.clone();
            let recording = async {
                match ref_poll.list_refs(&repo).await {
                    Ok(RemoteRefs { refs, default_branch }) => {
                        let registrations = &ref_poll.registrations;
                        registrations.set_default_branch(&repo, default_branch.as_ref()).await?;
                        ref_poll.record_baseline(&repo, &refs).await.map(|_| ())
                    }
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        tracing::info!(repo = %repo.id, error = format!("{error:#}"), "listing refs failed");
                        Ok(())
                    }
                }
            };
            if let Some(Err(error)) = stop.run_until_cancelled(recording).await {
                let error: anyhow::Error = error.into();
                tracing::info!(repo = %repo.id, error = format!("{error:#}"), "recording refs failed");
            }
        });
    }
}
