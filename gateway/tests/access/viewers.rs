//! Viewers look, and change nothing.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    URL,
    support::{Answered as _, Service},
};

async fn change(service: &Service, token: &str, id: &str, viewers: Value) -> Value {
    let path = format!("/api/v1/repos/{id}");
    let wish = json!({ "viewers": viewers });
    service.request(Method::PATCH, &path).bearer_auth(token).json(&wish).answers(StatusCode::OK).await
}

#[tokio::test]
async fn an_owner_names_viewers_and_they_see_jobs_and_nothing_of_the_settings() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let viewer = service.user("viewer@example.com").await;
    let id = service.register(&owner, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let job = service.submit(&owner, &id).await;
    service.run(job, "a line", b"3.14").await;
    let (repo, job) = (format!("/api/v1/repos/{id}"), format!("/api/v1/jobs/{job}"));
    service.get(&repo, &viewer).answers(StatusCode::NOT_FOUND).await;

    let who = service.get("/api/v1/whoami", &viewer).answers(StatusCode::OK).await["id"].clone();
    let changed = change(&service, &owner, &id, json!(["VIEWER@example.com", who])).await;
    assert_eq!(changed["viewers"], json!([{ "id": who, "email": "viewer@example.com" }]));
    assert_eq!(service.get(&repo, &owner).answers(StatusCode::OK).await["viewers"], changed["viewers"]);

    let shown = service.get(&repo, &viewer).answers(StatusCode::OK).await;
    assert_eq!(shown, json!({ "id": id, "url": URL, "forge": "plain", "role": "viewer" }));
    let list = service.get("/api/v1/repos", &viewer).answers(StatusCode::OK).await;
    assert_eq!(list["items"], json!([shown]));
    assert_eq!(service.get(&format!("{job}/log"), &viewer).says(StatusCode::OK).await, "a line");
    assert_eq!(service.get(&format!("{job}/result"), &viewer).says(StatusCode::OK).await, "3.14");
    let listed = service.get("/api/v1/jobs", &viewer).answers(StatusCode::OK).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let deliveries = service.get("/api/v1/deliveries", &viewer).answers(StatusCode::OK).await;
    assert_eq!(deliveries["items"], json!([]));

    change(&service, &owner, &id, json!([])).await;
    service.get(&job, &viewer).answers(StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn whoever_is_not_exactly_one_user_is_no_viewer() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let id = service.register(&owner, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let accounts = &service.ledger.accounts;
    for subject in ["one", "two"] {
        let kind = jobs::accounts::OwnerKind::User;
        accounts.find_or_make("issuer", subject, "twice@example.com", kind).await.unwrap();
    }
    let machine = jobs::accounts::OwnerKind::Installation;
    accounts.find_or_make("github-installation", "1", "an-org", machine).await.unwrap();
    let refused = async |viewer: &str| {
        let path = format!("/api/v1/repos/{id}");
        let wish = json!({ "viewers": [viewer] });
        let request = service.request(Method::PATCH, &path).bearer_auth(&owner).json(&wish);
        request.answers(StatusCode::BAD_REQUEST).await["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused("nobody@example.com").await, "viewers: there is no user nobody@example.com");
    assert_eq!(refused("an-org").await, "viewers: there is no user an-org");
    let mut twice = refused("twice@example.com").await;
    // The gateway hears of a user who was made elsewhere a moment later.
    while twice.starts_with("viewers: there is no user") {
        twice = refused("twice@example.com").await;
    }
    assert_eq!(twice, "viewers: several users have the address twice@example.com; name one by his id");
}
