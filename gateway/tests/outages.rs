//! What goes away comes back: NATS, gateways, and what they left half done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use jobs::{
    CommitState, CommitStatus, Delivery, JobId, State,
    bucket::{Entry, from_watch},
    streams::{STATUSES, commit_key},
};
use reqwest::StatusCode;
use serde_json::{Map, json};
use support::{Answered, Service, push};

const URL: &str = "https://git.example.com/a/pi.git";
/// A reconciler rests 20 s at its start, waits 10 s for the delivery's own gateway, and looks every 2 s.
const MENDED_WITHIN: Duration = Duration::from_secs(60);

/// Asks until a gateway lists the job: its index follows the ledger, and a list does not wait for it.
async fn is_listed(service: &Service, token: &str, job: JobId) {
    let listed = async {
        loop {
            let answer = service.get("/api/v1/jobs", token).send().await.unwrap();
            let text = answer.text().await.unwrap();
            if text.contains(&job.to_string()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, listed).await.expect("the job is listed");
}

#[tokio::test]
async fn gateways_are_one_service_also_after_nats_was_gone() {
    let service = Service::start().await;
    let other = service.another().await;
    let token = service.user("a@example.com").await;
    is_listed(&other, &token, service.submit(&token, URL).await).await;
    service.nats.restart();
    let submitted = async {
        loop {
            let asked = service.post("/api/v1/jobs", &token, &json!({ "repo": URL }));
            let answer = asked.header("idempotency-key", "after").send().await.unwrap();
            if answer.status() == StatusCode::ACCEPTED {
                let job: serde_json::Value = answer.json().await.unwrap();
                return job["id"].as_str().unwrap().parse().unwrap();
            }
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let job = tokio::time::timeout(support::PATIENCE, submitted).await.unwrap();
    is_listed(&service, &token, job).await;
    is_listed(&other, &token, job).await;
    assert_eq!(other.request(reqwest::Method::GET, "/readyz").says(StatusCode::OK).await, "ready\n");
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_put_right() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let lost = service.submit(&token, URL).await;
    service.claim(lost).await.lease.give_up().await;
    let body = push(URL, "a", "b");
    let secret: jobs::Secret = "s".parse().unwrap();
    let signature = hooks::verify::sign(&secret, body.as_bytes()).parse().unwrap();
    let verified = hooks::verify::verify(&secret, [&signature], body.as_bytes()).unwrap();
    let incoming = hooks::incoming::parse(hooks::Forge::Plain, "push", &verified).unwrap();
    let left = Delivery {
        owner: None,
        hook: repo.clone(),
        delivery_id: "d".to_owned(),
        event: "push".to_owned(),
        repo: Some(repo.parse().unwrap()),
        jobs: vec![JobId::new()],
        verdict: None,
        reason: None,
        incoming: Some((&incoming).into()),
        received_at: None,
        replay_of: None,
        plan: jobs::DeliveryPlan::default(),
        approval: jobs::DeliveryApproval::default(),
        other: Map::new(),
    };
    let mut changes = service.ledger.jobs.watch(0).await.unwrap();
    service.ledger.deliveries.create(&Delivery::key(&repo, "d"), &left).await.unwrap();
    let (mut back, mut made) = (false, false);
    let mended = async {
        while !(back && made) {
            let entry = changes.next().await.unwrap().unwrap();
            let Some(entry) = from_watch::<jobs::Job>(&entry).unwrap() else { continue };
            back |= entry.value.spec.id == lost
                && entry.value.status.state == State::Pending
                && entry.value.status.failures == 1;
            made |= left.jobs.contains(&entry.value.spec.id);
        }
    };
    tokio::time::timeout(MENDED_WITHIN, mended).await.expect("both are mended");
}

#[tokio::test]
async fn a_status_whose_message_was_lost_is_queued_again_unless_the_forge_refused_it() {
    let service = Service::with(&[("GITFAAS_GITHUB_TOKEN", "ghp_operator")]).await;
    let token = service.admin().await;
    let url = "https://github.com/a/pi";
    let repo = service.register(&token, json!({ "url": url })).await;
    service.confirmed(&repo, 7).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let key = |digit: &str| {
        let sha = digit.repeat(40).parse().unwrap();
        commit_key(id.parse().unwrap(), &sha, "gitfaas/push")
    };
    let mut jobs = Vec::new();
    for (before, after) in [("0", "a"), ("a", "b"), ("b", "c")] {
        let sent = service.deliver(id, secret, "push", after, &push(url, before, after));
        let answer = sent.answers(StatusCode::ACCEPTED).await;
        jobs.push(answer["jobs"][0].as_str().unwrap().to_owned());
    }
    let refused = |now: &Entry<CommitStatus>| {
        let mut claimed = now.value.claim("w1");
        let before = claimed.clone();
        claimed.rejected(CommitState::Pending, "no".to_owned());
        claimed.release(&before)
    };
    for digit in ["b", "c"] {
        service.ledger.commits.change(&key(digit), refused).await.unwrap().expect("it has a status");
    }
    let cancel = format!("/api/v1/jobs/{}/cancel", jobs[2]);
    service.post(&cancel, &token, &json!({})).answers(StatusCode::OK).await;
    service.ledger.js.get_stream(STATUSES).await.unwrap().purge().await.unwrap();

    let mut queued = service.ledger.client.subscribe("statuses.>").await.unwrap();
    let mut seen = Vec::new();
    let queued_again = async {
        while !(seen.contains(&key("a")) && seen.contains(&key("c"))) {
            let message = queued.next().await.unwrap();
            seen.push(message.subject.strip_prefix("statuses.").unwrap().to_owned());
        }
    };
    tokio::time::timeout(MENDED_WITHIN, queued_again).await.expect("both are queued again");
    assert!(!seen.contains(&key("b")), "pending was refused and is what there is to say");
    let stored = service.ledger.js.get_stream(STATUSES).await.unwrap().get_info().await.unwrap();
    assert_eq!(stored.state.messages, 2);
}

#[tokio::test]
async fn a_gateway_without_this_installations_master_key_does_not_start() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let config = gateway::Config::read(&|_| None, folder.path().to_owned()).unwrap();
        let client = service.nats.client().await;
        let stop = tokio_util::sync::CancellationToken::new();
        let error = gateway::open(config, client, service.address, stop).await.unwrap_err();
        error.downcast::<gateway::KeyError>().unwrap()
    };
    assert!(matches!(open().await, gateway::KeyError::Missing { .. }));
    assert!(!folder.path().join("master.key").exists());
    std::fs::write(folder.path().join("master.key"), [7; 32]).unwrap();
    assert!(matches!(open().await, gateway::KeyError::Mismatch { .. }));
}
