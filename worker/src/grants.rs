//! Asking a gateway for what a job or a status may use. Nothing of the answer is kept.

use std::time::{Duration, Instant};

use async_nats::Client;
use jobs::{
    Cause, Outcome, WorkerName,
    grants::{Asked, GrantReply, GrantRequest},
    streams,
};

/// A gateway that does not answer in this time is not there.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For how long a job's grant is asked for before its attempt ends as our failure: a gateway restarts.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries: that nobody is there is said at once.
const PAUSE: Duration = Duration::from_millis(500);

/// The one who asks, under its own name.
#[derive(Debug, Clone)]
pub struct Grants {
    client: Client,
    subject: String,
}

impl Grants {
    /// Asks as `worker`.
    pub fn new(client: Client, worker: &WorkerName) -> Self {
        Self { client, subject: streams::grants(worker) }
    }

    /// Asks once. An answer that did not come or cannot be read is `Unavailable`. `refused` is the
    /// digest of a token that the forge did not take.
    pub async fn ask(&self, request: &GrantRequest, refused: Option<String>) -> GrantReply {
        let unavailable = |reason: String| GrantReply::Unavailable { reason };
        let payload = match serde_json::to_vec(&Asked { request: request.clone(), refused }) {
            Ok(payload) => payload,
            Err(error) => return unavailable(error.to_string()),
        };
        match tokio::time::timeout(TIMEOUT, self.client.request(self.subject.clone(), payload.into())).await {
            Ok(Ok(reply)) => {
                serde_json::from_slice(&reply.payload).unwrap_or_else(|error| unavailable(error.to_string()))
            }
            Ok(Err(error)) => unavailable(error.to_string()),
            Err(_) => unavailable("no gateway answered".to_owned()),
        }
    }

    /// Asks for a job's grant.
    ///
    /// # Errors
    /// An outcome: refused is final for this attempt, no gateway in reach is our failure.
    pub async fn for_job(&self, request: &GrantRequest) -> Result<jobs::grants::JobGrant, Outcome> {
        let begun = Instant::now();
        loop {
            let reason = match self.ask(request, None).await {
                GrantReply::Job(grant) => return Ok(grant),
                GrantReply::Refused { reason } => return Err(Outcome::service(Cause::Checkout, reason)),
                GrantReply::Unavailable { reason } => reason,
                GrantReply::Status(_) | GrantReply::Delivery(_) => {
                    "a gateway answered another question".to_owned()
                }
            };
            if begun.elapsed() >= PATIENCE {
                tracing::warn!(reason, "grant not received");
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Outcome::service(Cause::Checkout, "no gateway could be asked for the job's credentials"))
    }
}
