//! Polls one repository: finds refs that differ from `heads`, and submits synthetic pushes for them.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use hooks::{
    CloneUrl, GitRef, Incoming, Push,
    address::may_send_credential,
    app::Right,
    incoming::Repository,
    ls_remote::{ListRefsError, Login, RemoteRef, RemoteRefs},
};
use jobs::{CommitSha, Repo, RepoId, Verdict, head_key};
use sha2::{Digest as _, Sha256};

use crate::{
    backoff,
    deliveries::{
        ingest::ReceivedDelivery,
        ref_heads::RefUpdate,
        trigger_rules::{self, TriggerDecision},
    },
    error::ApiError,
    reconcile::ref_poll::{MAX_INTERVAL, PollSummary, PollTiming, RefPoll, debounce::Debouncer},
    repos::{credentials::clone_user, forge_kind::forge_of},
    usage::MAX_REFS,
};

/// More new refs than this at once are an import, not lost pushes; forges send no deliveries for those. They
///
/// are recorded and not run.
const MAX_NEW_REFS: usize = 50;

/// The state of a repository between two polls.
#[derive(Debug)]
pub(super) struct PollState {
    /// When to poll again.
    pub(super) next: Instant,
    /// Consecutive failed polls.
    failures: u32,
    /// Refs that agreed with `heads`; `None` before the first poll.
    known: Option<HashMap<GitRef, CommitSha>>,
    debouncer: Debouncer,
}

impl PollState {
    pub(super) fn new(next: Instant) -> Self {
        Self { next, failures: 0, known: None, debouncer: Debouncer::default() }
    }

    /// Drops differences of refs that appeared and disappeared meanwhile.
    fn retain_differences(&mut self, refs: &[RemoteRef]) {
        let at_forge: HashSet<&GitRef> = refs.iter().map(|found| &found.reference).collect();
        let known = self.known.as_ref();
        self.debouncer.retain(|reference| {
            at_forge.contains(reference) || known.is_some_and(|known| known.contains_key(reference))
        });
    }

    /// Schedules the next poll after a failure, with back-off.
    fn after_failure(&mut self, interval: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + backoff::delay(interval, self.failures, MAX_INTERVAL);
    }
}

/// What the new refs of one poll are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NewRefs {
    /// Lost pushes, as far as the trigger rules make jobs of them.
    Pushes,
    /// An import, which is recorded and not run.
    Import,
}

/// A new or changed ref at the forge.
struct NewRef {
    found: RemoteRef,
    /// The revision of our entry, 0 for none.
    revision: u64,
}

impl RefPoll {
    /// The credential to list refs with. A public repository answers without one. None is sent over plain
    /// http, where it could be read; workers follow the same rule.
    async fn clone_login(&self, repo: &Repo, url: &CloneUrl) -> Option<Login> {
        if !may_send_credential(url.as_url(), &self.clone_allow) {
            return None;
        }
        let credential = self.registrations.credential(repo, Right::ReadContents, None).await.ok()??;
        Some(Login { user: clone_user(forge_of(repo)).to_owned(), token: credential.token })
    }

    /// Lists a repository's refs at the forge, with the registration's own credential if it has one.
    pub(super) async fn list_refs(&self, repo: &Repo) -> Result<RemoteRefs, ListRefsError> {
        // The URL was parsed at the registration.
        let url = repo.url.get().ok_or(ListRefsError::NotSmart)?;
        let login = self.clone_login(repo, url).await;
        self.ref_lister.list(url, login.as_ref()).await
    }

    /// Polls one repository.
    pub(super) async fn poll_repo(
        &self,
        id: RepoId,
        state: &mut PollState,
        timing: PollTiming,
    ) -> Result<PollSummary, ApiError> {
        let Some(repo) = self.ledger.repos.get(&id.to_string()).await? else {
            return Ok(PollSummary::default());
        };
        let repo = repo.value;
        if repo.is_removing() {
            return Ok(PollSummary::default());
        }
        let RemoteRefs { refs, default_branch } = match self.list_refs(&repo).await {
            Ok(found) => found,
            Err(error) => {
                state.after_failure(timing.interval);
                self.metrics.poll_failed();
                let error = anyhow::Error::from(error);
                tracing::info!(repo = %id, error = format!("{error:#}"), "listing refs failed");
                return Ok(PollSummary { unreachable: 1, ..PollSummary::default() });
            }
        };
        self.registrations.set_default_branch(&repo, default_branch.as_ref()).await?;
        let mut summary = PollSummary { polled: 1, ..PollSummary::default() };
        (state.failures, state.next) = (0, Instant::now() + timing.interval);
        if state.known.is_none() && !self.has_baseline(id).await? {
            let known = self.record_baseline(&repo, &refs).await?;
            state.known =
                Some(refs.into_iter().take(known).map(|found| (found.reference, found.id)).collect());
            return Ok(summary);
        }
        self.remove_deleted_refs(&repo, &refs, state, timing).await?;
        state.retain_differences(&refs);
        let new = self.new_refs(&repo, refs, state, timing).await?;
        let new_refs = if new.len() > MAX_NEW_REFS { NewRefs::Import } else { NewRefs::Pushes };
        if new_refs == NewRefs::Import {
            tracing::warn!(repo = %id, refs = new.len(), "import detected, refs recorded without jobs");
        }
        for NewRef { found, revision } in new {
            summary.synthetic_pushes +=
                usize::from(self.submit_synthetic_push(&repo, &found, revision, new_refs).await?);
            state.debouncer.clear(&found.reference);
            state.known.get_or_insert_default().insert(found.reference, found.id);
        }
        if !state.debouncer.is_empty() {
            state.next = Instant::now() + timing.debounce;
        }
        Ok(summary)
    }

    /// Removes the entries of refs that were deleted at the forge.
    async fn remove_deleted_refs(
        &self,
        repo: &Repo,
        refs: &[RemoteRef],
        state: &mut PollState,
        timing: PollTiming,
    ) -> Result<(), ApiError> {
        let at_forge: HashSet<&GitRef> = refs.iter().map(|found| &found.reference).collect();
        let gone: Vec<GitRef> = match &state.known {
            Some(known) => known.keys().filter(|reference| !at_forge.contains(reference)).cloned().collect(),
            None => self.heads_missing_at_forge(repo, &at_forge).await?,
        };
        for reference in gone {
            let head = self.ledger.heads.get(&head_key(repo.id, reference.as_str())).await?;
            if let Some(head) = &head
                && !state.debouncer.is_stable(
                    &reference,
                    &(None, head.revision),
                    timing.debounce,
                    Instant::now(),
                )
            {
                // Kept as known, so that the next poll checks it again.
                state.known.get_or_insert_default().insert(reference, head.value.after.clone());
                continue;
            }
            if head.is_some() {
                self.deliveries.remove_ref(reference.as_str(), repo).await?;
            }
            state.debouncer.clear(&reference);
            state.known.get_or_insert_default().remove(&reference);
        }
        Ok(())
    }

    /// Branches and tags that have an entry but do not exist at the forge.
    async fn heads_missing_at_forge(
        &self,
        repo: &Repo,
        at_forge: &HashSet<&GitRef>,
    ) -> Result<Vec<GitRef>, ApiError> {
        let keys: HashSet<String> =
            at_forge.iter().map(|reference| head_key(repo.id, reference.as_str())).collect();
        let mut gone = Vec::new();
        for key in self.ledger.heads.subjects_under(&format!("{}.", repo.id)).await? {
            if !keys.contains(&key)
                && let Some(head) = self.ledger.heads.get(&key).await?
                // Heads of pull requests are skipped; older entries have no ref name.
                && let Some(reference) = head.value.reference.as_ref().and_then(|name| name.get()?.as_git_ref().cloned())
            {
                gone.push(reference);
            }
        }
        Ok(gone)
    }

    /// New and changed refs that have been stable for long enough.
    async fn new_refs(
        &self,
        repo: &Repo,
        refs: Vec<RemoteRef>,
        state: &mut PollState,
        timing: PollTiming,
    ) -> Result<Vec<NewRef>, ApiError> {
        let mut new = Vec::new();
        let mut known = state.known.take().unwrap_or_default();
        // In a repository with more refs than the limit, refs without an entry are ignored.
        let recorded: Option<HashSet<String>> = match refs.len() as u64 > MAX_REFS {
            true => {
                Some(self.ledger.heads.subjects_under(&format!("{}.", repo.id)).await?.into_iter().collect())
            }
            false => None,
        };
        for found in refs {
            if known.get(&found.reference) == Some(&found.id) {
                state.debouncer.clear(&found.reference);
                continue;
            }
            let key = head_key(repo.id, found.reference.as_str());
            if recorded.as_ref().is_some_and(|recorded| !recorded.contains(&key)) {
                continue;
            }
            let head = self.ledger.heads.get(&key).await?;
            let revision = head.as_ref().map_or(0, |head| head.revision);
            if head.is_some_and(|head| head.value.after == found.id) {
                state.debouncer.clear(&found.reference);
                known.insert(found.reference, found.id);
                continue;
            }
            let difference = (Some(found.id.clone()), revision);
            if state.debouncer.is_stable(&found.reference, &difference, timing.debounce, Instant::now()) {
                new.push(NewRef { found, revision });
            }
        }
        state.known = Some(known);
        Ok(new)
    }

    /// Submits a synthetic push where the trigger rules make a job of it; else only records the ref. Returns
    /// whether a job was made.
    async fn submit_synthetic_push(
        &self,
        repo: &Repo,
        found: &RemoteRef,
        revision: u64,
        new_refs: NewRefs,
    ) -> Result<bool, ApiError> {
        let push = push(repo, found)?;
        // A moved tag is not a new tag.
        let is_new = revision == 0 || found.reference.tag().is_none();
        let incoming = Incoming::Push(push);
        let makes_a_job =
            matches!(trigger_rules::decide(Some(repo), &incoming, None), TriggerDecision::Run(_));
        if new_refs == NewRefs::Import || !is_new || !makes_a_job {
            let update = RefUpdate::found_by_poll(found.reference.as_str(), &found.id, revision);
            self.deliveries.update_head(&update, repo, None).await?;
            return Ok(false);
        }
        let reference = hex::encode(Sha256::digest(found.reference.as_str().as_bytes()));
        // A branch that was deleted and created again is another push.
        let since = self.ledger.heads.last_revision(&head_key(repo.id, found.reference.as_str())).await?;
        let delivery_id = format!("heads-{since}-{}-{}", &reference[..16], found.id);
        let received = ReceivedDelivery {
            hook: repo.id.to_string(),
            digest: hex::encode(Sha256::digest(delivery_id.as_bytes())),
            delivery_id,
            event: "push".to_owned(),
            incoming: Ok(incoming),
            head_revision: Some(revision),
        };
        let taken = self.deliveries.ingest(received, Some(repo.clone())).await?;
        self.metrics.delivery(taken.verdict);
        let made = taken.verdict == Verdict::Accepted;
        if made {
            self.metrics.synthetic_push();
            tracing::info!(repo = %repo.id, delivery = taken.key, "synthetic push submitted");
        }
        Ok(made)
    }
}

/// The push event that a delivery would have carried, as far as it can be derived.
fn push(repo: &Repo, found: &RemoteRef) -> Result<Push, ApiError> {
    let clone_url = repo.url.get().cloned().ok_or(ApiError::NotFound("repository"))?;
    let (owner, name) = clone_url.owner_and_name().unwrap_or_default();
    Ok(Push {
        repository: Repository {
            forge_id: repo.forge_id,
            full_name: format!("{owner}/{name}"),
            clone_url,
            html_url: None,
            private: true,
            default_branch: None,
        },
        reference: found.reference.clone(),
        before: None,
        after: Some(found.id.clone()),
        tagged: found.tagged.clone(),
        forced: false,
        head_message: None,
        skip_ci: false,
        pusher: None,
        installation: repo.installation,
        synthetic: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_cannot_be_reached_is_left_alone_longer_and_longer() {
        let mut state = PollState::new(Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..6 {
            state.after_failure(Duration::from_secs(300));
            pauses.push(state.next.duration_since(Instant::now()).as_secs_f64().round());
        }
        assert_eq!(pauses, [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]);
    }
}
