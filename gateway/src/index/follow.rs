//! Follows buckets into the index: one watch each for the whole gateway, resumed at the stored position.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::kv;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use jobs::{
    CommitStatus, Delivery, IdempotencyKey, Job, Ledger, LedgerError,
    bucket::{Bucket, BucketError},
    streams,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::index::{Change, Durability, Index, IndexError, Position};

/// Changes applied at once, in one transaction.
const BATCH: usize = 256;
/// Without changes for this long the index is flushed to disk, and the stream counts as read.
const IDLE: Duration = Duration::from_millis(500);
/// Delay before a watch that ended is renewed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why following was interrupted.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the stream of {0} cannot be found")]
    Stream(&'static str, #[source] async_nats::jetstream::context::GetStreamError),
    #[error("the watch of {0} broke")]
    WatchEnded(&'static str),
    #[error(transparent)]
    Publish(#[from] LedgerError),
}

/// Applies a batch.
type Apply<T> = Arc<
    dyn Fn(Vec<Change<T>>, Position, Durability) -> BoxFuture<'static, Result<(), FollowError>> + Send + Sync,
>;

/// What follows from changes of jobs and must be done before the index has them: whoever waits for a job then finds
/// it done. It is done again where it failed, and after a crash.
pub(crate) type Publish =
    Arc<dyn for<'a> Fn(&'a [Change<Job>]) -> BoxFuture<'a, Result<(), LedgerError>> + Send + Sync>;

/// Follows the bucket of jobs into the index until `stop`; `caught_up` becomes true when everything that was
/// there at the start is read.
pub(crate) async fn jobs(
    ledger: Ledger,
    index: Arc<Index>,
    publish: Publish,
    caught_up: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let apply: Apply<Job> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, durability| {
            let (index, publish) = (Arc::clone(&index), Arc::clone(&publish));
            async move {
                publish(&changes).await?;
                Ok(index.apply_jobs(changes, Some(at), durability).await?)
            }
            .boxed()
        })
    };
    let bucket = ledger.jobs.clone();
    follow_until_stopped(&ledger, &index, streams::JOBS_BUCKET, &bucket, apply, &caught_up, &stop).await;
}

/// Follows the bucket of deliveries into the index.
pub(crate) async fn deliveries(
    ledger: Ledger,
    index: Arc<Index>,
    caught_up: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let apply: Apply<Delivery> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, durability| {
            let index = Arc::clone(&index);
            async move { Ok(index.apply_deliveries(changes, Some(at), durability).await?) }.boxed()
        })
    };
    let bucket = ledger.deliveries.clone();
    follow_until_stopped(&ledger, &index, streams::DELIVERIES, &bucket, apply, &caught_up, &stop).await;
}

/// Follows the bucket of idempotency keys into the index. Nothing waits for it to catch up.
pub(crate) async fn idempotency_keys(ledger: Ledger, index: Arc<Index>, stop: CancellationToken) {
    let apply: Apply<IdempotencyKey> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, durability| {
            let index = Arc::clone(&index);
            async move { Ok(index.apply_idempotency_keys(changes, Some(at), durability).await?) }.boxed()
        })
    };
    let (bucket, (caught_up, _)) = (ledger.idempotency.clone(), watch::channel(false));
    follow_until_stopped(&ledger, &index, streams::IDEMPOTENCY, &bucket, apply, &caught_up, &stop).await;
}

/// Follows the bucket of commits into the index. Nothing waits for it to catch up.
pub(crate) async fn commits(ledger: Ledger, index: Arc<Index>, stop: CancellationToken) {
    let apply: Apply<CommitStatus> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, durability| {
            let index = Arc::clone(&index);
            async move { Ok(index.apply_commits(changes, Some(at), durability).await?) }.boxed()
        })
    };
    let (bucket, (caught_up, _)) = (ledger.commits.clone(), watch::channel(false));
    follow_until_stopped(&ledger, &index, streams::COMMITS, &bucket, apply, &caught_up, &stop).await;
}

async fn follow_until_stopped<T: Serialize + DeserializeOwned + Send + 'static>(
    ledger: &Ledger,
    index: &Index,
    name: &'static str,
    bucket: &Bucket<T>,
    apply: Apply<T>,
    caught_up: &watch::Sender<bool>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let following = follow_once(ledger, index, name, bucket, Arc::clone(&apply), caught_up);
        if let Some(Err(error)) = stop.run_until_cancelled(following).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(bucket = name, error = format!("{error:#}"), "index watch interrupted, resuming");
            stop.run_until_cancelled(tokio::time::sleep(RETRY_DELAY)).await;
        }
    }
}

async fn follow_once<T: Serialize + DeserializeOwned + Send + 'static>(
    ledger: &Ledger,
    index: &Index,
    name: &'static str,
    bucket: &Bucket<T>,
    apply: Apply<T>,
    caught_up: &watch::Sender<bool>,
) -> Result<(), FollowError> {
    let mut stream =
        ledger.js.get_stream(format!("KV_{name}")).await.map_err(|error| FollowError::Stream(name, error))?;
    let info = stream.info().await.map_err(|_| FollowError::WatchEnded(name))?;
    let (created, last) = (info.created.to_string(), info.state.last_sequence);
    let mut at = match index.run(move |tables| tables.position(name)).await? {
        Some(position) if position.created == created && position.sequence <= last => position,
        Some(_) => {
            tracing::info!(bucket = name, "stream replaced, rebuilding index");
            index.run(move |tables| tables.clear_bucket(name)).await?;
            Position { created, sequence: 0 }
        }
        None => Position { created, sequence: 0 },
    };
    // 0 means everything; otherwise what comes after the position.
    let from = if at.sequence == 0 { 0 } else { at.sequence + 1 };
    let mut news = bucket.watch(from).await?.ready_chunks(BATCH);
    let mut on_disk = true;
    loop {
        let batch = match tokio::time::timeout(IDLE, news.next()).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Err(FollowError::WatchEnded(name)),
            Err(_) => {
                // Purged tombstones are not delivered.
                on_disk &= at.sequence >= last;
                at.sequence = at.sequence.max(last);
                caught_up.send_replace(true);
                if !on_disk {
                    apply(Vec::new(), at.clone(), Durability::Now).await?;
                    on_disk = true;
                }
                continue;
            }
        };
        let mut changes = Vec::with_capacity(batch.len());
        let mut current = false;
        for entry in batch {
            let entry = entry.map_err(|_| FollowError::WatchEnded(name))?;
            at.sequence = at.sequence.max(entry.revision);
            current = entry.delta == 0;
            if current {
                at.sequence = at.sequence.max(last);
            }
            changes.extend(change(bucket, &entry));
        }
        apply(changes, at.clone(), Durability::Later).await?;
        on_disk = false;
        if current && !*caught_up.borrow() {
            caught_up.send_replace(true);
        }
    }
}

/// Decodes a change. A value that cannot be decoded is skipped: a newer gateway lists it.
pub(super) fn change<T: Serialize + DeserializeOwned>(
    bucket: &Bucket<T>,
    entry: &kv::Entry,
) -> Option<Change<T>> {
    match bucket.changed(entry) {
        Ok(Some(entry)) => Some(Change::Put(Box::new(entry))),
        Ok(None) => Some(Change::Deleted(entry.key.clone())),
        Err(error) => {
            tracing::debug!(key = entry.key, %error, "value not indexed");
            None
        }
    }
}
