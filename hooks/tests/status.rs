//! Statuses against forges that behave, limit, redirect, break and hang.

use std::time::Duration;

use hooks::Forge;
use hooks::address::Allow;
use hooks::status::{CommitState, StatusClient, StatusError, StatusKey, StatusPost, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const SHA: &str = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";
const GITHUB_PATH: &str = "/repos/octocat/hello/statuses/1f1ee58e3067678d3752dd5f6f3abb936325fbb8";

fn client() -> StatusClient {
    let allow: Allow = "127.0.0.1,::1".parse().expect("a list");
    StatusClient::new(&allow, None).expect("no certificates to read")
}

fn target(forge: Forge, api: &str) -> Target {
    Target { forge, api: api.parse().expect("a URL"), token: "t0ken".parse().expect("not empty") }
}

fn post() -> StatusPost {
    StatusPost {
        owner: "octocat".to_owned(),
        name: "hello".to_owned(),
        sha: SHA.parse().expect("a commit id"),
        context: "gitfaas/push".to_owned(),
        running: false,
        state: CommitState::Failure,
        description: "exit code 3\n".to_owned(),
        target_url: Some("https://faas.example/jobs/1?key=k".to_owned()),
    }
}

/// A forge that gives one answer to everything.
async fn forge_that_answers(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

async fn verdict(answer: ResponseTemplate) -> Result<(), StatusError> {
    let server = forge_that_answers(answer).await;
    let result = client().post(&target(Forge::Github, &server.uri()), &post()).await;
    assert_eq!(server.received_requests().await.expect("recorded").len(), 1, "nothing is repeated here");
    result
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.expect("recorded");
    requests.iter().map(|request| request.body_json().expect("JSON")).collect()
}

#[tokio::test]
async fn github_gets_what_its_documentation_says() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(GITHUB_PATH))
        .and(header("authorization", "Bearer t0ken"))
        .and(header("x-github-api-version", "2022-11-28"))
        .and(header("content-type", "application/json"))
        .and(header("user-agent", "gitfaas"))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": 1})))
        .expect(1)
        .mount(&server)
        .await;
    client().post(&target(Forge::Github, &server.uri()), &post()).await.expect("taken");
    insta::assert_snapshot!(bodies(&server).await[0], @r#"{"context":"gitfaas/push","description":"exit code 3","state":"failure","target_url":"https://faas.example/jobs/1?key=k"}"#);
}

#[tokio::test]
async fn gitea_gets_its_token_below_its_path_and_may_answer_otherwise() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("/git/api/v1{GITHUB_PATH}")))
        .and(header("authorization", "token t0ken"))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"status": "failure", "id": "x"})))
        .expect(1)
        .mount(&server)
        .await;
    let api = format!("{}/git/api/v1/", server.uri());
    client().post(&target(Forge::Gitea, &api), &post()).await.expect("taken");
}

#[tokio::test]
async fn gitlab_gets_its_own_words_and_one_segment_for_the_project() {
    let server = forge_that_answers(ResponseTemplate::new(201)).await;
    let api = format!("{}/api/v4", server.uri());
    let post =
        StatusPost { owner: "gr/sub".to_owned(), target_url: None, state: CommitState::Error, ..post() };
    client().post(&target(Forge::Gitlab, &api), &post).await.expect("taken");
    let request = &server.received_requests().await.expect("recorded")[0];
    assert_eq!(request.url.path(), format!("/api/v4/projects/gr%2Fsub%2Fhello/statuses/{SHA}"));
    assert_eq!(request.headers["private-token"], "t0ken");
    insta::assert_snapshot!(bodies(&server).await[0], @r#"{"description":"exit code 3","name":"gitfaas/push","state":"failed"}"#);
}

#[tokio::test]
async fn gitlab_saying_it_is_already_so_is_a_success() {
    let said = json!({"message": "Cannot transition status via :enqueue from :pending (Reason(s): ...)"});
    let server = forge_that_answers(ResponseTemplate::new(400).set_body_json(&said)).await;
    client().post(&target(Forge::Gitlab, &server.uri()), &post()).await.expect("as good as taken");
    let elsewhere = client().post(&target(Forge::Gitea, &server.uri()), &post()).await;
    assert!(matches!(elsewhere, Err(StatusError::Refused { .. })));
}

#[tokio::test]
async fn owner_and_name_cannot_leave_their_place_in_the_path() {
    let server = forge_that_answers(ResponseTemplate::new(201)).await;
    let post = StatusPost { owner: "../../x?y".to_owned(), name: "a/b#c".to_owned(), ..post() };
    client().post(&target(Forge::Github, &server.uri()), &post).await.expect("taken");
    let request = &server.received_requests().await.expect("recorded")[0];
    assert_eq!(request.url.path(), format!("/repos/..%2F..%2Fx%3Fy/a%2Fb%23c/statuses/{SHA}"));
}

#[tokio::test]
async fn a_long_description_is_cut_before_github_would_refuse_it() {
    let server = forge_that_answers(ResponseTemplate::new(201)).await;
    let post = StatusPost { description: "ä".repeat(500), ..post() };
    client().post(&target(Forge::Github, &server.uri()), &post).await.expect("taken");
    let sent = bodies(&server).await[0]["description"].as_str().expect("a text").to_owned();
    assert!(sent.chars().count() == 140 && sent.ends_with('…'));
}

#[tokio::test]
async fn a_limit_says_how_long_to_wait() {
    let told = verdict(ResponseTemplate::new(429).insert_header("retry-after", "7")).await;
    assert!(matches!(told, Err(StatusError::RetryAfter { wait, .. }) if wait == Duration::from_secs(7)));
    let said = json!({"message": "You have exceeded a secondary rate limit."});
    let secondary = verdict(ResponseTemplate::new(403).set_body_json(said)).await;
    assert!(
        matches!(secondary, Err(StatusError::RetryAfter { wait, .. }) if wait >= Duration::from_secs(60))
    );
}

#[tokio::test]
async fn what_will_not_get_better_is_refused_and_a_token_may() {
    for status in [400, 403, 404, 410, 422] {
        let result = verdict(ResponseTemplate::new(status).set_body_json(json!({"message": "no"}))).await;
        assert!(matches!(result, Err(StatusError::Refused { .. })), "{status}: {result:?}");
    }
    let result = verdict(ResponseTemplate::new(401)).await;
    assert!(matches!(result, Err(StatusError::Unauthorized { .. })));
}

#[tokio::test]
async fn a_broken_forge_is_tried_again_by_whoever_called() {
    for status in [500, 502, 503, 504, 408] {
        let result = verdict(ResponseTemplate::new(status)).await;
        assert!(matches!(result, Err(StatusError::Retry { .. })), "{status}: {result:?}");
    }
}

#[tokio::test]
async fn a_renamed_repository_is_followed_as_a_post_with_its_body() {
    for status in [301, 302, 307, 308] {
        let server = MockServer::start().await;
        let onward = ResponseTemplate::new(status).insert_header("location", "/repositories/1/statuses");
        Mock::given(path(GITHUB_PATH)).respond_with(onward).mount(&server).await;
        Mock::given(method("POST"))
            .and(path("/repositories/1/statuses"))
            .and(header("authorization", "Bearer t0ken"))
            .respond_with(ResponseTemplate::new(201))
            .expect(1)
            .mount(&server)
            .await;
        client().post(&target(Forge::Github, &server.uri()), &post()).await.expect("taken");
        let bodies = bodies(&server).await;
        assert_eq!(bodies[0], bodies[1]);
    }
}

#[tokio::test]
async fn a_token_never_goes_to_another_host() {
    let thief = MockServer::start().await;
    let onward = |to: String| ResponseTemplate::new(307).insert_header("location", to);
    for to in [format!("{}/x", thief.uri()), "https://127.0.0.1/x".to_owned(), "//evil.example/x".to_owned()]
    {
        let moved = verdict(onward(to.clone())).await;
        assert!(matches!(moved, Err(StatusError::Moved { .. })), "{to}: {moved:?}");
    }
    assert!(thief.received_requests().await.expect("recorded").is_empty());
    assert!(matches!(verdict(ResponseTemplate::new(307)).await, Err(StatusError::Retry { .. })));
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = forge_that_answers(ResponseTemplate::new(307).insert_header("location", "/again")).await;
    let result = client().post(&target(Forge::Github, &server.uri()), &post()).await;
    assert!(matches!(result, Err(StatusError::Moved { .. })));
    assert_eq!(server.received_requests().await.expect("recorded").len(), 4);
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let result = verdict(ResponseTemplate::new(201).set_body_bytes(vec![b'x'; 1 << 20])).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_reset_and_a_closed_port_are_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let api = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 1024];
        assert!(connection.read(&mut request).await.expect("a request") > 0);
        connection.write_all(b"HTTP/1.1 20").await.expect("half a line");
    });
    let result = client().post(&target(Forge::Github, &api), &post()).await;
    assert!(matches!(result, Err(StatusError::Retry { .. })), "{result:?}");
    server.await.expect("ended");
    let result = client().post(&target(Forge::Github, &api), &post()).await;
    assert!(matches!(result, Err(StatusError::Retry { .. })), "{result:?}");
}

#[tokio::test]
async fn a_hang_ends_after_ten_seconds() {
    let server = forge_that_answers(ResponseTemplate::new(201).set_delay(Duration::from_secs(60))).await;
    let started = std::time::Instant::now();
    let result = client().post(&target(Forge::Github, &server.uri()), &post()).await;
    assert!(matches!(result, Err(StatusError::Retry { .. })), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn an_address_inside_is_refused_unless_the_operator_allows_it() {
    let server = forge_that_answers(ResponseTemplate::new(201)).await;
    let client = StatusClient::new(&Allow::none(), None).expect("no certificates to read");
    let result = client.post(&target(Forge::Github, &server.uri()), &post()).await;
    assert_eq!(result, Err(StatusError::Refused { reason: "127.0.0.1 has no public address".to_owned() }));
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn a_plain_server_takes_no_status_and_a_bad_token_is_not_sent() {
    let server = forge_that_answers(ResponseTemplate::new(201)).await;
    let plain = client().post(&target(Forge::Plain, &server.uri()), &post()).await;
    assert!(matches!(plain, Err(StatusError::Refused { .. })));
    let mut bad = target(Forge::Github, &server.uri());
    bad.token = "a\nb".parse().expect("not empty");
    let result = client().post(&bad, &post()).await;
    assert!(matches!(result, Err(StatusError::Unauthorized { .. })));
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

fn key() -> StatusKey {
    let StatusPost { owner, name, sha, context, .. } = post();
    StatusKey { owner, name, sha, context }
}

/// A forge that shows this on its first page, and nothing on the next ones.
async fn forge_that_shows(at: &str, first: Value, then: Value) -> MockServer {
    let server = MockServer::start().await;
    for (page, body) in [("1", first), ("2", then)] {
        Mock::given(method("GET"))
            .and(path(at))
            .and(query_param("page", page))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
    }
    server
}

#[tokio::test]
async fn what_github_shows_is_told_from_what_it_was_told() {
    let page = "https://faas.example/jobs/1?key=k";
    let status = |id: u64, context: &str, state: &str| json!({"id": id, "context": context, "state": state, "target_url": page});
    let first = json!({"statuses": [status(3, "another", "success")]});
    let then =
        json!({"statuses": [status(1, "gitfaas/push", "pending"), status(2, "GitFaaS/push", "failure")]});
    let at = format!("/repos/octocat/hello/commits/{SHA}/status");
    let server = forge_that_shows(&at, first, then).await;
    let shown = client().posted(&target(Forge::Github, &server.uri()), &key()).await;
    let shown = shown.expect("an answer").expect("one on the second page");
    assert!(shown.is(CommitState::Failure, page));
    assert!(!shown.is(CommitState::Pending, page) && !shown.is(CommitState::Error, page));
    assert!(!shown.is(CommitState::Failure, "https://faas.example/jobs/2?key=k"), "another job's");
}

#[tokio::test]
async fn gitea_and_gitlab_show_it_in_their_own_fields_and_words() {
    let at = format!("/repos/octocat/hello/commits/{SHA}/status");
    let listed =
        json!({"statuses": [{"id": 1, "context": "gitfaas/push", "status": "success", "target_url": ""}]});
    let server = forge_that_shows(&at, listed, json!({"statuses": null})).await;
    let shown = client().posted(&target(Forge::Gitea, &server.uri()), &key()).await.expect("an answer");
    assert!(shown.expect("one").is(CommitState::Success, "any page"), "it tells of no page");
    let elsewhere = StatusKey { context: "other".to_owned(), ..key() };
    let shown = client().posted(&target(Forge::Gitea, &server.uri()), &elsewhere).await;
    assert_eq!(shown, Ok(None));

    let at = format!("/projects/octocat%2Fhello/repository/commits/{SHA}/statuses");
    let listed = json!([{"id": 5, "name": "gitfaas/push", "status": "failed"}, {"id": 4, "name": "gitfaas/push", "status": "pending"}]);
    let server = forge_that_shows(&at, listed, json!([])).await;
    let shown = client().posted(&target(Forge::Gitlab, &server.uri()), &key()).await.expect("an answer");
    assert!(shown.expect("one").is(CommitState::Error, "any page"), "GitLab knows no other word for it");
    let request = &server.received_requests().await.expect("recorded")[0];
    assert!(request.url.query().is_some_and(|query| query.contains("name=gitfaas%2Fpush")));
}

#[tokio::test]
async fn what_cannot_be_read_says_whether_it_ever_can() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(403).set_body_json(json!({"message": "no right"})))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(502)).mount(&server).await;
    let shown = async || client().posted(&target(Forge::Github, &server.uri()), &key()).await;
    assert!(matches!(shown().await, Err(StatusError::Refused { .. })));
    assert!(matches!(shown().await, Err(StatusError::Retry { .. })));
    let plain = client().posted(&target(Forge::Plain, &server.uri()), &key()).await;
    assert!(matches!(plain, Err(StatusError::Refused { .. })));
}
