//! The published interface, byte for byte, as its own clients use it.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{Answered, Service};

#[tokio::test]
async fn a_client_of_the_published_interface_is_served() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let sent = service.post("/job/send-job", &token, &json!({ "URL": "example.com/a/pi", "name": "pi" }));
    let sent = sent.says(StatusCode::OK).await;
    let id = serde_json::from_str::<serde_json::Value>(&sent).unwrap()["jobID"].as_str().unwrap().to_owned();
    assert_eq!(
        sent,
        format!(
            r#"{{"message":"job added to the queue, with ID = {id}","jobID":"{id}","data":{{"gitURL":"example.com/a/pi"}}}}"#
        )
    );
    let status =
        async |path: &str| service.get(path, &token).json(&json!({ "jobID": id })).says(StatusCode::OK).await;
    assert_eq!(status("/job/job-status/").await, "pending");
    assert_eq!(status("/job/result/").await, "");
    let claim = service.claim(id.parse().unwrap()).await;
    assert_eq!(status("/job/job-status").await, "working");
    let long = vec![b'7'; 20_000];
    service.finish(claim, &long).await;
    assert_eq!(status("/job/job-status/").await, "finish");
    assert_eq!(status("/job/result/").await.into_bytes(), long);
    let by_query = service.get(&format!("/job/job-status/?jobID={id}"), &token).says(StatusCode::OK).await;
    assert_eq!(by_query, "finish");
    let list = service.get("/job/list-jobs", &token).answers(StatusCode::OK).await;
    assert_eq!(list[0]["jobID"], id.as_str());
    assert_eq!(
        (&list[0]["userID"], &list[0]["url"]),
        (&json!("a@example.com"), &json!("https://example.com/a/pi"))
    );
}

#[tokio::test]
async fn errors_have_the_published_shapes() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let unknown = service.request(Method::GET, "/job/list-jobs").says(StatusCode::UNAUTHORIZED).await;
    assert_eq!(unknown, r#"{"message":"a bearer token is needed: Authorization: Bearer gft_…"}"#);
    let missing = service.get("/job/job-status/", &token).says(StatusCode::BAD_REQUEST).await;
    assert_eq!(missing, r#"{"error":"jobID is missing"}"#);
    let nobodys = json!({ "jobID": "0197a000-0000-7000-8000-000000000001" });
    let gone = service.get("/job/result", &token).json(&nobodys).says(StatusCode::NOT_FOUND).await;
    assert_eq!(gone, r#"{"error":"no such job"}"#);
    let login = service.request(Method::GET, "/oauth/authorize").says(StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(login, r#"{"message":"login is not configured"}"#);
}

#[tokio::test]
async fn statistics_need_the_secret_or_else_an_admin() {
    let service = Service::with(&[("GITFAAS_ADMIN_SECRET", "s3cret")]).await;
    let token = service.user("a@example.com").await;
    let now = json!({ "averageRequests": 1.5, "averageCompleted": 0.5, "averageTime": 2.25, "runs": 7 });
    service.ledger.observer.create("now", &now).await.unwrap();
    let asked =
        async |secret: &str| service.get("/observer/stats", &token).json(&json!({ "secret": secret }));
    assert_eq!(
        asked("s3cret").await.says(StatusCode::OK).await,
        r#"{"averageRequests":1.5,"averageCompleted":0.5,"averageTime":2.25}"#
    );
    assert_eq!(asked("wrong").await.says(StatusCode::BAD_REQUEST).await, r#"{"error":"wrong secret"}"#);
    let service = Service::start().await;
    let (user, admin) = (service.user("a@example.com").await, service.admin().await);
    service.get("/observer/stats", &user).says(StatusCode::FORBIDDEN).await;
    service.get("/observer/stats", &admin).says(StatusCode::OK).await;
}
