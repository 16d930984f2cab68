//! An address that is invited opens a repository to whoever proves it, from the sign-in that proves it on.

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    browser::Browser,
    fake_provider::{FakeProvider, Tamper},
    service,
    support::{Answered as _, Service},
};

/// A token of the provider's one user, with the current address.
async fn signs_in(service: &Service) -> String {
    let page = Browser::reading(service, "*/*").visit("/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    page.text
}

#[tokio::test]
async fn whoever_signs_in_with_an_invited_address_sees_the_repository() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let owner = service.user("owner@example.com").await;
    let wishes = json!({ "url": "https://127.0.0.1/a/pi.git", "viewers": ["new@example.com"] });
    let id = service.register(&owner, wishes).await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/repos/{id}");
    let before = signs_in(&service).await;
    service.get(&path, &before).says(StatusCode::NOT_FOUND).await;

    fake.moves_to("New@Example.com");
    fake.lies(Tamper::Unverified);
    let refused = Browser::new(&service).visit("/oauth/authorize").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    service.get(&path, &before).says(StatusCode::NOT_FOUND).await;

    fake.lies(Tamper::Nothing);
    let token = signs_in(&service).await;
    for token in [&token, &before] {
        let seen = service.get(&path, token).answers(StatusCode::OK).await;
        assert_eq!(seen["role"], "viewer", "it is the user, through every token");
    }
    let shown = service.get(&path, &owner).answers(StatusCode::OK).await;
    assert_eq!(shown["viewers"], json!([{ "email": "new@example.com" }]), "as before the sign-in");

    fake.moves_to("ada@example.com");
    let token = signs_in(&service).await;
    service.get(&path, &token).says(StatusCode::NOT_FOUND).await;
}
