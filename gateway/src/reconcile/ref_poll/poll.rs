//! One look at one repository: which refs differ from `heads`, and what becomes of each.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use hooks::{
    CloneUrl, GitRef, Incoming, Push,
    address::may_send_credential,
    app::Right,
    incoming::Repository,
    ls_remote::{ListRefsError, Login, RemoteRef},
};
use jobs::{CommitSha, Repo, RepoId, Verdict, head_key};
use sha2::{Digest as _, Sha256};

use crate::{
    deliveries::{
        ingest::{Arrival, Judgement, Moved},
        trigger_rules,
    },
    error::ApiError,
    reconcile::ref_poll::{MOST, Pace, RefPoll, Round, debounce::Suspects},
    repos::{credentials::clone_user, forge_kind::forge_of},
    usage::MAX_REFS,
};

/// More refs than this that are new at once are an import, not pushes that were missed; forges do not
/// tell of such at all. They are noted and not run.
const MOST_AT_ONCE: usize = 50;

/// What is remembered of a repository between two looks.
#[derive(Debug)]
pub(super) struct Watched {
    /// When to look again.
    pub(super) next: Instant,
    /// Looks that failed, since the last that did not.
    failures: u32,
    /// Refs that were as `heads` says; absent before the first look.
    known: Option<HashMap<GitRef, CommitSha>>,
    suspects: Suspects,
}

impl Watched {
    pub(super) fn new(next: Instant) -> Self {
        Self { next, failures: 0, known: None, suspects: Suspects::default() }
    }

    /// What came and went meanwhile is no suspect any more.
    fn forget_suspects_besides(&mut self, refs: &[RemoteRef]) {
        let there: HashSet<&GitRef> = refs.iter().map(|found| &found.reference).collect();
        let known = self.known.as_ref();
        self.suspects.keep(|reference| {
            there.contains(reference) || known.is_some_and(|known| known.contains_key(reference))
        });
    }

    /// When to look again after so many failures: later each time.
    fn after_failure(&mut self, every: Duration) {
        let factor = 1_u32 << self.failures.min(16);
        self.failures += 1;
        self.next = Instant::now() + every.saturating_mul(factor).min(MOST);
    }
}

/// A ref that is new at the forge.
struct New {
    found: RemoteRef,
    /// Of our entry, 0 for none.
    revision: u64,
}

impl RefPoll {
    /// Without a credential a public repository answers all the same. Over http everybody on the way
    /// could read one; a worker keeps to the same rule.
    async fn clone_login(&self, repo: &Repo, url: &CloneUrl) -> Option<Login> {
        if !may_send_credential(url.as_url(), &self.clone_allow) {
            return None;
        }
        let credential = self.registrations.credential(repo, Right::ReadContents, None).await.ok()??;
        Some(Login { user: clone_user(forge_of(repo)).to_owned(), token: credential.token })
    }

    /// Asks the forge for a repository's refs, with the registration's own credential if it has one.
    pub(super) async fn refs_at_forge(&self, repo: &Repo) -> Result<Vec<RemoteRef>, ListRefsError> {
        // What is registered was read as a URL then.
        let url = repo.url.get().ok_or(ListRefsError::NotSmart)?;
        let login = self.clone_login(repo, url).await;
        self.git_heads.list(url, login.as_ref()).await
    }

    /// Looks at one repository.
    pub(super) async fn look(
        &self,
        id: RepoId,
        watched: &mut Watched,
        pace: Pace,
    ) -> Result<Round, ApiError> {
        let Some(repo) = self.ledger.repos.get(&id.to_string()).await? else { return Ok(Round::default()) };
        let repo = repo.value;
        if repo.is_removing() {
            return Ok(Round::default());
        }
        let refs = match self.refs_at_forge(&repo).await {
            Ok(refs) => refs,
            Err(error) => {
                watched.after_failure(pace.every);
                self.metrics.heads_unreachable();
                let error = anyhow::Error::from(error);
                tracing::info!(repo = %id, error = format!("{error:#}"), "the heads of a repository cannot be read");
                return Ok(Round { unreachable: 1, ..Round::default() });
            }
        };
        let mut round = Round { looked_at: 1, ..Round::default() };
        (watched.failures, watched.next) = (0, Instant::now() + pace.every);
        if watched.known.is_none() && !self.has_baseline(id).await? {
            let known = self.fill(&repo, &refs).await?;
            watched.known =
                Some(refs.into_iter().take(known).map(|found| (found.reference, found.id)).collect());
            return Ok(round);
        }
        self.drop_removed(&repo, &refs, watched, pace).await?;
        watched.forget_suspects_besides(&refs);
        let new = self.new_refs(&repo, refs, watched, pace).await?;
        let import = new.len() > MOST_AT_ONCE;
        if import {
            tracing::warn!(repo = %id, refs = new.len(), "so many new refs are an import; they are not run");
        }
        for New { found, revision } in new {
            round.made_up += usize::from(self.make_up(&repo, &found, revision, import).await?);
            watched.suspects.clear(&found.reference);
            watched.known.get_or_insert_default().insert(found.reference, found.id);
        }
        if !watched.suspects.is_empty() {
            watched.next = Instant::now() + pace.settle;
        }
        Ok(round)
    }

    /// Removes the entries of refs that the forge does not have any more.
    async fn drop_removed(
        &self,
        repo: &Repo,
        refs: &[RemoteRef],
        watched: &mut Watched,
        pace: Pace,
    ) -> Result<(), ApiError> {
        let there: HashSet<&GitRef> = refs.iter().map(|found| &found.reference).collect();
        let gone: Vec<GitRef> = match &watched.known {
            Some(known) => known.keys().filter(|reference| !there.contains(reference)).cloned().collect(),
            None => self.entries_without(repo, &there).await?,
        };
        for reference in gone {
            let head = self.ledger.heads.get(&head_key(repo.id, reference.as_str())).await?;
            if let Some(head) = &head
                && !watched.suspects.is_ripe(&reference, &(None, head.revision), pace.settle, Instant::now())
            {
                // Kept in mind, so that it is looked at again.
                watched.known.get_or_insert_default().insert(reference, head.value.after.clone());
                continue;
            }
            if head.is_some() {
                self.deliveries.remove_ref(reference.as_str(), repo).await?;
            }
            watched.suspects.clear(&reference);
            watched.known.get_or_insert_default().remove(&reference);
        }
        Ok(())
    }

    /// Branches and tags that we have entries of and the forge does not have.
    async fn entries_without(&self, repo: &Repo, there: &HashSet<&GitRef>) -> Result<Vec<GitRef>, ApiError> {
        let keys: HashSet<String> =
            there.iter().map(|reference| head_key(repo.id, reference.as_str())).collect();
        let mut gone = Vec::new();
        for key in self.ledger.heads.subjects_under(&format!("{}.", repo.id)).await? {
            if !keys.contains(&key)
                && let Some(head) = self.ledger.heads.get(&key).await?
                // A pull request's is neither; older entries do not tell.
                && let Some(reference) = head.value.reference.as_ref().and_then(|name| name.get()?.as_git_ref().cloned())
            {
                gone.push(reference);
            }
        }
        Ok(gone)
    }

    /// Refs that have been new for long enough.
    async fn new_refs(
        &self,
        repo: &Repo,
        refs: Vec<RemoteRef>,
        watched: &mut Watched,
        pace: Pace,
    ) -> Result<Vec<New>, ApiError> {
        let mut new = Vec::new();
        let mut known = watched.known.take().unwrap_or_default();
        // Of a repository with more refs than may be known, those that are not known are left alone.
        let entered: Option<HashSet<String>> = match refs.len() as u64 > MAX_REFS {
            true => {
                Some(self.ledger.heads.subjects_under(&format!("{}.", repo.id)).await?.into_iter().collect())
            }
            false => None,
        };
        for found in refs {
            if known.get(&found.reference) == Some(&found.id) {
                watched.suspects.clear(&found.reference);
                continue;
            }
            let key = head_key(repo.id, found.reference.as_str());
            if entered.as_ref().is_some_and(|entered| !entered.contains(&key)) {
                continue;
            }
            let head = self.ledger.heads.get(&key).await?;
            let revision = head.as_ref().map_or(0, |head| head.revision);
            if head.is_some_and(|head| head.value.after == found.id) {
                watched.suspects.clear(&found.reference);
                known.insert(found.reference, found.id);
                continue;
            }
            let difference = (Some(found.id.clone()), revision);
            if watched.suspects.is_ripe(&found.reference, &difference, pace.settle, Instant::now()) {
                new.push(New { found, revision });
            }
        }
        watched.known = Some(known);
        Ok(new)
    }

    /// Takes what is new as a push, where the registration makes jobs of such; else it is noted. Tells
    /// whether a job was made.
    async fn make_up(
        &self,
        repo: &Repo,
        found: &RemoteRef,
        revision: u64,
        import: bool,
    ) -> Result<bool, ApiError> {
        let push = push(repo, found)?;
        // A tag that was moved is no new tag.
        let is_new = revision == 0 || found.reference.tag().is_none();
        let incoming = Incoming::Push(push);
        let makes_a_job = matches!(trigger_rules::judge(Some(repo), &incoming, None), Judgement::Run(_));
        if import || !is_new || !makes_a_job {
            let moved = Moved::seen_at_forge(found.reference.as_str(), &found.id, revision);
            self.deliveries.move_head(&moved, repo, None).await?;
            return Ok(false);
        }
        let reference = hex::encode(Sha256::digest(found.reference.as_str().as_bytes()));
        // A branch that was removed and is there again is another push.
        let since = self.ledger.heads.last_revision(&head_key(repo.id, found.reference.as_str())).await?;
        let delivery_id = format!("heads-{since}-{}-{}", &reference[..16], found.id);
        let arrival = Arrival {
            hook: repo.id.to_string(),
            digest: hex::encode(Sha256::digest(delivery_id.as_bytes())),
            delivery_id,
            event: "push".to_owned(),
            incoming: Ok(incoming),
            head_revision: Some(revision),
        };
        let taken = self.deliveries.take(arrival, Some(repo.clone())).await?;
        self.metrics.delivery(taken.verdict);
        let made = taken.verdict == Verdict::Accepted;
        if made {
            self.metrics.made_up();
            tracing::info!(repo = %repo.id, delivery = taken.key, "a push was made up for: its delivery never came");
        }
        Ok(made)
    }
}

/// What a delivery would have said, as far as it can be known.
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
        let mut watched = Watched::new(Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..6 {
            watched.after_failure(Duration::from_secs(300));
            pauses.push(watched.next.duration_since(Instant::now()).as_secs_f64().round());
        }
        assert_eq!(pauses, [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]);
    }
}
