//! One gateway at a time leads: it puts right what a crash left half done, a round every two seconds.
//!
//! Whoever holds the lock `reconcile` leads; the others stand by and only count what waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jobs::{
    Ledger, State,
    lock::{Lock, TAKEN_OVER_AFTER},
    reconcile::{EVERY, Patience, Reconciler},
};
use tokio_util::sync::CancellationToken;

use crate::{
    deliveries::Deliveries,
    error::ApiError,
    index::{Index, caught_up::CaughtUp},
    metrics::Metrics,
    reconcile::{
        deliveries::UnfinishedDeliveries,
        status_check::{StatusCheck, StatusChecks},
        statuses::UnpostedStatuses,
    },
    records::{JobRecords, Upgrade},
    repos::{Registrations, permission::Retries},
};

/// What the leader works with.
pub(crate) struct Services {
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) caught_up: CaughtUp,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) status_check: Arc<StatusCheck>,
}

/// Whether this gateway leads, or another one does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Leader,
    Standby,
}

/// What one reconciler remembers. No clocks are compared: it counts from when it saw a thing itself.
struct Leader {
    services: Arc<Services>,
    lock: Lock,
    jobs: Reconciler,
    deliveries: UnfinishedDeliveries,
    statuses: UnpostedStatuses,
    upgrade: Upgrade,
    status_checks: StatusChecks,
    retries: Retries,
    rest_until: Instant,
    connected: bool,
}

/// Leads, or stands by, until `stop`. A job may wait for a worker for `max_queue_time`.
pub(crate) async fn run(services: Services, max_queue_time: Duration, stop: CancellationToken) {
    let services = Arc::new(services);
    let mut leader = Leader {
        lock: Lock::new(services.ledger.locks.clone(), "reconcile"),
        jobs: Reconciler::new(Patience { max_queue_time, ..Patience::default() }),
        deliveries: UnfinishedDeliveries::default(),
        statuses: UnpostedStatuses::default(),
        upgrade: Upgrade::default(),
        status_checks: StatusChecks::new(Arc::clone(&services.status_check)),
        retries: Retries::new(Arc::clone(&services.registrations)),
        // At a start after an outage workers have not renewed their leases yet: a job that is being worked
        // on is not taken from them.
        rest_until: Instant::now() + TAKEN_OVER_AFTER,
        connected: true,
        services,
    };
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Some(Err(error)) = stop.run_until_cancelled(leader.round()).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "a round of reconciling broke off");
            leader.was_away();
        }
    }
    leader.lock.give_up().await;
}

impl Leader {
    /// Workers get time to renew their leases, which they could not while NATS was away.
    fn was_away(&mut self) {
        self.jobs.forget();
        self.deliveries.forget();
        self.statuses.forget();
        self.status_checks.forget();
        self.rest_until = Instant::now() + TAKEN_OVER_AFTER;
    }

    async fn round(&mut self) -> Result<(), ApiError> {
        use async_nats::connection::State as Connection;
        let services = Arc::clone(&self.services);
        let connected = match services.ledger.client.connection_state() {
            Connection::Connected => true,
            Connection::Pending | Connection::Disconnected => false,
        };
        if connected && !self.connected {
            self.was_away();
        }
        self.connected = connected;
        if !connected || !services.caught_up.is_complete() {
            return Ok(());
        }
        if !self.lock.is_ours().await? {
            self.status_checks.forget();
            return self.statuses.round(&services, Role::Standby).await;
        }
        self.upgrade.round(&services.job_records).await?;
        services.job_records.end_all_doubted().await?;
        let mut candidates = services.index.open_jobs()?;
        if Instant::now() < self.rest_until {
            candidates.retain(|candidate| candidate.state != State::Working);
        }
        self.jobs.round(&services.ledger, &candidates).await?;
        self.deliveries.round(&services).await?;
        services.registrations.remove_further().await?;
        self.retries.round();
        self.statuses.round(&services, Role::Leader).await?;
        Ok(self.status_checks.round()?)
    }
}
