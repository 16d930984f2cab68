//! Every stream, bucket and subject on one page, with the rules of each.
//!
//! Streams are made and altered by gateways and the operator's commands, idempotently; workers and
//! observers wait for them. Buckets whose reads decide something are made here as plain streams
//! `KV_…` with direct reads off, because a lagging replica may answer a direct read.

use std::time::Duration;

use async_nats::jetstream::{self, ErrorCode, consumer::pull, context::CreateStreamErrorKind, stream};

use crate::{
    CommitSha, JobId, Label, RepoId, UserId, WorkerName, idempotency,
    record::QueueClass,
    settings::{GITFAAS_KEEP_JOBS, GITFAAS_KEEP_LOGS, GITFAAS_NATS_REPLICAS, Reader},
    stores::Stores,
};

/// The record of each job.
pub const JOBS_BUCKET: &str = "jobs";
/// Deliveries of forges and their verdicts.
pub const DELIVERIES: &str = "deliveries";
/// Idempotency keys of calls, and their jobs.
pub const IDEMPOTENCY: &str = "idempotency";
/// What makes the same push once.
pub const PUSHES: &str = "pushes";
/// The newest push of each ref.
pub const HEADS: &str = "heads";
/// The newest job and the last posted status of each commit and context.
pub const COMMITS: &str = "commits";
/// Registered repositories.
pub const REPOS: &str = "repos";
/// Commits that were built green.
pub const VERSIONS: &str = "versions";
/// The newest green commit of each ref.
pub const LIVE: &str = "live";
/// Names of functions.
pub const NAMES: &str = "names";
/// Aliases of functions' versions.
pub const ALIASES: &str = "aliases";
/// Owners.
pub const USERS: &str = "users";
/// Provider and subject to owner.
pub const IDENTITIES: &str = "identities";
/// Hashes of API tokens.
pub const TOKENS: &str = "tokens";
/// Sign-ins that last, and hashes of what they are renewed with.
pub const SESSIONS: &str = "sessions";
/// What a sign-in under way must be able to prove once: used states, device codes.
pub const LOGINS: &str = "logins";
/// Sealed secrets of repositories.
pub const SECRETS: &str = "secrets";
/// Which owners had a job lately.
pub const OWNERS: &str = "owners";
/// Presence of workers.
pub const WORKERS: &str = "workers";
/// Who does a task that one process at a time may do.
pub const LOCKS: &str = "locks";
/// The installation's id and the id of its master key.
pub const META: &str = "meta";
/// Snapshots of the observer.
pub const OBSERVER: &str = "OBSERVER";
/// What owners are about to store.
pub const USAGE: &str = "usage";
/// Waiting jobs.
pub const JOBS: &str = "JOBS";
/// Running jobs.
pub const LEASES: &str = "LEASES";
/// Log chunks.
pub const LOGS: &str = "LOGS";
/// Inputs of jobs.
pub const INPUTS: &str = "INPUTS";
/// What the subjects in INPUTS begin with.
pub(crate) const INPUTS_PREFIX: &str = "inputs.";
/// Commits whose status may be out of date.
pub const STATUSES: &str = "STATUSES";
/// Who did what.
pub const AUDIT: &str = "AUDIT";
/// What admins and operators did: a log of its own, which nobody else can push them out of.
pub const AUDIT_ADMIN: &str = "AUDIT_ADMIN";
/// Object store of results that are too long for the record.
pub const RESULTS: &str = "RESULTS";
/// The one durable consumer of STATUSES, shared by the workers.
pub const STATUS_POSTERS: &str = "posters";

/// A lease not renewed for this long is gone: four beats of [`crate::lease::HEARTBEAT`].
pub const LEASE_LIFE: Duration = Duration::from_secs(20);
/// A worker not heard of for this long is gone: twelve beats.
const PRESENCE_LIFE: Duration = Duration::from_secs(60);
/// Deliveries, pushes and observer snapshots are kept as long as people look back at them.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// Owners count as present for 30 days after a job; an entry may be a day old when that job comes.
const OWNERS_LIFE: Duration = Duration::from_secs(31 * 24 * 3600);
/// Longer than any sign-in under way may take ([`LOGINS`]), so that a used state is still known when
/// the cookie that goes with it has expired.
const HOUR: Duration = Duration::from_secs(3600);
/// What is under way at once is small, and anybody may begin: 16 MiB.
const SMALL_BYTES: i64 = 16 << 20;
/// A status that could not be posted for a week will not be missed.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Who did what is asked about for as long as contracts run: a year.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// About half a million events; then the oldest go.
const AUDIT_BYTES: i64 = 256 << 20;
/// How long a poster may be silent before another gets the message; it says "in progress" meanwhile.
const STATUS_ACK_WAIT: Duration = Duration::from_secs(30);
/// A bucket of small things is never full before its disk is, but a stream without a limit is a
/// promise nobody can keep: 64 MiB.
const BUCKET_BYTES: i64 = 64 << 20;

/// How the streams are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// 1, or 3 on a cluster of three nodes.
    pub replicas: usize,
    /// Records, results and `commits` go this long after their last change.
    pub keep_jobs: Duration,
    /// Log chunks go after this long.
    pub keep_logs: Duration,
    /// How large the stores are.
    pub stores: Stores,
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&mut Reader::new(&|_| None))
    }
}

impl Settings {
    /// Reads all of them.
    pub fn read(env: &mut Reader<'_>) -> Self {
        let replicas = env.value(GITFAAS_NATS_REPLICAS);
        // JetStream places a stream on an odd number of nodes; five would cost more than they save here.
        if ![1, 3].contains(&replicas) {
            env.problem(GITFAAS_NATS_REPLICAS, "must be 1 or 3");
        }
        Self {
            replicas,
            keep_jobs: env.duration(GITFAAS_KEEP_JOBS),
            keep_logs: env.duration(GITFAAS_KEEP_LOGS),
            stores: Stores::read(env),
        }
    }
}

/// `jobs.<label>.<owner>.<class>`: a job waits.
pub fn waiting(label: &Label, owner: UserId, class: QueueClass) -> String {
    format!("jobs.{label}.{owner}.{}", class.as_str())
}

/// All that waits under a label.
pub fn waiting_under(label: &Label) -> String {
    format!("jobs.{label}.>")
}

/// `leases.<owner>.<job>.<attempt>.<worker>`: a job runs.
pub fn lease(owner: UserId, job: JobId, attempt: u32, worker: &WorkerName) -> String {
    format!("leases.{owner}.{job}.{attempt}.{worker}")
}

/// Core subject: look for work.
pub fn wake(label: &Label) -> String {
    format!("wake.{label}")
}

/// Core subject: look at your record again.
pub fn cancel(job: JobId) -> String {
    format!("cancel.{job}")
}

/// Request and reply: what a worker may have for a job or a status.
pub fn grants(worker: &WorkerName) -> String {
    format!("grants.{worker}")
}

/// An audit event of this action.
pub fn audit(action: &str) -> String {
    format!("audit.{action}")
}

/// An audit event of this action of an admin or operator.
pub fn audit_admin(action: &str) -> String {
    format!("audit_admin.{action}")
}

/// Log chunks of every attempt of a job.
pub fn logs(job: JobId) -> String {
    format!("logs.{job}.*")
}

/// Log chunks of one attempt.
pub fn log(job: JobId, attempt: u32) -> String {
    format!("logs.{job}.{attempt}")
}

/// A message of a job's input; see [`crate::input`].
pub fn input(owner: UserId, job: JobId, n: u64) -> String {
    format!("{INPUTS_PREFIX}{owner}.{job}.{n}")
}

/// Every message of a job's input.
pub fn inputs_of(job: JobId) -> String {
    format!("{INPUTS_PREFIX}*.{job}.*")
}

/// A commit's status may be out of date. The context is hex, because it holds a slash.
pub fn status(repo: RepoId, sha: &CommitSha, context: &str) -> String {
    format!("statuses.{}", commit_key(repo, sha, context))
}

/// Key in `commits`; also the tail of the subject in STATUSES.
pub fn commit_key(repo: RepoId, sha: &CommitSha, context: &str) -> String {
    format!("{repo}.{sha}.{}", hex::encode(context))
}

/// Every stream, with the rules it has from the first day.
fn all(settings: &Settings) -> Vec<stream::Config> {
    let replicas = settings.replicas;
    let bucket = |name: &str, max_age: Duration, max_bytes: i64| stream::Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_age,
        max_bytes,
        discard: stream::DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: false,
        num_replicas: replicas,
        ..Default::default()
    };
    let plain = |name: &str, subjects: &str, max_age: Duration| stream::Config {
        name: name.to_owned(),
        subjects: vec![subjects.to_owned()],
        max_age,
        num_replicas: replicas,
        ..Default::default()
    };
    let audit = |name: &str, subjects: &str| stream::Config {
        max_bytes: AUDIT_BYTES,
        deny_delete: true,
        deny_purge: true,
        ..plain(name, subjects, YEAR)
    };
    let forever = Duration::ZERO;
    let stores = &settings.stores;
    // A size was checked when it was read.
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    vec![
        bucket(JOBS_BUCKET, settings.keep_jobs, size(stores.records)),
        bucket(DELIVERIES, MONTH, size(stores.deliveries)),
        // An owner may have as much of them as of deliveries, with which they are counted.
        bucket(IDEMPOTENCY, idempotency::LIFE.unsigned_abs(), size(stores.deliveries)),
        bucket(PUSHES, MONTH, size(stores.refs)),
        bucket(HEADS, forever, size(stores.refs)),
        bucket(COMMITS, settings.keep_jobs, size(stores.refs)),
        bucket(REPOS, forever, BUCKET_BYTES),
        bucket(NAMES, forever, BUCKET_BYTES),
        bucket(ALIASES, forever, BUCKET_BYTES),
        bucket(VERSIONS, forever, size(stores.refs)),
        bucket(LIVE, forever, size(stores.refs)),
        bucket(USERS, forever, BUCKET_BYTES),
        bucket(IDENTITIES, forever, BUCKET_BYTES),
        bucket(TOKENS, forever, BUCKET_BYTES),
        bucket(SECRETS, forever, size(stores.secrets)),
        bucket(SESSIONS, MONTH, BUCKET_BYTES),
        bucket(LOGINS, HOUR, SMALL_BYTES),
        bucket(OWNERS, OWNERS_LIFE, SMALL_BYTES),
        bucket(WORKERS, PRESENCE_LIFE, BUCKET_BYTES),
        bucket(LOCKS, forever, BUCKET_BYTES),
        bucket(META, forever, BUCKET_BYTES),
        bucket(OBSERVER, MONTH, BUCKET_BYTES),
        bucket(USAGE, forever, BUCKET_BYTES),
        plain(JOBS, "jobs.>", forever),
        stream::Config { max_messages_per_subject: 1, ..plain(LEASES, "leases.>", LEASE_LIFE) },
        stream::Config { max_bytes: size(stores.logs), ..plain(LOGS, "logs.>", settings.keep_logs) },
        // A full one refuses: an input that made place for another would be missed by its job.
        stream::Config {
            max_messages_per_subject: 1,
            max_bytes: size(stores.inputs),
            discard: stream::DiscardPolicy::New,
            ..plain(INPUTS, "inputs.>", settings.keep_jobs)
        },
        stream::Config { max_messages_per_subject: 1, ..plain(STATUSES, "statuses.>", WEEK) },
        // Nobody takes a line out of these, so their sequences have no gaps.
        audit(AUDIT, "audit.>"),
        audit(AUDIT_ADMIN, "audit_admin.>"),
        // The last one, see [`last`]. What an object store is made of; made by hand for direct reads to be off here too.
        stream::Config {
            name: format!("OBJ_{RESULTS}"),
            subjects: vec![format!("$O.{RESULTS}.C.>"), format!("$O.{RESULTS}.M.>")],
            max_age: settings.keep_jobs,
            max_bytes: size(stores.results),
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            allow_direct: false,
            num_replicas: replicas,
            ..Default::default()
        },
    ]
}

/// The pull consumer through which workers take what STATUSES holds.
fn posters(replicas: usize) -> pull::Config {
    pull::Config {
        durable_name: Some(STATUS_POSTERS.to_owned()),
        ack_wait: STATUS_ACK_WAIT,
        max_ack_pending: -1,
        num_replicas: replicas,
        ..Default::default()
    }
}

/// Makes or alters every stream, bucket and consumer.
///
/// # Errors
/// The first that the server refuses; a cluster without a leader does, so callers try again.
pub async fn ensure(js: &jetstream::Context, settings: &Settings) -> Result<(), EnsureError> {
    for config in all(settings) {
        let name = config.name.clone();
        let bytes = u64::try_from(config.max_bytes).unwrap_or_default();
        js.create_or_update_stream(config).await.map_err(|error| {
            let kind = match &error.kind() {
                CreateStreamErrorKind::JetStream(refused) if has_no_room(refused) => {
                    Refusal::NoRoom { bytes }
                }
                _ => Refusal::Other,
            };
            EnsureError { name, kind, source: error.into() }
        })?;
    }
    let refused = |source| EnsureError { name: STATUS_POSTERS.to_owned(), kind: Refusal::Other, source };
    let statuses = js.get_stream(STATUSES).await.map_err(|error| refused(error.into()))?;
    statuses.create_consumer(posters(settings.replicas)).await.map_err(|error| refused(error.into()))?;
    Ok(())
}

/// The stream that [`ensure`] makes last, for those who wait for all of them. Every role may ask for it.
pub fn last() -> String {
    format!("OBJ_{RESULTS}")
}

/// Whether the server cannot promise so much.
fn has_no_room(refused: &async_nats::jetstream::Error) -> bool {
    [ErrorCode::STORAGE_RESOURCES_EXCEEDED, ErrorCode::INSUFFICIENT_RESOURCES].contains(&refused.error_code())
}

/// Why a stream was not made, as far as somebody can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The server does not promise so many bytes more.
    NoRoom { bytes: u64 },
    /// Anything else.
    Other,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoRoom { bytes } => write!(
                f,
                ": NATS has no room to promise it {}; give JetStream more (max_file_store), or make the stores smaller (GITFAAS_STORE_…)",
                crate::units::show_bytes(*bytes)
            ),
            Self::Other => Ok(()),
        }
    }
}

/// NATS did not make a stream.
#[derive(Debug, thiserror::Error)]
#[error("stream {name} cannot be made{kind}")]
pub struct EnsureError {
    name: String,
    kind: Refusal,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_whose_reads_decide_are_read_from_the_leader() {
        assert!(all(&Settings::default()).iter().all(|config| !config.allow_direct));
    }

    #[test]
    fn idempotency_keys_are_kept_for_a_day_in_a_bucket_of_their_own() {
        let all = all(&Settings::default());
        let keys = all.iter().find(|config| config.name == "KV_idempotency").unwrap();
        assert_eq!((keys.max_age, keys.max_bytes), (Duration::from_secs(24 * 3600), 512 << 20));
    }

    #[test]
    fn who_waits_for_the_last_stream_waits_for_all() {
        assert_eq!(all(&Settings::default()).pop().unwrap().name, last());
    }

    #[test]
    fn a_context_with_a_slash_is_one_token() {
        let sha = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8".parse().unwrap();
        let subject = status(RepoId::new(), &sha, "gitfaas/push");
        assert_eq!(subject.split('.').count(), 4);
        assert!(subject.ends_with(".676974666161732f70757368"));
    }
}
