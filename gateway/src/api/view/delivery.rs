//! What is shown of deliveries.

use hooks::Incoming;
use jobs::{
    CommitSha, Delivery,
    api::{self, OpenEnum},
    bucket::Entry,
};

/// A delivery, as the API shows it.
pub(crate) fn delivery(entry: &Entry<Delivery>) -> api::Delivery {
    let delivery = &entry.value;
    let EventSummary { reference, sha, pull, made_up } = event_summary(delivery);
    api::Delivery {
        id: entry.key.clone(),
        repo: delivery.repo,
        hook: delivery.hook.clone(),
        event: delivery.event.clone(),
        reference,
        sha,
        pull,
        received_at: delivery.received_at.unwrap_or(entry.written_at),
        verdict: delivery.verdict.map(OpenEnum::Known),
        reason: delivery.reason.as_ref().map(ToString::to_string),
        jobs: delivery.jobs.clone(),
        replay_of: delivery.replay_of.clone(),
        made_up,
    }
}

/// What a delivery is about.
#[derive(Default)]
struct EventSummary {
    reference: Option<String>,
    sha: Option<CommitSha>,
    pull: Option<u64>,
    made_up: bool,
}

fn event_summary(delivery: &Delivery) -> EventSummary {
    match delivery.event() {
        Some(Incoming::Push(push)) => {
            let reference = Some(push.reference.to_string());
            EventSummary { reference, sha: push.after, pull: None, made_up: push.synthetic }
        }
        Some(Incoming::PullRequest(pull)) => {
            let (reference, number) = (Some(pull.reference()), Some(pull.number));
            EventSummary { reference, sha: Some(pull.head_sha), pull: number, made_up: false }
        }
        Some(Incoming::Rerequested(asked)) => {
            EventSummary { sha: Some(asked.sha), ..EventSummary::default() }
        }
        Some(
            Incoming::Ping
            | Incoming::Installation(_)
            | Incoming::InstallationRepositories(_)
            | Incoming::Ignored(_),
        )
        | None => EventSummary::default(),
    }
}
