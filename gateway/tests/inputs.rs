//! A job's input: to the byte from the call to the worker, charged to its owner, repeated by reruns, and shown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jobs::{FunctionCall, Job, JobId, JobSpec, State, input::InputError, streams};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service, push};
use test_case::test_case;

const URL: &str = "https://example.com/a/pi.git";

fn id(job: &Value) -> JobId {
    job["id"].as_str().unwrap().parse().unwrap()
}

async fn record(service: &Service, job: JobId) -> Job {
    service.ledger.job(job).await.unwrap().unwrap().value
}

/// What a worker would give to the program of a job.
async fn read(service: &Service, job: JobId) -> Result<Vec<u8>, InputError> {
    let spec = record(service, job).await.spec;
    let input = service.ledger.inputs.fetch(spec.owner, job, &spec.input.unwrap()).await?;
    Ok(input.body.to_vec())
}

/// How many messages there are of inputs, records and idempotency keys.
async fn stored(service: &Service) -> [u64; 3] {
    let mut messages = [0; 3];
    for (count, name) in messages.iter_mut().zip([streams::INPUTS, "KV_jobs", "KV_idempotency"]) {
        let stream = service.ledger.js.get_stream(name).await.unwrap();
        *count = stream.cached_info().state.messages;
    }
    messages
}

async fn inputs_of(service: &Service, token: &str) -> u64 {
    let usage = service.get("/api/v1/usage", token).answers(StatusCode::OK).await;
    let mut items = usage["items"].as_array().unwrap().iter();
    items.find(|item| item["resource"] == "inputs").unwrap()["used"].as_u64().unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it never came that {what}");
}

async fn rerun(service: &Service, token: &str, job: JobId) -> JobId {
    let path = format!("/api/v1/jobs/{job}/rerun");
    id(&service.post(&path, token, &json!({})).answers(StatusCode::ACCEPTED).await)
}

#[test_case(json!({ "input": "1 2\n\u{e9}\n" }), b"1 2\n\xc3\xa9\n" ; "text")]
#[test_case(json!({ "input": "" }), b"" ; "no bytes")]
#[test_case(json!({ "input_base64": "AP+ACg==" }), b"\0\xff\x80\n" ; "bytes")]
#[test_case(json!({ "input_base64": "" }), b"" ; "no bytes in base64")]
#[tokio::test]
async fn an_input_is_stored_to_the_byte_before_its_record_is(input: Value, bytes: &[u8]) {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let mut wish = input;
    wish["repo"] = json!(URL);
    let job = service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::ACCEPTED).await;
    assert_eq!(job["input"]["bytes"], bytes.len());
    assert_eq!(read(&service, id(&job)).await.unwrap(), bytes);
}

#[tokio::test]
async fn the_longest_input_of_a_request_is_half_a_quarter_of_a_megabyte() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let bytes: Vec<u8> = (0..128_u32 << 10).map(|n| (n % 251) as u8).collect();
    let wish = |bytes: &[u8]| json!({ "repo": URL, "input_base64": BASE64_STANDARD.encode(bytes) });
    let job = service.post("/api/v1/jobs", &token, &wish(&bytes)).answers(StatusCode::ACCEPTED).await;
    assert!(read(&service, id(&job)).await.unwrap() == bytes);
    let longer = wish(&[&bytes[..], b"x"].concat());
    let refused = service.post("/api/v1/jobs", &token, &longer).answers(StatusCode::PAYLOAD_TOO_LARGE).await;
    assert_eq!(refused["error"]["message"], "the input is larger than 131072 bytes");
}

#[tokio::test]
async fn an_input_that_is_too_long_or_wrong_is_refused_before_anything_is_stored() {
    let service = Service::with(&[("GITFAAS_MAX_INPUT", "1k")]).await;
    let token = service.user("a@example.com").await;
    let before = stored(&service).await;
    let refusals = [
        (json!({ "input": "x".repeat(1025) }), StatusCode::PAYLOAD_TOO_LARGE),
        (json!({ "input_base64": BASE64_STANDARD.encode([0; 1025]) }), StatusCode::PAYLOAD_TOO_LARGE),
        (json!({ "input": "x", "input_base64": "AA==" }), StatusCode::BAD_REQUEST),
        (json!({ "input_base64": "AA" }), StatusCode::BAD_REQUEST),
        (json!({ "input": 7 }), StatusCode::BAD_REQUEST),
        (json!({ "input": "x", "ref": "a..b" }), StatusCode::BAD_REQUEST),
    ];
    for (mut wish, status) in refusals {
        wish["repo"] = json!(URL);
        let call = service.post("/api/v1/jobs", &token, &wish).header("idempotency-key", "k");
        call.answers(status).await;
    }
    assert_eq!(stored(&service).await, before);
    assert_eq!(inputs_of(&service, &token).await, 0);
    let longest = json!({ "repo": URL, "input": "x".repeat(1024) });
    service.post("/api/v1/jobs", &token, &longest).answers(StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn a_repeated_request_has_one_job_and_one_input() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let call = |input: &str| {
        let wish = json!({ "repo": URL, "input": input });
        service.post("/api/v1/jobs", &token, &wish).header("idempotency-key", "k")
    };
    let first = call("1").answers(StatusCode::ACCEPTED).await;
    assert_eq!(call("1").answers(StatusCode::ACCEPTED).await["id"], first["id"]);
    call("2").answers(StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(stored(&service).await[0], 1);
}

#[tokio::test]
async fn a_rerun_has_an_input_of_its_own_and_each_is_charged_until_it_is_deleted() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let bytes = "1 2 3\n".repeat(10_000);
    let wish = json!({ "repo": URL, "input": bytes });
    let first = id(&service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::ACCEPTED).await);
    let charged = record(&service, first).await.spec.input.unwrap().stored_bytes();
    assert!(charged > 60_000 && charged < 61_000, "{charged}");
    until("one is charged", async || inputs_of(&service, &token).await == charged).await;
    service.run(first, "", b"").await;
    let again = rerun(&service, &token, first).await;
    until("two are charged", async || inputs_of(&service, &token).await == 2 * charged).await;

    let delete = |job: JobId| service.request(Method::DELETE, &format!("/api/v1/jobs/{job}"));
    delete(first).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    assert_eq!(inputs_of(&service, &token).await, charged);
    assert_eq!(read(&service, again).await.unwrap(), bytes.as_bytes());
    service.run(again, "", b"").await;
    let once_more = rerun(&service, &token, again).await;
    assert_eq!(read(&service, once_more).await.unwrap(), bytes.as_bytes());
    delete(again).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    service.run(once_more, "", b"").await;
    delete(once_more).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    assert_eq!(inputs_of(&service, &token).await, 0);
    assert_eq!(stored(&service).await[0], 0);
}

#[tokio::test]
async fn a_job_whose_input_is_gone_cannot_be_repeated_and_says_so() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let wish = json!({ "repo": URL, "input": "x" });
    let job = id(&service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::ACCEPTED).await);
    service.run(job, "", b"").await;
    service.ledger.inputs.remove(job).await.unwrap();
    let path = format!("/api/v1/jobs/{job}/rerun");
    let refused = service.post(&path, &token, &json!({})).answers(StatusCode::CONFLICT).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("input is not kept"), "{refused}");
    assert_eq!(service.all_jobs().await.len(), 1);
    let shown = service.get(&format!("/api/v1/jobs/{job}"), &token).answers(StatusCode::OK).await;
    assert_eq!(shown["input"]["hidden"], "the content is not kept any more");
}

#[tokio::test]
async fn inputs_of_jobs_that_are_over_make_room_and_those_of_others_do_not() {
    let limits = [("GITFAAS_MAX_INPUTS_PER_USER", "400k"), ("GITFAAS_MAX_INPUT", "100k")];
    let service = Service::with(&limits).await;
    let (hostile, neighbour) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let wish = json!({ "repo": URL, "input": "x".repeat(100_000) });
    let submit = |token: &str| service.post("/api/v1/jobs", token, &wish);
    let over = id(&submit(&hostile).answers(StatusCode::ACCEPTED).await);
    service.run(over, "", b"").await;
    let known = format!("/api/v1/jobs/{over}");
    until("its end is known", async || {
        let list = service.get("/api/v1/jobs?state=finish", &hostile).answers(StatusCode::OK).await;
        list["items"].as_array().unwrap().len() == 1
    })
    .await;
    for _ in 0..4 {
        submit(&hostile).answers(StatusCode::ACCEPTED).await;
    }
    service.get(&known, &hostile).answers(StatusCode::NOT_FOUND).await;
    let refused = submit(&hostile).answers(StatusCode::TOO_MANY_REQUESTS).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("inputs: ") && message.ends_with("jobs that end, or are cancelled, make place")
    );
    assert_eq!(stored(&service).await[0], 4);
    // A job without an input needs no such place, and a neighbour sees nothing of it.
    service.submit(&hostile, URL).await;
    submit(&neighbour).answers(StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn the_beginning_of_an_input_is_shown_with_one_job_alone() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let text = "<b>\u{e9}</b>".repeat(200);
    let wish = json!({ "repo": URL, "input": text });
    let job = id(&service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::ACCEPTED).await);
    let shown = service.get(&format!("/api/v1/jobs/{job}"), &token).answers(StatusCode::OK).await;
    let head = shown["input"]["head"].as_str().unwrap();
    assert!(text.starts_with(head) && (1020..=1024).contains(&head.len()), "{}", head.len());
    assert_eq!(shown["input"]["content_type"], "text/plain; charset=utf-8");
    let list = service.get("/api/v1/jobs", &token).answers(StatusCode::OK).await;
    assert_eq!(
        (list["items"][0]["input"].get("head"), &list["items"][0]["input"]["bytes"]),
        (None, &json!(text.len()))
    );
    let page = service.get(&format!("/jobs/{job}"), &token).says(StatusCode::OK).await;
    assert!(page.contains("1800 bytes, text/plain") && !page.contains("<b>"), "{page}");
    let bytes = json!({ "repo": URL, "input_base64": "AP8=" });
    let job = id(&service.post("/api/v1/jobs", &token, &bytes).answers(StatusCode::ACCEPTED).await);
    let shown = service.get(&format!("/api/v1/jobs/{job}"), &token).answers(StatusCode::OK).await;
    assert_eq!(
        (shown["input"].get("head"), &shown["input"]["hidden"]),
        (None, &json!("the content is binary"))
    );
}

#[tokio::test]
async fn nothing_of_an_input_is_shown_where_a_repository_has_secrets() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let secret = service.request(Method::PUT, &format!("/api/v1/repos/{repo}/secrets/KEY"));
    secret.bearer_auth(&token).body("hunter2hunter2").says(StatusCode::CREATED).await;
    let wish = json!({ "repo": repo, "input": "my key is hunter2hunter2" });
    let job = id(&service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::ACCEPTED).await);
    for path in [format!("/api/v1/jobs/{job}"), format!("/jobs/{job}")] {
        let shown = service.get(&path, &token).says(StatusCode::OK).await;
        assert!(
            shown.contains("because the repository has secrets") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_call_that_may_have_run_ends_when_its_worker_is_lost_and_says_so() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let owner = record(&service, service.submit(&token, URL).await).await.spec.owner;
    let call = async |began: bool| {
        let function = Some(FunctionCall { name: "pi".to_owned(), repeatable: false });
        let spec = JobSpec { function, ..JobSpec::call(owner, URL) };
        let job = service.ledger.submit(spec).await.unwrap().value.spec.id;
        let claim = service.claim(job).await;
        if began {
            assert!(service.ledger.begin(job, 1).await.unwrap());
        }
        claim.lease.give_up().await;
        job
    };
    let (begun, waiting) = (call(true).await, call(false).await);
    let shown =
        async |job: JobId| service.get(&format!("/api/v1/jobs/{job}"), &token).answers(StatusCode::OK).await;
    until("it is lost", async || shown(begun).await["state"] == "error").await;
    let lost = shown(begun).await;
    assert_eq!(
        (&lost["cause"], &lost["fault"], &lost["may_have_run"]),
        (&json!("lost"), &json!("service"), &json!(true))
    );
    assert!(!service.ledger.begin(begun, 1).await.unwrap(), "its attempt is outdated");
    until("the other waits again", async || shown(waiting).await["state"] == "pending").await;
    let again = service.claim(waiting).await;
    assert_eq!(again.entry.value.status.attempt, 2);
    service.finish(again, b"3").await;
    assert_eq!(shown(waiting).await.get("may_have_run"), None);
}

#[tokio::test]
async fn what_repeats_a_push_comes_where_that_came() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    let (repo, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let delivered = service.deliver(repo, secret, "push", "1", &push(URL, "a", "b"));
    let delivered = delivered.answers(StatusCode::ACCEPTED).await;
    let first: JobId = delivered["jobs"][0].as_str().unwrap().parse().unwrap();
    let entry = service.ledger.job(first).await.unwrap().unwrap();
    assert_eq!(entry.value.spec.push_revision, None);
    let push_revision = Some(entry.created_revision());
    service.run(first, "", b"").await;

    let again = rerun(&service, &token, first).await;
    let once_more = rerun(&service, &token, again).await;
    let path = format!("/api/v1/deliveries/{}/replay", delivered["delivery"].as_str().unwrap());
    let replayed = service.post(&path, &token, &json!({})).answers(StatusCode::ACCEPTED).await;
    let replayed: JobId = replayed["jobs"][0].as_str().unwrap().parse().unwrap();
    for job in [again, once_more, replayed] {
        let job = record(&service, job).await;
        assert_eq!(job.spec.push_revision, push_revision, "{:?}", job.spec);
        assert_eq!(job.status.state, State::Pending);
    }
    let call = service.submit(&token, repo).await;
    service.run(call, "", b"").await;
    let call = rerun(&service, &token, call).await;
    assert_eq!(record(&service, call).await.spec.push_revision, None);
}
