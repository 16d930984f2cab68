//! What owners may take up: at the same moment, through several gateways, in every way, and what a full one
//! leaves to the others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use jobs::usage::{Hold, Holds, Resource};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service, push};

const URL: &str = "https://example.com/a/pi.git";

async fn usage(service: &Service, token: &str) -> BTreeMap<String, (u64, u64)> {
    let usage = service.get("/api/v1/usage", token).answers(StatusCode::OK).await;
    let items = usage["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let number = |name: &str| item[name].as_u64().unwrap();
            (item["resource"].as_str().unwrap().to_owned(), (number("used"), number("limit")))
        })
        .collect()
}

/// Asks until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it never came that {what}");
}

#[tokio::test]
async fn a_hundred_calls_at_once_through_two_gateways_are_as_many_as_may_wait() {
    let limit = [("GITFAAS_MAX_QUEUED_PER_USER", "10")];
    let one = Service::with(&limit).await;
    let other = one.another_with(&limit).await;
    let (hostile, neighbour) = (one.user("a@example.com").await, one.user("b@example.com").await);
    let call = |turn: usize| {
        let service = if turn.is_multiple_of(2) { &one } else { &other };
        let request = service.post("/api/v1/jobs", &hostile, &json!({ "repo": URL }));
        async move { request.send().await.unwrap().status() }
    };
    let answers = join_all((0..100).map(call)).await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(StatusCode::ACCEPTED), count(StatusCode::TOO_MANY_REQUESTS)), (10, 90));
    let told = one.post("/api/v1/jobs", &hostile, &json!({ "repo": URL }));
    let told = told.answers(StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(
        told["error"]["message"],
        "queued: 10 of 10 are used; jobs that start, or are cancelled, make place"
    );
    assert_eq!(usage(&other, &hostile).await["queued"], (10, 10));
    // The neighbour sees nothing of it.
    other.submit(&neighbour, URL).await;
    // One that starts makes place.
    let waiting =
        one.all_jobs().await.into_iter().find(|job| job.status.state == jobs::State::Pending).unwrap();
    let _claim = one.claim(waiting.spec.id).await;
    until("one more may wait", async || {
        let again = other.post("/api/v1/jobs", &hostile, &json!({ "repo": URL }));
        again.send().await.unwrap().status() == StatusCode::ACCEPTED
    })
    .await;
}

#[tokio::test]
async fn thirty_requests_at_once_make_no_more_tokens_repositories_or_secrets_than_are_allowed() {
    let limits = [
        ("GITFAAS_MAX_TOKENS_PER_USER", "5"),
        ("GITFAAS_MAX_REPOS_PER_USER", "3"),
        ("GITFAAS_MAX_SECRETS_PER_USER", "100k"),
    ];
    let service = Service::with(&limits).await;
    let token = service.user("a@example.com").await;
    let made = async |requests: Vec<support::described::RequestBuilder>| {
        let answers =
            join_all(requests.into_iter().map(|request| async { request.send().await.unwrap().status() }));
        let answers = answers.await;
        assert!(
            answers
                .iter()
                .all(|status| [StatusCode::CREATED, StatusCode::TOO_MANY_REQUESTS].contains(status)),
            "{answers:?}"
        );
        answers.into_iter().filter(|status| *status == StatusCode::CREATED).count()
    };
    let tokens = (0..30).map(|_| service.post("/api/v1/tokens", &token, &json!({}))).collect();
    assert_eq!(made(tokens).await, 4, "one is the test's own");
    let repos = (0..30).map(|turn| {
        let url = format!("https://example.com/a/r{turn}.git");
        service.post("/api/v1/repos", &token, &json!({ "url": url }))
    });
    assert_eq!(made(repos.collect()).await, 3);
    let repo = service.get("/api/v1/repos", &token).answers(StatusCode::OK).await["items"][0]["id"].clone();
    let repo = repo.as_str().unwrap().to_owned();
    let secret = |name: &str, bytes: usize| {
        let path = format!("/api/v1/repos/{repo}/secrets/{name}");
        service.request(Method::PUT, &path).bearer_auth(&token).body("s".repeat(bytes))
    };
    let secrets = (0..30).map(|turn| secret(&format!("S{turn}"), 20_000)).collect();
    assert_eq!(made(secrets).await, 3, "each is 27 kB once sealed");
    // What is removed makes place at once, and a longer value needs some.
    let listed = service.get(&format!("/api/v1/repos/{repo}/secrets"), &token).answers(StatusCode::OK).await;
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    secret(names[0], 40_000).answers(StatusCode::TOO_MANY_REQUESTS).await;
    let path = format!("/api/v1/repos/{repo}/secrets/{}", names[1]);
    service.request(Method::DELETE, &path).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    until("the place is free", async || {
        secret(names[0], 40_000).send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    // A token that is made and revoked over and over is never too many.
    let own = service.get("/api/v1/tokens", &token).answers(StatusCode::OK).await;
    let id = own["items"][0]["id"].as_str().unwrap().to_owned();
    service
        .request(Method::DELETE, &format!("/api/v1/tokens/{id}"))
        .bearer_auth(&token)
        .says(StatusCode::NO_CONTENT)
        .await;
    for _ in 0..10 {
        let made = service.post("/api/v1/tokens", &token, &json!({})).answers(StatusCode::CREATED).await;
        let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
        service.request(Method::DELETE, &path).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    }
}

#[tokio::test]
async fn a_full_queue_stores_nothing_of_calls_reruns_and_replays_and_ends_what_a_forge_brings() {
    let service = Service::with(&[("GITFAAS_MAX_QUEUED_PER_USER", "1")]).await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let deliver = |name: &'static str, before: &str, after: &str| {
        service.deliver(id, secret, "push", name, &push(URL, before, after))
    };
    let first = deliver("1", "a", "b").answers(StatusCode::ACCEPTED).await;
    let job = first["jobs"][0].as_str().unwrap().to_owned();
    let stored = async || {
        let ledger = &service.ledger;
        let mut messages = Vec::new();
        for name in ["KV_jobs", "KV_idempotency", "KV_pushes", "KV_deliveries"] {
            messages.push(ledger.js.get_stream(name).await.unwrap().cached_info().state.messages);
        }
        messages
    };
    until("the job is known to wait", async || usage(&service, &token).await["queued"].0 == 1).await;
    let before = stored().await;
    for turn in 0..20 {
        let call = service.post("/api/v1/jobs", &token, &json!({ "repo": id }));
        call.header("idempotency-key", format!("key-{turn}")).answers(StatusCode::TOO_MANY_REQUESTS).await;
        let rerun = service.post(&format!("/api/v1/jobs/{job}/rerun"), &token, &Value::Null);
        rerun.answers(StatusCode::TOO_MANY_REQUESTS).await;
        let path = format!("/api/v1/deliveries/{}/replay", first["delivery"].as_str().unwrap());
        service.post(&path, &token, &Value::Null).answers(StatusCode::TOO_MANY_REQUESTS).await;
    }
    // A key that was entered and removed leaves its mark, which is swept.
    let after = stored().await;
    assert_eq!((after[0], &after[2..]), (before[0], &before[2..]));
    let marks = service.ledger.idempotency.tombstones().await.unwrap();
    assert_eq!(after[1] - before[1], 20);
    assert_eq!(marks.len(), 20);
    for mark in &marks {
        service.ledger.idempotency.purge_tombstone(mark).await.unwrap();
    }
    assert_eq!(stored().await, before);
    // A forge is told with the commit, in one record that is over.
    let refused = deliver("2", "b", "c").answers(StatusCode::ACCEPTED).await;
    assert_eq!(refused["verdict"], "refused");
    // The same push again makes nothing, and takes no place that it does not use.
    for name in ["3", "4", "5"] {
        assert_eq!(deliver(name, "a", "b").answers(StatusCode::ACCEPTED).await["verdict"], "duplicate");
    }
    let job = job.parse().unwrap();
    let _claim = service.claim(job).await;
    until("there is place again", async || {
        let call = service.post("/api/v1/jobs", &token, &json!({ "repo": id }));
        call.send().await.unwrap().status() == StatusCode::ACCEPTED
    })
    .await;
}

#[tokio::test]
async fn a_promise_of_a_gateway_that_was_killed_is_given_up_after_a_minute() {
    let service = Service::with(&[("GITFAAS_MAX_QUEUED_PER_USER", "2")]).await;
    let token = service.user("a@example.com").await;
    let user = service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
    let owner = user["user"].as_str().or(user["id"].as_str()).unwrap().to_owned();
    let hold = Hold { of: Resource::Queued, amount: 1 };
    let left = Holds { holds: BTreeMap::from([(jobs::JobId::new().to_string(), hold)]), ..Holds::default() };
    service.ledger.usage.create(&owner, &left).await.unwrap();
    service.submit(&token, URL).await;
    let call = || service.post("/api/v1/jobs", &token, &json!({ "repo": URL }));
    call().answers(StatusCode::TOO_MANY_REQUESTS).await;
    // Only a silence shows it.
    tokio::time::sleep(Duration::from_secs(61)).await;
    call().answers(StatusCode::ACCEPTED).await;
    call().answers(StatusCode::TOO_MANY_REQUESTS).await;
    let stored = service.ledger.usage.get(&owner).await.unwrap().unwrap();
    assert!(!stored.value.holds.keys().any(|id| left.holds.contains_key(id)));
}

#[tokio::test]
async fn an_owners_oldest_logs_and_results_go_and_the_neighbours_stay() {
    // A log of a megabyte each, in a store that is otherwise large.
    let limits = [("GITFAAS_MAX_LOGS_PER_USER", "4m"), ("GITFAAS_MAX_RESULTS_PER_USER", "2m")];
    let service = Service::with(&limits).await;
    let (hostile, neighbour) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let kept = service.submit(&neighbour, URL).await;
    service.run(kept, "the neighbour's log", &vec![b'n'; 100_000]).await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        let job = service.submit(&hostile, URL).await;
        service.run(job, &"x".repeat(1_000_000), &vec![b'r'; 300_000]).await;
        jobs.push(job);
    }
    until("the oldest went", async || {
        let used = usage(&service, &hostile).await;
        used["logs"].0 <= used["logs"].1 && used["results"].0 <= used["results"].1
    })
    .await;
    let get = |job, what: &str, token: &str| service.get(&format!("/api/v1/jobs/{job}{what}"), token);
    get(jobs[0], "", &hostile).answers(StatusCode::NOT_FOUND).await;
    let newest = *jobs.last().unwrap();
    assert_eq!(get(newest, "/log", &hostile).says(StatusCode::OK).await.len(), 1_000_000);
    assert_eq!(get(newest, "/result", &hostile).says(StatusCode::OK).await.len(), 300_000);
    assert_eq!(get(kept, "/log", &neighbour).says(StatusCode::OK).await, "the neighbour's log");
    assert_eq!(get(kept, "/result", &neighbour).says(StatusCode::OK).await.len(), 100_000);
    // What is gone is gone from the store too.
    let logs = service.ledger.js.get_stream("LOGS").await.unwrap().cached_info().state.bytes;
    assert!(logs < 5_500_000, "{logs}");
    let results = service.ledger.js.get_stream("OBJ_RESULTS").await.unwrap().cached_info().state.bytes;
    assert!(results < 2_800_000, "{results}");
}

#[tokio::test]
async fn a_job_that_is_over_can_be_deleted_by_its_owner_alone() {
    let service = Service::start().await;
    let (owner, stranger) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let job = service.submit(&owner, URL).await;
    let delete =
        |token: &str| service.request(Method::DELETE, &format!("/api/v1/jobs/{job}")).bearer_auth(token);
    delete(&owner).answers(StatusCode::CONFLICT).await;
    service.run(job, "log", &vec![b'r'; 20_000]).await;
    delete(&stranger).answers(StatusCode::NOT_FOUND).await;
    let before = usage(&service, &owner).await;
    assert!(before["logs"].0 > 0 && before["results"].0 == 20_000 && before["records"].0 > 0, "{before:?}");
    delete(&owner).says(StatusCode::NO_CONTENT).await;
    delete(&owner).answers(StatusCode::NOT_FOUND).await;
    let after = usage(&service, &owner).await;
    assert_eq!((after["logs"].0, after["results"].0, after["records"].0), (0, 0, 0));
    let list = service.get("/api/v1/jobs", &owner).answers(StatusCode::OK).await;
    assert_eq!(list["items"], json!([]));
    for stream in ["LOGS", "OBJ_RESULTS"] {
        let bytes = service.ledger.js.get_stream(stream).await.unwrap().cached_info().state.bytes;
        assert!(bytes < 1000, "{stream} still holds {bytes}");
    }
}

#[tokio::test]
async fn what_is_counted_is_the_same_when_it_is_counted_anew() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    for turn in ["b", "c", "d"] {
        let body = push(URL, "a", turn);
        service.deliver(id, secret, "push", turn, &body).answers(StatusCode::ACCEPTED).await;
    }
    let job = service.submit(&token, URL).await;
    service.run(job, "a log", &vec![b'r'; 50_000]).await;
    until("all is counted", async || usage(&service, &token).await["results"].0 == 50_000).await;
    until("deliveries have their verdicts", async || {
        service.get("/api/v1/deliveries", &token).answers(StatusCode::OK).await["items"]
            .as_array()
            .unwrap()
            .len()
            == 3
    })
    .await;
    // Another gateway's index is made anew from the ledger.
    let anew = service.another().await;
    until("both count the same", async || {
        let (one, other) = (usage(&service, &token).await, usage(&anew, &token).await);
        let kept = |usage: &BTreeMap<String, (u64, u64)>| {
            let mut usage = usage.clone();
            // Refs are counted where their registration was met.
            usage.remove("refs");
            usage
        };
        kept(&one) == kept(&other) && one["deliveries"].0 > 0 && one["records"].0 > 0
    })
    .await;
}

#[tokio::test]
async fn a_payload_of_900_kilobytes_leaves_a_few() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let mut body: Value = serde_json::from_str(&push(URL, "a", "b")).unwrap();
    body["repository"]["html_url"] = "x".repeat(900_000).into();
    body["pusher"]["name"] = "y".repeat(900_000).into();
    let taken =
        service.deliver(id, secret, "push", "1", &body.to_string()).answers(StatusCode::ACCEPTED).await;
    assert_eq!(taken["verdict"], "accepted");
    let bytes = service.ledger.js.get_stream("KV_deliveries").await.unwrap().cached_info().state.bytes;
    assert!(bytes < 10_000, "{bytes}");
}

#[tokio::test]
async fn a_registrations_signed_deliveries_have_a_rate_and_the_neighbours_are_taken() {
    let service = Service::with(&[("GITFAAS_MAX_DELIVERIES_PER_MINUTE", "5")]).await;
    let token = service.user("a@example.com").await;
    let mut registered = Vec::new();
    for name in ["one", "two"] {
        registered.push(
            service.register(&token, json!({ "url": format!("https://example.com/a/{name}.git") })).await,
        );
    }
    let deliver = |repo: &Value, name: String| {
        let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
        service.deliver(id, secret, "ping", &name, r#"{"zen":"calm"}"#)
    };
    let mut answers = Vec::new();
    for turn in 0..8 {
        answers.push(deliver(&registered[0], turn.to_string()).send().await.unwrap().status());
    }
    assert_eq!(
        answers.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count(),
        3,
        "{answers:?}"
    );
    deliver(&registered[1], "x".to_owned()).says(StatusCode::OK).await;
}

#[tokio::test]
async fn a_gateway_that_starts_after_marks_were_purged_counts_as_well() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let made = service.post("/api/v1/tokens", &token, &json!({})).answers(StatusCode::CREATED).await;
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    service.request(Method::DELETE, &path).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    // Its place is given up, and covers the mark.
    service.post("/api/v1/tokens", &token, &json!({})).answers(StatusCode::CREATED).await;
    let job = service.submit(&token, URL).await;
    service.run(job, "", b"").await;
    service
        .request(Method::DELETE, &format!("/api/v1/jobs/{job}"))
        .bearer_auth(&token)
        .says(StatusCode::NO_CONTENT)
        .await;
    service.submit(&token, URL).await;
    let ledger = &service.ledger;
    for mark in ledger.accounts.tokens.tombstones().await.unwrap() {
        ledger.accounts.tokens.purge_tombstone(&mark).await.unwrap();
    }
    for mark in ledger.jobs.tombstones().await.unwrap() {
        ledger.jobs.purge_tombstone(&mark).await.unwrap();
    }
    let fresh = service.another().await;
    fresh.submit(&token, URL).await;
    fresh.post("/api/v1/tokens", &token, &json!({})).answers(StatusCode::CREATED).await;
    assert_eq!(usage(&fresh, &token).await["queued"].0, 2);
}

#[tokio::test]
async fn at_full_size_a_hostile_owner_stays_within_its_share_and_the_neighbour_notices_nothing() {
    let service = Service::start().await;
    let (hostile, neighbour) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let kept = service.submit(&neighbour, URL).await;
    service.run(kept, "the neighbour's log", &vec![b'n'; 100_000]).await;
    // More than the owner's share of logs, and half as much again as that of results.
    let (log, result) = ("x".repeat(2 << 20), vec![b'r'; 1 << 20]);
    let mut slowest = Duration::ZERO;
    for _ in 0..45 {
        let job = service.submit(&hostile, URL).await;
        service.run(job, &log, &result).await;
        let asked = std::time::Instant::now();
        let call = service.submit(&neighbour, URL).await;
        slowest = slowest.max(asked.elapsed());
        service
            .request(Method::POST, &format!("/api/v1/jobs/{call}/cancel"))
            .bearer_auth(&neighbour)
            .says(StatusCode::OK)
            .await;
        let stored =
            async |name: &str| service.ledger.js.get_stream(name).await.unwrap().cached_info().state.bytes;
        // What is cleared once a second is over the limit by what one worker writes in that time.
        assert!(stored("LOGS").await < 100 << 20 && stored("OBJ_RESULTS").await < 60 << 20);
    }
    until("the hostile owner is within its share", async || {
        let used = usage(&service, &hostile).await;
        used["logs"].0 <= used["logs"].1 && used["results"].0 <= used["results"].1
    })
    .await;
    let used = usage(&service, &hostile).await;
    println!(
        "logs {:?}, results {:?}, the neighbour's slowest call {slowest:?}",
        used["logs"], used["results"]
    );
    let get = |what: &str| service.get(&format!("/api/v1/jobs/{kept}{what}"), &neighbour);
    assert_eq!(get("/log").says(StatusCode::OK).await, "the neighbour's log");
    assert_eq!(get("/result").says(StatusCode::OK).await.len(), 100_000);
}
