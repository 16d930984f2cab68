//! Checks one commit's status at the forge, and reposts it where necessary.

use std::time::{Duration, Instant};

use hooks::status::{StatusError, StatusKey, Target};
use jobs::{
    CommitStatus, Posted, Repo, RepostReason,
    bucket::{BucketError, Entry},
};
use sha2::{Digest as _, Sha256};

use crate::{
    error::ApiError,
    metrics::CheckOutcome,
    reconcile::status_check::{StatusCheck, cooldowns::HostCooldowns},
    repos::credentials::{NotGranted, StatusAccess},
};

/// How often a differing status is reposted; beyond that another client keeps overwriting it.
const MAX_REPOSTS: u32 = 3;

/// Which check of the same posted state this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckPass {
    /// Shortly after it was posted.
    First,
    /// Much later, in case the forge processed a request late.
    Second,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckResult {
    /// Nothing is left to check.
    Done,
    /// The forge shows the posted status, and is checked once more later.
    Verified,
    /// The status was queued to be posted again.
    Reposted,
    /// The forge could not be asked; it may have said when to retry.
    Retry(Option<Duration>),
}

/// Checks the commit under `key`.
pub(super) async fn check(
    service: &StatusCheck,
    cooldowns: &HostCooldowns,
    key: &str,
    pass: CheckPass,
) -> Result<CheckResult, ApiError> {
    let Some(entry) = service.ledger.commits.get(key).await? else {
        {
            let key = key.to_owned();
            service.index.run(move |tables| tables.forget_commit(&key)).await?
        };
        return Ok(CheckResult::Done);
    };
    let commit = &entry.value;
    if commit.is_claimed() {
        return Ok(CheckResult::Retry(None));
    }
    if commit.final_state_was_rejected() {
        return repost(service, &entry, RepostReason::Rejected, CheckOutcome::Refused).await;
    }
    let Some(posted) = commit.last_posted().filter(|_| commit.awaits_verification()) else {
        return Ok(CheckResult::Done);
    };
    let Some(repo) = service.ledger.repos.get(&commit.repo().to_string()).await? else {
        mark_verified(service, &entry).await?;
        return Ok(CheckResult::Done);
    };
    match is_shown_at_forge(service, cooldowns, &repo.value, commit, posted).await {
        Ok(true) if commit.issues().unanswered && pass == CheckPass::First => {
            service.metrics.status_checked(CheckOutcome::Same);
            Ok(CheckResult::Verified)
        }
        Ok(true) => {
            service.metrics.status_checked(CheckOutcome::Same);
            mark_verified(service, &entry).await?;
            Ok(CheckResult::Done)
        }
        Ok(false) if commit.issues().differences < MAX_REPOSTS => {
            tracing::warn!(repo = %commit.repo(), sha = commit.sha().short(), "status differs at forge, reposting");
            repost(service, &entry, RepostReason::Differs, CheckOutcome::Differs).await
        }
        Ok(false) => {
            tracing::warn!(repo = %commit.repo(), sha = commit.sha().short(), "status differs at forge, giving up");
            service.metrics.status_checked(CheckOutcome::Differs);
            mark_verified(service, &entry).await?;
            Ok(CheckResult::Done)
        }
        Err(CheckError::Retryable(wait)) => {
            service.metrics.status_checked(CheckOutcome::Unreadable);
            Ok(CheckResult::Retry(wait))
        }
        Err(CheckError::Permanent(reason)) => {
            tracing::info!(repo = %commit.repo(), sha = commit.sha().short(), reason, "status not readable at forge");
            service.metrics.status_checked(CheckOutcome::Unreadable);
            mark_verified(service, &entry).await?;
            Ok(CheckResult::Done)
        }
    }
}

/// Why a status could not be read.
enum CheckError {
    /// A retry may succeed.
    Retryable(Option<Duration>),
    /// It can never be read.
    Permanent(String),
}

/// Whether the forge shows what was posted. A rejected token is replaced once.
async fn is_shown_at_forge(
    service: &StatusCheck,
    cooldowns: &HostCooldowns,
    repo: &Repo,
    commit: &CommitStatus,
    posted: &Posted,
) -> Result<bool, CheckError> {
    let mut stale = None;
    loop {
        let status_access =
            service.registrations.status_access(repo, stale.as_deref()).await.map_err(|not| match not {
                NotGranted::Refused(reason) => CheckError::Permanent(reason.to_owned()),
                NotGranted::Unavailable(_) => CheckError::Retryable(None),
            })?;
        let StatusAccess { forge, api, owner, name, credential } = status_access;
        if let Some(remaining) = cooldowns.remaining(&api, Instant::now()) {
            return Err(CheckError::Retryable(Some(remaining)));
        }
        let target = Target { forge, api, token: credential.token };
        let place =
            StatusKey { owner, name, sha: commit.sha().clone(), context: commit.context().to_owned() };
        let shown = if credential.from_app {
            service.checks.is_completed(&target, &place, &posted.job.to_string()).await
        } else {
            let page = service.page_urls.link(posted.job, repo.links);
            let shown = service.statuses.posted(&target, &place).await;
            shown.map(|shown| shown.is_some_and(|shown| shown.is(posted.state, &page)))
        };
        return match shown {
            Ok(is_shown) => Ok(is_shown),
            Err(StatusError::Unauthorized { .. }) if stale.is_none() => {
                stale = Some(hex::encode(Sha256::digest(target.token.expose().as_bytes())));
                continue;
            }
            Err(StatusError::RetryAfter { wait, .. }) => {
                cooldowns.add(&target.api, wait, Instant::now());
                Err(CheckError::Retryable(Some(wait)))
            }
            Err(StatusError::Retry { .. } | StatusError::Unauthorized { .. }) => {
                Err(CheckError::Retryable(None))
            }
            Err(error @ (StatusError::Refused { .. } | StatusError::Moved { .. })) => {
                Err(CheckError::Permanent(error.to_string()))
            }
        };
    }
}

/// Marks the status as verified, unless the entry has changed.
async fn mark_verified(service: &StatusCheck, seen: &Entry<CommitStatus>) -> Result<(), BucketError> {
    let verified = |now: &Entry<CommitStatus>| {
        if now.revision == seen.revision { now.value.verified() } else { None }
    };
    service.ledger.commits.change(&seen.key, verified).await?;
    Ok(())
}

/// Queues the final status again, unless the entry has changed. After a crash in between, the reconciler
/// finds that it is not posted.
async fn repost(
    service: &StatusCheck,
    seen: &Entry<CommitStatus>,
    reason: RepostReason,
    outcome: CheckOutcome,
) -> Result<CheckResult, ApiError> {
    let repost = |now: &Entry<CommitStatus>| {
        if now.revision == seen.revision { now.value.repost(reason) } else { None }
    };
    service.ledger.commits.change(&seen.key, repost).await?;
    service.ledger.publish_status(&seen.key).await?;
    service.metrics.status_checked(outcome);
    Ok(CheckResult::Reposted)
}
