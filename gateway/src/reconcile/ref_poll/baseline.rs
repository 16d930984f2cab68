//! What a repository has when it is registered is noted in `heads`, and nothing of it is run.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hooks::ls_remote::RemoteRef;
use jobs::{Head, Repo, RepoId, head_key};
use serde_json::Map;

use crate::{
    error::ApiError,
    reconcile::ref_poll::RefPoll,
    repos::ref_baseline::{Baseline, baseline_key},
};

/// Entries written at once.
const AT_ONCE: usize = 32;

fn head(repo: RepoId, found: &RemoteRef) -> (String, Head) {
    let reference = Some(found.reference.clone().into());
    let head = Head { before: None, after: found.id.clone(), job: None, reference, other: Map::new() };
    (head_key(repo, found.reference.as_str()), head)
}

impl RefPoll {
    pub(super) async fn has_baseline(&self, repo: RepoId) -> Result<bool, ApiError> {
        Ok(self.baselines.get(&baseline_key(repo)).await?.is_some())
    }

    /// Notes all refs, as far as they may be known; tells how many. What a delivery told of meanwhile stays.
    pub(super) async fn fill(&self, repo: &Repo, refs: &[RemoteRef]) -> Result<usize, ApiError> {
        let may = self.budgets.may_know_refs(repo, refs.len() as u64).await?;
        let may = usize::try_from(may).unwrap_or(usize::MAX);
        if refs.len() > may {
            tracing::info!(repo = %repo.id, refs = refs.len(), may, "not all refs of a repository are known");
        }
        let refs = &refs[..may.min(refs.len())];
        let heads: Vec<(String, Head)> = refs.iter().map(|found| head(repo.id, found)).collect();
        let written = stream::iter(heads).map(|(key, head)| async move {
            match self.ledger.heads.create(&key, &head).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_conflict() => Ok(()),
                Err(error) => Err(error),
            }
        });
        written.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.budgets.recount_refs(repo.id).await?;
        match self.baselines.create(&baseline_key(repo.id), &Baseline { other: Map::new() }).await {
            Ok(_) => Ok(refs.len()),
            Err(error) if error.is_conflict() => Ok(refs.len()),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes what a new registration's repository has, in the background. If that cannot be done now, the
    /// first look does it.
    pub(crate) fn fill_soon(self: &Arc<Self>, repo: &Repo) {
        let (ref_poll, repo) = (Arc::clone(self), repo.clone());
        tokio::spawn(async move {
            let stop = ref_poll.stop.clone();
            let filling = async {
                match ref_poll.refs_at_forge(&repo).await {
                    Ok(refs) => ref_poll.fill(&repo, &refs).await.map(|_| ()),
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        tracing::info!(repo = %repo.id, error = format!("{error:#}"), "its refs are not known yet");
                        Ok(())
                    }
                }
            };
            if let Some(Err(error)) = stop.run_until_cancelled(filling).await {
                let error: anyhow::Error = error.into();
                tracing::info!(repo = %repo.id, error = format!("{error:#}"), "its refs are not noted yet");
            }
        });
    }
}
