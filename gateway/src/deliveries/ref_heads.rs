//! Which commit is the newest of its ref, and which was seen before.

use hooks::{GitRef, Incoming, Push, incoming::PullRequest};
use jobs::{
    Cause, CommitSha, Delivery, Head, JobId, PushSeen, Repo, Stored, Trigger, Verdict,
    bucket::{BucketError, Entry},
    head_key, push_key,
};
use serde_json::Map;

use crate::{deliveries::Deliveries, error::ApiError};

/// What makes two events the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// The ref, what it was and what it is: a branch that is forced back is another push.
    BeforeAndAfter,
    /// The ref and what it is: of a pull request, whose events do not all tell what was before, and of a
    /// push that was made up for.
    After,
}

/// A ref points to something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) reference: String,
    pub(crate) before: Option<CommitSha>,
    pub(crate) after: CommitSha,
    pub(crate) sameness: Sameness,
    /// The revision of the head that this replaces, 0 for none, where the forge itself was asked: then
    /// the order of deliveries tells nothing.
    pub(crate) over: Option<u64>,
}

impl Moved {
    /// `None`: the ref was removed.
    pub(super) fn of_push(push: &Push) -> Option<Self> {
        Some(Self {
            reference: push.reference.to_string(),
            before: push.before.clone(),
            after: push.after.clone()?,
            sameness: if push.synthetic { Sameness::After } else { Sameness::BeforeAndAfter },
            over: None,
        })
    }

    pub(super) fn of_pull(pull: &PullRequest) -> Self {
        Self {
            reference: pull.reference(),
            before: pull.previous_sha.clone(),
            after: pull.head_sha.clone(),
            sameness: Sameness::After,
            over: None,
        }
    }

    /// What the forge has now, which takes the place of our entry at `revision` (0: there is none).
    pub(crate) fn seen_at_forge(reference: &str, id: &CommitSha, revision: u64) -> Self {
        Self {
            reference: reference.to_owned(),
            before: None,
            after: id.clone(),
            sameness: Sameness::After,
            over: Some(revision),
        }
    }

    fn is(&self, seen: &PushSeen) -> bool {
        match self.sameness {
            Sameness::After => true,
            Sameness::BeforeAndAfter => {
                seen.before == self.before || (seen.synthetic && seen.before.is_none())
            }
        }
    }
}

impl Deliveries {
    /// The content rule: the job that the same event made before, if that one still counts. Otherwise the
    /// event is entered as `job`'s.
    pub(super) async fn seen_before(
        &self,
        moved: &Moved,
        repo: &Repo,
        job: JobId,
    ) -> Result<Option<JobId>, ApiError> {
        let key = push_key(repo.id, &moved.reference, &moved.after);
        let synthetic = moved.over.is_some();
        let seen = PushSeen { before: moved.before.clone(), synthetic, job, other: Map::new() };
        loop {
            match self.ledger.pushes.create(&key, &seen).await {
                Ok(_) => return Ok(None),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.ledger.pushes.get(&key).await? else { continue };
            if found.value.job == job {
                return Ok(None);
            }
            if moved.is(&found.value) && self.still_counts(found.value.job).await? {
                return Ok(Some(found.value.job));
            }
            match self.ledger.pushes.update(&key, &seen, found.revision).await {
                Ok(_) => return Ok(None),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The job that the same event made before, if that one still counts. Nothing is entered.
    pub(super) async fn made_before(&self, moved: &Moved, repo: &Repo) -> Result<Option<JobId>, ApiError> {
        let key = push_key(repo.id, &moved.reference, &moved.after);
        match self.ledger.pushes.get(&key).await? {
            Some(seen) if moved.is(&seen.value) && self.still_counts(seen.value.job).await? => {
                Ok(Some(seen.value.job))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The newest commit of a ref, as far as we were told.
    pub(super) async fn newest(&self, reference: &str, repo: &Repo) -> Result<Option<CommitSha>, ApiError> {
        let head = self.ledger.heads.get(&head_key(repo.id, reference)).await?;
        Ok(head.map(|head| head.value.after))
    }

    /// Whether a job stands for its push: not one that ended without a verdict on the commit. A record
    /// that is not there yet belongs to a delivery that is being taken.
    async fn still_counts(&self, job: JobId) -> Result<bool, ApiError> {
        let Some(entry) = self.ledger.job(job).await? else { return Ok(true) };
        Ok(match entry.value.cause {
            Some(Cause::Superseded | Cause::Cancelled | Cause::Refused | Cause::Lost) => false,
            Some(
                Cause::Skipped
                | Cause::Exit
                | Cause::Timeout
                | Cause::Memory
                | Cause::Disk
                | Cause::Processes
                | Cause::Output
                | Cause::Manifest
                | Cause::Checkout
                | Cause::Prepare,
            )
            | None => true,
        })
    }

    /// Writes the newest commit of a ref, unless this one is older, and tells the worker of the job
    /// before.
    pub(crate) async fn move_head(
        &self,
        moved: &Moved,
        repo: &Repo,
        job: Option<JobId>,
    ) -> Result<(), ApiError> {
        let found = self.head(moved, repo).await?;
        self.move_head_from(found, moved, repo, job).await
    }

    /// The newest commit of a ref, for [`Deliveries::move_head_from`].
    pub(super) async fn head(&self, moved: &Moved, repo: &Repo) -> Result<Option<Entry<Head>>, ApiError> {
        Ok(self.ledger.heads.get(&head_key(repo.id, &moved.reference)).await?)
    }

    /// The same from what was read of the head before; what is outdated is read again.
    pub(super) async fn move_head_from(
        &self,
        mut found: Option<Entry<Head>>,
        moved: &Moved,
        repo: &Repo,
        job: Option<JobId>,
    ) -> Result<(), ApiError> {
        let key = head_key(repo.id, &moved.reference);
        loop {
            let Some(head) = next(moved, job, found.as_ref()) else { return Ok(()) };
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
                Err(BucketError::Conflict { .. }) => found = self.head(moved, repo).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A push that makes no job moves its ref all the same, before its entry at `key` is written: whoever
    /// finds one knows that it was done, and a redelivery does not move the ref back. Without one it may
    /// not have been done, and is done again.
    pub(super) async fn move_head_of_filtered(
        &self,
        key: &str,
        delivery: &Delivery,
        repo: Option<&Repo>,
    ) -> Result<(), ApiError> {
        let (Some(repo), Some(Verdict::Ignored)) = (repo, delivery.verdict) else { return Ok(()) };
        let Some(Incoming::Push(push)) = delivery.event() else { return Ok(()) };
        let Some(moved) = Moved::of_push(&push) else { return Ok(()) };
        let reading = async { Ok::<_, ApiError>(self.ledger.deliveries.get(key).await?) };
        let (entry, head) = tokio::try_join!(reading, self.head(&moved, repo))?;
        match entry {
            None => self.move_head_from(head, &moved, repo, None).await,
            Some(_) => Ok(()),
        }
    }

    /// A removed ref has no newest push, and the same push may come again. What waits or runs for a branch
    /// or tag alone that is gone is cancelled.
    pub(crate) async fn remove_ref(&self, reference: &str, repo: &Repo) -> Result<(), ApiError> {
        let key = head_key(repo.id, reference);
        let head = self.ledger.heads.get(&key).await?;
        if reference.parse::<GitRef>().is_ok() {
            self.cancel_of_ref(reference, head.as_ref(), repo).await?;
        }
        let Some(head) = head else { return Ok(()) };
        let seen = push_key(repo.id, reference, &head.value.after);
        if let Some(seen) = self.ledger.pushes.get(&seen).await? {
            not_conflicting(self.ledger.pushes.delete(&seen.key, seen.revision).await)?;
        }
        not_conflicting(self.ledger.heads.delete(&key, head.revision).await)?;
        self.budgets.ref_counts.removed(repo.id);
        Ok(())
    }
}

impl Deliveries {
    async fn cancel_of_ref(
        &self,
        reference: &str,
        head: Option<&Entry<Head>>,
        repo: &Repo,
    ) -> Result<(), ApiError> {
        // The index may not know the newest yet.
        let mut jobs = self.index.open_jobs_of(repo.id)?;
        jobs.extend(head.and_then(|head| head.value.job));
        jobs.sort_unstable();
        jobs.dedup();
        for id in jobs {
            let Some(entry) = self.job_records.record(id).await? else { continue };
            let job = &entry.value;
            let of_event = match job.trigger {
                Trigger::Push | Trigger::Tag | Trigger::PullRequest => true,
                // Somebody asked for these.
                Trigger::Call | Trigger::Rerun => false,
            };
            let is_its =
                job.repo == Some(repo.id) && job.reference.as_ref().map(Stored::as_str) == Some(reference);
            if job.state.is_final() || !of_event || !is_its {
                continue;
            }
            if let Some(sha) = &job.sha
                && self.is_head_of_another(sha, reference, repo).await?
            {
                continue;
            }
            let what = if reference.starts_with("refs/tags/") { "tag" } else { "branch" };
            self.jobs.cancel_because(id, &format!("the {what} was deleted")).await?;
        }
        Ok(())
    }

    /// Whether another ref of the repository points to this commit: then its status is that one's too.
    async fn is_head_of_another(
        &self,
        sha: &CommitSha,
        reference: &str,
        repo: &Repo,
    ) -> Result<bool, ApiError> {
        let own = head_key(repo.id, reference);
        for key in self.ledger.heads.subjects_under(&format!("{}.", repo.id)).await? {
            if key != own
                && let Some(head) = self.ledger.heads.get(&key).await?
                && head.value.after == *sha
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Somebody wrote in between: then there is a newer push, which stays.
fn not_conflicting(deleted: Result<(), BucketError>) -> Result<(), ApiError> {
    match deleted {
        Ok(()) | Err(BucketError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the head becomes; `None` when it stays.
fn next(moved: &Moved, job: Option<JobId>, found: Option<&Entry<Head>>) -> Option<Head> {
    let reference = Some(moved.reference.as_str().into());
    let (before, after) = (moved.before.clone(), moved.after.clone());
    let Some(found) = found else { return Some(Head { before, after, job, reference, other: Map::new() }) };
    let known = &found.value;
    let other = known.other.clone();
    if known.after == after {
        // An event that does not tell what was before must not make us forget it.
        let before = before.or_else(|| known.before.clone());
        let head = Head { before, after, job, reference, other };
        return (head != *known).then_some(head);
    }
    let head = Head { before, after, job, reference, other };
    match moved.over {
        Some(revision) if revision == found.revision => Some(head),
        // Something newer came while the forge was asked.
        Some(_) => None,
        None => (!is_older(&head, known)).then_some(head),
    }
}

/// Whether `push` came before `head`: what it led to is where the head began. A branch forced back
/// looks the same, but begins where the head is.
fn is_older(push: &Head, head: &Head) -> bool {
    Some(&push.after) == head.before.as_ref() && push.before.as_ref() != Some(&head.after)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn head(before: Option<&str>, after: &str) -> Head {
        let sha = |digit: &str| digit.repeat(40).parse().unwrap();
        Head { before: before.map(sha), after: sha(after), job: None, reference: None, other: Map::new() }
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
    #[test_case(Some(7), "a", None => "a" ; "what the forge has is no older push")]
    #[test_case(Some(6), "b", None => "c" ; "a delivery came while the forge was asked")]
    #[test_case(None, "c", None => "c" ; "the same")]
    fn moves(over: Option<u64>, after: &str, before: Option<&str>) -> String {
        let found = Entry {
            key: String::new(),
            value: head(Some("a"), "c"),
            revision: 7,
            written_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let sha = |digit: &str| digit.repeat(40).parse().unwrap();
        let moved = Moved {
            reference: "refs/heads/main".to_owned(),
            before: before.map(sha),
            after: sha(after),
            sameness: Sameness::BeforeAndAfter,
            over,
        };
        let head = next(&moved, None, Some(&found)).unwrap_or(found.value);
        assert!(head.after != sha("c") || head.before == Some(sha("a")), "what was before is not forgotten");
        head.after.as_str()[..1].to_owned()
    }
}
