//! Functions that are called: from `git push` to an answer over HTTP, from a container.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Function, Service};

/// Tells what it was given, as an HTTP answer.
const ECHO: &str = r#"
import json, os, sys
body = sys.stdin.buffer.read()
sys.stdin.buffer.seek(0)
assert sys.stdin.buffer.read() == body, "standard input is a file"
names = ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_A", "HTTP_PROXY", "MODE"]
print("Status: 201 Created")
print("Content-Type: application/json")
print()
print(json.dumps({"body": body.hex(), **{name: os.environ.get(name) for name in names}}))
"#;

#[tokio::test]
async fn a_push_is_called_and_its_program_is_told_the_request() {
    let service = Service::start().await;
    let repository = service.registered("echo").await;
    let http = json!({ "response": "cgi", "methods": ["POST"] });
    let function = Function::python(ECHO)
        .with("onPush", "build")
        .with("env", json!({ "MODE": "fast", "REQUEST_METHOD": "none" }))
        .with("http", http);
    let commit = repository.push(function).await;
    let status = service.forge.final_status(&commit).await;
    assert!(status.description.starts_with("built in "), "{status:?}");

    let body: Vec<u8> = (0..=255).collect();
    let call = service
        .request(Method::POST, "/f/echo/a%20b//c%2F?c=%20d")
        .header("content-type", "application/x")
        .header("x-a", "1")
        .header("x-a", "2")
        .header("proxy", "http://evil.example")
        .body(body.clone());
    let answer = service.send(call).await;
    assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.text().await);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["gitfaas-commit"], commit.sha);
    let timing = answer.headers()["server-timing"].to_str().unwrap().to_owned();
    assert!(timing.contains("run;dur="), "{timing}");
    let id = answer.headers()["gitfaas-job"].to_str().unwrap().to_owned();
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["body"], hex::encode(&body));
    assert_eq!((&told["REQUEST_METHOD"], &told["MODE"]), (&json!("POST"), &json!("fast")));
    assert_eq!((&told["PATH_INFO"], &told["QUERY_STRING"]), (&json!("/a b//c/"), &json!("c=%20d")));
    assert_eq!((&told["CONTENT_TYPE"], &told["CONTENT_LENGTH"]), (&json!("application/x"), &json!("256")));
    assert_eq!(told["HTTP_X_A"], json!("1, 2"));
    let proxy = told["HTTP_PROXY"].as_str().unwrap_or_default();
    assert!(!proxy.contains("evil"), "{proxy}");
    service.containers.are_gone(&id).await;

    let refused = service.send(service.request(Method::GET, "/f/echo")).await;
    assert_eq!(
        (refused.status(), &refused.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn a_red_push_takes_nothing_down_and_a_rerun_moves_nothing_back() {
    let service = Service::start().await;
    let repository = service.registered("steady").await;
    let answer = async || {
        let answer = service.get("/f/steady").await;
        let status = answer.status();
        (status, answer.text().await.unwrap())
    };
    let first = repository.push(Function::python("print(1)")).await;
    assert_eq!(service.forge.final_status(&first).await.state, "success");
    assert_eq!(answer().await, (StatusCode::OK, "1\n".to_owned()), "once the check is green");
    let second = repository.push(Function::python("print(2)")).await;
    assert_eq!(service.forge.final_status(&second).await.state, "success");
    assert_eq!(answer().await.1, "2\n");
    let red = repository.push(Function::python("raise SystemExit(1)")).await;
    assert_eq!(service.forge.final_status(&red).await.state, "failure");
    assert_eq!(answer().await.1, "2\n");
    let rerun = service.post(&format!("/api/v1/jobs/{}/rerun", first.job()), &json!({})).await;
    let rerun: Value = tests::Api::json(rerun, StatusCode::ACCEPTED).await;
    assert_eq!(service.finished(rerun["id"].as_str().unwrap()).await.end(), "finish");
    assert_eq!(answer().await.1, "2\n");
    let old = service.get(&format!("/f/steady@{}", first.sha)).await;
    assert_eq!((old.status(), old.text().await.unwrap()), (StatusCode::OK, "1\n".to_owned()));
    let not_green = service.get(&format!("/f/steady@{}", red.sha)).await;
    assert_eq!(not_green.status(), StatusCode::NOT_FOUND);

    let set = ["alias", "set", "steady", "live", &first.sha];
    assert!(service.gitfaas(&set).await.status.success());
    assert_eq!(answer().await.1, "1\n", "the alias goes before the newest");
    let called = service.gitfaas(&["call", "steady@main"]).await;
    assert_eq!((called.status.code(), called.stdout), (Some(0), b"2\n".to_vec()));
}

#[tokio::test]
async fn failures_and_long_calls_are_told_as_they_are() {
    let service = Service::start().await;
    let repository = service.registered("moody").await;
    let program = "import sys, time\nwhat = sys.stdin.read()\nprint('half', flush=True)\n\
                   time.sleep(600) if what == 'sleep' else sys.exit(3 if what == 'fail' else 0)";
    let commit =
        repository.push(Function::python(program).with("timeout", "4s").with("onPush", "build")).await;
    assert_eq!(service.forge.final_status(&commit).await.state, "success");
    let call = |body: &'static str| service.request(Method::POST, "/f/moody").body(body);
    let answer = service.send(call("fail")).await;
    let failed: Value = tests::Api::json(answer, StatusCode::BAD_GATEWAY).await;
    assert_eq!((&failed["cause"], &failed["detail"]), (&json!("exit"), &json!("exit code 3")));
    let answer = service.send(call("sleep").header("prefer", "wait=1")).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let later = answer.headers()["location"].to_str().unwrap().to_owned();
    let ended = service.anybody().request(Method::GET, &later).header("prefer", "wait=60");
    let ended: Value = tests::Api::json(service.send(ended).await, StatusCode::GATEWAY_TIMEOUT).await;
    assert_eq!((&ended["cause"], &ended["fault"]), (&json!("timeout"), &json!("function")));
    let cli = service.gitfaas(&["call", "moody", "--data", "fail"]).await;
    let said = String::from_utf8_lossy(&cli.stderr).into_owned();
    assert!(cli.status.code() == Some(1) && cli.stdout.is_empty() && said.contains("exit code 3"), "{said}");
}
