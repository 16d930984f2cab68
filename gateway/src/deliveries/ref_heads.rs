//! The head of each ref: its newest commit and the job of it.

use hooks::{Incoming, Push, incoming::PullRequest};
use jobs::{
    CommitSha, Delivery, JobId, RefHead, Repo, Verdict,
    bucket::{BucketError, Entry},
    head_key,
};
use serde_json::Map;

use crate::{
    deliveries::{Deliveries, dedupe::DedupeKey},
    error::ApiError,
};

/// A ref points to a new commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefUpdate {
    pub(crate) reference: String,
    pub(crate) before: Option<CommitSha>,
    pub(crate) after: CommitSha,
    pub(crate) dedupe_key: DedupeKey,
    /// The revision of the head that this replaces, 0 for none, where the ref poll read it from the forge: then
    /// the order of deliveries decides nothing.
    pub(crate) replaces: Option<u64>,
}

impl RefUpdate {
    /// `None`: the ref was deleted.
    pub(super) fn of_push(push: &Push) -> Option<Self> {
        Some(Self {
            reference: push.reference.to_string(),
            before: push.before.clone(),
            after: push.after.clone()?,
            dedupe_key: if push.synthetic { DedupeKey::After } else { DedupeKey::BeforeAndAfter },
            replaces: None,
        })
    }

    pub(super) fn of_pull(pull: &PullRequest) -> Self {
        Self {
            reference: pull.reference(),
            before: pull.previous_sha.clone(),
            after: pull.head_sha.clone(),
            dedupe_key: DedupeKey::After,
            replaces: None,
        }
    }

    /// What the ref poll read from the forge; it replaces the head at `revision` (0: there is none).
    pub(crate) fn found_by_poll(reference: &str, id: &CommitSha, revision: u64) -> Self {
        Self {
            reference: reference.to_owned(),
            before: None,
            after: id.clone(),
            dedupe_key: DedupeKey::After,
            replaces: Some(revision),
        }
    }
}

impl Deliveries {
    /// The commit of a ref's head.
    pub(super) async fn head_commit(
        &self,
        reference: &str,
        repo: &Repo,
    ) -> Result<Option<CommitSha>, ApiError> {
        let head = self.ledger.heads.get(&head_key(repo.id, reference)).await?;
        Ok(head.map(|head| head.value.after))
    }

    /// Writes the head of a ref, unless the update is older, and notifies the worker of the previous job.
    pub(crate) async fn update_head(
        &self,
        update: &RefUpdate,
        repo: &Repo,
        job: Option<JobId>,
    ) -> Result<(), ApiError> {
        let found = self.head(update, repo).await?;
        self.update_head_from(found, update, repo, job).await
    }

    /// The head of a ref, for [`Deliveries::update_head_from`].
    pub(super) async fn head(
        &self,
        update: &RefUpdate,
        repo: &Repo,
    ) -> Result<Option<Entry<RefHead>>, ApiError> {
        Ok(self.ledger.heads.get(&head_key(repo.id, &update.reference)).await?)
    }

    /// [`Deliveries::update_head`] from a head that was read before; if it is outdated, it is read again.
    pub(super) async fn update_head_from(
        &self,
        mut found: Option<Entry<RefHead>>,
        update: &RefUpdate,
        repo: &Repo,
        job: Option<JobId>,
    ) -> Result<(), ApiError> {
        let key = head_key(repo.id, &update.reference);
        loop {
            let Some(head) = next_head(update, job, found.as_ref()) else { return Ok(()) };
            if found.is_none() && !self.budgets.reserve_ref(repo).await? {
                return Ok(());
            }
            let written = match &found {
                None => self.ledger.heads.create(&key, &head).await,
                Some(found) => self.ledger.heads.update(&key, &head, found.revision).await,
            };
            match written {
                Ok(_) => {
                    if let Some(older) =
                        found.and_then(|found| found.value.job).filter(|older| Some(*older) != job)
                    {
                        self.ledger.notify_worker(older).await;
                    }
                    return Ok(());
                }
                Err(BucketError::Conflict { .. }) => found = self.head(update, repo).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A push that is ignored updates the head all the same, before its entry at `key` is written: an entry proves
    /// that it was done, so that a redelivery does not move the head back. Without one it is done again.
    pub(super) async fn update_head_of_ignored(
        &self,
        key: &str,
        delivery: &Delivery,
        repo: Option<&Repo>,
    ) -> Result<(), ApiError> {
        let (Some(repo), Some(Verdict::Ignored)) = (repo, delivery.verdict) else { return Ok(()) };
        let Some(Incoming::Push(push)) = delivery.event() else { return Ok(()) };
        let Some(update) = RefUpdate::of_push(&push) else { return Ok(()) };
        let reading = async { Ok::<_, ApiError>(self.ledger.deliveries.get(key).await?) };
        let (entry, head) = tokio::try_join!(reading, self.head(&update, repo))?;
        match entry {
            None => self.update_head_from(head, &update, repo, None).await,
            Some(_) => Ok(()),
        }
    }
}

/// The new head; `None` when it stays.
fn next_head(update: &RefUpdate, job: Option<JobId>, found: Option<&Entry<RefHead>>) -> Option<RefHead> {
    let reference = Some(update.reference.as_str().into());
    let (before, after) = (update.before.clone(), update.after.clone());
    let Some(found) = found else {
        return Some(RefHead { before, after, job, reference, other: Map::new() });
    };
    let known = &found.value;
    let other = known.other.clone();
    if known.after == after {
        // An event that does not name the previous commit keeps the one that is known.
        let before = before.or_else(|| known.before.clone());
        let head = RefHead { before, after, job, reference, other };
        return (head != *known).then_some(head);
    }
    let head = RefHead { before, after, job, reference, other };
    match update.replaces {
        Some(revision) if revision == found.revision => Some(head),
        // A newer delivery came while the forge was polled.
        Some(_) => None,
        None => (!is_older(&head, known)).then_some(head),
    }
}

/// Whether `push` is older than `head`: its commit is the one before the head. A branch forced back looks the same,
/// but begins at the head.
fn is_older(push: &RefHead, head: &RefHead) -> bool {
    Some(&push.after) == head.before.as_ref() && push.before.as_ref() != Some(&head.after)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn head(before: Option<&str>, after: &str) -> RefHead {
        let sha = |digit: &str| digit.repeat(40).parse().unwrap();
        RefHead { before: before.map(sha), after: sha(after), job: None, reference: None, other: Map::new() }
    }

    #[test_case((Some("a"), "b"), (Some("b"), "c") => true ; "what the head began with")]
    #[test_case((Some("b"), "c"), (Some("a"), "b") => false ; "the next one")]
    #[test_case((Some("b"), "a"), (Some("a"), "b") => false ; "forced back")]
    #[test_case((None, "a"), (Some("a"), "b") => true ; "the first of the branch")]
    #[test_case((Some("d"), "e"), (Some("a"), "b") => false ; "nothing in common")]
    fn came_before(push: (Option<&str>, &str), newest: (Option<&str>, &str)) -> bool {
        is_older(&head(push.0, push.1), &head(newest.0, newest.1))
    }

    /// The letter that the head has afterwards.
    #[test_case(None, "b", None => "b" ; "the next push")]
    #[test_case(None, "a", None => "c" ; "an older push")]
    #[test_case(Some(7), "a", None => "a" ; "what the poll found is no older push")]
    #[test_case(Some(6), "b", None => "c" ; "a delivery came while the forge was polled")]
    #[test_case(None, "c", None => "c" ; "the same")]
    fn moves(replaces: Option<u64>, after: &str, before: Option<&str>) -> String {
        let found = Entry {
            key: String::new(),
            value: head(Some("a"), "c"),
            revision: 7,
            written_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let sha = |digit: &str| digit.repeat(40).parse().unwrap();
        let update = RefUpdate {
            reference: "refs/heads/main".to_owned(),
            before: before.map(sha),
            after: sha(after),
            dedupe_key: DedupeKey::BeforeAndAfter,
            replaces,
        };
        let head = next_head(&update, None, Some(&found)).unwrap_or(found.value);
        assert!(head.after != sha("c") || head.before == Some(sha("a")), "what was before is not forgotten");
        head.after.as_str()[..1].to_owned()
    }
}
