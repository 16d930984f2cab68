//! Rows of jobs, deliveries and commit statuses, and how a change of each updates the tables.

use jiff::Timestamp;
use jobs::{
    CommitStatus, Delivery, IdempotencyKey, Job, JobId, JobInput, RepoId, State, UserId, Verdict,
    bucket::Entry,
};
use redb::{ReadableTable as _, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::index::{
    IndexError, MAX_REJECTIONS,
    store::{
        BY_OWNER, BY_REPO, BY_TIME, DELIVERIES, DELIVERIES_BY_OWNER, DELIVERY_SORT_KEYS, INPUTS, JOBS, OPEN,
        STATUS_ISSUES, UNFINISHED, UNPOSTED, UNVERIFIED,
    },
};

/// In `open`: a pending job.
pub(super) const PENDING: u8 = 0;
/// In `open`: a working job.
const WORKING: u8 = 1;

/// The row of a job.
#[derive(Serialize, Deserialize)]
pub(super) struct JobRow {
    pub(super) owner: UserId,
    pub(super) repo: Option<RepoId>,
    pub(super) state: State,
    pub(super) revision: u64,
    /// Whether it reports several contexts: then one of them being posted says nothing about the others.
    #[serde(default)]
    pub(super) has_several_contexts: bool,
    /// Size of the record, in bytes.
    #[serde(default)]
    pub(super) bytes: u64,
    /// Size of the logs of its attempts, in bytes.
    #[serde(default)]
    pub(super) log_bytes: u64,
    /// Size of a result that is stored outside of the record, in bytes.
    #[serde(default)]
    pub(super) result_bytes: u64,
    /// Size of its input, in bytes.
    #[serde(default)]
    pub(super) input_bytes: u64,
}

impl JobRow {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The row of a delivery.
#[derive(Serialize, Deserialize)]
pub(super) struct DeliveryRow {
    pub(super) repo: Option<RepoId>,
    pub(super) revision: u64,
    /// Sorts by the time of receipt; hex.
    #[serde(rename = "place")]
    pub(super) sort_key: String,
}

impl DeliveryRow {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Two ids as one key that sorts by the first, then by the second.
pub(super) fn compound_key(one: &[u8; 16], other: &[u8; 16]) -> [u8; 32] {
    let mut both = [0; 32];
    both[..16].copy_from_slice(one);
    both[16..].copy_from_slice(other);
    both
}

/// The first and the last [`compound_key`] that begins with this owner.
pub(super) fn owner_range(owner: UserId) -> ([u8; 32], [u8; 32]) {
    (compound_key(owner.as_bytes(), &[0; 16]), compound_key(owner.as_bytes(), &[0xff; 16]))
}

/// The second id of a [`compound_key`].
pub(super) fn job_of_key(key: &[u8]) -> Option<JobId> {
    key.get(16..).and_then(|id| id.try_into().ok()).map(JobId::from_bytes)
}

/// Whether a record is what a gateway signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    Verified,
    Unverified,
}

/// Changes are applied in any order, because a gateway also applies its own writes: the larger revision wins.
/// A final job stays final, whatever its record says later, and one that is not verified is listed under no
/// owner.
pub(super) fn put_job(
    write: &WriteTransaction,
    entry: &Entry<Job>,
    verification: Verification,
) -> Result<(), IndexError> {
    let job = &entry.value;
    if entry.key != job.spec.id.to_string() {
        // A copy under another job's key is ignored.
        return Ok(());
    }
    let id = job.spec.id.as_bytes().as_slice();
    let mut jobs = write.open_table(JOBS)?;
    let known = jobs.get(id)?.and_then(|row| JobRow::read(row.value()));
    if known.as_ref().is_some_and(|known| known.revision >= entry.revision) {
        return Ok(());
    }
    let was_over = known.as_ref().is_some_and(|known| known.state.is_final());
    let state =
        known.as_ref().filter(|known| known.state.is_final()).map_or(job.status.state, |known| known.state);
    let (owner, repo) = match (verification, &known) {
        (Verification::Unverified, Some(known)) => (known.owner, known.repo),
        (Verification::Unverified, None) | (Verification::Verified, _) => (job.spec.owner, job.spec.repo),
    };
    let has_several_contexts = job.contexts().count() > 1;
    let long_result = job.status.result.as_ref().filter(|result| !result.is_whole());
    let row = JobRow {
        owner,
        repo,
        state,
        revision: entry.revision,
        has_several_contexts,
        bytes: serde_json::to_vec(job).map_or(0, |bytes| bytes.len() as u64),
        log_bytes: job.status.log_bytes.unwrap_or_default(),
        result_bytes: long_result.map_or(0, |result| result.bytes),
        input_bytes: job.spec.input.as_ref().map_or(0, JobInput::stored_bytes),
    };
    let bytes = serde_json::to_vec(&row).expect("ids and words are JSON");
    jobs.insert(id, bytes.as_slice())?;
    drop(jobs);
    let mut unverified = write.open_table(UNVERIFIED)?;
    match !job.status.state.is_final() && (was_over || verification == Verification::Unverified) {
        true => unverified.insert(id, ())?,
        false => unverified.remove(id)?,
    };
    match verification {
        Verification::Verified => insert_keys(write, job, state, &row),
        Verification::Unverified => remove_keys(write, job.spec.id, &row),
    }
}

/// Inserts a job under its owner and repository, and among open ones.
fn insert_keys(write: &WriteTransaction, job: &Job, state: State, row: &JobRow) -> Result<(), IndexError> {
    let id = job.spec.id.as_bytes().as_slice();
    let of_owner = compound_key(job.spec.owner.as_bytes(), job.spec.id.as_bytes());
    write.open_table(BY_OWNER)?.insert(of_owner.as_slice(), ())?;
    if let Some(repo) = job.spec.repo {
        write
            .open_table(BY_REPO)?
            .insert(compound_key(repo.as_bytes(), job.spec.id.as_bytes()).as_slice(), ())?;
    }
    if row.input_bytes > 0 {
        write.open_table(INPUTS)?.insert(of_owner.as_slice(), row.input_bytes)?;
    }
    let mut open = write.open_table(OPEN)?;
    match state {
        State::Pending => open.insert(of_owner.as_slice(), (PENDING, row.revision))?,
        State::Working => open.insert(of_owner.as_slice(), (WORKING, row.revision))?,
        State::Finish | State::Error => open.remove(of_owner.as_slice())?,
    };
    if job.spec.context.is_some() {
        write.open_table(UNPOSTED)?.insert(id, ())?;
    }
    Ok(())
}

/// Removes the keys that [`insert_keys`] inserted.
fn remove_keys(write: &WriteTransaction, job: JobId, row: &JobRow) -> Result<(), IndexError> {
    write.open_table(UNPOSTED)?.remove(job.as_bytes().as_slice())?;
    let of_owner = compound_key(row.owner.as_bytes(), job.as_bytes());
    write.open_table(BY_OWNER)?.remove(of_owner.as_slice())?;
    write.open_table(OPEN)?.remove(of_owner.as_slice())?;
    write.open_table(INPUTS)?.remove(of_owner.as_slice())?;
    if let Some(repo) = row.repo {
        write.open_table(BY_REPO)?.remove(compound_key(repo.as_bytes(), job.as_bytes()).as_slice())?;
    }
    Ok(())
}

pub(super) fn remove_job(write: &WriteTransaction, job: JobId) -> Result<(), IndexError> {
    let id = job.as_bytes().as_slice();
    let row = write.open_table(JOBS)?.remove(id)?.and_then(|row| JobRow::read(row.value()));
    write.open_table(UNPOSTED)?.remove(id)?;
    write.open_table(UNVERIFIED)?.remove(id)?;
    match row {
        Some(row) => remove_keys(write, job, &row),
        None => Ok(()),
    }
}

pub(super) fn put_delivery(write: &WriteTransaction, entry: &Entry<Delivery>) -> Result<(), IndexError> {
    let key = entry.key.as_bytes();
    index_by_owner(write, entry)?;
    // Older programs stored idempotency keys in the same bucket, under longer keys.
    if entry.key.len() != 64 {
        return Ok(());
    }
    let mut deliveries = write.open_table(DELIVERIES)?;
    let known = deliveries.get(key)?.and_then(|row| DeliveryRow::read(row.value()));
    if known.as_ref().is_some_and(|known| known.revision >= entry.revision) {
        return Ok(());
    }
    let mut by_time = write.open_table(BY_TIME)?;
    if let Some(known) = known {
        by_time.remove(known.sort_key.as_bytes())?;
    }
    let received_at = entry.value.received_at.unwrap_or(entry.written_at);
    let sort_key = format!("{:016x}{}", received_at.as_microsecond(), &entry.key[..16]);
    by_time.insert(sort_key.as_bytes(), key)?;
    let row = DeliveryRow { repo: entry.value.repo, revision: entry.revision, sort_key };
    let bytes = serde_json::to_vec(&row).expect("ids and words are JSON");
    deliveries.insert(key, bytes.as_slice())?;
    let mut unfinished = write.open_table(UNFINISHED)?;
    match entry.value.verdict {
        None => unfinished.insert(key, ())?,
        Some(_) => unfinished.remove(key)?,
    };
    Ok(())
}

/// Indexes an entry under the owner that it is charged to, by time. Entries of older versions have no owner.
fn index_by_owner(write: &WriteTransaction, entry: &Entry<Delivery>) -> Result<(), IndexError> {
    let delivery = &entry.value;
    let Some(owner) = delivery.owner else { return Ok(()) };
    let key = entry.key.as_bytes();
    let known = write.open_table(DELIVERY_SORT_KEYS)?.get(key)?.map(|row| row.value().to_vec());
    let received_at = delivery.received_at.unwrap_or(entry.written_at);
    let place = known.unwrap_or_else(|| place_of(owner, received_at, key));
    let bytes = serde_json::to_vec(delivery).map_or(0, |bytes| bytes.len() + 2 * key.len()) as u64;
    let is_key = entry.key.len() != 64;
    let is_final = is_key || delivery.verdict.is_some_and(|verdict| verdict != Verdict::Held);
    write.open_table(DELIVERY_SORT_KEYS)?.insert(key, place.as_slice())?;
    write.open_table(DELIVERIES_BY_OWNER)?.insert(place.as_slice(), (key, bytes, is_final))?;
    Ok(())
}

/// What precedes an idempotency key in the tables that it shares with deliveries.
const OF_IDEMPOTENCY_KEYS: &str = "idempotency/";

/// What an owner is charged for as a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChargedKey {
    /// A key in the bucket of deliveries.
    Delivery(String),
    /// A key in the bucket of idempotency keys.
    IdempotencyKey(String),
}

impl ChargedKey {
    pub(super) fn read(key: &[u8]) -> Self {
        let key = String::from_utf8_lossy(key);
        match key.strip_prefix(OF_IDEMPOTENCY_KEYS) {
            Some(key) => Self::IdempotencyKey(key.to_owned()),
            None => Self::Delivery(key.into_owned()),
        }
    }

    /// The key in [`DELIVERY_SORT_KEYS`].
    fn row(&self) -> String {
        match self {
            Self::Delivery(key) => key.clone(),
            Self::IdempotencyKey(key) => format!("{OF_IDEMPOTENCY_KEYS}{key}"),
        }
    }

    pub(super) fn is_idempotency_key(&self) -> bool {
        matches!(self, Self::IdempotencyKey(_))
    }
}

/// Sorts by owner, then by time.
fn place_of(owner: UserId, since: Timestamp, key: &[u8]) -> Vec<u8> {
    let mut place = owner.as_bytes().to_vec();
    place.extend_from_slice(&since.as_microsecond().max(0).to_be_bytes());
    place.extend_from_slice(&Sha256::digest(key)[..8]);
    place
}

/// The time in a [`place_of`].
pub(super) fn time_of(place: &[u8]) -> Option<Timestamp> {
    let micros = place.get(16..24)?.try_into().ok().map(i64::from_be_bytes)?;
    Timestamp::from_microsecond(micros).ok()
}

/// A key that is used again after its end is charged from then on.
pub(super) fn put_idempotency_key(
    write: &WriteTransaction,
    entry: &Entry<IdempotencyKey>,
) -> Result<(), IndexError> {
    let charged = ChargedKey::IdempotencyKey(entry.key.clone());
    remove_charge(write, &charged)?;
    let row = charged.row();
    let place = place_of(entry.value.owner, entry.written_at, row.as_bytes());
    let bytes = serde_json::to_vec(&entry.value).map_or(0, |bytes| bytes.len() + 2 * entry.key.len()) as u64;
    write.open_table(DELIVERY_SORT_KEYS)?.insert(row.as_bytes(), place.as_slice())?;
    write.open_table(DELIVERIES_BY_OWNER)?.insert(place.as_slice(), (row.as_bytes(), bytes, true))?;
    Ok(())
}

pub(super) fn remove_charge(write: &WriteTransaction, charged: &ChargedKey) -> Result<(), IndexError> {
    if let Some(place) = write.open_table(DELIVERY_SORT_KEYS)?.remove(charged.row().as_bytes())? {
        write.open_table(DELIVERIES_BY_OWNER)?.remove(place.value())?;
    }
    Ok(())
}

/// Removes the charges of all keys but those that `stays` names.
pub(super) fn remove_charges(
    write: &WriteTransaction,
    stays: impl Fn(&ChargedKey) -> bool,
) -> Result<(), IndexError> {
    write.open_table(DELIVERY_SORT_KEYS)?.retain(|key, _| stays(&ChargedKey::read(key)))?;
    write.open_table(DELIVERIES_BY_OWNER)?.retain(|_, (key, _, _)| stays(&ChargedKey::read(key)))?;
    Ok(())
}

pub(super) fn remove_delivery(write: &WriteTransaction, key: &str) -> Result<(), IndexError> {
    remove_charge(write, &ChargedKey::Delivery(key.to_owned()))?;
    let key = key.as_bytes();
    let row = write.open_table(DELIVERIES)?.remove(key)?.and_then(|row| DeliveryRow::read(row.value()));
    write.open_table(UNFINISHED)?.remove(key)?;
    if let Some(row) = row {
        write.open_table(BY_TIME)?.remove(row.sort_key.as_bytes())?;
    }
    Ok(())
}

/// Keeps a commit whose final status is to be reposted or verified, and no other.
pub(super) fn put_commit(write: &WriteTransaction, entry: &Entry<CommitStatus>) -> Result<(), IndexError> {
    let commit = &entry.value;
    let posted = commit.posted_of_newest_job();
    let mut status_issues = write.open_table(STATUS_ISSUES)?;
    let rejections = if commit.final_state_was_rejected() { commit.issues().rejections.max(1) } else { 0 };
    let revision = posted.map_or(0, |posted| posted.revision);
    match rejections {
        0 if commit.awaits_verification() => status_issues.insert(entry.key.as_bytes(), (0, revision))?,
        1..=MAX_REJECTIONS => status_issues.insert(entry.key.as_bytes(), (rejections, revision))?,
        _ => status_issues.remove(entry.key.as_bytes())?,
    };
    // An unknown job is ignored: its record will mark it as unposted.
    let id = commit.job();
    let id = id.as_bytes().as_slice();
    let known = write.open_table(JOBS)?.get(id)?.and_then(|row| JobRow::read(row.value()));
    let Some(known) = known else { return Ok(()) };
    let mut unposted = write.open_table(UNPOSTED)?;
    if known.has_several_contexts {
        // The reconciler checks each of them.
    } else if posted.is_some_and(|posted| posted.revision >= known.revision) {
        unposted.remove(id)?;
    } else if known.state.is_final()
        && rejections == 0
        && posted.is_none_or(|posted| !posted.state.is_final())
    {
        unposted.insert(id, ())?;
    }
    Ok(())
}

pub(super) fn remove_commit(write: &WriteTransaction, key: &str) -> Result<(), IndexError> {
    write.open_table(STATUS_ISSUES)?.remove(key.as_bytes())?;
    Ok(())
}
