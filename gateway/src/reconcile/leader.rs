//! The reconcile leader: one gateway at a time completes what a crash left unfinished, in rounds of two
//! seconds.
//!
//! The holder of the lock `reconcile` leads; the others stand by and only measure what is pending.

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
    index::{Index, Tables, caught_up::CaughtUp},
    metrics::Metrics,
    reconcile::{
        deliveries::UnfinishedDeliveries,
        status_check::{CheckScheduler, StatusCheck},
        statuses::UnpostedStatuses,
    },
    records::{JobRecords, Upgrade},
    repos::{Registrations, function_name::NameRounds, permission::PermissionRetries},
};

/// The services that the leader uses.
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

/// The state of one reconciler. Clocks are not compared: ages are counted from when this process first saw a
/// thing.
struct Leader {
    services: Arc<Services>,
    lock: Lock,
    jobs: Reconciler,
    deliveries: UnfinishedDeliveries,
    statuses: UnpostedStatuses,
    upgrade: Upgrade,
    scheduled_checks: CheckScheduler,
    permission_retries: PermissionRetries,
    names: NameRounds,
    lease_grace_until: Instant,
    connected: bool,
}

/// Leads or stands by until `stop`. A job may be queued for `max_queue_time`.
pub(crate) async fn run(services: Services, max_queue_time: Duration, stop: CancellationToken) {
    let services = Arc::new(services);
    let mut leader = Leader {
        lock: Lock::new(services.ledger.locks.clone(), "reconcile"),
        jobs: Reconciler::new(Patience { max_queue_time, ..Patience::default() }),
        deliveries: UnfinishedDeliveries::default(),
        statuses: UnpostedStatuses::default(),
        upgrade: Upgrade::default(),
        scheduled_checks: CheckScheduler::new(Arc::clone(&services.status_check)),
        permission_retries: PermissionRetries::new(Arc::clone(&services.registrations)),
        names: NameRounds::new(Arc::clone(&services.registrations)),
        // After an outage workers have not renewed their leases yet: running jobs are not taken from them.
        lease_grace_until: Instant::now() + TAKEN_OVER_AFTER,
        connected: true,
        services,
    };
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Some(Err(error)) = stop.run_until_cancelled(leader.round()).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "reconcile round failed");
            leader.reset_after_outage();
        }
    }
    leader.lock.give_up().await;
}

impl Leader {
    /// Gives workers time to renew their leases, which they could not while NATS was unreachable.
    fn reset_after_outage(&mut self) {
        self.jobs.forget();
        self.deliveries.forget();
        self.statuses.forget();
        self.scheduled_checks.forget();
        self.lease_grace_until = Instant::now() + TAKEN_OVER_AFTER;
    }

    async fn round(&mut self) -> Result<(), ApiError> {
        use async_nats::connection::State as Connection;
        let services = Arc::clone(&self.services);
        let connected = match services.ledger.client.connection_state() {
            Connection::Connected => true,
            Connection::Pending | Connection::Disconnected => false,
        };
        if connected && !self.connected {
            self.reset_after_outage();
        }
        self.connected = connected;
        if !connected || !services.caught_up.is_complete() {
            return Ok(());
        }
        if !self.lock.is_ours().await? {
            self.scheduled_checks.forget();
            return self.statuses.round(&services, Role::Standby).await;
        }
        self.upgrade.round(&services.job_records).await?;
        services.job_records.end_all_unverified().await?;
        let mut candidates = services.index.run(Tables::open_jobs).await?;
        if Instant::now() < self.lease_grace_until {
            candidates.retain(|candidate| candidate.state != State::Working);
        }
        self.jobs.round(&services.ledger, &candidates).await?;
        self.deliveries.round(&services).await?;
        services.registrations.continue_removals().await?;
        self.permission_retries.round();
        self.statuses.round(&services, Role::Leader).await?;
        self.scheduled_checks.round().await?;
        self.names.round().await
    }
}
