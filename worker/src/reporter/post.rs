//! One attempt to post: the requests to the forge while the entry in `commits` is claimed.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hooks::{
    Forge,
    checks::{ANNOTATIONS_PER_REQUEST, Annotation, CheckRun},
    status::{StatusError, StatusKey, Target},
};
use jobs::{
    ClaimedStatus, CommitState, Job, JobId, Posted,
    bucket::Entry,
    grants::{GrantReply, GrantRequest},
};

use sha2::{Digest as _, Sha256};

use super::{
    MessageAction, Reporter,
    log::LogView,
    render,
    throttle::{Account, PostRequest, Urgency},
};
use crate::metrics::PostResult;

/// No request begins later than this after claiming: it has 10 s, and after 30 s another poster may claim.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// After this long a job is posted as running on GitHub: each status costs one of the requests that it
/// counts, and most jobs are over by then.
const RUNNING_AFTER_ON_GITHUB: Duration = Duration::from_secs(5);
/// Elsewhere at once, but not of a job that is over before anybody could read it: its final state would wait
/// for that request.
const RUNNING_AFTER: Duration = Duration::from_millis(250);
/// Before a state that is not final asks again for one of the requests under way.
const NO_PERMIT_WAIT: Duration = Duration::from_millis(250);
/// GitHub asks for a second between two writes of one after the other.
const GAP: Duration = Duration::from_secs(1);
/// Between two questions to gateways of which none answered: they are ours and soon back, and the
/// back-off that a forge gets would keep a status for minutes.
pub(super) const NO_GATEWAY_WAIT: Duration = Duration::from_secs(2);

/// What came of an attempt to post.
#[derive(Debug)]
pub(super) struct PostAttempt {
    /// The entry afterwards.
    pub(super) next: ClaimedStatus,
    /// What to do with the message; `None`: read the entry again.
    pub(super) action: Option<MessageAction>,
}

impl PostAttempt {
    pub(super) fn over(next: ClaimedStatus, action: MessageAction) -> Self {
        Self { next, action: Some(action) }
    }

    fn again(next: ClaimedStatus) -> Self {
        Self { next, action: None }
    }

    /// This state will not be accepted; the job's next one may be.
    pub(super) fn rejected(mut next: ClaimedStatus, state: CommitState, reason: String) -> Self {
        next.rejected(state, reason);
        Self::over(next, MessageAction::Ack)
    }
}

/// Why the forge does not have it yet.
pub(super) enum PostError {
    /// No time was left to begin another request.
    OutOfTime,
    /// The forge.
    Forge(StatusError),
}

impl Reporter {
    /// Posts what `job` says. `log` is kept from an earlier attempt for the same job.
    pub(super) async fn post_job(
        &self,
        key: &str,
        claimed: &ClaimedStatus,
        job: &Entry<Job>,
        log: &mut Option<(JobId, LogView)>,
        claimed_at: Instant,
    ) -> PostAttempt {
        let mut next = claimed.clone();
        let state = job.value.commit_state();
        let request = GrantRequest::Status { commit: key.to_owned(), job: job.value.spec.id };
        let grant = match self.grants.ask(&request, self.take_stale_token(key)).await {
            GrantReply::Status(grant) => grant,
            GrantReply::Refused { reason } => {
                self.metrics.status(state, PostResult::Rejected);
                return PostAttempt::rejected(next, state, reason);
            }
            GrantReply::Unavailable { .. } | GrantReply::Job(_) | GrantReply::Delivery(_) => {
                self.metrics.status(state, PostResult::Unreachable);
                return PostAttempt::over(next, MessageAction::Redeliver(Some(NO_GATEWAY_WAIT)));
            }
        };
        let takes_checks = grant.checks;
        let (target, post) = match render::job_status(claimed, &job.value, grant) {
            Ok(message) => message,
            Err(reason) => {
                self.metrics.status(state, PostResult::Rejected);
                return PostAttempt::rejected(next, state, reason);
            }
        };
        if takes_checks
            && job.value.status.state.is_final()
            && log.as_ref().is_none_or(|(of, _)| *of != job.value.spec.id)
        {
            match LogView::read(&self.ledger, &job.value).await {
                Ok(read) => *log = Some((job.value.spec.id, read)),
                Err(error) => {
                    tracing::debug!(job.id = %job.value.spec.id, error = format!("{:#}", anyhow::Error::from(error)), "log not readable");
                    return PostAttempt::over(next, MessageAction::Redeliver(None));
                }
            }
        }
        if claimed_at.elapsed() >= BEGINS_WITHIN {
            return PostAttempt::again(next);
        }
        let account = Account::of(&target, &post.owner);
        let is_first = claimed.last_posted().is_none_or(|posted| posted.job != job.value.spec.id);
        let urgency = match (state.is_final(), is_first) {
            (true, _) => Urgency::Final,
            (false, true) => Urgency::First,
            (false, false) => Urgency::Running,
        };
        // A request that is under way cannot be overtaken, so some are kept for final states.
        let _permit = match urgency {
            Urgency::Final => None,
            Urgency::First | Urgency::Running => match self.non_final.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return PostAttempt::over(next, MessageAction::Redeliver(Some(NO_PERMIT_WAIT))),
            },
        };
        let budget = if takes_checks { self.checks.budget(&target) } else { self.statuses.budget(&target) };
        let request_to_post = PostRequest { key, urgency, workers: self.workers(), budget };
        if let Err(wait) = self.throttle.admit(&account, request_to_post, Instant::now()) {
            return PostAttempt::over(next, MessageAction::Redeliver(Some(wait)));
        }
        let sent = if takes_checks {
            let log = log.as_ref().map(|(_, log)| log).filter(|_| job.value.status.state.is_final());
            let run = render::job_check_run(&post, job, log);
            self.check_run(&target, run, &mut next, claimed_at).await
        } else {
            self.statuses.post(&target, &post).await.map_err(PostError::Forge)
        };
        match sent {
            Ok(()) => {
                self.metrics.status(state, PostResult::Posted);
                tracing::info!(job.id = %job.value.spec.id, repo = %claimed.repo(), sha = claimed.sha().short(), ?state, "status posted");
                let posted = Posted {
                    job: job.value.spec.id,
                    revision: job.revision,
                    state,
                    running: post.running,
                    running_after_ms: (!state.is_final()).then(|| running_after_ms(target.forge)),
                    to_verify: state.is_final(),
                };
                next.posted(posted);
                PostAttempt::again(next)
            }
            Err(PostError::OutOfTime) => PostAttempt::again(next),
            Err(PostError::Forge(error)) => {
                if may_have_been_done(&error) {
                    next.unanswered();
                }
                if let StatusError::Unauthorized { .. } = error {
                    self.remember_stale_token(key, &target);
                }
                self.classify(&account, state, next, error)
            }
        }
    }

    pub(super) fn take_stale_token(&self, key: &str) -> Option<String> {
        self.stale_tokens.lock().remove(key)
    }

    /// The next request for a grant says that this token was not taken, so that a fresh one is made.
    pub(super) fn remember_stale_token(&self, key: &str, target: &Target) {
        let digest = hex::encode(Sha256::digest(target.token.expose().as_bytes()));
        self.stale_tokens.lock().insert(key.to_owned(), digest);
    }

    /// Classifies an error of the forge: wait, retry, or give this state up.
    pub(super) fn classify(
        &self,
        account: &Account,
        state: CommitState,
        next: ClaimedStatus,
        error: StatusError,
    ) -> PostAttempt {
        match error {
            StatusError::RetryAfter { wait, reason } => {
                self.metrics.status(state, PostResult::Waiting);
                self.throttle.pause(account, wait, Instant::now());
                tracing::warn!(repo = %next.repo(), sha = next.sha().short(), reason, wait_s = wait.as_secs(), "rate limited by the forge");
                PostAttempt::over(next, MessageAction::Redeliver(Some(wait)))
            }
            error @ (StatusError::Retry { .. } | StatusError::Unauthorized { .. }) => {
                let result = if matches!(error, StatusError::Retry { .. }) {
                    PostResult::Unreachable
                } else {
                    PostResult::Unauthorized
                };
                self.metrics.status(state, result);
                tracing::warn!(repo = %next.repo(), sha = next.sha().short(), error = format!("{error:#}"), "status not posted yet");
                PostAttempt::over(next, MessageAction::Redeliver(None))
            }
            error @ (StatusError::Refused { .. } | StatusError::Moved { .. }) => {
                self.metrics.status(state, PostResult::Rejected);
                tracing::warn!(repo = %next.repo(), sha = next.sha().short(), error = format!("{error:#}"), "status rejected");
                PostAttempt::rejected(next, state, error.to_string())
            }
        }
    }

    /// Makes the job's check run, or brings it to where the record is. After a request whose answer
    /// was lost, the forge is asked first what it has; `next` records what is known.
    pub(super) async fn check_run(
        &self,
        target: &Target,
        mut run: CheckRun,
        next: &mut ClaimedStatus,
        claimed_at: Instant,
    ) -> Result<(), PostError> {
        let mut rest = VecDeque::from(std::mem::take(&mut run.annotations));
        if next.check_run_is_unsure() {
            let location = StatusKey {
                owner: run.owner.clone(),
                name: run.name.clone(),
                sha: run.sha.clone(),
                context: run.context.clone(),
            };
            let found = self.checks.find(target, &location, &run.external_id).await;
            let found = found.map_err(PostError::Forge)?;
            next.check_run_found(found.as_ref().map(|found| found.id));
            if let Some(found) = found {
                rest.drain(..found.annotations.min(rest.len()));
            }
        }
        loop {
            if claimed_at.elapsed() >= BEGINS_WITHIN {
                return Err(PostError::OutOfTime);
            }
            let some: Vec<Annotation> = rest.drain(..rest.len().min(ANNOTATIONS_PER_REQUEST)).collect();
            let part = CheckRun { annotations: some, ..run.clone() };
            let sent = match next.check_run() {
                Some(id) => self.checks.update(target, id, &part).await,
                None => self.checks.create(target, &part).await.map(|id| next.check_run_created(id)),
            };
            if let Err(error) = sent {
                if may_have_been_done(&error) {
                    next.recheck_check_run();
                }
                return Err(PostError::Forge(error));
            }
            if rest.is_empty() {
                return Ok(());
            }
            // Only what the forge counts tells a later attempt how many of them it has.
            next.recheck_check_run();
            tokio::time::sleep(GAP).await;
        }
    }
}

fn running_after_ms(forge: Forge) -> u64 {
    let after = match forge {
        Forge::Github => RUNNING_AFTER_ON_GITHUB,
        Forge::Gitea | Forge::Gitlab | Forge::Plain => RUNNING_AFTER,
    };
    u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the forge may have done what it did not answer.
fn may_have_been_done(error: &StatusError) -> bool {
    match error {
        StatusError::Retry { .. } | StatusError::RetryAfter { .. } => true,
        StatusError::Unauthorized { .. } | StatusError::Refused { .. } | StatusError::Moved { .. } => false,
    }
}
