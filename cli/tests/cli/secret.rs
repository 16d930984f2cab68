//! Secrets and the audit log against a mock gateway; a new master key without any.

use std::{io::Write as _, process::Stdio};

use serde_json::json;
use wiremock::matchers::{body_bytes, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::common::{gitfaas, stderr, stdout};

const REPO: &str = "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10";

#[tokio::test]
async fn the_value_of_a_secret_comes_from_standard_input_without_its_last_newline() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(path(format!("/api/v1/repos/{REPO}/secrets/KEY")))
        .and(query_param("events", "push,call"))
        .and(body_bytes(b"hunter2\nand more"))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"name": "KEY"})))
        .expect(1)
        .mount(&server)
        .await;
    let dir = tempfile::tempdir().unwrap();
    let mut command = gitfaas(dir.path());
    command.env("GITFAAS_URL", server.uri()).env("GITFAAS_TOKEN", "gft_test");
    command.args(["secret", "set", REPO, "KEY", "--event", "push", "--event", "call"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hunter2\nand more\n").unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((stdout(&output), stderr(&output)), (String::new(), "the secret KEY is stored\n".to_owned()));
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page() {
    let server = MockServer::start().await;
    let deed =
        |id: &str| json!({"id": id, "at": "2026-01-02T03:04:05Z", "action": "repo_added", "target": id});
    let page = |items: serde_json::Value, next: Option<&str>| {
        ResponseTemplate::new(200).set_body_json(json!({"items": items, "next": next}))
    };
    Mock::given(path("/api/v1/audit"))
        .and(query_param("cursor", "2"))
        .respond_with(page(json!([deed("1")]), None))
        .mount(&server)
        .await;
    Mock::given(path("/api/v1/audit"))
        .respond_with(page(json!([deed("3"), deed("2")]), Some("2")))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let dir = tempfile::tempdir().unwrap();
    let mut command = gitfaas(dir.path());
    command.env("GITFAAS_URL", server.uri()).env("GITFAAS_TOKEN", "gft_test").args(["audit", "--json"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let deeds: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<&str> = deeds.as_array().unwrap().iter().map(|deed| deed["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["3", "2", "1"]);
}

#[test]
fn a_new_master_key_is_made_first_and_nothing_else_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new.key");
    let output = gitfaas(dir.path()).args(["secret", "rekey", "--new-key-file"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("GITFAAS_NEXT_MASTER_KEY_FILE"), "{}", stderr(&output));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 32);
}
