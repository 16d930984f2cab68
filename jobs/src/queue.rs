//! The fair scheduler: picks the next job, by owner.
//!
//! Nothing here is a consumer: two stream infos tell whose jobs are queued and whose run, one read brings
//! the message. The claim in [`crate::ledger`] decides; two workers may pick the same message.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    JobId, Label, UserId, WorkerName,
    ledger::{Ledger, LedgerError},
    record::{Job, QueueClass},
    slot_limit::SlotLimit,
    streams,
};

/// Messages of one owner that are looked at for one that this worker may take.
const LOOK_AHEAD: usize = 32;
/// Messages of one owner that are skipped at a time because they need longer than the slot's limit.
/// Each is skipped once only, so this bounds one look, not what is found.
const LONG_AHEAD: usize = 256;

/// A message in JOBS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// Where it lies in the stream.
    pub sequence: u64,
    /// Whose queue it is in.
    pub owner: UserId,
    /// The job.
    pub job: JobId,
    /// Which entry into the queue this was.
    pub times_queued: u32,
    /// See [`crate::JobStatus::needs_s`].
    pub needs_s: Option<u64>,
}

/// What the scheduler picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// This one is next.
    Next(QueuedJob),
    /// There are only jobs that need longer than the slot's limit.
    OnlyLong,
    /// Nothing is queued that may be taken.
    Nothing,
}

impl Pick {
    /// The message that is next, if any is.
    pub fn next(self) -> Option<QueuedJob> {
        match self {
            Self::Next(job) => Some(job),
            Self::OnlyLong | Self::Nothing => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    v: u64,
    job: JobId,
    times_queued: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    needs_s: Option<u64>,
}

impl QueuedJob {
    pub(crate) fn payload(job: &Job) -> Bytes {
        let payload = Payload {
            v: crate::bucket::VERSION,
            job: job.spec.id,
            times_queued: job.status.times_queued,
            needs_s: job.status.needs_s,
        };
        serde_json::to_vec(&payload).expect("ids and numbers are JSON").into()
    }
}

/// How many jobs an owner has queued, by class, and running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    calls: usize,
    pushes: usize,
    running: usize,
}

/// Picks jobs for one worker. It remembers which owners were served last; everything else is asked of the
/// server.
#[derive(Debug, Default)]
pub struct FairScheduler {
    turn: u64,
    served: HashMap<UserId, u64>,
    /// Up to which message a queue holds only what needs longer than the slot's limit: a message never
    /// changes, and a worker's limit neither.
    long_until: HashMap<(Label, UserId, QueueClass), u64>,
}

/// What a queue of one owner begins with.
#[derive(Debug, Default)]
struct QueueHead {
    job: Option<QueuedJob>,
    /// The last of the messages at its beginning that need too long; 0 for none.
    long_until: u64,
    /// Whether any needs too long.
    has_long: bool,
}

impl FairScheduler {
    /// The first message of the owner with the fewest running jobs, then of the one served longest
    /// ago; calls before pushes. Owners at `max_running` are skipped, and so are jobs that `may_take`
    /// rejects (a language that is not offered here) and those that are known to need longer than `limit`.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn pick(
        &mut self,
        ledger: &Ledger,
        label: &Label,
        max_running: usize,
        limit: SlotLimit,
        may_take: impl Fn(JobId) -> bool,
    ) -> Result<Pick, LedgerError> {
        let loads = ledger.loads(label).await?;
        self.long_until.retain(|(of, owner, _), _| of != label || loads.contains_key(owner));
        let mut picked = Pick::Nothing;
        for owner in self.order(&loads, max_running) {
            let load = loads[&owner];
            for (class, count) in [(QueueClass::Call, load.calls), (QueueClass::Push, load.pushes)] {
                if count == 0 {
                    continue;
                }
                let queue = (label.clone(), owner, class);
                let after = match limit {
                    SlotLimit::Unlimited => 0,
                    SlotLimit::Within(_) => self.long_until.get(&queue).copied().unwrap_or(0),
                };
                let found = ledger.first_queued(&queue, after, limit, &may_take).await?;
                if let Some(job) = found.job {
                    self.turn += 1;
                    self.served.insert(owner, self.turn);
                    return Ok(Pick::Next(job));
                }
                if found.has_long {
                    self.long_until.insert(queue, found.long_until);
                    picked = Pick::OnlyLong;
                }
            }
        }
        Ok(picked)
    }

    fn order(&mut self, loads: &HashMap<UserId, Load>, max_running: usize) -> Vec<UserId> {
        self.served.retain(|owner, _| loads.contains_key(owner));
        let is_waiting = |load: &Load| load.calls + load.pushes > 0 && load.running < max_running;
        let mut owners: Vec<UserId> =
            loads.iter().filter(|(_, load)| is_waiting(load)).map(|(owner, _)| *owner).collect();
        owners.sort_by_key(|owner| {
            (loads[owner].running, self.served.get(owner).copied().unwrap_or(0), *owner)
        });
        owners
    }
}

impl Ledger {
    async fn loads(&self, label: &Label) -> Result<HashMap<UserId, Load>, LedgerError> {
        let mut loads: HashMap<UserId, Load> = HashMap::new();
        let mut queued = self
            .queue
            .info_with_subjects(streams::waiting_under(label))
            .await
            .map_err(|error| LedgerError::nats("ask who waits", error))?;
        while let Some((subject, count)) =
            queued.try_next().await.map_err(|error| LedgerError::nats("ask who waits", error))?
        {
            let mut tokens = subject.split('.').skip(2);
            let (Some(Ok(owner)), Some(class)) = (tokens.next().map(str::parse::<UserId>), tokens.next())
            else {
                continue;
            };
            let load = loads.entry(owner).or_default();
            if class == QueueClass::Call.as_str() {
                load.calls += count;
            } else {
                load.pushes += count;
            }
        }
        if loads.is_empty() {
            return Ok(loads);
        }
        for owner in self.running().await? {
            if let Some(load) = loads.get_mut(&owner) {
                load.running += 1;
            }
        }
        Ok(loads)
    }

    /// The owner of each running job, once for each.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn running(&self) -> Result<Vec<UserId>, LedgerError> {
        let failed = |error| LedgerError::nats("ask who runs", error);
        let running = self.leases.info_with_subjects("leases.>").await.map_err(failed)?;
        let subjects: Vec<(String, usize)> = running.try_collect().await.map_err(failed)?;
        Ok(subjects.iter().filter_map(|(subject, _)| subject.split('.').nth(1)?.parse().ok()).collect())
    }

    /// The attempts that a worker's leases are for.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn leased_by(&self, worker: &WorkerName) -> Result<Vec<(JobId, u32)>, LedgerError> {
        let failed = |error| LedgerError::nats("ask what a worker runs", error);
        let held = self.leases.info_with_subjects(format!("leases.*.*.*.{worker}")).await.map_err(failed)?;
        let subjects: Vec<(String, usize)> = held.try_collect().await.map_err(failed)?;
        let attempt = |subject: &str| {
            let mut tokens = subject.split('.').skip(2);
            Some((tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?))
        };
        Ok(subjects.iter().filter_map(|(subject, _)| attempt(subject)).collect())
    }

    /// How many jobs an owner has queued, under every label.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn queued(&self, owner: UserId) -> Result<usize, LedgerError> {
        let failed = |error| LedgerError::nats("ask who waits", error);
        let queued = self.queue.info_with_subjects(format!("jobs.*.{owner}.*")).await.map_err(failed)?;
        let subjects: Vec<(String, usize)> = queued.try_collect().await.map_err(failed)?;
        Ok(subjects.iter().map(|(_, count)| count).sum())
    }

    /// The first message behind `after` that may be taken. All up to `after` are known to need too long a slot.
    async fn first_queued(
        &self,
        (label, owner, class): &(Label, UserId, QueueClass),
        after: u64,
        limit: SlotLimit,
        may_take: &impl Fn(JobId) -> bool,
    ) -> Result<QueueHead, LedgerError> {
        use async_nats::jetstream::stream::RawMessageErrorKind;
        let subject = streams::waiting(label, *owner, *class);
        let (mut sequence, mut rejected, mut long) = (after + 1, 0, 0);
        let mut found = QueueHead { job: None, long_until: after, has_long: after > 0 };
        while rejected < LOOK_AHEAD && long < LONG_AHEAD {
            let message = match self.queue.get_first_raw_message_by_subject(&subject, sequence).await {
                Ok(message) => message,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(LedgerError::nats("read the queue", error)),
            };
            sequence = message.sequence + 1;
            let payload = serde_json::from_slice::<Payload>(&message.payload);
            let payload = payload.ok().filter(|payload| payload.v <= crate::bucket::VERSION);
            if payload.as_ref().is_some_and(|payload| !limit.admits(payload.needs_s)) {
                long += 1;
                found.has_long = true;
                if rejected == 0 {
                    found.long_until = message.sequence;
                }
                continue;
            }
            if let Some(payload) = payload.filter(|payload| may_take(payload.job)) {
                found.job = Some(QueuedJob {
                    sequence: message.sequence,
                    owner: *owner,
                    job: payload.job,
                    times_queued: payload.times_queued,
                    needs_s: payload.needs_s,
                });
                break;
            }
            rejected += 1;
        }
        Ok(found)
    }

    /// Everything that is queued, read through once: what the reconciler compares records with.
    ///
    /// # Errors
    /// NATS is away.
    pub(crate) async fn all_queued(&self) -> Result<std::collections::HashSet<(JobId, u32)>, LedgerError> {
        use async_nats::jetstream::stream::RawMessageErrorKind;
        let mut found = std::collections::HashSet::new();
        let mut sequence = 1;
        loop {
            match self.queue.get_first_raw_message_by_subject("jobs.>", sequence).await {
                Ok(message) => {
                    sequence = message.sequence + 1;
                    if let Ok(payload) = serde_json::from_slice::<Payload>(&message.payload) {
                        found.insert((payload.job, payload.times_queued));
                    }
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(found),
                Err(error) => return Err(LedgerError::nats("read the queue", error)),
            }
        }
    }

    /// Whether a running job has a lease.
    ///
    /// # Errors
    /// NATS is away.
    pub(crate) async fn has_lease(&self, job: JobId, attempt: u32) -> Result<bool, LedgerError> {
        let failed = |error| LedgerError::nats("look for a lease", error);
        let mut found =
            self.leases.info_with_subjects(format!("leases.*.{job}.{attempt}.*")).await.map_err(failed)?;
        Ok(found.try_next().await.map_err(failed)?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_with_fewest_running_jobs_comes_first_then_the_one_served_longest_ago() {
        let [busy, idle, served, full] = [UserId::new(), UserId::new(), UserId::new(), UserId::new()];
        let load = |running| Load { calls: 0, pushes: 5, running };
        let loads = HashMap::from([(busy, load(1)), (idle, load(0)), (served, load(0)), (full, load(9))]);
        let mut scheduler =
            FairScheduler { turn: 1, served: HashMap::from([(served, 1)]), ..FairScheduler::default() };
        assert_eq!(scheduler.order(&loads, 9), [idle, served, busy]);
    }
}
