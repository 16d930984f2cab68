//! A lease says that a running job has a worker that lives.
//!
//! It is a message in LEASES that the server drops after [`crate::streams::LEASE_LIFE`] unless it is
//! published again. Renewing is a task of its own, which the job cannot starve; when no renewal was
//! acknowledged for [`LOST_AFTER`], that task ends the work.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream::Stream};
use tokio::sync::watch;

use crate::{JobId, UserId, WorkerName, streams};

/// A quarter of a lease's life, so that three beats may be lost before the job is taken from us.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without an acknowledgement for this long the work is ended, before the server drops the lease.
pub const LOST_AFTER: Duration = Duration::from_secs(15);

/// The right to run one attempt.
#[derive(Debug)]
pub struct Lease {
    js: jetstream::Context,
    stream: Stream<()>,
    subject: String,
    sequence: watch::Sender<u64>,
}

/// The lease could not be renewed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease was lost")]
pub struct LeaseLost;

impl Lease {
    /// Takes the lease for an attempt; the claim decides whether it counts.
    pub(crate) async fn take(
        js: &jetstream::Context,
        stream: &Stream<()>,
        owner: UserId,
        job: JobId,
        attempt: u32,
        worker: &WorkerName,
    ) -> Result<Self, jetstream::context::PublishError> {
        let subject = streams::lease(owner, job, attempt, worker);
        let ack = js.publish(subject.clone(), "".into()).await?.await?;
        Ok(Self { js: js.clone(), stream: stream.clone(), subject, sequence: watch::channel(ack.sequence).0 })
    }

    /// Runs `work` while the job is ours: while renewals are acknowledged and `still_ours` says so,
    /// which is asked at every beat. When the lease is lost, `work` is dropped.
    ///
    /// # Errors
    /// [`LeaseLost`]; the caller's own clean-up must not hang on the work that was dropped.
    pub async fn hold<T, Asked: Future<Output = bool>>(
        &self,
        still_ours: impl Fn() -> Asked,
        work: impl Future<Output = T>,
    ) -> Result<T, LeaseLost> {
        let mut renewing = tokio::spawn(renew(self.js.clone(), self.subject.clone(), self.sequence.clone()));
        let asking = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if !still_ours().await {
                    return;
                }
            }
        };
        let held = tokio::select! {
            done = work => Ok(done),
            _ = &mut renewing => Err(LeaseLost),
            () = asking => Err(LeaseLost),
        };
        renewing.abort();
        // The last renewal may still be on its way; its sequence must be known before `give_up`.
        let _ = renewing.await;
        held
    }

    /// Gives the lease up. One that cannot be reached goes by itself.
    pub async fn give_up(self) {
        let sequence = *self.sequence.borrow();
        if let Err(error) = self.stream.delete_message(sequence).await {
            tracing::debug!(%error, "lease left to expire");
        }
    }
}

/// Publishes the lease again every [`HEARTBEAT`]; returns when it must be taken as lost.
async fn renew(js: jetstream::Context, subject: String, sequence: watch::Sender<u64>) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let sent = Instant::now();
        let left = LOST_AFTER.saturating_sub(renewed.elapsed());
        let publishing = async { js.publish(subject.clone(), "".into()).await?.await };
        match tokio::time::timeout(left, publishing).await {
            Ok(Ok(ack)) => {
                // Counted from the sending: the server may have stored it right then.
                renewed = sent;
                sequence.send_replace(ack.sequence);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "lease not renewed");
                if renewed.elapsed() >= LOST_AFTER {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
