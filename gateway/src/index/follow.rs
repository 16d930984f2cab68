//! Following a bucket: one watch for the whole gateway, continued where it was.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::kv;
use futures_util::StreamExt as _;
use jobs::{
    CommitStatus, Delivery, IdempotencyKey, Job, Ledger,
    bucket::{Bucket, BucketError},
    streams,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::index::{Change, Durability, Index, IndexError, Position};

/// Changes taken in at once: one transaction each.
const BATCH: usize = 256;
/// Without news for this long the index is written to disk, and what lies in the stream counts as read.
const QUIET: Duration = Duration::from_millis(500);
/// Before a watch that broke is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Why following stopped for the moment.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the stream of {0} cannot be found")]
    Stream(&'static str, #[source] async_nats::jetstream::context::GetStreamError),
    #[error("the watch of {0} broke")]
    Broke(&'static str),
}

/// What a follower does with a batch.
type Take<T> = Arc<dyn Fn(Vec<Change<T>>, Position, Durability) -> Result<(), IndexError> + Send + Sync>;

/// Follows the bucket of jobs into the index until `stop`; `caught_up` becomes true when what lay
/// there at the start was read.
pub(crate) async fn jobs(
    ledger: Ledger,
    index: Arc<Index>,
    caught_up: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let take: Take<Job> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, sync| index.take_jobs(&changes, Some(&at), sync))
    };
    let bucket = ledger.jobs.clone();
    for_ever(&ledger, &index, streams::JOBS_BUCKET, &bucket, take, &caught_up, &stop).await;
}

/// Follows the bucket of deliveries into the index.
pub(crate) async fn deliveries(
    ledger: Ledger,
    index: Arc<Index>,
    caught_up: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let take: Take<Delivery> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, sync| index.take_deliveries(&changes, Some(&at), sync))
    };
    let bucket = ledger.deliveries.clone();
    for_ever(&ledger, &index, streams::DELIVERIES, &bucket, take, &caught_up, &stop).await;
}

/// Follows the bucket of idempotency keys into the index. Nobody waits for what lay there at the start.
pub(crate) async fn idempotency_keys(ledger: Ledger, index: Arc<Index>, stop: CancellationToken) {
    let take: Take<IdempotencyKey> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, sync| index.take_idempotency_keys(&changes, Some(&at), sync))
    };
    let (bucket, (caught_up, _)) = (ledger.idempotency.clone(), watch::channel(false));
    for_ever(&ledger, &index, streams::IDEMPOTENCY, &bucket, take, &caught_up, &stop).await;
}

/// Follows the bucket of commits into the index. Nobody waits for what lay there at the start.
pub(crate) async fn commits(ledger: Ledger, index: Arc<Index>, stop: CancellationToken) {
    let take: Take<CommitStatus> = {
        let index = Arc::clone(&index);
        Arc::new(move |changes, at, sync| index.take_commits(&changes, Some(&at), sync))
    };
    let (bucket, (caught_up, _)) = (ledger.commits.clone(), watch::channel(false));
    for_ever(&ledger, &index, streams::COMMITS, &bucket, take, &caught_up, &stop).await;
}

async fn for_ever<T: Serialize + DeserializeOwned + Send + 'static>(
    ledger: &Ledger,
    index: &Index,
    name: &'static str,
    bucket: &Bucket<T>,
    take: Take<T>,
    caught_up: &watch::Sender<bool>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let following = once(ledger, index, name, bucket, Arc::clone(&take), caught_up);
        if let Some(Err(error)) = stop.run_until_cancelled(following).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(bucket = name, error = format!("{error:#}"), "the index follows anew");
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }
}

async fn once<T: Serialize + DeserializeOwned + Send + 'static>(
    ledger: &Ledger,
    index: &Index,
    name: &'static str,
    bucket: &Bucket<T>,
    take: Take<T>,
    caught_up: &watch::Sender<bool>,
) -> Result<(), FollowError> {
    let mut stream =
        ledger.js.get_stream(format!("KV_{name}")).await.map_err(|error| FollowError::Stream(name, error))?;
    let info = stream.info().await.map_err(|_| FollowError::Broke(name))?;
    let (created, last) = (info.created.to_string(), info.state.last_sequence);
    let mut at = match index.position(name)? {
        Some(position) if position.created == created && position.sequence <= last => position,
        Some(_) => {
            tracing::info!(bucket = name, "the index is of another stream and is thrown away");
            index.throw_away(name)?;
            Position { created, sequence: 0 }
        }
        None => Position { created, sequence: 0 },
    };
    // 0 means everything; otherwise what comes after the position.
    let from = if at.sequence == 0 { 0 } else { at.sequence + 1 };
    let mut news = bucket.watch(from).await?.ready_chunks(BATCH);
    let mut on_disk = true;
    loop {
        let batch = match tokio::time::timeout(QUIET, news.next()).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Err(FollowError::Broke(name)),
            Err(_) => {
                // Marks of deletion that were purged are told of no more.
                on_disk &= at.sequence >= last;
                at.sequence = at.sequence.max(last);
                caught_up.send_replace(true);
                if !on_disk {
                    take_on_own_thread(&take, Vec::new(), at.clone(), Durability::Now).await?;
                    on_disk = true;
                }
                continue;
            }
        };
        let mut changes = Vec::with_capacity(batch.len());
        let mut current = false;
        for entry in batch {
            let entry = entry.map_err(|_| FollowError::Broke(name))?;
            at.sequence = at.sequence.max(entry.revision);
            current = entry.delta == 0;
            if current {
                at.sequence = at.sequence.max(last);
            }
            changes.extend(change(bucket, &entry));
        }
        take_on_own_thread(&take, changes, at.clone(), Durability::Later).await?;
        on_disk = false;
        if current && !*caught_up.borrow() {
            caught_up.send_replace(true);
        }
    }
}

/// redb blocks, and a batch may wait for the disk.
async fn take_on_own_thread<T: Send + 'static>(
    take: &Take<T>,
    changes: Vec<Change<T>>,
    at: Position,
    sync: Durability,
) -> Result<(), IndexError> {
    let take = Arc::clone(take);
    let taken = tokio::task::spawn_blocking(move || take(changes, at, sync)).await;
    taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A value that cannot be understood is none of this gateway's: a newer one will list it.
pub(super) fn change<T: Serialize + DeserializeOwned>(
    bucket: &Bucket<T>,
    entry: &kv::Entry,
) -> Option<Change<T>> {
    match bucket.changed(entry) {
        Ok(Some(entry)) => Some(Change::Put(Box::new(entry))),
        Ok(None) => Some(Change::Gone(entry.key.clone())),
        Err(error) => {
            tracing::debug!(key = entry.key, %error, "not indexed");
            None
        }
    }
}
