//! Background tasks of a gateway: mirrors and the index follow the ledger, grants are answered, and the
//! leader reconciles what a crash left unfinished.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    crypto::keyring,
    functions, grants,
    http::rate_limit,
    index::{caught_up::CatchingUp, follow, mirror},
    jobs::capacity,
    reconcile::{leader, ref_poll},
    records,
    repos::secrets,
    state::Gateway,
    usage,
};

/// Delay before the grants are subscribed to again.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts all background tasks; they end with `stop`.
pub(crate) fn start(gateway: &Gateway, reading: CatchingUp, stop: &CancellationToken) -> TaskTracker {
    let tasks = TaskTracker::new();
    let (ledger, index) = (&gateway.ledger, &gateway.index);
    let publish = functions::publisher(ledger.clone(), Arc::clone(&gateway.job_records.verifier));
    tasks.spawn(follow::jobs(ledger.clone(), Arc::clone(index), publish, reading.jobs, stop.clone()));
    tasks.spawn(follow::deliveries(ledger.clone(), Arc::clone(index), reading.deliveries, stop.clone()));
    tasks.spawn(follow::idempotency_keys(ledger.clone(), Arc::clone(index), stop.clone()));
    tasks.spawn(follow::commits(ledger.clone(), Arc::clone(index), stop.clone()));
    tasks.spawn(mirror::follow(ledger.repos.clone(), Arc::clone(&gateway.repos), stop.clone()));
    tasks.spawn(mirror::follow(ledger.names.bucket.clone(), Arc::clone(&gateway.names), stop.clone()));
    tasks.spawn(mirror::follow(ledger.accounts.tokens.clone(), Arc::clone(&gateway.tokens), stop.clone()));
    tasks.spawn(mirror::follow(ledger.accounts.users.clone(), Arc::clone(&gateway.users), stop.clone()));
    tasks.spawn(keyring::follow(Arc::clone(&gateway.keys), ledger.clone(), stop.clone()));
    tasks.spawn(records::follow(Arc::clone(&gateway.job_records), stop.clone()));
    tasks.spawn(rate_limit::evict_idle_entries(Arc::clone(&gateway.limits), stop.clone()));
    let sizes = Arc::clone(&gateway.secret_store.sizes);
    tasks.spawn(secrets::follow_sizes(ledger.js.clone(), sizes, stop.clone()));
    tasks.spawn(usage::run_retention(Arc::clone(&gateway.budgets), gateway.caught_up.clone(), stop.clone()));
    tasks.spawn(usage::run_sweep(Arc::clone(&gateway.budgets), stop.clone()));
    tasks.spawn(capacity::monitor(Arc::clone(&gateway.capacity), stop.clone()));
    tasks.spawn(answer_grants(Arc::clone(&gateway.grants), stop.clone()));
    tasks.spawn(ref_poll::run(Arc::clone(&gateway.ref_poll), stop.clone()));
    tasks.spawn(leader::run(leader_of(gateway), gateway.config.max_queue_time, stop.clone()));
    tasks.close();
    tasks
}

fn leader_of(gateway: &Gateway) -> leader::Services {
    leader::Services {
        ledger: gateway.ledger.clone(),
        index: Arc::clone(&gateway.index),
        caught_up: gateway.caught_up.clone(),
        metrics: Arc::clone(&gateway.metrics),
        job_records: Arc::clone(&gateway.job_records),
        registrations: Arc::clone(&gateway.registrations),
        deliveries: Arc::clone(&gateway.deliveries),
        status_check: Arc::clone(&gateway.status_check),
    }
}

async fn answer_grants(grants: Arc<grants::Grants>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = grants::answer(Arc::clone(&grants), stop.clone()).await {
            tracing::warn!(error = format!("{error:#}"), "grants subscription failed");
        }
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}
