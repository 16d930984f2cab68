//! The ledger: submit, claim and finish, each a compare-and-set on the job's record.
//!
//! The record alone decides. Leases, queue messages and statuses are derived from it, and whoever
//! finds one that disagrees follows the record.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{self, context::PublishError, message::PublishMessage, stream::Stream},
};

use crate::{
    Delivery, IdempotencyKey, JobId, NewJob, Outcome, RecordKey, RefHead, Repo, SeenPush, State, WorkerName,
    accounts::Accounts,
    active_owners::ActiveOwners,
    bucket::{Bucket, BucketError, Entry},
    commit_status::{self, CommitStatus},
    function::{Alias, LiveVersion, Names, Version},
    input::Inputs,
    lease::Lease,
    lock::Holder,
    log::{LogError, LogReader},
    presence::Presence,
    queue::QueuedJob,
    record::{self, Job},
    result::Results,
    streams,
    usage::Holds,
};

/// Between two looks for streams that a gateway has not made yet.
const STREAMS_PAUSE: Duration = Duration::from_millis(500);

/// Everything that is stored, opened.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The connection.
    pub client: Client,
    /// JetStream on it.
    pub js: jetstream::Context,
    /// Records of jobs, by id.
    pub jobs: Bucket<Job>,
    /// Users, identities and tokens.
    pub accounts: Accounts,
    /// Who had a job lately.
    pub owners: ActiveOwners,
    /// Registered repositories, by id.
    pub repos: Bucket<Repo>,
    /// Commits that were built green, by [`crate::function::version_key`].
    pub versions: Bucket<Version>,
    /// The newest green commit of each ref, by [`crate::function::live_key`].
    pub live: Bucket<LiveVersion>,
    /// Names of functions.
    pub names: Names,
    /// Aliases of versions, by [`crate::function::AliasName::key`].
    pub aliases: Bucket<Alias>,
    /// Deliveries, by [`Delivery::key`].
    pub deliveries: Bucket<Delivery>,
    /// Idempotency keys, by [`IdempotencyKey::key`].
    pub idempotency: Bucket<IdempotencyKey>,
    /// Pushes, by [`crate::push_key`].
    pub pushes: Bucket<SeenPush>,
    /// Heads, by [`crate::head_key`].
    pub heads: Bucket<RefHead>,
    /// Commits, by [`streams::commit_key`].
    pub commits: Bucket<CommitStatus>,
    /// Workers, by name.
    pub workers: Bucket<Presence>,
    /// Locks, by task.
    pub locks: Bucket<Holder>,
    /// The installation's id and the key's id.
    pub meta: Bucket<serde_json::Value>,
    /// Snapshots of the observer.
    pub observer: Bucket<serde_json::Value>,
    /// What owners are about to store, by owner.
    pub usage: Bucket<Holds>,
    /// Long results.
    pub results: Results,
    /// Inputs of jobs.
    pub inputs: Inputs,
    pub(crate) queue: Stream<()>,
    pub(crate) leases: Stream<()>,
    logs: Stream<()>,
    /// What the records of new jobs are signed with; only gateways have one.
    pub(crate) signer: Option<RecordKey>,
}

/// A claim that holds: the record says that this attempt is ours.
#[derive(Debug)]
pub struct Claim {
    /// The record as claimed.
    pub entry: Entry<Job>,
    /// To be held while working.
    pub lease: Lease,
}

/// What an attempt found out, to be written with its end.
pub type Notes<'a> = &'a (dyn Fn(Job) -> Job + Send + Sync);

/// Why the ledger could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A stream.
    #[error("nats: {doing}")]
    Nats {
        /// What was tried.
        doing: &'static str,
        /// What the client says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LedgerError {
    /// Whether what was read is a newer program's, which this one does not understand.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Bucket(BucketError::Newer { .. }))
    }

    pub(crate) fn nats(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Nats { doing, source: source.into() }
    }
}

impl Ledger {
    /// Opens a ledger whose streams exist; waits for them, because a gateway may still be making them.
    ///
    /// # Errors
    /// They did not appear within `patience`.
    pub async fn open(client: &Client, patience: Duration) -> Result<Self, LedgerError> {
        let js = crate::connect::jetstream(client);
        let looking = async {
            // They are made in order, and a worker may not even ask for all of them.
            let name = streams::last();
            while let Err(error) = js.get_stream(&name).await {
                tracing::debug!(name, %error, "waiting for a stream");
                tokio::time::sleep(STREAMS_PAUSE).await;
            }
        };
        if tokio::time::timeout(patience, looking).await.is_err() {
            return Err(LedgerError::nats(
                "wait for the streams, which a gateway makes",
                "they did not appear",
            ));
        }
        let stream = async |name: &str| {
            js.get_stream_no_info(name).await.map_err(|error| LedgerError::nats("open a stream", error))
        };
        Ok(Self {
            jobs: Bucket::open(&js, streams::JOBS_BUCKET).await?.reading(record::NEWEST_VERSION),
            accounts: Accounts {
                users: Bucket::open(&js, streams::USERS).await?,
                identities: Bucket::open(&js, streams::IDENTITIES).await?,
                tokens: Bucket::open(&js, streams::TOKENS).await?,
            },
            owners: ActiveOwners::open(&js).await?,
            repos: Bucket::open(&js, streams::REPOS).await?,
            versions: Bucket::open(&js, streams::VERSIONS).await?,
            live: Bucket::open(&js, streams::LIVE).await?,
            names: Names::open(&js).await?,
            aliases: Bucket::open(&js, streams::ALIASES).await?,
            deliveries: Bucket::open(&js, streams::DELIVERIES).await?,
            idempotency: Bucket::open(&js, streams::IDEMPOTENCY).await?,
            pushes: Bucket::open(&js, streams::PUSHES).await?,
            heads: Bucket::open(&js, streams::HEADS).await?,
            commits: Bucket::open(&js, streams::COMMITS).await?.reading(commit_status::NEWEST_VERSION),
            workers: Bucket::open(&js, streams::WORKERS).await?,
            locks: Bucket::open(&js, streams::LOCKS).await?,
            meta: Bucket::open(&js, streams::META).await?,
            observer: Bucket::open(&js, streams::OBSERVER).await?,
            usage: Bucket::open(&js, streams::USAGE).await?,
            results: Results::open(&js)
                .await
                .map_err(|error| LedgerError::nats("open the results", error))?,
            inputs: Inputs::new(&js, stream(streams::INPUTS).await?),
            queue: stream(streams::JOBS).await?,
            leases: stream(streams::LEASES).await?,
            logs: stream(streams::LOGS).await?,
            signer: None,
            client: client.clone(),
            js,
        })
    }

    /// Writes the record of a new job and puts it on the queue. Submitting the same id again
    /// finishes what an earlier try began, and returns the record that is there.
    ///
    /// # Errors
    /// NATS is away: then the record may exist, and the reconciler will queue it.
    pub async fn submit(&self, new: impl Into<NewJob>) -> Result<Entry<Job>, LedgerError> {
        let entry = self.record(new).await?;
        self.announce(&entry).await?;
        // The caller is told when the job was made.
        match entry.time() {
            Some(_) => Ok(entry),
            None => Ok(self.jobs.get(&entry.key).await?.unwrap_or(entry)),
        }
    }

    /// Writes the record of a new job, the first half of [`Ledger::submit`]. A record that is there
    /// already is returned; one just written is fresh.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn record(&self, new: impl Into<NewJob>) -> Result<Entry<Job>, LedgerError> {
        let job = self.first(new);
        let key = job.spec.id.to_string();
        let (created, ()) = tokio::join!(self.jobs.create(&key, &job), self.owners.note(job.spec.owner));
        match created {
            Ok(revision) => Ok(Entry::fresh(&key, job, revision)),
            Err(error) if error.is_conflict() => {
                Ok(self.jobs.get(&key).await?.ok_or(BucketError::Conflict { key })?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the record of a job that is over before it began, in one write: nobody ever finds it waiting. A
    /// record that is there already is returned. Its status is posted after [`Ledger::mark_status_dirty`].
    ///
    /// # Errors
    /// NATS is away.
    pub async fn record_ended(
        &self,
        new: impl Into<NewJob>,
        outcome: &Outcome,
    ) -> Result<Entry<Job>, LedgerError> {
        let job = self.first(new).ended(outcome);
        let key = job.spec.id.to_string();
        match self.jobs.create(&key, &job).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.jobs.get(&key).await?.ok_or(BucketError::Conflict { key })?)
    }

    /// Queues a recorded job that nobody has taken yet and tells of its status, the second half of
    /// [`Ledger::submit`].
    ///
    /// # Errors
    /// NATS is away.
    pub async fn announce(&self, entry: &Entry<Job>) -> Result<(), LedgerError> {
        if entry.value.status.state == State::Pending && entry.value.status.attempt == 0 {
            // Once the commit is entered, poster and worker may hear of it in any order.
            let keys = self.enter_job_statuses(entry).await?;
            tokio::try_join!(self.publish_statuses(&keys), self.enqueue(&entry.value))?;
        }
        Ok(())
    }

    /// Puts a recorded job on the queue and returns once the server has stored it. The message id
    /// covers a publish that is repeated within the stream's duplicate window.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn enqueue(&self, job: &Job) -> Result<(), LedgerError> {
        let once = format!("{}.{}", job.spec.id, job.status.times_queued);
        let message = PublishMessage::build().payload(QueuedJob::payload(job)).message_id(&once);
        let subject = streams::waiting(&job.spec.label, job.spec.owner, job.spec.class);
        let failed = |error: PublishError| LedgerError::nats("queue a job", error);
        self.js.send_publish(subject, message).await.map_err(failed)?.await.map_err(failed)?;
        // A lost wake is covered by the workers' sweep.
        let _ = self.client.publish(streams::wake(&job.spec.label), "".into()).await;
        Ok(())
    }

    /// The record of a job.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn job(&self, id: JobId) -> Result<Option<Entry<Job>>, LedgerError> {
        Ok(self.jobs.get(&id.to_string()).await?)
    }

    /// Claims a queued job for `worker`. `None`: another worker has it, or the message was
    /// outdated; then it was removed from the queue.
    ///
    /// # Errors
    /// NATS is away; or a newer program's job, which is left to those who understand it
    /// ([`LedgerError::is_newer`]).
    pub async fn claim(&self, queued: &QueuedJob, worker: &WorkerName) -> Result<Option<Claim>, LedgerError> {
        let entry = self.jobs.get(&queued.job.to_string()).await?;
        let is_current = entry.filter(|entry| {
            entry.value.status.state == State::Pending
                && entry.value.status.times_queued == queued.times_queued
        });
        let Some(entry) = is_current else {
            self.remove_from_queue(queued).await?;
            return Ok(None);
        };
        let Some(next) = entry.value.claimed(worker) else { return Ok(None) };
        let lease =
            Lease::take(&self.js, &self.leases, next.spec.owner, next.spec.id, next.status.attempt, worker)
                .await
                .map_err(|error| LedgerError::nats("take a lease", error))?;
        match self.jobs.update(&entry.key, &entry.with_server_times(next), entry.revision).await {
            Ok(_) => {}
            Err(error) => {
                lease.give_up().await;
                return if error.is_conflict() { Ok(None) } else { Err(error.into()) };
            }
        }
        self.remove_from_queue(queued).await?;
        let entry = self.jobs.get(&entry.key).await?.ok_or(BucketError::Conflict { key: entry.key })?;
        self.mark_status_dirty(&entry).await?;
        Ok(Some(Claim { entry, lease }))
    }

    /// Changes the record while `attempt` of `worker` is what it says; `None` when it is not.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn change_attempt(
        &self,
        id: JobId,
        attempt: u32,
        change: impl Fn(Job) -> Job,
    ) -> Result<Option<Entry<Job>>, LedgerError> {
        let ours = |job: &Job| job.status.state == State::Working && job.status.attempt == attempt;
        let changed = std::sync::atomic::AtomicBool::new(false);
        let entry = self
            .jobs
            .change(&id.to_string(), |entry| {
                changed.store(ours(&entry.value), std::sync::atomic::Ordering::Relaxed);
                ours(&entry.value).then(|| entry.with_server_times(change(entry.value.clone())))
            })
            .await?;
        Ok(entry.filter(|_| changed.load(std::sync::atomic::Ordering::Relaxed)))
    }

    /// Ends an attempt: the final state, or back to pending where another may help. `None` when the
    /// attempt is outdated; then nothing was written.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn finish(
        &self,
        id: JobId,
        attempt: u32,
        outcome: &Outcome,
        notes: Notes<'_>,
    ) -> Result<Option<Entry<Job>>, LedgerError> {
        let entry = self.change_attempt(id, attempt, |job| notes(job).ended(outcome)).await?;
        if let Some(entry) = &entry {
            self.mark_status_dirty(entry).await?;
        }
        Ok(entry)
    }

    pub(crate) fn logs(&self) -> &Stream<()> {
        &self.logs
    }

    /// The log of one attempt, from its beginning.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn log(&self, job: JobId, attempt: u32) -> Result<LogReader, LogError> {
        LogReader::open(&self.client, self.logs.clone(), job, attempt).await
    }

    /// Removes a message from the queue.
    ///
    /// # Errors
    /// NATS is away.
    pub(crate) async fn remove_from_queue(&self, queued: &QueuedJob) -> Result<(), LedgerError> {
        use async_nats::jetstream::{ErrorCode, stream::DeleteMessageErrorKind};
        match self.queue.delete_message(queued.sequence).await {
            Ok(_) => Ok(()),
            // Another worker removed it.
            Err(error) => match error.kind() {
                DeleteMessageErrorKind::JetStream(inner)
                    if matches!(
                        inner.error_code(),
                        ErrorCode::NO_MESSAGE_FOUND | ErrorCode::STREAM_MESSAGE_DELETE_FAILED
                    ) =>
                {
                    Ok(())
                }
                _ => Err(LedgerError::nats("remove a message from the queue", error)),
            },
        }
    }
}
