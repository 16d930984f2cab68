//! One look at one commit: what the leader says is in doubt is asked of the forge, or told again.

use std::time::{Duration, Instant};

use hooks::status::{StatusError, StatusKey, Target};
use jobs::{
    CommitStatus, Posted, Repo, RepostReason,
    bucket::{BucketError, Entry},
};
use sha2::{Digest as _, Sha256};

use crate::{
    error::ApiError,
    metrics::Compared,
    reconcile::status_check::{StatusCheck, schedule::Pauses},
    repos::credentials::{NotGranted, Speaks},
};

/// How often what a forge shows is put right; then somebody else keeps writing there.
const MAX_DIFFERENCES: u32 = 3;

/// Which look at the same posted state this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// A while after it was posted.
    First,
    /// Long after, when the forge may have acted on something late.
    Second,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// There is nothing in doubt any more.
    Over,
    /// The forge shows it, and is to be asked once more.
    Shown,
    /// The posters are told to say it again.
    ToldAgain,
    /// The forge could not be asked; it may have said for how long.
    NotYet(Option<Duration>),
}

/// Looks at the commit under `key`.
pub(super) async fn look(
    service: &StatusCheck,
    pauses: &Pauses,
    key: &str,
    which: Which,
) -> Result<Look, ApiError> {
    let Some(entry) = service.ledger.commits.get(key).await? else {
        service.index.forget_commit(key)?;
        return Ok(Look::Over);
    };
    let commit = &entry.value;
    if commit.is_claimed() {
        return Ok(Look::NotYet(None));
    }
    if commit.final_state_was_rejected() {
        return say_again(service, &entry, RepostReason::Rejected, Compared::Refused).await;
    }
    let Some(posted) = commit.last_posted().filter(|_| commit.awaits_verification()) else {
        return Ok(Look::Over);
    };
    let Some(repo) = service.ledger.repos.get(&commit.repo().to_string()).await? else {
        settle(service, &entry).await?;
        return Ok(Look::Over);
    };
    match ask(service, pauses, &repo.value, commit, posted).await {
        Ok(true) if commit.issues().unanswered && which == Which::First => {
            service.metrics.compared(Compared::Same);
            Ok(Look::Shown)
        }
        Ok(true) => {
            service.metrics.compared(Compared::Same);
            settle(service, &entry).await?;
            Ok(Look::Over)
        }
        Ok(false) if commit.issues().differences < MAX_DIFFERENCES => {
            tracing::warn!(repo = %commit.repo(), sha = commit.sha().short(), "the forge shows another status; it is told again");
            say_again(service, &entry, RepostReason::Differs, Compared::Differs).await
        }
        Ok(false) => {
            tracing::warn!(repo = %commit.repo(), sha = commit.sha().short(), "the forge shows another status again and again; it is left so");
            service.metrics.compared(Compared::Differs);
            settle(service, &entry).await?;
            Ok(Look::Over)
        }
        Err(Unseen::Later(wait)) => {
            service.metrics.compared(Compared::Unreadable);
            Ok(Look::NotYet(wait))
        }
        Err(Unseen::Never(reason)) => {
            tracing::info!(repo = %commit.repo(), sha = commit.sha().short(), reason, "what the forge shows cannot be read");
            service.metrics.compared(Compared::Unreadable);
            settle(service, &entry).await?;
            Ok(Look::Over)
        }
    }
}

/// Why nothing was seen.
enum Unseen {
    /// Another try may do better.
    Later(Option<Duration>),
    /// It cannot be read at all.
    Never(String),
}

/// Whether the forge shows what was posted. A token that it does not take is replaced once.
async fn ask(
    service: &StatusCheck,
    pauses: &Pauses,
    repo: &Repo,
    commit: &CommitStatus,
    posted: &Posted,
) -> Result<bool, Unseen> {
    let mut stale = None;
    loop {
        let speaks = service.registrations.speaks(repo, stale.as_deref()).await.map_err(|not| match not {
            NotGranted::Refused(reason) => Unseen::Never(reason.to_owned()),
            NotGranted::Unavailable(_) => Unseen::Later(None),
        })?;
        let Speaks { forge, api, owner, name, credential } = speaks;
        if let Some(left) = pauses.left(&api, Instant::now()) {
            return Err(Unseen::Later(Some(left)));
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
                pauses.add(&target.api, wait, Instant::now());
                Err(Unseen::Later(Some(wait)))
            }
            Err(StatusError::Retry { .. } | StatusError::Unauthorized { .. }) => Err(Unseen::Later(None)),
            Err(error @ (StatusError::Refused { .. } | StatusError::Moved { .. })) => {
                Err(Unseen::Never(error.to_string()))
            }
        };
    }
}

/// Nothing is in doubt any more, unless the entry has changed.
async fn settle(service: &StatusCheck, seen: &Entry<CommitStatus>) -> Result<(), BucketError> {
    let verified = |now: &Entry<CommitStatus>| {
        if now.revision == seen.revision { now.value.verified() } else { None }
    };
    service.ledger.commits.change(&seen.key, verified).await?;
    Ok(())
}

/// Tells the posters to say the end again, unless the entry has changed. When they are not told because
/// of a crash, the reconciler finds that the end is not at the forge.
async fn say_again(
    service: &StatusCheck,
    seen: &Entry<CommitStatus>,
    reason: RepostReason,
    compared: Compared,
) -> Result<Look, ApiError> {
    let repost = |now: &Entry<CommitStatus>| {
        if now.revision == seen.revision { now.value.repost(reason) } else { None }
    };
    service.ledger.commits.change(&seen.key, repost).await?;
    service.ledger.publish_status(&seen.key).await?;
    service.metrics.compared(compared);
    Ok(Look::ToldAgain)
}
