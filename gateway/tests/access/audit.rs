//! Admins read who did what, newest first.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    URL,
    support::{Answered as _, Service},
};

fn actions(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_deed_is_in_the_log_with_who_and_from_where() {
    let service = Service::with(&[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (admin, user) = (service.admin().await, service.user("a@example.com").await);
    let ask = |method: Method, path: &str, body: &Value| {
        let request = service.request(method, path).bearer_auth(&user).json(body);
        request.header("x-forwarded-for", "203.0.113.9")
    };
    let repo = ask(Method::POST, "/api/v1/repos", &json!({ "url": URL })).answers(StatusCode::CREATED).await;
    let repo = format!("/api/v1/repos/{}", repo["id"].as_str().unwrap());
    let secret = format!("{repo}/secrets/KEY");
    ask(Method::PUT, &secret, &json!("hunter2")).answers(StatusCode::CREATED).await;
    ask(Method::DELETE, &secret, &Value::Null).says(StatusCode::NO_CONTENT).await;
    let wish = json!({ "token": "t0ken", "branches": ["main"] });
    ask(Method::PATCH, &repo, &wish).answers(StatusCode::OK).await;
    let job = service.submit(&user, URL).await;
    ask(Method::POST, &format!("/api/v1/jobs/{job}/cancel"), &Value::Null).answers(StatusCode::OK).await;
    ask(Method::POST, &format!("/api/v1/jobs/{job}/rerun"), &Value::Null).answers(StatusCode::ACCEPTED).await;
    let token = ask(Method::POST, "/api/v1/tokens", &json!({})).answers(StatusCode::CREATED).await;
    let token = token["id"].as_str().unwrap();
    ask(Method::DELETE, &format!("/api/v1/tokens/{token}"), &Value::Null).says(StatusCode::NO_CONTENT).await;
    ask(Method::DELETE, &repo, &Value::Null).says(StatusCode::NO_CONTENT).await;

    let all = service.get("/api/v1/audit", &admin).answers(StatusCode::OK).await;
    assert_eq!(
        actions(&all),
        [
            "repo_removed",
            "token_revoked",
            "token_made",
            "job_rerun",
            "job_cancelled",
            "repo_changed",
            "secret_removed",
            "secret_set",
            "repo_added"
        ]
    );
    let changed = &all["items"][5];
    assert_eq!(
        (&changed["detail"], &changed["email"], &changed["address"]),
        (&json!("branches token"), &json!("a@example.com"), &json!("203.0.113.9"))
    );
    assert!(changed["by"]["token"].is_string() && changed["at"].is_string(), "{changed}");
    assert_eq!(all["items"][3]["detail"], json!(job), "a rerun names what it repeats");
    assert!(all.get("next").is_none() && !all.to_string().contains("t0ken"));
    service.get("/api/v1/audit", &user).answers(StatusCode::FORBIDDEN).await;
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_a_refused_deed_is_not_in_it() {
    let service = Service::start().await;
    let admin = service.admin().await;
    let empty = service.get("/api/v1/audit", &admin).answers(StatusCode::OK).await;
    assert_eq!(empty, json!({ "items": [] }));
    for _ in 0..5 {
        service.post("/api/v1/tokens", &admin, &json!({})).answers(StatusCode::CREATED).await;
    }
    service
        .post("/api/v1/tokens", &admin, &json!({ "expires_in": "x" }))
        .answers(StatusCode::BAD_REQUEST)
        .await;
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            service.get(&format!("/api/v1/audit?limit=2{cursor}"), &admin).answers(StatusCode::OK).await;
        ids.extend(
            page["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(ids, ["a5", "a4", "a3", "a2", "a1"]);
}

#[tokio::test]
async fn admins_deeds_lie_apart_and_the_list_can_be_filtered() {
    let service = Service::start().await;
    let (admin, user) = (service.admin().await, service.user("a@example.com").await);
    for token in [&user, &admin, &user] {
        service.post("/api/v1/tokens", token, &json!({})).answers(StatusCode::CREATED).await;
    }
    service.submit(&user, URL).await;
    service.register(&user, json!({ "url": URL })).await;
    let list = async |query: &str| {
        let page = service.get(&format!("/api/v1/audit?{query}"), &admin).answers(StatusCode::OK).await;
        let ids =
            page["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["3", "2", "a1", "1"], "by time, whichever log");
    assert_eq!(list("log=admins").await, ["a1"]);
    assert_eq!(list("action=token_made").await, ["2", "a1", "1"]);
    assert_eq!(list("action=token_made&user=a@example.com").await, ["2", "1"]);
    assert_eq!(list("user=nobody@example.com").await, Vec::<String>::new());
    service.get("/api/v1/audit?action=invented", &admin).answers(StatusCode::BAD_REQUEST).await;
    service.get("/api/v1/audit?cursor=soon", &admin).answers(StatusCode::BAD_REQUEST).await;
    let full = jobs::streams::AUDIT_ADMIN;
    let log = service.ledger.js.get_stream(full).await.unwrap();
    assert!(log.cached_info().config.deny_delete && log.cached_info().config.deny_purge);
}
