//! Which push is the newest of its ref, and which was seen before.

use hooks::Incoming;
use hooks::Push;
use jobs::{
    Cause, CommitSha, Delivery, Head, JobId, PushSeen, Repo, Verdict, bucket::BucketError, head_key, push_key,
};
use serde_json::Map;

use crate::{error::ApiError, gateway::Gateway};

impl Gateway {
    /// The content rule: the job that the same push made before, if that one still counts. Otherwise the
    /// push is entered as `job`'s.
    pub(super) async fn seen_before(
        &self,
        push: &Push,
        after: &CommitSha,
        repo: &Repo,
        job: JobId,
    ) -> Result<Option<JobId>, ApiError> {
        let key = push_key(repo.id, push.reference.as_str(), after);
        let seen = PushSeen { before: push.before.clone(), made_up: false, job, other: Map::new() };
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
            let same =
                found.value.before == push.before || (found.value.made_up && found.value.before.is_none());
            if same && self.still_counts(found.value.job).await? {
                return Ok(Some(found.value.job));
            }
            match self.ledger.pushes.update(&key, &seen, found.revision).await {
                Ok(_) => return Ok(None),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
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

    /// Writes the newest push of a ref, unless this one is older, and tells the worker of the job before.
    pub(super) async fn move_head(
        &self,
        push: &Push,
        repo: &Repo,
        job: Option<JobId>,
    ) -> Result<(), ApiError> {
        let Some(after) = &push.after else { return Ok(()) };
        let key = head_key(repo.id, push.reference.as_str());
        let head = Head { before: push.before.clone(), after: after.clone(), job, other: Map::new() };
        loop {
            let found = self.ledger.heads.get(&key).await?;
            let written = match &found {
                None => self.ledger.heads.create(&key, &head).await,
                Some(found) if found.value == head => return Ok(()),
                Some(found) if is_older(&head, &found.value) => return Ok(()),
                Some(found) => self.ledger.heads.update(&key, &head, found.revision).await,
            };
            match written {
                Ok(_) => {
                    if let Some(older) =
                        found.and_then(|found| found.value.job).filter(|older| Some(*older) != job)
                    {
                        self.ledger.tell_worker(older).await;
                    }
                    return Ok(());
                }
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A push that makes no job moves its ref all the same; only once, so that a redelivery does not
    /// move it back.
    pub(super) async fn move_head_of_filtered(
        &self,
        repo: Option<&Repo>,
        delivery: &Delivery,
    ) -> Result<(), ApiError> {
        let (Some(repo), Some(Verdict::Ignored), Some(kept)) = (repo, delivery.verdict, &delivery.incoming)
        else {
            return Ok(());
        };
        match serde_json::from_value(kept.clone()) {
            Ok(Incoming::Push(push)) => self.move_head(&push, repo, None).await,
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A removed ref has no newest push, and the same push may come again.
    pub(super) async fn remove_ref(&self, push: &Push, repo: &Repo) -> Result<(), ApiError> {
        let key = head_key(repo.id, push.reference.as_str());
        let Some(head) = self.ledger.heads.get(&key).await? else { return Ok(()) };
        let seen = push_key(repo.id, push.reference.as_str(), &head.value.after);
        if let Some(seen) = self.ledger.pushes.get(&seen).await? {
            not_conflicting(self.ledger.pushes.delete(&seen.key, seen.revision).await)?;
        }
        not_conflicting(self.ledger.heads.delete(&key, head.revision).await)
    }
}

/// Somebody wrote in between: then there is a newer push, which stays.
fn not_conflicting(deleted: Result<(), BucketError>) -> Result<(), ApiError> {
    match deleted {
        Ok(()) | Err(BucketError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
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
        Head { before: before.map(sha), after: sha(after), job: None, other: Map::new() }
    }

    #[test_case((Some("a"), "b"), (Some("b"), "c") => true ; "what the head began with")]
    #[test_case((Some("b"), "c"), (Some("a"), "b") => false ; "the next one")]
    #[test_case((Some("b"), "a"), (Some("a"), "b") => false ; "forced back")]
    #[test_case((None, "a"), (Some("a"), "b") => true ; "the first of the branch")]
    #[test_case((Some("d"), "e"), (Some("a"), "b") => false ; "nothing in common")]
    fn came_before(push: (Option<&str>, &str), newest: (Option<&str>, &str)) -> bool {
        is_older(&head(push.0, push.1), &head(newest.0, newest.1))
    }
}
