//! A function that prints its secret in every form it can think of: outside of its container nobody
//! ever sees it.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::time::Duration;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Method, StatusCode};
use serde_json::json;
use tests::{Function, Service, ledger::Address};

/// So long nothing comes when all that was said is read.
const QUIET: Duration = Duration::from_millis(300);

const SECRET: &str = "planted \"s3cret\"/with+odd=signs";

/// Ends with the secret as its last words, which becomes the reason of the failure.
const LEAK: &str = r#"
import base64, json, os, sys, time, urllib.parse
value = os.environ["KEY"]
raw = value.encode()
forms = [value, json.dumps(value), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value), raw.hex()]
forms += [base64.b64encode(b"x" * n + raw).decode() for n in range(3)]
forms += [base64.urlsafe_b64encode(b"x" * n + raw).decode() for n in range(3)]
for form in forms:
    print(f"src/main.c:1:2: error: {form}")
    print(f"src/main.c:1:2: error: {form}", file=sys.stderr)
for byte in raw:
    os.write(1, bytes([byte]))
    time.sleep(0.002)
print(flush=True)
print("all told", flush=True)
sys.exit(value)
"#;

/// The forms in which it leaks, without what depends on neighbours.
fn forms() -> Vec<String> {
    let json = serde_json::to_string(SECRET).unwrap();
    let query: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let mut forms = vec![
        SECRET.to_owned(),
        json.trim_matches('"').to_owned(),
        query.replace('+', "%20"),
        query,
        hex::encode(SECRET),
    ];
    for shift in 0..3 {
        let shifted = [vec![b'x'; shift], SECRET.as_bytes().to_vec()].concat();
        for text in [BASE64_STANDARD.encode(&shifted), BASE64_URL_SAFE.encode(&shifted)] {
            forms.push(text[if shift == 0 { 0 } else { 4 }..text.len() / 4 * 4 - 4].to_owned());
        }
    }
    forms
}

/// Which of the forms are in there.
fn found(text: &str) -> Vec<String> {
    forms().into_iter().filter(|form| text.contains(form.as_str())).collect()
}

/// Everything that lies in every stream.
async fn stored(nats: &Address) -> String {
    let js = nats.jetstream().await;
    let names: Vec<String> = js.stream_names().try_collect().await.unwrap();
    let mut text = String::new();
    for name in names {
        let stream = js.get_stream(&name).await.unwrap();
        let state = stream.cached_info().state.clone();
        for sequence in state.first_sequence..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                text += &format!("{} {:?} ", message.subject, message.headers);
                text += &String::from_utf8_lossy(&message.payload);
                text.push('\n');
            }
        }
    }
    text
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for form in forms() {
        assert!(found(&format!("before {form} after")).contains(&form), "{form}");
    }
    assert_eq!(found("planted elsewhere"), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_that_a_function_prints_is_nowhere_outside_of_it() {
    let service = Service::start_with(&[("GITFAAS_LOG", "trace")]).await;
    let leaks = service.registered("leaks").await;
    let path = format!("/api/v1/repos/{}/secrets/KEY", leaks.registration().id);
    let put = service.send(service.request(Method::PUT, &path).body(SECRET)).await;
    assert_eq!(put.status(), StatusCode::CREATED);

    // All that is said over NATS, also what is not kept.
    let client = service.nats().jetstream().await.client();
    let mut wire = client.subscribe(">").await.unwrap();
    client.flush().await.unwrap();
    let commit = leaks.push(Function::python(LEAK).with("secrets", json!(["KEY"]))).await;
    let status = service.forge.final_status(&commit).await;
    assert_eq!((status.state.as_str(), status.description.as_str()), ("failure", "exit code 1"));

    let job = service.job(&commit.job()).await;
    let log = service.log(&job.id).await;
    assert!(log.contains("all told") && log.contains("***"), "it ran to its end: {log}");
    let mut seen = vec![
        ("the log", log),
        ("the record", format!("{job:#?}")),
        ("statuses", format!("{:#?}", service.forge.statuses(&commit))),
        ("streams", stored(&service.nats()).await),
        ("the trace", service.up().output()),
    ];
    for (name, path) in [
        ("the result", format!("/api/v1/jobs/{}/result", job.id)),
        ("the published result", format!("/job/result?jobID={}", job.id)),
        ("the list", "/api/v1/jobs".to_owned()),
        ("the published list", "/job/list-jobs".to_owned()),
        ("the page", format!("/jobs/{}", job.id)),
        ("secrets", path.trim_end_matches("/KEY").to_owned()),
        ("the audit log", "/api/v1/audit".to_owned()),
        ("metrics", "/metrics".to_owned()),
    ] {
        let answer = service.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        seen.push((name, answer.text().await.unwrap()));
    }
    for (name, text) in &seen {
        assert_eq!(found(text), Vec::<String>::new(), "{name}: {text}");
    }
    assert!(seen[4].1.contains("TRACE"), "the trace was on");

    // Once, on its way to its worker, which asked for it: to an inbox that is the worker's alone.
    let mut told = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(QUIET, wire.next()).await {
        if !found(&String::from_utf8_lossy(&message.payload)).is_empty() {
            told.push(message.subject.to_string());
        }
    }
    assert!(!told.is_empty() && told.iter().all(|subject| subject.starts_with("_INBOX")), "{told:?}");
}
