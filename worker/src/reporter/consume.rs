//! Consumes STATUSES message by message, also after silence and reconnects.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::jetstream::{AckKind, consumer::PullConsumer};
use futures_util::{StreamExt as _, stream::SelectAll};
use jobs::{reconnected, streams};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{MessageAction, Reporter, backoff};

/// Statuses posted at once by one worker; forges ask for few.
const AT_ONCE: usize = 8;
/// How often the workers are counted that share a forge's limits; each renews its presence as often.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long NATS keeps a request for a message; then it is asked again. No heartbeat is asked for:
/// async-nats 0.51 answers one without arranging to be woken, and then nothing is heard before its own
/// time-out.
const ASKED_FOR: Duration = Duration::from_secs(5);
/// NATS is away: the loop goes on when it is back.
const NATS_PAUSE: Duration = Duration::from_secs(1);

impl Reporter {
    /// Consumes messages one by one until `stop`, then finishes those in hand; what is not finished when
    /// `grace_over` is cancelled is left to another poster.
    pub async fn run(self, stop: CancellationToken, grace_over: CancellationToken) {
        let posting = TaskTracker::new();
        let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        posting.spawn(self.clone().count_workers(stop.clone()));
        while !stop.is_cancelled() {
            if let Err(error) = self.consume(&stop, &grace_over, &posting, &slots).await {
                tracing::debug!(error = format!("{error:#}"), "cannot consume statuses");
                let _ = stop.run_until_cancelled(tokio::time::sleep(NATS_PAUSE)).await;
            }
        }
        posting.close();
        posting.wait().await;
    }

    async fn count_workers(self, stop: CancellationToken) {
        loop {
            if let Ok(workers) = self.ledger.workers.subjects().await {
                self.workers.store(workers.len().max(1), Ordering::Relaxed);
            }
            if stop.run_until_cancelled(tokio::time::sleep(COUNT_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn consume(
        &self,
        stop: &CancellationToken,
        grace_over: &CancellationToken,
        posting: &TaskTracker,
        slots: &Arc<tokio::sync::Semaphore>,
    ) -> anyhow::Result<()> {
        let stream = self.ledger.js.get_stream_no_info(streams::STATUSES).await?;
        let consumer: PullConsumer =
            stream.get_consumer(streams::STATUS_POSTERS).await.map_err(anyhow::Error::from_boxed)?;
        // One message a request: the client's endless stream counts a message that comes before the answer
        // to its request twice, and then asks for nothing for 35 s.
        let ask = async || consumer.batch().max_messages(1).expires(ASKED_FOR).messages().await;
        let mut asked = SelectAll::new();
        let mut back = Box::pin(reconnected(&self.ledger.client));
        loop {
            let permit = Arc::clone(slots).acquire_owned().await?;
            if asked.is_empty() {
                asked.push(ask().await?);
            }
            let message = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                message = asked.next() => message,
                // A server that was restarted knows nothing of the request. One that was not may still
                // answer it, so it is heard out as well.
                () = &mut back => {
                    back.set(reconnected(&self.ledger.client));
                    asked.push(ask().await?);
                    continue;
                }
            };
            let Some(message) = message else { continue };
            let message = message.map_err(anyhow::Error::from_boxed)?;
            let (reporter, grace_over) = (self.clone(), grace_over.clone());
            posting.spawn(async move {
                let _permit = permit;
                let key = message.subject.strip_prefix("statuses.").unwrap_or_default().to_owned();
                let (message, handle) = message.split();
                drop(message);
                let action = grace_over.run_until_cancelled(reporter.handle(&key, &handle)).await;
                let acked = match action.unwrap_or(MessageAction::Redeliver(Some(Duration::ZERO))) {
                    MessageAction::Ack => {
                        reporter.failures.lock().remove(&key);
                        reporter.running_since.lock().remove(&key);
                        handle.ack().await
                    }
                    MessageAction::Redeliver(asked) => {
                        let wait = asked.unwrap_or_else(|| backoff(reporter.count_failure(key)));
                        handle.ack_with(AckKind::Nak(Some(wait))).await
                    }
                };
                if let Err(error) = acked {
                    tracing::debug!(%error, "status message not acknowledged");
                }
            });
        }
    }
}
