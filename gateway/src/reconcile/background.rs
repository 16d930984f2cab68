//! What a gateway does besides answering: the index follows the ledger, grants are answered, what
//! a crash left half done is put right, and pushes whose delivery never came are looked for.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jobs::{
    Commit, JobId, Repo, State,
    bucket::Entry,
    lock::{Lock, TAKEN_OVER_AFTER},
    reconcile::{EVERY, Patience, Reconciler},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::secrets,
    crypto::keyring,
    error::ApiError,
    grants,
    http::rate_limit,
    index::{follow, mirror},
    jobs::capacity,
    reconcile::{ref_poll, status_check::Comparer},
    records,
    records::Upgrade,
    repos::permission::Retries,
    state::Gateway,
    usage,
};

/// A delivery without a verdict for this long is finished by the reconciler: its own gateway had
/// twice the time that a forge waits for.
const UNFINISHED_AFTER: Duration = Duration::from_secs(10);
/// A status that is not at the forge after this long is queued again, and again after as long: a
/// poster's whole turn.
const UNPOSTED_AFTER: Duration = Duration::from_secs(40);
/// Statuses looked at in one round: each is a read.
const UNPOSTED_AT_ONCE: usize = 100;
/// Before the grants are subscribed to again.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts everything; it ends with `stop`.
pub(crate) fn start(
    gateway: &Arc<Gateway>,
    read: [watch::Sender<bool>; 2],
    stop: &CancellationToken,
) -> TaskTracker {
    let tasks = TaskTracker::new();
    let [jobs_read, deliveries_read] = read;
    let (ledger, index) = (&gateway.ledger, &gateway.index);
    tasks.spawn(follow::jobs(ledger.clone(), Arc::clone(index), jobs_read, stop.clone()));
    tasks.spawn(follow::deliveries(ledger.clone(), Arc::clone(index), deliveries_read, stop.clone()));
    tasks.spawn(follow::commits(ledger.clone(), Arc::clone(index), stop.clone()));
    tasks.spawn(mirror::follow(ledger.repos.clone(), Arc::clone(&gateway.repos), stop.clone()));
    tasks.spawn(mirror::follow(ledger.accounts.tokens.clone(), Arc::clone(&gateway.tokens), stop.clone()));
    tasks.spawn(mirror::follow(ledger.accounts.users.clone(), Arc::clone(&gateway.users), stop.clone()));
    tasks.spawn(keyring::follow(Arc::clone(gateway), stop.clone()));
    tasks.spawn(records::follow(Arc::clone(gateway), stop.clone()));
    tasks.spawn(rate_limit::forget(Arc::clone(gateway), stop.clone()));
    let sizes = Arc::clone(&gateway.secret_sizes);
    tasks.spawn(secrets::follow_sizes(gateway.ledger.js.clone(), sizes, stop.clone()));
    tasks.spawn(usage::clear(Arc::clone(gateway), stop.clone()));
    tasks.spawn(usage::sweep(Arc::clone(gateway), stop.clone()));
    tasks.spawn(capacity::look(Arc::clone(gateway), stop.clone()));
    tasks.spawn(answer_grants(Arc::clone(gateway), stop.clone()));
    tasks.spawn(ref_poll::run(Arc::clone(gateway), stop.clone()));
    tasks.spawn(reconcile(Arc::clone(gateway), stop.clone()));
    tasks.close();
    tasks
}

async fn answer_grants(gateway: Arc<Gateway>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = grants::answer(Arc::clone(&gateway), stop.clone()).await {
            tracing::warn!(error = format!("{error:#}"), "grants are not answered");
        }
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}

async fn reconcile(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut mender = Mender {
        lock: Lock::new(gateway.ledger.locks.clone(), "reconcile"),
        jobs: Reconciler::new(Patience {
            max_queue_time: gateway.config.max_queue_time,
            ..Patience::default()
        }),
        deliveries: HashMap::new(),
        statuses: HashMap::new(),
        upgrade: Upgrade::default(),
        comparer: Comparer::new(Arc::clone(&gateway)),
        retries: Retries::new(Arc::clone(&gateway)),
        // At a start after an outage workers have not renewed their leases yet: a job that is being worked
        // on is not taken from them.
        rest_until: Instant::now() + TAKEN_OVER_AFTER,
        connected: true,
        gateway,
    };
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Some(Err(error)) = stop.run_until_cancelled(mender.round()).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "a round of reconciling broke off");
            mender.was_away();
        }
    }
    mender.lock.give_up().await;
}

/// What one reconciler remembers. No clocks are compared: it counts from when it saw a thing itself.
struct Mender {
    gateway: Arc<Gateway>,
    lock: Lock,
    jobs: Reconciler,
    deliveries: HashMap<String, Instant>,
    statuses: HashMap<JobId, Waits>,
    upgrade: Upgrade,
    comparer: Comparer,
    retries: Retries,
    rest_until: Instant,
    connected: bool,
}

/// Whether this gateway puts right what it finds, or another one does.
#[derive(Debug, Clone, Copy)]
enum Role {
    Mender,
    Onlooker,
}

/// A job whose status is not known to be posted.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// Since it was first seen so.
    since: Instant,
    revision: u64,
    /// Since its record changed, or it was queued again.
    unchanged_since: Instant,
}

impl Mender {
    /// Workers get time to renew their leases, which they could not while NATS was away.
    fn was_away(&mut self) {
        self.jobs.forget();
        self.deliveries.clear();
        self.statuses.clear();
        self.comparer.forget();
        self.rest_until = Instant::now() + TAKEN_OVER_AFTER;
    }

    async fn round(&mut self) -> Result<(), ApiError> {
        use async_nats::connection::State as Connection;
        let connected = match self.gateway.ledger.client.connection_state() {
            Connection::Connected => true,
            Connection::Pending | Connection::Disconnected => false,
        };
        if connected && !self.connected {
            self.was_away();
        }
        self.connected = connected;
        if !connected || !self.gateway.has_caught_up() {
            return Ok(());
        }
        if !self.lock.is_ours().await? {
            self.comparer.forget();
            return self.look_at_statuses(Role::Onlooker).await;
        }
        self.upgrade.round(&self.gateway).await?;
        self.gateway.end_all_doubted().await?;
        let mut candidates = self.gateway.index.open_jobs()?;
        if Instant::now() < self.rest_until {
            candidates.retain(|candidate| candidate.state != State::Working);
        }
        self.jobs.round(&self.gateway.ledger, &candidates).await?;
        self.finish_deliveries().await?;
        self.gateway.remove_further().await?;
        self.retries.round();
        self.look_at_statuses(Role::Mender).await?;
        Ok(self.comparer.round()?)
    }

    async fn finish_deliveries(&mut self) -> Result<(), ApiError> {
        let keys = self.gateway.index.unfinished()?;
        self.deliveries.retain(|key, _| keys.contains(key));
        for key in keys {
            let since = *self.deliveries.entry(key.clone()).or_insert_with(Instant::now);
            if since.elapsed() < UNFINISHED_AFTER {
                continue;
            }
            let Some(entry) = self.gateway.ledger.deliveries.get(&key).await? else { continue };
            let repo = self.repo(entry.value.repo).await?;
            tracing::info!(delivery = key, "a delivery without a verdict is finished");
            self.gateway.finish_delivery(entry, repo.as_ref()).await?;
            self.deliveries.remove(&key);
        }
        Ok(())
    }

    async fn repo(&self, id: Option<jobs::RepoId>) -> Result<Option<Repo>, ApiError> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.gateway.ledger.repos.get(&id.to_string()).await?.map(|entry| entry.value))
    }

    /// Jobs whose status was not seen to be posted for a while: those that are settled are forgotten, and
    /// who mends queues the others again.
    async fn look_at_statuses(&mut self, role: Role) -> Result<(), ApiError> {
        let unposted = self.gateway.index.unposted(UNPOSTED_AT_ONCE)?;
        self.statuses.retain(|job, _| unposted.iter().any(|(id, _)| id == job));
        let now = Instant::now();
        for (id, revision) in unposted {
            let waits =
                self.statuses.entry(id).or_insert(Waits { since: now, revision, unchanged_since: now });
            if waits.revision != revision {
                *waits = Waits { revision, unchanged_since: now, ..*waits };
            }
            if waits.unchanged_since.elapsed() < UNPOSTED_AFTER {
                continue;
            }
            waits.unchanged_since = now;
            self.look_at_status(id, role).await?;
        }
        let longest = self.statuses.values().map(|waits| waits.since.elapsed()).max();
        self.gateway.metrics.longest_wait(longest.unwrap_or_default());
        Ok(())
    }

    async fn look_at_status(&self, id: JobId, role: Role) -> Result<(), ApiError> {
        let ledger = &self.gateway.ledger;
        let Some(entry) = ledger.job(id).await? else { return Ok(self.gateway.index.forget_job(id)?) };
        // Of what is not believed nothing is told.
        let Some(entry) = self.gateway.believed(entry) else { return Ok(self.gateway.index.posted(id)?) };
        let (Some(repo), Some(sha)) = (entry.value.repo, &entry.value.sha) else {
            return Ok(self.gateway.index.posted(id)?);
        };
        for context in entry.value.contexts() {
            let key = jobs::streams::commit_key(repo, sha, context);
            let commit = ledger.commits.get(&key).await?;
            if commit.is_some_and(|commit| is_settled(&commit, &entry)) {
                continue;
            }
            return match role {
                Role::Mender => {
                    tracing::info!(job.id = %id, "a status is not at the forge; it is queued again");
                    Ok(ledger.touch_status(&entry).await?)
                }
                Role::Onlooker => Ok(()),
            };
        }
        Ok(self.gateway.index.posted(id)?)
    }
}

/// Whether nothing is left to be posted for this record: it was, the forge will not take what it says,
/// or a newer job took its place.
fn is_settled(commit: &Entry<Commit>, record: &Entry<jobs::Job>) -> bool {
    let commit = &commit.value;
    let newer = commit.job != record.value.id && commit.created_revision > record.created_revision();
    let posted = commit.posted.as_ref().is_some_and(|posted| {
        posted.job == record.value.id
            && (posted.revision >= record.revision || posted.state == record.value.commit_state())
    });
    let refused = commit.job == record.value.id && commit.was_refused(record.value.commit_state());
    newer || posted || refused
}
