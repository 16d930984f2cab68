//! Sessions end where they should, everywhere at once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    fake_provider::FakeProvider,
    service,
    support::{Answered as _, Service},
};

/// Signs a program in.
async fn program(service: &Service) -> Value {
    let page = Browser::reading(service, "application/json").visit("/oauth/authorize").await;
    serde_json::from_str(&page.text).unwrap()
}

fn refresh(service: &Service, token: &Value) -> crate::support::described::RequestBuilder {
    service.request(Method::POST, "/api/v1/auth/refresh").json(&json!({ "refresh_token": token }))
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_whole_sign_in() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let other = service.another().await;
    let first = program(&service).await;
    let second = refresh(&other, &first["refresh_token"]).answers(StatusCode::OK).await;
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    for answer in [&first, &second] {
        service.get("/api/v1/whoami", answer["token"].as_str().unwrap()).answers(StatusCode::OK).await;
    }
    let said = refresh(&service, &first["refresh_token"]).says(StatusCode::UNAUTHORIZED).await;
    assert!(said.contains("was used before"), "{said}");
    for answer in [&first, &second] {
        let token = answer["token"].as_str().unwrap();
        for gateway in [&service, &other] {
            gateway.get("/api/v1/whoami", token).says(StatusCode::UNAUTHORIZED).await;
        }
    }
    refresh(&service, &second["refresh_token"]).says(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn of_two_at_once_with_one_refresh_token_at_most_one_goes_on() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let other = service.another().await;
    let first = program(&service).await;
    let (one, two) = tokio::join!(
        refresh(&service, &first["refresh_token"]).send(),
        refresh(&other, &first["refresh_token"]).send()
    );
    let well = [one.unwrap().status(), two.unwrap().status()];
    assert!(well.iter().filter(|status| **status == StatusCode::OK).count() <= 1, "{well:?}");
    service.get("/api/v1/whoami", first["token"].as_str().unwrap()).says(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn who_signs_out_is_out_at_every_gateway() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let other = service.another().await;

    let mut browser = Browser::new(&service);
    let page = browser.visit("/oauth/authorize").await;
    let token = page.between("tabindex=\"0\">", "</pre>").to_owned();
    let cookie = format!("gitfaas_session={}", browser.cookie("gitfaas_session").unwrap());
    other.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
    other.request(Method::GET, "/").header("cookie", &cookie).says(StatusCode::OK).await;
    let home = browser.visit("/").await;
    let word = home.between("name=\"form\" value=\"", "\"").to_owned();
    assert_eq!(browser.post("/logout", &[("form", "wrong")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post("/logout", &[("form", &word)]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.cookie("gitfaas_session"), None);
    other.get("/api/v1/whoami", &token).says(StatusCode::UNAUTHORIZED).await;
    other.request(Method::GET, "/").header("cookie", &cookie).says(StatusCode::UNAUTHORIZED).await;

    let one = program(&service).await;
    let request = service.request(Method::POST, "/api/v1/auth/logout");
    let request = request.json(&json!({ "refresh_token": one["refresh_token"] }));
    request.says(StatusCode::NO_CONTENT).await;
    other.get("/api/v1/whoami", one["token"].as_str().unwrap()).says(StatusCode::UNAUTHORIZED).await;
    let two = program(&service).await;
    let token = two["token"].as_str().unwrap();
    service
        .request(Method::POST, "/api/v1/auth/logout")
        .bearer_auth(token)
        .says(StatusCode::NO_CONTENT)
        .await;
    other.get("/api/v1/whoami", token).says(StatusCode::UNAUTHORIZED).await;
    refresh(&other, &two["refresh_token"]).says(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn the_list_is_asked_of_the_address_of_this_sign_in_and_again_at_every_refresh() {
    let fake = FakeProvider::start().await;
    let allow = |list: &'static str| [("GITFAAS_LOGIN_ALLOW", list)];
    let service = service(&fake.issuer, &allow("@example.com,@example.org")).await;
    let first = program(&service).await;
    // The address on record, of the first sign-in, stays what it was.
    fake.moves_to("ada@example.org");
    let second = program(&service).await;
    fake.moves_to("ada@elsewhere.example");
    let mut browser = Browser::new(&service);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::FORBIDDEN);

    let later = service.another_with(&allow("@example.com")).await;
    refresh(&later, &first["refresh_token"]).answers(StatusCode::OK).await;
    let said = refresh(&later, &second["refresh_token"]).says(StatusCode::UNAUTHORIZED).await;
    assert!(said.contains("may not any more"), "{said}");
    service.get("/api/v1/whoami", second["token"].as_str().unwrap()).says(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_live_stream_ends_with_its_sign_in() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let other = service.another().await;
    let signed_in = program(&service).await;
    let token = signed_in["token"].as_str().unwrap();
    let job = service.submit(token, "https://example.com/a/pi.git").await;
    let stream = service.get(&format!("/api/v1/jobs/{job}/events"), token).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let logout = other.request(Method::POST, "/api/v1/auth/logout").bearer_auth(token);
    logout.says(StatusCode::NO_CONTENT).await;
    let soon = std::time::Duration::from_secs(4);
    tokio::time::timeout(soon, stream.text()).await.expect("the stream ends").unwrap();
}

#[tokio::test]
async fn an_api_token_is_still_taken_by_form_and_by_programs() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let token = service.user("ada@example.com").await;
    let mut browser = Browser::new(&service);
    let asked = browser.visit("/").await;
    assert!(asked.text.contains("Sign in with") && asked.text.contains("name=\"token\""));
    let home = browser.post("/login", &[("token", &token), ("next", "/")]).await;
    assert_eq!((home.status, home.url.path()), (StatusCode::OK, "/"));
    let refused = service.request(Method::POST, "/api/v1/auth/logout").bearer_auth(&token);
    assert!(refused.says(StatusCode::BAD_REQUEST).await.contains("DELETE /api/v1/tokens/{id}"));
    for nonsense in ["a.b.c", "gfs_00_00", "gfr_00_00", "ey.ey.ey"] {
        service.get("/api/v1/whoami", nonsense).says(StatusCode::UNAUTHORIZED).await;
    }
}
