//! Noticing that the connection to NATS was away.
//!
//! A server that was restarted knows nothing of the consumers and requests that were open there, and
//! async-nats begins an ordered consumer anew only after a back-off of up to 10 s. Whoever waits for news
//! therefore asks anew by itself when the connection is back.

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::Client;

/// Between two looks at the number of connections so far: what waits for news is at most this much later
/// after an outage, and a look is one read of a counter.
const LOOK: Duration = Duration::from_millis(250);

/// Returns when the client has connected once more since it was called.
pub async fn reconnected(client: &Client) {
    let statistics = client.statistics();
    let before = statistics.connects.load(Ordering::Relaxed);
    while statistics.connects.load(Ordering::Relaxed) == before {
        tokio::time::sleep(LOOK).await;
    }
}
