//! Labels: only those that an owner was given; what a registration has stays its own.

use jobs::{JobId, Label, Presence, accounts::OPERATOR};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    URL,
    support::{Answered as _, Service},
};

const NOT_GIVEN: &str = "label: gpu was not given to ada@example.com; the operator gives it with: gitfaas \
                         user set ada@example.com --labels gpu";

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// A service with a worker for these labels, as its presence says.
async fn served() -> Service {
    let service = Service::start().await;
    let presence = Presence {
        worker: "w1".parse().unwrap(),
        labels: ["default", "gpu", "inside"].map(label).to_vec(),
        languages: vec!["python".to_owned()],
        slots: 2,
        other: Map::new(),
    };
    service.ledger.workers.put("w1", &presence).await.unwrap();
    service
}

/// What `gitfaas user set --labels` does.
async fn give(service: &Service, email: &str, labels: &[&str]) {
    let accounts = &service.ledger.accounts;
    let user = accounts.find(OPERATOR, email).await.unwrap().unwrap().value.id;
    let labels: Vec<Label> = labels.iter().map(|text| label(text)).collect();
    accounts.give_labels(user, &labels).await.unwrap().unwrap();
}

async fn call(service: &Service, token: &str, wish: Value, status: StatusCode) -> Value {
    service.post("/api/v1/jobs", token, &wish).answers(status).await
}

async fn change(service: &Service, token: &str, id: &str, wish: Value, status: StatusCode) -> Value {
    let path = format!("/api/v1/repos/{id}");
    service.request(Method::PATCH, &path).bearer_auth(token).json(&wish).answers(status).await
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_may_have_the_labels_that_were_given_from_the_next_request_on() {
    let service = served().await;
    let (ada, admin) = (service.user("ada@example.com").await, service.admin().await);
    let wish = |label: &str| json!({ "repo": URL, "label": label });

    let refused = call(&service, &ada, wish("gpu"), StatusCode::FORBIDDEN).await;
    assert_eq!(refused["error"]["message"], NOT_GIVEN);
    call(&service, &ada, wish("default"), StatusCode::ACCEPTED).await;
    call(&service, &admin, wish("gpu"), StatusCode::ACCEPTED).await;
    let unserved = call(&service, &ada, wish("nowhere"), StatusCode::FORBIDDEN).await;
    assert!(unserved["error"]["message"].as_str().unwrap().contains("was not given"), "tells nothing else");

    give(&service, "ada@example.com", &["gpu", "default", "gpu"]).await;
    let job = call(&service, &ada, wish("gpu"), StatusCode::ACCEPTED).await;
    let who = service.get("/api/v1/whoami", &ada).answers(StatusCode::OK).await;
    assert_eq!((&job["label"], &who["labels"]), (&json!("gpu"), &json!(["gpu"])));
    let more = call(&service, &ada, wish("inside"), StatusCode::FORBIDDEN).await;
    assert!(more["error"]["message"].as_str().unwrap().ends_with("--labels gpu,inside"), "{more}");

    give(&service, "ada@example.com", &[]).await;
    call(&service, &ada, wish("gpu"), StatusCode::FORBIDDEN).await;
    let again = format!("/api/v1/jobs/{}/rerun", id(&job));
    let refused = service.post(&again, &ada, &json!({})).answers(StatusCode::FORBIDDEN).await;
    assert_eq!(refused["error"]["message"], NOT_GIVEN, "nor the old job once more");
    assert_eq!(service.all_jobs().await.len(), 3);
}

#[tokio::test]
async fn a_registration_keeps_its_label_and_gets_no_other_that_was_not_given() {
    let service = served().await;
    let (ada, admin) = (service.user("ada@example.com").await, service.admin().await);
    let wish = json!({ "url": URL, "label": "gpu" });
    let refused = service.post("/api/v1/repos", &ada, &wish).answers(StatusCode::FORBIDDEN).await;
    assert_eq!(refused["error"]["message"], NOT_GIVEN);
    let listed = service.get("/api/v1/repos", &ada).answers(StatusCode::OK).await;
    assert_eq!(listed["items"], json!([]), "nothing was registered");

    give(&service, "ada@example.com", &["gpu"]).await;
    let repo = id(&service.register(&ada, wish).await);
    give(&service, "ada@example.com", &[]).await;

    let named = json!({ "label": "gpu", "name": "pi" });
    change(&service, &ada, &repo, named, StatusCode::OK).await;
    let refused = change(&service, &ada, &repo, json!({ "label": "inside" }), StatusCode::FORBIDDEN).await;
    assert!(refused["error"]["message"].as_str().unwrap().starts_with("label: inside was not given"));
    let job = call(&service, &ada, json!({ "repo": repo }), StatusCode::ACCEPTED).await;
    assert_eq!(job["label"], "gpu", "its calls run where its pushes do");
    let again = format!("/api/v1/jobs/{}/rerun", id(&job));
    service.post(&again, &ada, &json!({})).answers(StatusCode::ACCEPTED).await;

    change(&service, &admin, &repo, json!({ "label": "inside" }), StatusCode::OK).await;
    service.post(&again, &ada, &json!({})).answers(StatusCode::FORBIDDEN).await;
    change(&service, &ada, &repo, json!({ "label": "default" }), StatusCode::OK).await;
    change(&service, &ada, &repo, json!({ "label": "inside" }), StatusCode::FORBIDDEN).await;
}

#[tokio::test]
async fn a_viewer_calls_under_the_registrations_label_but_no_strangers_commit() {
    let service = served().await;
    let (ada, bob) = (service.user("ada@example.com").await, service.user("bob@example.com").await);
    give(&service, "ada@example.com", &["gpu"]).await;
    let wish = json!({ "url": URL, "label": "gpu", "viewers": ["bob@example.com"] });
    let repo = id(&service.register(&ada, wish).await);

    let own = call(&service, &bob, json!({ "repo": repo, "ref": "main" }), StatusCode::ACCEPTED).await;
    assert_eq!(own["label"], "gpu");
    for reference in ["refs/pull/7/head", "1f1ee58e3067678d3752dd5f6f3abb936325fbb8"] {
        let wish = json!({ "repo": repo, "ref": reference });
        let refused = call(&service, &bob, wish, StatusCode::FORBIDDEN).await;
        assert!(refused["error"]["message"].as_str().unwrap().starts_with("label: gpu was not given"));
        let elsewhere = json!({ "repo": repo, "ref": reference, "label": "default" });
        call(&service, &bob, elsewhere, StatusCode::ACCEPTED).await;
    }
    let pull = json!({ "repo": repo, "ref": "refs/pull/7/head" });
    let job = call(&service, &ada, pull, StatusCode::ACCEPTED).await;
    assert!(id(&job).parse::<JobId>().is_ok(), "its owner answers for it");
}

#[tokio::test]
async fn an_admins_token_that_was_narrowed_gives_no_label() {
    let service = served().await;
    let admin = service.admin().await;
    let wish = json!({ "name": "ci", "scopes": ["jobs:read", "jobs:write"] });
    let made = service.post("/api/v1/tokens", &admin, &wish).answers(StatusCode::CREATED).await;
    let narrow = made["token"].as_str().unwrap();
    call(&service, narrow, json!({ "repo": URL, "label": "gpu" }), StatusCode::FORBIDDEN).await;
}
