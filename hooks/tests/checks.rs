//! Check runs against a server that keeps what it was told.

use hooks::Forge;
use hooks::address::Allow;
use hooks::checks::{Annotation, CheckClient, CheckRun, Conclusion, FoundRun, Level, Progress};
use hooks::status::{StatusError, StatusKey, Target};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn client() -> CheckClient {
    let allow: Allow = "127.0.0.1".parse().expect("a list");
    CheckClient::new(&allow, None).expect("no certificates to read")
}

fn target(server: &MockServer) -> Target {
    let api = server.uri().parse().expect("a URL");
    Target { forge: Forge::Github, api, token: "ghs_t0ken".parse().expect("not empty") }
}

fn run(progress: Progress, annotations: usize) -> CheckRun {
    let annotation = |line| Annotation {
        path: "main.py".to_owned(),
        start_line: line,
        end_line: line,
        start_column: Some(3),
        end_column: None,
        level: Level::Failure,
        message: "NameError".to_owned(),
    };
    CheckRun {
        owner: "octocat".to_owned(),
        name: "hello".to_owned(),
        sha: "1f1ee58e3067678d3752dd5f6f3abb936325fbb8".parse().expect("a commit id"),
        context: "gitfaas/push".to_owned(),
        external_id: "01938f6e-0000-7000-8000-000000000001".to_owned(),
        details_url: Some("https://faas.example/jobs/1".to_owned()),
        progress,
        title: "exit code 3".to_owned(),
        summary: "It **failed**.".to_owned(),
        text: None,
        annotations: (1..).take(annotations).map(annotation).collect(),
    }
}

async fn github() -> MockServer {
    let server = MockServer::start().await;
    for (verb, at, status) in [
        ("POST", "/repos/octocat/hello/check-runs", 201),
        ("PATCH", "/repos/octocat/hello/check-runs/4", 200),
    ] {
        Mock::given(method(verb))
            .and(path(at))
            .and(header("authorization", "Bearer ghs_t0ken"))
            .respond_with(ResponseTemplate::new(status).set_body_json(json!({"id": 4})))
            .mount(&server)
            .await;
    }
    server
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.expect("recorded");
    requests.iter().map(|request| request.body_json().expect("JSON")).collect()
}

#[tokio::test]
async fn a_run_is_made_and_brought_to_its_end() {
    let server = github().await;
    let id = client().create(&target(&server), &run(Progress::InProgress, 0)).await.expect("made");
    assert_eq!(id, 4);
    let ended = run(Progress::Completed(Conclusion::TimedOut), 1);
    client().update(&target(&server), id, &ended).await.expect("changed");
    let bodies = bodies(&server).await;
    insta::assert_snapshot!(bodies[0], @r#"{"details_url":"https://faas.example/jobs/1","external_id":"01938f6e-0000-7000-8000-000000000001","head_sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","name":"gitfaas/push","output":{"summary":"It **failed**.","title":"exit code 3"},"status":"in_progress"}"#);
    insta::assert_snapshot!(bodies[1], @r#"{"conclusion":"timed_out","details_url":"https://faas.example/jobs/1","external_id":"01938f6e-0000-7000-8000-000000000001","name":"gitfaas/push","output":{"annotations":[{"annotation_level":"failure","end_line":1,"message":"NameError","path":"main.py","start_column":3,"start_line":1}],"summary":"It **failed**.","title":"exit code 3"},"status":"completed"}"#);
}

#[tokio::test]
async fn many_annotations_go_by_fifty() {
    let server = github().await;
    let ended = run(Progress::Completed(Conclusion::Failure), 120);
    client().create(&target(&server), &ended).await.expect("made");
    let bodies = bodies(&server).await;
    let counts: Vec<_> =
        bodies.iter().map(|body| body["output"]["annotations"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [50, 50, 20]);
    assert_eq!(bodies[2]["output"]["annotations"][19]["start_line"], 120);
}

#[tokio::test]
async fn a_token_that_is_no_apps_is_refused() {
    let server = MockServer::start().await;
    let said = json!({"message": "You must authenticate via a GitHub App."});
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(403).set_body_json(said))
        .mount(&server)
        .await;
    let result = client().create(&target(&server), &run(Progress::Queued, 0)).await;
    assert!(matches!(result, Err(StatusError::Refused { .. })), "{result:?}");
}

#[tokio::test]
async fn the_newest_run_with_our_id_is_found_on_whatever_page() {
    let server = MockServer::start().await;
    let ours = run(Progress::Queued, 0);
    let first: Vec<Value> = (0..100).map(|n| listed(1000 + n, "another", 0)).collect();
    let second = [
        listed(7, &ours.external_id, 0),
        listed(9, &ours.external_id, 50),
        json!({"id": 12, "status": "queued"}),
    ];
    for (page, runs) in [("1", Value::from(first)), ("2", Value::from(second.to_vec()))] {
        Mock::given(method("GET"))
            .and(path(format!("/repos/octocat/hello/commits/{}/check-runs", ours.sha)))
            .and(query_param("check_name", "gitfaas/push"))
            .and(query_param("page", page))
            .respond_with(
                ResponseTemplate::new(200).set_body_json(json!({"total_count": 103, "check_runs": runs})),
            )
            .mount(&server)
            .await;
    }
    let found = client().find(&target(&server), &key(), &ours.external_id).await.expect("an answer");
    assert_eq!(found, Some(FoundRun { id: 9, annotations: 50 }));
    assert_eq!(client().find(&target(&server), &key(), "nobody's").await.expect("an answer"), None);
}

/// A run that is completed.
fn listed(id: u64, external_id: &str, annotations: u64) -> Value {
    json!({
        "id": id,
        "status": "completed",
        "external_id": external_id,
        "output": {"annotations_count": annotations},
    })
}

fn key() -> StatusKey {
    let CheckRun { owner, name, sha, context, .. } = run(Progress::Queued, 0);
    StatusKey { owner, name, sha, context }
}

#[tokio::test]
async fn of_two_runs_with_our_id_the_one_that_is_not_completed_counts() {
    let server = MockServer::start().await;
    let queued = json!({"id": 8, "status": "queued", "external_id": "j", "output": {}});
    let runs = [listed(9, "j", 50), queued, listed(10, "k", 0)];
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"total_count": 3, "check_runs": runs})))
        .mount(&server)
        .await;
    let (client, target) = (client(), target(&server));
    let found = client.find(&target, &key(), "j").await.expect("an answer");
    assert_eq!(found, Some(FoundRun { id: 8, annotations: 0 }));
    let is_completed = async |id| client.is_completed(&target, &key(), id).await.expect("an answer");
    assert!(!is_completed("j").await, "one of them is not");
    assert!(is_completed("k").await);
    assert!(!is_completed("nobody's").await, "there is none");
}

#[tokio::test]
async fn a_title_is_one_short_line() {
    let server = github().await;
    let long = CheckRun { title: format!("manifest:\n{}", "x".repeat(200)), ..run(Progress::Queued, 0) };
    client().create(&target(&server), &long).await.expect("made");
    let title = bodies(&server).await[0]["output"]["title"].as_str().expect("a title").to_owned();
    assert!(title.starts_with("manifest: x") && title.chars().count() == 140);
}
