//! One claimed attempt, from its first log line to its record's final state.
//!
//! The lease is held by [`jobs::lease`] while this works. Whoever learns that the attempt is not ours
//! any more ends the containers and writes nothing.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::StreamExt as _;
use jobs::{
    Cause, Claim, CloneUrl, Job, JobId, JobResult, JobStatus, Ledger, Outcome, Phase, State, Stored,
    StoredJson, Trigger,
    bucket::Entry,
    lease::HEARTBEAT,
    log::{LogHandle, LogWriter},
    reconnected,
    result::INLINE_BYTES,
    streams, units,
};
use tokio_util::sync::CancellationToken;

use crate::{
    execute::Executor,
    execution_report::ExecutionReport,
    execution_request::{ExecutionRequest, JobSource, Origin},
    grants::Grants,
    metrics::Metrics,
    remote_context::{RemoteContext, superseded},
    sandbox::{CacheScope, JobTag, Slot},
    slot_reservation::SlotReservation,
};

/// The tail of a log that cannot be stored in this time is lost with NATS itself.
const LOG_PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to write the end while NATS is away; the lease bounds them.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// Its end is in the record.
    Ended,
    /// It was requeued: a shutdown.
    Requeued,
    /// It was requeued for a worker that offers its language.
    NotOffered,
    /// It was requeued to wait for another job of its commit.
    Deferred,
    /// It was requeued for a slot that may be held for so long.
    NeedsLongerSlot(Duration),
    /// It was cancelled, superseded, or taken from us.
    Outdated,
}

/// Runs the attempts of a worker: what they all share.
#[derive(Debug, Clone)]
pub struct AttemptRunner {
    /// The ledger.
    pub ledger: Ledger,
    /// Containers and commits.
    pub executor: Executor,
    /// Grants.
    pub grants: Grants,
    /// Cancelled when the grace of a shutdown is over.
    pub grace_over: CancellationToken,
    /// This worker.
    pub name: jobs::WorkerName,
    /// What is counted.
    pub metrics: Metrics,
}

impl AttemptRunner {
    /// Works on a claim to its end, or for as long as the slot is reserved.
    pub async fn work(&self, slot: &Slot, claim: Claim, reservation: &Arc<SlotReservation>) -> AttemptEnd {
        let Claim { entry, lease } = claim;
        let (job, ledger) = (&entry.value, &self.ledger);
        let log = LogWriter::start(ledger.js.clone(), job.spec.id, job.status.attempt);
        let stop = CancellationToken::new();
        let supersede = Arc::new(OnceLock::new());
        let running = match self.request(job) {
            Ok(request) => {
                let context = RemoteContext {
                    ledger: ledger.clone(),
                    grants: self.grants.clone(),
                    job: job.clone(),
                    log: log.handle(),
                    supersede: Arc::clone(&supersede),
                    reservation: Arc::clone(reservation),
                };
                let (executor, slot, stop) = (self.executor.clone(), slot.clone(), stop.clone());
                tokio::spawn(async move { executor.execute(&slot, request, &context, &stop).await })
            }
            Err(outcome) => tokio::spawn(std::future::ready(ExecutionReport::failed(outcome))),
        };
        // A task that is ended must not leave its containers to it.
        let mut running = EndOnDrop { task: running, stop: stop.clone() };
        let still_ours = || is_ours(ledger.clone(), job.spec.id, job.status.attempt);
        let handle = log.handle();
        let held = lease
            .hold(still_ours, async {
                tokio::select! {
                    report = &mut running.task => {
                        let report = report.unwrap_or_else(|panic| {
                            let defect = format!("a defect of the worker: {panic}");
                            // Its program may have begun, if that was noted.
                            let failed = ExecutionReport::failed(Outcome::service(Cause::Lost, defect));
                            ExecutionReport { may_have_begun: true, ..failed }
                        });
                        self.deliver(job, &report, &handle, log).await
                    }
                    () = self.lost_or_superseded(job, &supersede) => AttemptEnd::Outdated,
                    () = self.grace_over.cancelled() => AttemptEnd::Requeued,
                }
            })
            .await;
        let end = held.unwrap_or(AttemptEnd::Outdated);
        stop.cancel();
        // Whose report was taken has nothing left to end, and must not be asked for it again.
        if !running.task.is_finished() {
            let _ = (&mut running.task).await;
        }
        let requeued = match end {
            AttemptEnd::Deferred => ledger.defer(job.spec.id, job.status.attempt).await,
            AttemptEnd::Requeued | AttemptEnd::NotOffered => {
                ledger.requeue(job.spec.id, job.status.attempt).await
            }
            AttemptEnd::NeedsLongerSlot(time) => {
                ledger.requeue_for_longer_slot(job.spec.id, job.status.attempt, time).await
            }
            AttemptEnd::Ended | AttemptEnd::Outdated => Ok(None),
        };
        if let Err(error) = requeued {
            tracing::warn!(job.id = %job.spec.id, %error, "attempt not requeued; its lease will expire");
        }
        lease.give_up().await;
        tracing::info!(job.id = %job.spec.id, attempt = job.status.attempt, ?end, "attempt over");
        end
    }

    fn request(&self, job: &Job) -> Result<ExecutionRequest, Outcome> {
        let url = job
            .spec
            .url
            .parsed()
            .map_err(|error| Outcome::function(Cause::Checkout, format!("{error}")))?
            .clone();
        let cache_scope = cache_scope(job, &url);
        Ok(ExecutionRequest {
            tag: JobTag { job: job.spec.id, attempt: job.status.attempt },
            source: JobSource::Commit {
                url,
                sha: job.spec.sha.clone(),
                reference: job.spec.reference.as_ref().map(ToString::to_string),
                before: job.spec.before.clone(),
            },
            args: job.spec.args.clone(),
            trigger: job.spec.trigger,
            origin: Origin::of(job),
            is_function_call: job.spec.function.is_some(),
            paths: job.spec.paths.clone(),
            cache_scope,
        })
    }

    /// Returns when the record is not ours any more. A lost message is covered by the lease's heartbeat.
    async fn lost_or_superseded(&self, job: &Job, supersede: &OnceLock<Option<bool>>) {
        let Ok(mut messages) = self.ledger.client.subscribe(streams::cancel(job.spec.id)).await else {
            return std::future::pending().await;
        };
        loop {
            // Read once before waiting: the message may have come before we subscribed.
            if !is_ours(self.ledger.clone(), job.spec.id, job.status.attempt).await {
                return;
            }
            if let Some(manifest) = supersede.get()
                && let Some(outcome) = superseded(&self.ledger, job, *manifest).await
                && let Ok(Some(_)) = self.ledger.end(job.spec.id, &outcome).await
            {
                return;
            }
            let heard = async {
                tokio::select! {
                    message = messages.next() => message.is_some(),
                    () = reconnected(&self.ledger.client) => true,
                }
            };
            // A message that was lost is made up for at every heartbeat.
            if let Ok(false) = tokio::time::timeout(HEARTBEAT, heard).await {
                return std::future::pending().await;
            }
        }
    }

    /// Stores log and result, then the end: in this order, so that whoever sees the end finds both.
    async fn deliver(
        &self,
        job: &Job,
        report: &ExecutionReport,
        log: &LogHandle,
        writer: LogWriter,
    ) -> AttemptEnd {
        if report.is_put_off {
            return AttemptEnd::Deferred;
        }
        if let Some(time) = report.needs {
            return AttemptEnd::NeedsLongerSlot(time);
        }
        if self.is_offered_elsewhere(report).await {
            return AttemptEnd::NotOffered;
        }
        log.note(Phase::Run, &sentence(report));
        if !writer.close(LOG_PATIENCE).await {
            tracing::warn!(job.id = %job.spec.id, "end of the log not stored");
        }
        let result = report.stdout.as_ref().map(|kept| JobResult::of(&kept.bytes, kept.omitted_bytes));
        loop {
            match self.store(job, report, result.clone(), log.stored_bytes()).await {
                Ok(Some(_)) => return AttemptEnd::Ended,
                Ok(None) => return AttemptEnd::Outdated,
                Err(error) => {
                    tracing::warn!(job.id = %job.spec.id, error = format!("{error:#}"), "outcome not stored yet");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn store(
        &self,
        job: &Job,
        report: &ExecutionReport,
        result: Option<JobResult>,
        log_bytes: u64,
    ) -> anyhow::Result<Option<Entry<Job>>> {
        if let Some(kept) = report.stdout.as_ref().filter(|kept| kept.bytes.len() > INLINE_BYTES) {
            self.ledger.results.store(job.spec.id, job.status.attempt, &kept.bytes).await?;
        }
        let ms = |duration: Option<Duration>| {
            duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
        };
        let note = |job: Job| {
            let job = job.with_log(log_bytes).learned(report.sha.clone(), report.language.as_deref());
            let job = if report.may_have_begun { job } else { job.not_begun() };
            let status = JobStatus {
                http: report.http.as_ref().map(StoredJson::from),
                exit_code: report.exit_code,
                peak_memory_bytes: report.peak_memory_bytes,
                prepared: report.prepared,
                result: result.clone(),
                error_tail: report.error_tail.clone(),
                timings_ms: jobs::Timings {
                    queued: job.status.timings_ms.queued,
                    checkout: ms(report.checkout),
                    prepare: ms(report.prepare),
                    run: ms(report.run),
                },
                ..job.status
            };
            Job { status, ..job }
        };
        Ok(self.ledger.finish(job.spec.id, job.status.attempt, &report.outcome, &note).await?)
    }

    /// A language whose image is not here, but at another worker that is present.
    async fn is_offered_elsewhere(&self, report: &ExecutionReport) -> bool {
        let Some(language) =
            report.language.as_ref().filter(|language| self.executor.sandbox.runner(language).is_none())
        else {
            return false;
        };
        let Ok(workers) = self.ledger.workers.subjects().await else { return false };
        for worker in workers.iter().filter(|worker| *worker != self.name.as_str()) {
            if let Ok(Some(presence)) = self.ledger.workers.get(worker).await
                && presence.value.languages.contains(language)
            {
                return true;
            }
        }
        false
    }
}

/// What one repository made is never used by another; what a pull request made, by no branch.
fn cache_scope(job: &Job, url: &CloneUrl) -> CacheScope {
    let called = || format!("{} {}://{}", job.spec.owner, url.as_url().scheme(), url.identity());
    let whose = job.spec.repo.map_or_else(called, |repo| repo.to_string());
    let reference = job.spec.reference.as_ref().map(Stored::as_str).unwrap_or_default();
    // By the ref, not the trigger: a rerun of a pull request's job is still the pull request's.
    let is_branchs =
        job.spec.trigger != Trigger::PullRequest && !job.spec.untrusted && !is_pull_request(reference);
    CacheScope::new(job.spec.owner, if is_branchs { whose } else { format!("{whose} {reference}") })
}

/// Whether a ref is where forges keep the commits of pull or merge requests.
fn is_pull_request(reference: &str) -> bool {
    ["refs/pull/", "refs/merge-requests/"].iter().any(|prefix| reference.starts_with(prefix))
}

async fn is_ours(ledger: Ledger, job: JobId, attempt: u32) -> bool {
    match ledger.job(job).await {
        Ok(Some(entry)) => {
            entry.value.status.state == State::Working && entry.value.status.attempt == attempt
        }
        Ok(None) => false,
        // No answer is the lease's business.
        Err(_) => true,
    }
}

/// The last line of a log.
fn sentence(report: &ExecutionReport) -> String {
    match &report.outcome {
        Outcome::Finished => report.run.map_or_else(
            || "finished".to_owned(),
            |run| format!("finished in {}", units::show_duration(run)),
        ),
        Outcome::Built => format!("built in {}", units::show_duration(report.build_time())),
        Outcome::Skipped { why } => format!("skipped: {why}"),
        Outcome::Failed { message, .. } => message.clone(),
    }
}

struct EndOnDrop {
    task: tokio::task::JoinHandle<ExecutionReport>,
    stop: CancellationToken,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The job and attempt of a container that may be left over.
pub async fn is_over(ledger: &Ledger, job: JobId, attempt: u32) -> bool {
    match ledger.job(job).await {
        Ok(Some(entry)) => {
            entry.value.status.state != State::Working || entry.value.status.attempt != attempt
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobSpec, RepoId, UserId};
    use test_case::test_case;

    use super::*;

    #[test_case(Trigger::Push, "refs/heads/main", false => true ; "a push")]
    #[test_case(Trigger::Rerun, "refs/heads/main", false => true ; "its rerun")]
    #[test_case(Trigger::Call, "main", false => true ; "a call")]
    #[test_case(Trigger::PullRequest, "refs/pull/5/head", false => false ; "a pull request")]
    #[test_case(Trigger::Rerun, "refs/pull/5/head", false => false ; "the rerun of a pull request")]
    #[test_case(Trigger::Call, "refs/merge-requests/5/head", false => false ; "a call of a merge request")]
    #[test_case(Trigger::Rerun, "main", true => false ; "whatever is not trusted")]
    fn shares_with_branches(trigger: Trigger, reference: &str, untrusted: bool) -> bool {
        let url: CloneUrl = "https://example.com/a/pi".parse().unwrap();
        let (repo, owner) = (RepoId::new(), UserId::new());
        let job = |trigger, reference: &str, untrusted| {
            let reference = Some(reference.into());
            let call = JobSpec::call(owner, url.as_str());
            Job::new(JobSpec { trigger, repo: Some(repo), reference, untrusted, ..call })
        };
        let branch = cache_scope(&job(Trigger::Push, "refs/heads/dev", false), &url);
        cache_scope(&job(trigger, reference, untrusted), &url) == branch
    }
}
