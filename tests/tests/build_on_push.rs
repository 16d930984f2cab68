//! `"onPush": "build"`: a push makes a version that can be called, and does not run it.

use http::StatusCode;
use serde_json::{Value, json};
use tests::{Api, Function, Service, api::job, fake_forge::Status};

fn told(status: &Status) -> String {
    format!("{} {}: {}", status.context, status.state, status.description)
}

#[tokio::test]
async fn a_push_is_built_and_green_its_rerun_too_and_a_call_runs() {
    let service = Service::start().await;
    let repository = service.registered("built").await;
    let program = "print('ran')\nraise SystemExit(3)";
    let function = Function::python(program).with("onPush", "build").with("http", json!({ "wait": "5s" }));
    let commit = repository.push(function).await;
    let status = service.forge.final_status(&commit).await;
    assert!(told(&status).starts_with("gitfaas/push success: built in "), "{status:?}");
    let built = service.finished(&commit.job()).await;
    assert_eq!((built.end(), built.exit_code), ("finish".to_owned(), None));
    assert_eq!(built.message.as_deref(), Some("built, not run"));
    assert!(service.log(&built.id).await.contains("built in "));
    let jetstream = service.nats().jetstream().await;
    let bucket = jetstream.get_key_value("jobs").await.unwrap();
    let record: Value = serde_json::from_slice(&bucket.get(&built.id).await.unwrap().unwrap()).unwrap();
    let kept = (&record["built"], &record["language"], &record["http"]);
    assert_eq!(kept, (&json!(true), &json!("python"), &json!({ "wait": 5 })));

    let answer = service.post(&format!("/api/v1/jobs/{}/rerun", built.id), &json!({})).await;
    let rerun = job(Api::json(answer, StatusCode::ACCEPTED).await);
    let rerun = service.finished(&rerun.id).await;
    assert_eq!((rerun.end(), rerun.message.as_deref()), ("finish".to_owned(), Some("built, not run")));

    let called = service.run_as(&json!({ "repo": repository.url, "ref": commit.sha })).await;
    assert_eq!(called.end(), "error, exit: exit code 3");
}

#[tokio::test]
async fn a_newer_push_does_not_end_a_build_that_began() {
    let service = Service::start().await;
    let repository = service.registered("steady").await;
    let takes_a_while = |n: &str| {
        Function::default()
            .with("language", "rust")
            .with("onPush", "build")
            .file("Cargo.toml", "[package]\nname = 'a'\nversion = '1.0.0'\nedition = '2024'\n")
            .file("build.rs", "fn main() { std::thread::sleep(std::time::Duration::from_secs(5)) }")
            .file("src/main.rs", format!("fn main() {{ print!(\"{n}\") }}"))
    };
    let first = repository.push(takes_a_while("1")).await;
    service.says(&first.job(), "Compiling").await;
    let second = repository.push(takes_a_while("2")).await;
    for commit in [&first, &second] {
        let status = service.forge.final_status(commit).await;
        assert!(told(&status).starts_with("gitfaas/push success: built in "), "{commit:?}: {status:?}");
    }
}
