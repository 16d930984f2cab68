//! Failed deliveries of a GitHub App, over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::process::Command;

use hooks::app::{App, AppError, to_redeliver};
use hooks::status::StatusError;
use serde_json::json;
use test_case::test_case;
use wiremock::matchers::{header_exists, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn app(server: &MockServer) -> App {
    let made = Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap().parse().unwrap();
    App::new(4711, &key, server.uri().parse().unwrap(), &"127.0.0.1".parse().unwrap(), None).unwrap()
}

#[tokio::test]
async fn pages_are_followed_by_their_cursor_and_what_failed_is_asked_for_again() {
    let server = MockServer::start().await;
    let attempt = |id: u64, guid: &str, status_code: u16| {
        json!({ "id": id, "guid": guid, "delivered_at": format!("2026-01-02T03:04:{id:02}Z"), "redelivery": false,
                "status": "OK", "status_code": status_code, "event": "push", "action": null })
    };
    let link = "<https://elsewhere.example/app/hook/deliveries?per_page=100&cursor=v1_2>; rel=\"next\"";
    Mock::given(path("/app/hook/deliveries"))
        .and(query_param_is_missing("cursor"))
        .and(header_exists("authorization"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("link", link)
                .set_body_json(json!([attempt(9, "arrived", 202), attempt(8, "lost", 503)])),
        )
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/app/hook/deliveries"))
        .and(query_param("cursor", "v1_2"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!([attempt(7, "lost", 0), attempt(6, "arrived", 500)])),
        )
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/app/hook/deliveries/8/attempts"))
        .respond_with(ResponseTemplate::new(202).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let app = app(&server);
    let attempts = app.attempts().await.unwrap();
    assert_eq!(attempts.len(), 4);
    for attempt in to_redeliver(&attempts) {
        app.redeliver(attempt).await.unwrap();
    }
    assert!(app.redeliver(1).await.is_err());
}

#[test_case(404, &[] => "refused" ; "gone")]
#[test_case(409, &[] => "refused" ; "another of its tries is on its way")]
#[test_case(422, &[] => "refused" ; "not valid")]
#[test_case(403, &[("retry-after", "60")] => "wait" ; "asked too often")]
#[test_case(401, &[] => "unauthorized" ; "the proof is not taken")]
#[test_case(502, &[] => "retry" ; "out of order")]
#[tokio::test]
async fn a_refusal_of_one_attempt_is_told_from_trouble_with_all(
    status: u16,
    headers: &[(&str, &str)],
) -> &'static str {
    let server = MockServer::start().await;
    let answer = headers
        .iter()
        .fold(ResponseTemplate::new(status), |answer, (name, value)| answer.insert_header(*name, *value));
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    match app(&server).redeliver(8).await.unwrap_err() {
        AppError::Forge(StatusError::Refused { .. }) => "refused",
        AppError::Forge(StatusError::RetryAfter { .. }) => "wait",
        AppError::Forge(StatusError::Unauthorized { .. }) => "unauthorized",
        AppError::Forge(StatusError::Retry { .. }) => "retry",
        other => panic!("{other:?}"),
    }
}
