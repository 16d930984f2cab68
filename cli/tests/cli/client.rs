//! The client commands against a mock gateway: what they ask, and what they make of it.

use std::process::Output;

use crate::{
    common::{gitfaas, stderr, stdout},
    samples,
};
use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ID: &str = "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10";

/// Runs a command that talks to `server`.
async fn client(server: &MockServer, args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = gitfaas(dir.path());
    command.env("GITFAAS_URL", server.uri()).env("GITFAAS_TOKEN", "gft_test").args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn log(id: &str, text: &str) -> String {
    let data = json!({"offset": 0, "source": "stdout", "phase": "run", "text": text});
    format!("event: log\nid: {id}\ndata: {data}\n\n")
}

fn state(job: &serde_json::Value) -> String {
    format!("event: state\ndata: {job}\n\n")
}

fn events(body: String) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

#[tokio::test]
async fn submit_and_wait_shows_the_log_once_although_the_connection_breaks() {
    let server = MockServer::start().await;
    let at = |tail: &str| format!("/api/v1/jobs/{ID}{tail}");
    let pending: Value = samples::job(json!({"id": ID, "state": "pending"}));
    let over = samples::job(json!({"id": ID, "state": "error", "cause": "exit", "exit_code": 3,
                                   "message": "exit code 3", "result_bytes": 4}));
    let call = json!({"repo": "https://example.com/r.git", "ref": "main", "args": ["7"], "name": "n"});
    Mock::given(method("POST"))
        .and(path("/api/v1/jobs"))
        .and(header("authorization", "Bearer gft_test"))
        .and(body_json(&call))
        .respond_with(ResponseTemplate::new(202).set_body_json(&pending))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(at("/events")))
        .and(header("last-event-id", "1.6"))
        .respond_with(events(log("1.12", "second\n") + &state(&over)))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(at("/events")))
        .respond_with(events(state(&pending) + &log("1.6", "first\n")))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path(at("/result")))
        .respond_with(ResponseTemplate::new(200).set_body_bytes([0xff, 0, b'o', b'k']))
        .mount(&server)
        .await;

    let source = "https://example.com/r.git@main";
    let output = client(&server, &["submit", source, "--arg", "7", "--name", "n", "--wait"]).await;

    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(output.stdout, [0xff, 0, b'o', b'k'], "the result is exact to the byte");
    assert_eq!(stderr(&output), "first\nsecond\nerror (exit): exit code 3\n");
}

#[tokio::test]
async fn a_refusal_is_a_sentence() {
    let server = MockServer::start().await;
    Mock::given(path("/api/v1/jobs")).respond_with(ResponseTemplate::new(401)).mount(&server).await;
    Mock::given(path(format!("/api/v1/jobs/{ID}")))
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let full = json!({"error": {"code": "queue_full", "message": "1000 of your jobs wait"}});
    Mock::given(path("/api/v1/repos"))
        .respond_with(ResponseTemplate::new(429).set_body_json(full))
        .mount(&server)
        .await;

    let unauthorized = client(&server, &["list"]).await;
    let missing = client(&server, &["status", ID]).await;
    let full = client(&server, &["repo", "add", "https://example.com/r.git"]).await;

    assert!(stderr(&unauthorized).starts_with("error: the token in GITFAAS_TOKEN is not accepted"));
    assert_eq!(stderr(&missing), "error: there is no such job (or it is not yours)\n");
    assert_eq!(stderr(&full), "error: 1000 of your jobs wait (429 Too Many Requests)\n");
    for output in [unauthorized, missing, full] {
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_list_follows_the_cursor() {
    let server = MockServer::start().await;
    let page = |state: &str, next: Option<&str>| {
        let job: Value = samples::job(json!({"id": ID, "state": state}));
        ResponseTemplate::new(200).set_body_json(json!({"items": [job], "next": next}))
    };
    Mock::given(wiremock::matchers::query_param("cursor", "c1"))
        .respond_with(page("finish", None))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/api/v1/jobs"))
        .respond_with(page("working", Some("c1")))
        .expect(1)
        .mount(&server)
        .await;

    let output = client(&server, &["list"]).await;

    let lines = stdout(&output);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains("working") && lines.contains("finish"), "{lines}");
}

#[tokio::test]
async fn a_token_is_read_from_standard_input_and_what_became_of_the_webhook_is_said() {
    let server = MockServer::start().await;
    let repo = |webhook: serde_json::Value| {
        let repo = json!({"id": ID, "webhook_url": "http://localhost/1", "secret": "s", "webhook": webhook});
        let repo: Value = samples::repo(repo);
        ResponseTemplate::new(201).set_body_json(repo)
    };
    let url = "https://example.com/r.git";
    Mock::given(body_json(json!({"url": url, "token": "t0ken", "token_must_work": true})))
        .respond_with(repo(json!({"error": "the token may not do this: 403"})))
        .mount(&server)
        .await;
    Mock::given(body_json(json!({"url": url, "token": "t0ken", "token_must_work": true, "webhook": false})))
        .respond_with(repo(serde_json::Value::Null))
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"webhook": "removed"})))
        .mount(&server)
        .await;
    let said = |args: &'static [&'static str]| {
        let server = server.uri();
        async move {
            let dir = tempfile::tempdir().unwrap();
            let token = dir.path().join("token");
            std::fs::write(&token, "t0ken\n").unwrap();
            let mut command = gitfaas(dir.path());
            command.env("GITFAAS_URL", server).env("GITFAAS_TOKEN", "gft_test").args(args);
            command.stdin(std::fs::File::open(token).unwrap());
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            stderr(&output)
        }
    };
    let add = &["repo", "add", "https://example.com/r.git", "--token-stdin"];
    let refused =
        "the webhook was not made at the forge: the token may not do this: 403\nenter URL and secret there\n";
    assert_eq!(said(add).await, refused);
    let add = &["repo", "add", "https://example.com/r.git", "--token-stdin", "--no-webhook"];
    assert_eq!(said(add).await, "enter URL and secret as a webhook at the forge\n");
    let removed = said(&["repo", "remove", ID]).await;
    assert_eq!(removed, "removed; its jobs stay, and its webhook is gone from the forge\n");
}

#[tokio::test]
async fn a_registration_prints_what_the_forge_is_to_be_told() {
    let server = MockServer::start().await;
    let repo: Value = samples::repo(
        json!({"id": ID, "webhook_url": "http://localhost/webhooks/1", "secret": "s3cret", "url": "u"}),
    );
    Mock::given(method("POST"))
        .and(path("/api/v1/repos"))
        .and(body_json(json!({"url": "https://example.com/r.git", "branches": ["main", "!wip/*"]})))
        .respond_with(ResponseTemplate::new(201).set_body_json(&repo))
        .mount(&server)
        .await;

    let args = ["repo", "add", "https://example.com/r.git", "--branch", "main", "--branch", "!wip/*"];
    let output = client(&server, &args).await;

    assert_eq!(
        stdout(&output),
        format!("id           {ID}\nwebhook URL  http://localhost/webhooks/1\nsecret       s3cret\n"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn a_token_that_the_forge_refuses_registers_nothing_unless_it_is_forced() {
    let server = MockServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "t0ken\n").unwrap();
    let url = "https://example.com/r.git";
    let refused = json!({"error": {"code": "token_refused", "message": "the forge says 401"}});
    Mock::given(body_json(json!({"url": url, "token": "t0ken", "token_must_work": true})))
        .respond_with(ResponseTemplate::new(422).set_body_json(refused))
        .mount(&server)
        .await;
    let repo: Value = samples::repo(json!({
        "id": ID, "webhook_url": "http://localhost/1", "secret": "s", "webhook": {"error": "401"},
        "posts": false, "posts_reason": "the forge does not take the token: 401",
        "problems": [{"about": "token", "message": "the forge does not take the token",
                      "since": "2026-01-02T03:04:05Z", "fix": "give a new one"}],
        "also_registered": [{"posts": true}],
    }));
    Mock::given(body_json(json!({"url": url, "token": "t0ken"})))
        .respond_with(ResponseTemplate::new(201).set_body_json(repo))
        .mount(&server)
        .await;
    let add = ["repo", "add", url, "--token-file", token.to_str().unwrap()];
    let refused = client(&server, &add).await;
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        stderr(&refused),
        "error: nothing was registered: the forge says 401; `--force` registers all the same\n"
    );
    let forced = client(&server, &[&add[..], &["--force"]].concat()).await;
    assert_eq!(forced.status.code(), Some(0), "{}", stderr(&forced));
    assert_eq!(
        stderr(&forced),
        "the webhook was not made at the forge: 401\nenter URL and secret there\n\
         statuses are not posted: the forge does not take the token: 401\n\
         the forge does not take the token (since 2026-01-02T03:04:05Z); give a new one\n\
         this URL is registered already, by somebody else; it posts the statuses\n"
    );
}

#[tokio::test]
async fn a_repository_is_shown_changed_and_removed_once_its_jobs_are_over() {
    let server = MockServer::start().await;
    let at = format!("/api/v1/repos/{ID}");
    let repo: Value = samples::repo(json!({"id": ID, "forge": "gitea", "posts": true}));
    Mock::given(method("GET"))
        .and(path(&at))
        .respond_with(ResponseTemplate::new(200).set_body_json(&repo))
        .mount(&server)
        .await;
    let mut changed = repo.clone();
    changed["skip_ci"] = json!("silent");
    changed["webhook"] = json!("created");
    Mock::given(method("PATCH"))
        .and(path(&at))
        .and(body_json(json!({"skip_ci": "silent", "webhook": true})))
        .respond_with(ResponseTemplate::new(200).set_body_json(changed))
        .mount(&server)
        .await;
    let removing = json!({"webhook": "removed", "removing": true, "cancelled": 2});
    Mock::given(method("DELETE"))
        .and(path(&at))
        .respond_with(ResponseTemplate::new(202).set_body_json(removing))
        .mount(&server)
        .await;
    let shown = client(&server, &["repo", "show", ID]).await;
    let lines = format!(
        "id             {ID}\nurl            https://example.com/r.git\nforge          gitea\n\
         forks          approve\nlabel          default\nlinks          key\nposts          yes\n\
         skip_ci        status\npull_requests  run\naccess         token\nenabled        yes\n\
         webhook_url    https://faas.example.com/webhooks/0198c9f4\n"
    );
    assert_eq!(stdout(&shown), lines, "{}", stderr(&shown));
    let set = client(&server, &["repo", "set", ID, "--skip-ci", "silent", "--webhook"]).await;
    assert!(stdout(&set).contains("skip_ci        silent\n"), "{}", stdout(&set));
    assert_eq!(stderr(&set), "the webhook was made at the forge\n");
    let nothing = client(&server, &["repo", "set", ID]).await;
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
    let removed = client(&server, &["repo", "remove", ID]).await;
    assert_eq!(
        stderr(&removed),
        "removing: 2 jobs are cancelled; it goes by itself once the forge was told, and its webhook is gone \
         from the forge\n"
    );
}

#[tokio::test]
async fn a_signing_secret_is_added_beside_the_one_that_is_there_and_taken_away() {
    let server = MockServer::start().await;
    let at = format!("/api/v1/repos/{ID}");
    let secret = |id: &str| json!({"id": id, "added_at": "2026-01-02T03:04:05Z"});
    let repo: Value = samples::repo(json!({"access": "signed", "signing_secrets": [secret("ab12cd34")]}));
    Mock::given(method("GET"))
        .and(path(&at))
        .respond_with(ResponseTemplate::new(200).set_body_json(&repo))
        .mount(&server)
        .await;
    let mut both = repo.clone();
    both["signing_secrets"] = json!([secret("ab12cd34"), secret("ef56ab78")]);
    for wish in [
        json!({"access": "signed", "signing_secrets": ["ab12cd34", "whsec_new"]}),
        json!({"signing_secrets": []}),
    ] {
        Mock::given(method("PATCH"))
            .and(path(&at))
            .and(body_json(wish))
            .respond_with(ResponseTemplate::new(200).set_body_json(&both))
            .expect(1)
            .mount(&server)
            .await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "whsec_new\n").unwrap();
    let (file, set) = (file.to_str().unwrap(), ["repo", "set", ID]);
    let add = ["--access", "signed", "--signing-secret-file", file];
    let added = client(&server, &[&set[..], &add].concat()).await;
    let secrets = "ab12cd34 (since 2026-01-02T03:04:05Z),ef56ab78 (since 2026-01-02T03:04:05Z)";
    assert!(stdout(&added).contains(secrets), "{}{}", stdout(&added), stderr(&added));
    let removed = client(&server, &[&set[..], &["--remove-signing-secret", "ab12cd34"]].concat()).await;
    assert!(removed.status.success(), "{}", stderr(&removed));
    let unknown = client(&server, &[&set[..], &["--remove-signing-secret", "ef56ab78"]].concat()).await;
    let said = "error: there is no signing secret ef56ab78; `gitfaas repo show` lists them\n";
    assert_eq!((unknown.status.code(), stderr(&unknown).as_str()), (Some(1), said));
}

#[tokio::test]
async fn deliveries_are_listed_replayed_and_approved() {
    let server = MockServer::start().await;
    let sha = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";
    let id = "f382f1de".repeat(8);
    let held = json!({"id": id, "repo": ID, "event": "pull_request", "ref": "refs/pull/5/head", "sha": sha,
                      "verdict": "held"});
    let held: Value = samples::delivery(held);
    let unsigned = json!([{"at": "2026-01-02T03:04:05.678Z", "hook": ID, "reason": "wrong signature"}]);
    Mock::given(method("GET"))
        .and(path("/api/v1/deliveries"))
        .and(query_param("repo", ID))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"items": [held], "unsigned": unsigned})),
        )
        .mount(&server)
        .await;
    let conflict = json!({"error": {"code": "conflict", "message": "nothing of it was kept"}});
    Mock::given(path("/api/v1/deliveries/b1946ac9/replay"))
        .respond_with(ResponseTemplate::new(409).set_body_json(conflict))
        .mount(&server)
        .await;
    let list = client(&server, &["deliveries", "--repo", ID]).await;
    assert!(stdout(&list).contains(&format!("refs/pull/5/head@{sha}")), "{}", stdout(&list));
    let last = format!("\nnot believed: 2026-01-02T03:04:05Z {ID} wrong signature\n");
    assert!(stdout(&list).ends_with(&last), "{}", stdout(&list));
    let refused = client(&server, &["replay", "b1946ac9"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("nothing of it was kept"), "{}", stderr(&refused));
}

#[tokio::test]
async fn what_is_approved_is_the_commit_that_is_shown() {
    let server = MockServer::start().await;
    let sha = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";
    let id = "f382f1de".repeat(8);
    let held = json!({"id": id, "repo": ID, "event": "pull_request", "ref": "refs/pull/5/head", "sha": sha,
                      "verdict": "held"});
    let held: Value = samples::delivery(held);
    Mock::given(method("GET"))
        .and(path("/api/v1/deliveries"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"items": [held]})))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path(format!("/api/v1/deliveries/{id}")))
        .respond_with(ResponseTemplate::new(200).set_body_json(&held))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path(format!("/api/v1/repos/{ID}")))
        .respond_with(ResponseTemplate::new(200).set_body_json(samples::repo::<Value>(json!({"id": ID}))))
        .mount(&server)
        .await;
    let accepted: Value = samples::delivery(json!({"id": id, "verdict": "accepted", "jobs": [ID]}));
    Mock::given(method("POST"))
        .and(path(format!("/api/v1/deliveries/{id}/approve")))
        .and(body_json(json!({"sha": sha})))
        .respond_with(ResponseTemplate::new(202).set_body_json(&accepted))
        .expect(4)
        .mount(&server)
        .await;
    let shown = format!(
        "delivery    {id}\nrepository  https://example.com/r.git\nevent       pull_request\n\
         ref         refs/pull/5/head\ncommit      {sha}\nverdict     held\n"
    );
    for named in [
        &["f382f1de"][..],
        &["--pull", "5"],
        &["--pull", "5", "--repo", ID, "--yes"],
        &[id.as_str(), "--sha", sha],
    ] {
        let approved = client(&server, &[&["approve"], named].concat()).await;
        assert_eq!(stderr(&approved), shown, "{named:?}");
        assert_eq!(stdout(&approved), format!("delivery  {id}\nverdict   accepted\njobs      {ID}\n"));
    }
    let other = "984403fd08ef968ae12d049c58b6351f9bdcb0cc";
    let refused = client(&server, &["approve", "f382f1de", "--sha", other]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("nothing was approved"), "{}", stderr(&refused));
    let unknown = client(&server, &["approve", "--pull", "6"]).await;
    assert_eq!(stderr(&unknown), "error: no delivery of pull request 6 is held\n");
    let short = client(&server, &["approve", "f382f1de", "--sha", "1f1ee58"]).await;
    assert_eq!(short.status.code(), Some(2));
}
