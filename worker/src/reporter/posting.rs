//! One turn of a poster: the requests to the forge while the entry in `commits` is its own.

use std::{
    collections::VecDeque,
    sync::PoisonError,
    time::{Duration, Instant},
};

use hooks::{
    checks::{ANNOTATIONS_PER_REQUEST, Annotation, CheckRun},
    forge::Forge,
    status::{Place, StatusError, Target},
};
use jobs::{
    ClaimedStatus, CommitState, Job, JobId, Posted,
    bucket::Entry,
    grants::{GrantReply, GrantRequest},
};

use sha2::{Digest as _, Sha256};

use super::{
    Done, Reporter,
    log::LogView,
    pace::{Account, Asker, Urgency},
    words,
};
use crate::metrics::Told;

/// No request begins later than this after taking: it has 10 s, and after 30 s another may take over.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// After this long GitHub is told that a job runs: each word costs one of the requests that it counts, and
/// most jobs are over by then.
const RUNNING_AFTER_ON_GITHUB: Duration = Duration::from_secs(5);
/// Elsewhere at once, but not of a job that is over before anybody could read it: its end would wait for
/// that request.
const RUNNING_AFTER: Duration = Duration::from_millis(250);
/// Before a word that is no end asks again for one of the requests under way.
const NO_SLOT_WAIT: Duration = Duration::from_millis(250);
/// GitHub asks for a second between two writes of one after the other.
const GAP: Duration = Duration::from_secs(1);
/// Between two questions to gateways of which none answered: they are ours and soon back, and the
/// back-off that a forge gets would keep a status for minutes.
pub(super) const NO_GATEWAY_WAIT: Duration = Duration::from_secs(2);

/// What a turn came to.
#[derive(Debug)]
pub(super) struct Turn {
    /// The entry afterwards.
    pub(super) next: ClaimedStatus,
    /// What to do with the message; `None`: look again.
    pub(super) done: Option<Done>,
}

impl Turn {
    pub(super) fn over(next: ClaimedStatus, done: Done) -> Self {
        Self { next, done: Some(done) }
    }

    fn again(next: ClaimedStatus) -> Self {
        Self { next, done: None }
    }

    /// This state will not be taken; the job's next one may be.
    pub(super) fn rejected(mut next: ClaimedStatus, state: CommitState, reason: String) -> Self {
        next.rejected(state, reason);
        Self::over(next, Done::Ack)
    }
}

/// Why a check run is not as it should be yet.
pub(super) enum NotYet {
    /// The turn was too short.
    Later,
    /// The forge.
    Forge(StatusError),
}

impl Reporter {
    /// Tells the forge what `job` says. `log` is kept from an earlier turn for the same job.
    pub(super) async fn turn(
        &self,
        key: &str,
        claimed: &ClaimedStatus,
        job: &Entry<Job>,
        log: &mut Option<(JobId, LogView)>,
        taken: Instant,
    ) -> Turn {
        let mut next = claimed.clone();
        let state = job.value.commit_state();
        let request = GrantRequest::Status { commit: key.to_owned(), job: job.value.id };
        let grant = match self.grants.ask(&request, self.stale_token(key)).await {
            GrantReply::Status(grant) => grant,
            GrantReply::Refused { reason } => {
                self.metrics.told(state, Told::Refused);
                return Turn::rejected(next, state, reason);
            }
            GrantReply::Unavailable { .. } | GrantReply::Job(_) | GrantReply::Delivery(_) => {
                self.metrics.told(state, Told::Unreachable);
                return Turn::over(next, Done::Again(Some(NO_GATEWAY_WAIT)));
            }
        };
        let takes_checks = grant.checks;
        let (target, post) = match words::of_job(claimed, &job.value, grant) {
            Ok(message) => message,
            Err(reason) => {
                self.metrics.told(state, Told::Refused);
                return Turn::rejected(next, state, reason);
            }
        };
        if takes_checks
            && job.value.state.is_final()
            && log.as_ref().is_none_or(|(of, _)| *of != job.value.id)
        {
            match LogView::read(&self.ledger, &job.value).await {
                Ok(read) => *log = Some((job.value.id, read)),
                Err(error) => {
                    tracing::debug!(job.id = %job.value.id, error = format!("{:#}", anyhow::Error::from(error)), "a log cannot be read yet");
                    return Turn::over(next, Done::Again(None));
                }
            }
        }
        if taken.elapsed() >= BEGINS_WITHIN {
            return Turn::again(next);
        }
        let account = Account::of(&target, &post.owner);
        let is_first = claimed.last_posted().is_none_or(|posted| posted.job != job.value.id);
        let urgency = match (state.is_final(), is_first) {
            (true, _) => Urgency::Final,
            (false, true) => Urgency::First,
            (false, false) => Urgency::Running,
        };
        // A request that is under way cannot be overtaken, so some are kept for ends.
        let _early = match urgency {
            Urgency::Final => None,
            Urgency::First | Urgency::Running => match self.early.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return Turn::over(next, Done::Again(Some(NO_SLOT_WAIT))),
            },
        };
        let budget = if takes_checks { self.checks.budget(&target) } else { self.statuses.budget(&target) };
        let asker = Asker { key, urgency, workers: self.workers(), budget };
        if let Err(wait) = self.pace.ask(&account, asker, Instant::now()) {
            return Turn::over(next, Done::Again(Some(wait)));
        }
        let sent = if takes_checks {
            let log = log.as_ref().map(|(_, log)| log).filter(|_| job.value.state.is_final());
            let run = words::check_run(&post, job, log);
            self.check_run(&target, run, &mut next, taken).await
        } else {
            self.statuses.post(&target, &post).await.map_err(NotYet::Forge)
        };
        match sent {
            Ok(()) => {
                self.metrics.told(state, Told::Posted);
                tracing::info!(job.id = %job.value.id, repo = %claimed.repo(), sha = claimed.sha().short(), ?state, "status posted");
                let posted = Posted {
                    job: job.value.id,
                    revision: job.revision,
                    state,
                    running: post.running,
                    running_after_ms: (!state.is_final()).then(|| running_after_ms(target.forge)),
                    to_verify: state.is_final(),
                };
                next.posted(posted);
                Turn::again(next)
            }
            Err(NotYet::Later) => Turn::again(next),
            Err(NotYet::Forge(error)) => {
                if may_have_been_done(&error) {
                    next.unanswered();
                }
                if let StatusError::Unauthorized { .. } = error {
                    self.note_stale(key, &target);
                }
                self.refused(&account, state, next, error)
            }
        }
    }

    pub(super) fn stale_token(&self, key: &str) -> Option<String> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// The next request for a grant says that this token was not taken, so that a fresh one is made.
    pub(super) fn note_stale(&self, key: &str, target: &Target) {
        let digest = hex::encode(Sha256::digest(target.token.expose().as_bytes()));
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), digest);
    }

    /// What the forge's refusal means for the message.
    pub(super) fn refused(
        &self,
        account: &Account,
        state: CommitState,
        next: ClaimedStatus,
        error: StatusError,
    ) -> Turn {
        match error {
            StatusError::RetryAfter { wait, reason } => {
                self.metrics.told(state, Told::Waiting);
                self.pace.wait(account, wait, Instant::now());
                tracing::warn!(repo = %next.repo(), sha = next.sha().short(), reason, wait_s = wait.as_secs(), "the forge asks to wait");
                Turn::over(next, Done::Again(Some(wait)))
            }
            error @ (StatusError::Retry { .. } | StatusError::Unauthorized { .. }) => {
                let told = if matches!(error, StatusError::Retry { .. }) {
                    Told::Unreachable
                } else {
                    Told::Unauthorized
                };
                self.metrics.told(state, told);
                tracing::warn!(repo = %next.repo(), sha = next.sha().short(), error = format!("{error:#}"), "status not posted yet");
                Turn::over(next, Done::Again(None))
            }
            error @ (StatusError::Refused { .. } | StatusError::Moved { .. }) => {
                self.metrics.told(state, Told::Refused);
                tracing::warn!(repo = %next.repo(), sha = next.sha().short(), error = format!("{error:#}"), "status refused");
                Turn::rejected(next, state, error.to_string())
            }
        }
    }

    /// Makes the job's check run, or brings it to where the record is. After a request whose answer
    /// was lost, the forge is asked first what it has; `next` notes what is known.
    pub(super) async fn check_run(
        &self,
        target: &Target,
        mut run: CheckRun,
        next: &mut ClaimedStatus,
        taken: Instant,
    ) -> Result<(), NotYet> {
        let mut rest = VecDeque::from(std::mem::take(&mut run.annotations));
        if next.check_run_is_unsure() {
            let place = Place {
                owner: run.owner.clone(),
                name: run.name.clone(),
                sha: run.sha.clone(),
                context: run.context.clone(),
            };
            let found = self.checks.find(target, &place, &run.external_id).await;
            let found = found.map_err(NotYet::Forge)?;
            next.check_run_found(found.as_ref().map(|found| found.id));
            if let Some(found) = found {
                rest.drain(..found.annotations.min(rest.len()));
            }
        }
        loop {
            if taken.elapsed() >= BEGINS_WITHIN {
                return Err(NotYet::Later);
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
                return Err(NotYet::Forge(error));
            }
            if rest.is_empty() {
                return Ok(());
            }
            // Only what the forge counts tells a later turn how many of them it has.
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
