//! Queues statuses again that are not known to be posted.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jobs::{CommitStatus, Job, JobId, bucket::Entry};

use crate::{
    error::ApiError,
    reconcile::leader::{Role, Services},
};

/// A status that is not posted after this long is queued again, and again after as long: the longest that one
/// attempt to post takes.
const REPOST_AFTER: Duration = Duration::from_secs(40);
/// Statuses checked in one round: each is a read.
const MAX_UNPOSTED: usize = 100;

/// A job whose status is not known to be posted.
#[derive(Debug, Clone, Copy)]
struct UnpostedStatus {
    /// When it was first seen unposted.
    since: Instant,
    revision: u64,
    /// When its record last changed, or it was last queued.
    unchanged_since: Instant,
}

/// Jobs whose status is not known to be posted.
#[derive(Debug, Default)]
pub(super) struct UnpostedStatuses(HashMap<JobId, UnpostedStatus>);

impl UnpostedStatuses {
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Checks jobs whose status has been unposted for a while: those that need no post are dropped, and the
    /// leader queues the others again.
    pub(super) async fn round(&mut self, services: &Services, role: Role) -> Result<(), ApiError> {
        let unposted = services.index.run(|tables| tables.unposted(MAX_UNPOSTED)).await?;
        self.0.retain(|job, _| unposted.iter().any(|(id, _)| id == job));
        let now = Instant::now();
        for (id, revision) in unposted {
            let status =
                self.0.entry(id).or_insert(UnpostedStatus { since: now, revision, unchanged_since: now });
            if status.revision != revision {
                *status = UnpostedStatus { revision, unchanged_since: now, ..*status };
            }
            if status.unchanged_since.elapsed() < REPOST_AFTER {
                continue;
            }
            status.unchanged_since = now;
            repost_unless_settled(services, id, role).await?;
        }
        let longest = self.0.values().map(|status| status.since.elapsed()).max();
        services.metrics.longest_status_wait(longest.unwrap_or_default());
        Ok(())
    }
}

async fn repost_unless_settled(services: &Services, id: JobId, role: Role) -> Result<(), ApiError> {
    let ledger = &services.ledger;
    let Some(entry) = ledger.job(id).await? else {
        return Ok(services.index.run(move |tables| tables.forget_job(id)).await?);
    };
    // Nothing is posted of a record that is not verified.
    let Some(entry) = services.job_records.verified(entry) else {
        return Ok(services.index.run(move |tables| tables.mark_posted(id)).await?);
    };
    let (Some(repo), Some(sha)) = (entry.value.spec.repo, &entry.value.spec.sha) else {
        return Ok(services.index.run(move |tables| tables.mark_posted(id)).await?);
    };
    for context in entry.value.contexts() {
        let key = jobs::streams::commit_key(repo, sha, context);
        let commit = ledger.commits.get(&key).await?;
        if commit.is_some_and(|commit| needs_no_post(&commit, &entry)) {
            continue;
        }
        return match role {
            Role::Leader => {
                tracing::info!(job.id = %id, "unposted status queued again");
                Ok(ledger.mark_status_dirty(&entry).await?)
            }
            Role::Standby => Ok(()),
        };
    }
    Ok(services.index.run(move |tables| tables.mark_posted(id)).await?)
}

/// Whether nothing is left to be posted for this record: it was posted, the forge rejected it, or a newer job
/// superseded it.
fn needs_no_post(commit: &Entry<CommitStatus>, record: &Entry<Job>) -> bool {
    let commit = &commit.value;
    let newer = commit.job() != record.value.spec.id && commit.created_revision() > record.created_revision();
    let posted = commit.last_posted().is_some_and(|posted| {
        posted.job == record.value.spec.id
            && (posted.revision >= record.revision || posted.state == record.value.commit_state())
    });
    let rejected = commit.job() == record.value.spec.id && commit.was_rejected(record.value.commit_state());
    newer || posted || rejected
}
