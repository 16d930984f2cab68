//! A worker as a service: start, work, drain.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_nats::Client;
use jobs::{Ledger, Presence, lease::HEARTBEAT};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attempt::{AttemptRunner, is_over},
    config::Config,
    grants::Grants,
    health::{self, Health},
    identity::WorkerIdentity,
    queue::Queue,
    reporter::Reporter,
    startup,
};

/// How long a worker waits for a gateway to make the streams.
const STREAMS_PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks for containers that nobody will remove any more.
const REAP_EVERY: Duration = Duration::from_secs(30);
/// Between two looks for the installation's id, which a gateway makes.
const INSTALLATION_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`; then takes nothing new, and requeues what does not end within the grace.
/// `ready` is sent when jobs are taken.
///
/// # Errors
/// Docker or the data directory cannot be used; a NATS that goes away later is waited for.
pub async fn serve(
    config: Config,
    client: Client,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let opening = async {
        let ledger = Ledger::open(&client, STREAMS_PATIENCE).await?;
        let instance = installation(&ledger).await?;
        anyhow::Ok((ledger, instance))
    };
    let Some(opened) = stop.run_until_cancelled(opening).await else { return Ok(()) };
    let (ledger, instance) = opened?;
    let identity = WorkerIdentity::open(&config.data_dir, instance, config.name.as_ref())?;
    let health = Arc::new(Health::default());
    let metrics = health.metrics.clone();
    metrics.set_slots(config.slots);
    let answering = TaskTracker::new();
    let over = CancellationToken::new();
    if let Some(address) = config.listen {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        answering.spawn(health::serve(listener, Arc::clone(&health), over.clone()));
    }
    let executor = startup::build_executor(&config, &identity).await?;
    let _ = health.sandbox.set(executor.sandbox.clone());
    requeue_own_attempts(&ledger, &identity.name).await?;

    let grants = Grants::new(client.clone(), &identity.name);
    let grace_over = CancellationToken::new();
    let attempts = AttemptRunner {
        ledger: ledger.clone(),
        executor: executor.clone(),
        grants: grants.clone(),
        grace_over: grace_over.clone(),
        name: identity.name.clone(),
        metrics: metrics.clone(),
    };
    let reporter =
        Reporter::new(ledger.clone(), grants, &config.clone_allow, config.ca_bundle.as_deref(), metrics)?;
    let background = TaskTracker::new();
    let reporting = tokio::spawn(reporter.run(stop.clone(), grace_over.clone()));
    background.spawn(drain(
        Arc::clone(&health),
        config.shutdown_grace,
        stop.clone(),
        grace_over,
        over.clone(),
    ));
    background.spawn(renew_presence(ledger.clone(), presence(&attempts), over.clone()));
    background.spawn(reap(attempts.clone(), over.clone()));

    tracing::info!(worker = %identity.name, slots = config.slots, "worker ready");
    health.is_ready.store(true, Ordering::Relaxed);
    let _ = ready.send(());
    let queue = Queue::new(attempts);
    let working = tokio::spawn(queue.run(stop.clone()));
    working.await.context("the queue ended")?;
    reporting.await.context("the poster of statuses ended")?;
    over.cancel();
    background.close();
    background.wait().await;
    executor.sandbox.stop().await;
    answering.close();
    answering.wait().await;
    Ok(())
}

/// Says at `stop` that no more is taken, and when the grace ends, that what still runs is requeued.
async fn drain(
    health: Arc<Health>,
    grace: Duration,
    stop: CancellationToken,
    grace_over: CancellationToken,
    over: CancellationToken,
) {
    stop.cancelled().await;
    health.is_ready.store(false, Ordering::Relaxed);
    if over.run_until_cancelled(tokio::time::sleep(grace)).await.is_some() {
        tracing::warn!("shutdown grace over; running jobs are requeued");
        grace_over.cancel();
    }
}

/// The installation's id, which the first gateway makes.
async fn installation(ledger: &Ledger) -> anyhow::Result<String> {
    let looking = async {
        loop {
            if let Some(entry) = ledger.meta.get("installation").await?
                && let Some(id) = entry.value.get("id").and_then(serde_json::Value::as_str)
            {
                return Ok(id.to_owned());
            }
            tokio::time::sleep(INSTALLATION_PAUSE).await;
        }
    };
    tokio::time::timeout(STREAMS_PATIENCE, looking)
        .await
        .context("no gateway has set up this installation")?
}

/// What our own name still holds was held by a process that is gone: the lock on the data directory
/// says so.
async fn requeue_own_attempts(ledger: &Ledger, name: &jobs::WorkerName) -> anyhow::Result<()> {
    for (job, attempt) in ledger.leased_by(name).await? {
        if ledger.requeue(job, attempt).await?.is_some() {
            tracing::info!(job.id = %job, attempt, "attempt of an earlier process requeued");
        }
    }
    Ok(())
}

fn presence(attempts: &AttemptRunner) -> Presence {
    let config = &attempts.executor.config;
    Presence {
        worker: attempts.name.clone(),
        labels: config.labels.clone(),
        languages: attempts.executor.sandbox.runners().iter().map(|runner| runner.language.clone()).collect(),
        slots: config.slots,
        other: serde_json::Map::new(),
    }
}

async fn renew_presence(ledger: Ledger, presence: Presence, over: CancellationToken) {
    let key = presence.worker.to_string();
    loop {
        if let Err(error) = ledger.workers.put(&key, &presence).await {
            tracing::debug!(%error, "presence not renewed");
        }
        if over.run_until_cancelled(tokio::time::sleep(HEARTBEAT)).await.is_none() {
            break;
        }
    }
    // Gone at once rather than after a minute.
    if let Ok(Some(entry)) = ledger.workers.get(&key).await {
        let _ = ledger.workers.delete(&key, entry.revision).await;
    }
}

async fn reap(attempts: AttemptRunner, over: CancellationToken) {
    let last_seen: Mutex<HashMap<String, Instant>> = Mutex::default();
    let begun = Instant::now();
    while over.run_until_cancelled(tokio::time::sleep(REAP_EVERY)).await.is_some() {
        let Ok(workers) = attempts.ledger.workers.subjects().await else { continue };
        for worker in workers {
            if let Ok(Some(_)) = attempts.ledger.workers.get(&worker).await {
                last_seen.lock().insert(worker, Instant::now());
            }
        }
        // A worker that was never seen is gone for as long as we have looked.
        let unseen_for = |worker: &str| {
            let seen = last_seen.lock().get(worker).copied();
            Some(seen.unwrap_or(begun).elapsed())
        };
        let reaped = attempts
            .executor
            .sandbox
            .reap(async |job, attempt| is_over(&attempts.ledger, job, attempt).await, unseen_for)
            .await;
        if let Err(error) = reaped {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "cannot remove leftover containers"
            );
        }
    }
}
