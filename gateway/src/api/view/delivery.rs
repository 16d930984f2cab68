//! What is shown of deliveries.

use hooks::Incoming;
use jiff::Timestamp;
use jobs::{CommitSha, Delivery, JobId, RepoId, Verdict, bucket::Entry};
use serde::Serialize;

/// A signed delivery and what was decided about it.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryView {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repo: Option<RepoId>,
    pub(crate) hook: String,
    pub(crate) event: String,
    /// What it is about, where it is about a ref; `sha` is what an approval names.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha: Option<CommitSha>,
    /// Of a pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<u64>,
    pub(crate) received_at: Timestamp,
    /// Absent while it is being taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) jobs: Vec<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay_of: Option<String>,
    /// Nobody sent it: the forge's refs were compared.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) made_up: bool,
}

impl From<&Entry<Delivery>> for DeliveryView {
    fn from(entry: &Entry<Delivery>) -> Self {
        let delivery = &entry.value;
        let About { reference, sha, pull, made_up } = about(delivery);
        Self {
            id: entry.key.clone(),
            repo: delivery.repo,
            hook: delivery.hook.clone(),
            event: delivery.event.clone(),
            reference,
            sha,
            pull,
            received_at: delivery.received_at.unwrap_or(entry.written_at),
            verdict: delivery.verdict,
            reason: delivery.reason.clone(),
            jobs: delivery.jobs.clone(),
            replay_of: delivery.replay_of.clone(),
            made_up,
        }
    }
}

/// What a delivery is about.
#[derive(Default)]
struct About {
    reference: Option<String>,
    sha: Option<CommitSha>,
    pull: Option<u64>,
    made_up: bool,
}

fn about(delivery: &Delivery) -> About {
    match delivery.incoming.clone().map(serde_json::from_value) {
        Some(Ok(Incoming::Push(push))) => {
            let reference = Some(push.reference.to_string());
            About { reference, sha: push.after, pull: None, made_up: push.synthetic }
        }
        Some(Ok(Incoming::PullRequest(pull))) => {
            let (reference, number) = (Some(pull.reference()), Some(pull.number));
            About { reference, sha: Some(pull.head_sha), pull: number, made_up: false }
        }
        Some(Ok(Incoming::Rerequested(asked))) => About { sha: Some(asked.sha), ..About::default() },
        Some(Ok(
            Incoming::Ping
            | Incoming::Installation(_)
            | Incoming::InstallationRepositories(_)
            | Incoming::Ignored(_),
        ))
        | Some(Err(_))
        | None => About::default(),
    }
}
