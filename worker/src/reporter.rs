//! Posts commit statuses: takes what STATUSES says may be out of date, and tells the forge what the
//! newest job's record says.
//!
//! The entry in `commits` is taken by compare-and-set, so two posters do not race; the record is read
//! after taking, so the last word at the forge is the record's.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{AckKind, consumer::PullConsumer};
use futures_util::StreamExt as _;
use hooks::{
    address::Allow,
    status::{StatusClient, StatusError, StatusPost, Target},
};
use jobs::{
    Cause, Commit, Job, Ledger, Posted, State,
    bucket::{BucketError, Entry},
    grants::{GrantReply, GrantRequest, StatusGrant},
    streams, units,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::grants::Grants;

/// Statuses posted at once by one worker; forges ask for few.
const AT_ONCE: usize = 4;
/// An entry that was taken and not changed for this long is taken over.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(30);
/// How often a taken entry is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The first wait after a failure of the forge or of ours; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// The longest wait: a forge that is away for an hour is looked for every five minutes.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// NATS is away: the loop goes on when it is back.
const NATS_PAUSE: Duration = Duration::from_secs(1);

/// Posts statuses until it is stopped.
#[derive(Debug, Clone)]
pub struct Reporter {
    ledger: Ledger,
    grants: Grants,
    client: Arc<StatusClient>,
}

/// What to do with the message.
#[derive(Debug)]
enum Done {
    /// The forge knows, or never will.
    Ack,
    /// Another try, after this.
    Again(Option<Duration>),
}

impl Reporter {
    /// Posts to public addresses and what `allow` adds.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(
        ledger: Ledger,
        grants: Grants,
        allow: &Allow,
        ca_bundle: Option<&Path>,
    ) -> anyhow::Result<Self> {
        Ok(Self { ledger, grants, client: Arc::new(StatusClient::new(allow, ca_bundle)?) })
    }

    /// Takes messages one by one until `stop`, then finishes those in hand.
    pub async fn run(self, stop: CancellationToken) {
        let posting = TaskTracker::new();
        let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        while !stop.is_cancelled() {
            if let Err(error) = self.take(&stop, &posting, &slots).await {
                tracing::debug!(error = format!("{error:#}"), "statuses wait for nats");
                let _ = stop.run_until_cancelled(tokio::time::sleep(NATS_PAUSE)).await;
            }
        }
        posting.close();
        posting.wait().await;
    }

    async fn take(
        &self,
        stop: &CancellationToken,
        posting: &TaskTracker,
        slots: &Arc<tokio::sync::Semaphore>,
    ) -> anyhow::Result<()> {
        let stream = self.ledger.js.get_stream_no_info(streams::STATUSES).await?;
        let consumer: PullConsumer =
            stream.get_consumer(streams::STATUS_POSTERS).await.map_err(anyhow::Error::from_boxed)?;
        let mut messages = consumer.stream().max_messages_per_batch(1).messages().await?;
        loop {
            let permit = Arc::clone(slots).acquire_owned().await?;
            let Some(Some(message)) = stop.run_until_cancelled(messages.next()).await else { return Ok(()) };
            let message = message?;
            let reporter = self.clone();
            posting.spawn(async move {
                let _permit = permit;
                let key = message.subject.strip_prefix("statuses.").unwrap_or_default().to_owned();
                let tries = message.info().map_or(1, |info| info.delivered);
                let (message, handle) = message.split();
                drop(message);
                let acked = match reporter.post(&key, &handle).await {
                    Done::Ack => handle.ack().await,
                    Done::Again(wait) => {
                        handle.ack_with(AckKind::Nak(Some(wait.unwrap_or_else(|| backoff(tries))))).await
                    }
                };
                if let Err(error) = acked {
                    tracing::debug!(%error, "a status message comes again");
                }
            });
        }
    }

    /// Posts until record and forge agree.
    async fn post(&self, key: &str, message: &async_nats::jetstream::message::Acker) -> Done {
        match self.until_agreed(key, message).await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(commit = key, error = format!("{error:#}"), "a status waits");
                Done::Again(None)
            }
        }
    }

    async fn until_agreed(
        &self,
        key: &str,
        message: &async_nats::jetstream::message::Acker,
    ) -> anyhow::Result<Done> {
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            let Some(entry) = self.ledger.commits.get(key).await? else { return Ok(Done::Ack) };
            if entry.value.poster.is_some() {
                let (revision, since) = *seen.get_or_insert((entry.revision, Instant::now()));
                if revision != entry.revision {
                    seen = None;
                    continue;
                }
                if since.elapsed() < TAKEN_OVER_AFTER {
                    let _ = message.ack_with(AckKind::Progress).await;
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
            }
            let me = hex::encode(rand::random::<[u8; 8]>());
            let taken = Commit { poster: Some(me.clone()), ..entry.value.clone() };
            let revision = match self.ledger.commits.update(key, &taken, entry.revision).await {
                Ok(revision) => revision,
                Err(error) if error.is_conflict() => continue,
                Err(error) => return Err(error.into()),
            };
            let taken = Entry { value: taken, revision, ..entry };
            let job = self.ledger.job(taken.value.job).await?;
            let (next, done) = match job {
                None => (Commit { poster: None, ..taken.value.clone() }, Some(Done::Ack)),
                Some(job) if agrees(&taken.value, &job) => {
                    (Commit { poster: None, ..taken.value.clone() }, Some(Done::Ack))
                }
                Some(job) => self.once(key, &taken.value, &job).await,
            };
            self.note(key, &me, &next).await?;
            if let Some(done) = done {
                // The record may have changed while we posted what it said before.
                let entry = self.ledger.commits.get(key).await?;
                let job = match &entry {
                    Some(entry) => self.ledger.job(entry.value.job).await?,
                    None => None,
                };
                if let (Done::Ack, Some(entry), Some(job)) = (&done, &entry, &job)
                    && !agrees(&entry.value, job)
                {
                    continue;
                }
                return Ok(done);
            }
        }
    }

    /// One request to the forge: the entry afterwards, and what to do with the message.
    async fn once(&self, key: &str, commit: &Commit, job: &Entry<Job>) -> (Commit, Option<Done>) {
        let free = Commit { poster: None, ..commit.clone() };
        let request = GrantRequest::Status { commit: key.to_owned(), job: job.value.id };
        let grant = match self.grants.ask(&request).await {
            GrantReply::Status(grant) => grant,
            GrantReply::Refused { reason } => {
                return (Commit { refused: Some(reason), ..free }, Some(Done::Ack));
            }
            GrantReply::Unavailable { .. } | GrantReply::Job(_) => return (free, Some(Done::Again(None))),
        };
        let (target, post) = match message(commit, job, grant) {
            Ok(message) => message,
            Err(reason) => return (Commit { refused: Some(reason), ..free }, Some(Done::Ack)),
        };
        let posted = Posted { job: job.value.id, revision: job.revision, state: job.value.commit_state() };
        match self.client.post(&target, &post).await {
            Ok(()) => {
                tracing::info!(job.id = %job.value.id, repo = %commit.repo, sha = commit.sha.short(), state = ?posted.state, "status posted");
                (Commit { posted: Some(posted), refused: None, ..free }, None)
            }
            Err(StatusError::RetryAfter { wait, reason }) => {
                tracing::warn!(job.id = %job.value.id, reason, wait_s = wait.as_secs(), "the forge asks to wait");
                (free, Some(Done::Again(Some(wait))))
            }
            Err(error @ (StatusError::Retry { .. } | StatusError::Unauthorized { .. })) => {
                tracing::warn!(job.id = %job.value.id, error = format!("{error:#}"), "status not posted yet");
                (free, Some(Done::Again(None)))
            }
            Err(error @ (StatusError::Refused { .. } | StatusError::Moved { .. })) => {
                tracing::warn!(job.id = %job.value.id, error = format!("{error:#}"), "status refused");
                (Commit { refused: Some(error.to_string()), ..free }, Some(Done::Ack))
            }
        }
    }

    /// Notes what was posted and frees the entry, unless another has taken it over meanwhile. A newer
    /// job that was written in between stays.
    async fn note(&self, key: &str, me: &str, next: &Commit) -> Result<(), BucketError> {
        let noted = |entry: &Entry<Commit>| {
            (entry.value.poster.as_deref() == Some(me)).then(|| Commit {
                posted: next.posted.clone(),
                refused: if entry.value.job == next.job { next.refused.clone() } else { None },
                poster: None,
                ..entry.value.clone()
            })
        };
        self.ledger.commits.change(key, noted).await.map(|_| ())
    }
}

/// Whether the forge was told this job's colour, or refused to be.
fn agrees(commit: &Commit, job: &Entry<Job>) -> bool {
    let told = commit
        .posted
        .as_ref()
        .is_some_and(|posted| posted.job == job.value.id && posted.state == job.value.commit_state());
    told || commit.refused.is_some()
}

fn message(commit: &Commit, job: &Entry<Job>, grant: StatusGrant) -> Result<(Target, StatusPost), String> {
    let wrong = |what: &str| format!("the grant's {what} cannot be read");
    let target = Target {
        forge: serde_json::from_value(grant.forge.into()).map_err(|_| wrong("forge"))?,
        api: grant.api_url.parse().map_err(|_| wrong("address"))?,
        token: grant.token.parse().map_err(|_| wrong("token"))?,
    };
    let post = StatusPost {
        owner: grant.owner,
        name: grant.name,
        sha: commit.sha.clone(),
        context: commit.context.clone(),
        state: job.value.commit_state(),
        description: description(&job.value),
        target_url: Some(grant.target_url),
    };
    Ok((target, post))
}

/// What happened, in a few words.
pub fn description(job: &Job) -> String {
    let message = job.message.as_deref().unwrap_or_default();
    match (job.state, job.cause) {
        (State::Pending, _) if job.failures > 0 => format!("trying again: {message}"),
        (State::Pending, _) => "queued".to_owned(),
        (State::Working, _) => "running".to_owned(),
        (State::Finish, Some(Cause::Skipped)) => format!("skipped: {message}"),
        (State::Finish, _) => match job.timings_ms.run {
            Some(ms) => {
                format!("finished in {}", units::show_duration(Duration::from_millis((ms + 50) / 100 * 100)))
            }
            None => "finished".to_owned(),
        },
        (State::Error, _) => message.to_owned(),
    }
}

fn backoff(tries: i64) -> Duration {
    let doublings = u32::try_from(tries.clamp(1, 16) - 1).unwrap_or(0);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use jobs::{NewJob, Timings, UserId};

    use super::*;

    #[test]
    fn the_description_says_what_happened() {
        let job = Job::new(NewJob::call(UserId::new(), "https://example.com/r"));
        assert_eq!(description(&job), "queued");
        let finished = Job {
            state: State::Finish,
            timings_ms: Timings { run: Some(1312), ..Timings::default() },
            ..job.clone()
        };
        assert_eq!(description(&finished), "finished in 1.3 s");
        let failed = Job { state: State::Error, message: Some("exit code 3".to_owned()), ..job };
        assert_eq!(description(&failed), "exit code 3");
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        assert_eq!(backoff(1), FIRST_RETRY);
        assert_eq!(backoff(3), Duration::from_secs(8));
        assert_eq!(backoff(99), LAST_RETRY);
    }
}
