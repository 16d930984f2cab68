//! The same push again: many times at once, and long after its delivery was forgotten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use jobs::{
    head_key,
    streams::{DELIVERIES, JOBS, PUSHES},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Answered, Service, push};
use test_case::test_case;

const URL: &str = "https://git.example.com/a/pi.git";
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Registers a repository; returns its id and its secret.
async fn registered(service: &Service) -> (String, String) {
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    let text = |field: &str| repo[field].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

#[tokio::test]
async fn a_hundred_equal_deliveries_at_once_to_two_gateways_are_one_job() {
    let service = Service::start().await;
    let (repo, secret) = registered(&service).await;
    let other = service.another().await;
    let body = push(URL, "0", "a");
    let sent = (0..100).map(|n| {
        // Half of them are redeliveries of one, half come under ids of their own; each gateway gets both.
        let id = if n % 2 == 0 { "same".to_owned() } else { format!("d-{n}") };
        let gateway = if n % 4 < 2 { &service } else { &other };
        gateway.deliver(&repo, &secret, "push", &id, &body).answers(StatusCode::ACCEPTED)
    });
    let answers = join_all(sent).await;
    let jobs = service.all_jobs().await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    for answer in answers {
        assert_eq!(answer["jobs"], json!([jobs[0].spec.id]), "{answer}");
    }
    let queue = service.ledger.js.get_stream(JOBS).await.unwrap().get_info().await.unwrap();
    assert_eq!(queue.state.messages, 1);
}

#[tokio::test]
async fn deliveries_and_pushes_are_kept_for_thirty_days_however_short_records_are() {
    let service = Service::with(&[("GITFAAS_KEEP_JOBS", "1d")]).await;
    for bucket in [DELIVERIES, PUSHES] {
        let stream = service.ledger.js.get_stream(format!("KV_{bucket}")).await.unwrap();
        assert_eq!(stream.get_info().await.unwrap().config.max_age, MONTH, "{bucket}");
    }
}

/// `max_age` removes an entry as a deletion does: nobody finds it any more.
#[test_case(true ; "while its record is kept")]
#[test_case(false ; "after its record is gone too")]
#[tokio::test]
async fn a_push_whose_delivery_is_forgotten_makes_no_second_job(record_is_kept: bool) {
    let service = Service::start().await;
    let (repo, secret) = registered(&service).await;
    let deliver = async |id: &str, before: &str, after: &str| -> Value {
        let sent = service.deliver(&repo, &secret, "push", id, &push(URL, before, after));
        sent.answers(StatusCode::ACCEPTED).await
    };
    let first = deliver("1", "a", "b").await;
    let job = first["jobs"][0].as_str().unwrap();
    service.run(job.parse().unwrap(), "done\n", b"3.14").await;
    let next = deliver("2", "b", "c").await;
    let ledger = &service.ledger;
    let entry = ledger.deliveries.get(first["delivery"].as_str().unwrap()).await.unwrap().unwrap();
    ledger.deliveries.delete(&entry.key, entry.revision).await.unwrap();
    if !record_is_kept {
        let record = ledger.jobs.get(job).await.unwrap().unwrap();
        ledger.jobs.delete(job, record.revision).await.unwrap();
    }

    let again = deliver("1", "a", "b").await;
    assert_eq!((&again["verdict"], &again["jobs"]), (&json!("duplicate"), &first["jobs"]));
    assert_eq!(service.all_jobs().await.len(), if record_is_kept { 2 } else { 1 });
    let head = ledger.heads.get(&head_key(repo.parse().unwrap(), "refs/heads/main")).await.unwrap();
    assert_eq!(json!([head.unwrap().value.job]), next["jobs"], "an old delivery moves nothing back");
}
