//! Statuses that are not known to be posted are queued again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jobs::{CommitStatus, Job, JobId, bucket::Entry};

use crate::{
    error::ApiError,
    reconcile::leader::{Role, Services},
};

/// A status that is not at the forge after this long is queued again, and again after as long: a
/// poster's whole turn.
const UNPOSTED_AFTER: Duration = Duration::from_secs(40);
/// Statuses looked at in one round: each is a read.
const UNPOSTED_AT_ONCE: usize = 100;

/// A job whose status is not known to be posted.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// Since it was first seen so.
    since: Instant,
    revision: u64,
    /// Since its record changed, or it was queued again.
    unchanged_since: Instant,
}

/// Jobs whose status is not known to be posted.
#[derive(Debug, Default)]
pub(super) struct UnpostedStatuses(HashMap<JobId, Waits>);

impl UnpostedStatuses {
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Jobs whose status was not seen to be posted for a while: those that are settled are forgotten, and
    /// who mends queues the others again.
    pub(super) async fn round(&mut self, services: &Services, role: Role) -> Result<(), ApiError> {
        let unposted = services.index.unposted(UNPOSTED_AT_ONCE)?;
        self.0.retain(|job, _| unposted.iter().any(|(id, _)| id == job));
        let now = Instant::now();
        for (id, revision) in unposted {
            let waits = self.0.entry(id).or_insert(Waits { since: now, revision, unchanged_since: now });
            if waits.revision != revision {
                *waits = Waits { revision, unchanged_since: now, ..*waits };
            }
            if waits.unchanged_since.elapsed() < UNPOSTED_AFTER {
                continue;
            }
            waits.unchanged_since = now;
            look_at(services, id, role).await?;
        }
        let longest = self.0.values().map(|waits| waits.since.elapsed()).max();
        services.metrics.longest_wait(longest.unwrap_or_default());
        Ok(())
    }
}

async fn look_at(services: &Services, id: JobId, role: Role) -> Result<(), ApiError> {
    let ledger = &services.ledger;
    let Some(entry) = ledger.job(id).await? else { return Ok(services.index.forget_job(id)?) };
    // Of what is not believed nothing is told.
    let Some(entry) = services.job_records.believed(entry) else {
        return Ok(services.index.posted(id)?);
    };
    let (Some(repo), Some(sha)) = (entry.value.repo, &entry.value.sha) else {
        return Ok(services.index.posted(id)?);
    };
    for context in entry.value.contexts() {
        let key = jobs::streams::commit_key(repo, sha, context);
        let commit = ledger.commits.get(&key).await?;
        if commit.is_some_and(|commit| is_settled(&commit, &entry)) {
            continue;
        }
        return match role {
            Role::Leader => {
                tracing::info!(job.id = %id, "a status is not at the forge; it is queued again");
                Ok(ledger.mark_status_dirty(&entry).await?)
            }
            Role::Standby => Ok(()),
        };
    }
    Ok(services.index.posted(id)?)
}

/// Whether nothing is left to be posted for this record: it was, the forge will not take what it says,
/// or a newer job took its place.
fn is_settled(commit: &Entry<CommitStatus>, record: &Entry<Job>) -> bool {
    let commit = &commit.value;
    let newer = commit.job() != record.value.id && commit.created_revision() > record.created_revision();
    let posted = commit.last_posted().is_some_and(|posted| {
        posted.job == record.value.id
            && (posted.revision >= record.revision || posted.state == record.value.commit_state())
    });
    let refused = commit.job() == record.value.id && commit.was_rejected(record.value.commit_state());
    newer || posted || refused
}
