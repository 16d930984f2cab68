//! Which owners had a job lately: whether this installation is shared by several at all.
//!
//! Gateways write one entry for each owner with a job, once a day at most; the bucket drops it after 31
//! days. Its number of messages is the number of owners, so that asking costs one stream info, whoever
//! asks and however long ago it was started. An entry that could not be written costs nobody a job.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream::Stream};
use parking_lot::Mutex;

use crate::{UserId, ledger::LedgerError, streams};

/// How often the entry of an owner who is busy is written again.
const NOTED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Owners remembered as noted; more than any installation has in a day, and 10 MB.
const MAX_NOTED: usize = 100_000;

/// The owners who had a job within 30 days.
#[derive(Debug, Clone)]
pub struct ActiveOwners {
    js: jetstream::Context,
    stream: Stream<()>,
    noted: Arc<Mutex<HashMap<UserId, Instant>>>,
}

impl ActiveOwners {
    pub(crate) async fn open(js: &jetstream::Context) -> Result<Self, LedgerError> {
        let stream = js.get_stream_no_info(format!("KV_{}", streams::OWNERS)).await;
        let stream = stream.map_err(|error| LedgerError::nats("open the owners", error))?;
        Ok(Self { js: js.clone(), stream, noted: Arc::default() })
    }

    /// Notes that an owner has a job. One that cannot be noted is noted with the owner's next job.
    pub async fn note(&self, owner: UserId) {
        let is_noted = |noted: &HashMap<UserId, Instant>| {
            noted.get(&owner).is_some_and(|since| since.elapsed() < NOTED_FOR)
        };
        if is_noted(&self.noted.lock()) {
            return;
        }
        let value = format!("{{\"v\":{}}}", crate::bucket::VERSION);
        let subject = format!("$KV.{}.{owner}", streams::OWNERS);
        let writing = async { self.js.publish(subject, value.into()).await?.await };
        if let Err(error) = writing.await {
            tracing::warn!(%owner, %error, "owner not noted as active");
            return;
        }
        let mut noted = self.noted.lock();
        if noted.len() >= MAX_NOTED {
            noted.clear();
        }
        noted.insert(owner, Instant::now());
    }

    /// Whether more than one owner had a job within 30 days.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn are_several(&self) -> Result<bool, LedgerError> {
        let info = self.stream.get_info().await;
        // One message for each key: entries are never deleted, they expire.
        Ok(info.map_err(|error| LedgerError::nats("count the owners", error))?.state.messages > 1)
    }
}
