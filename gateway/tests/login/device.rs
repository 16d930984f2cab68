//! A program signs in with a code that a user approves.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    fake_provider::FakeProvider,
    service,
    support::{Answered as _, Service},
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(service: &Service) -> Value {
    service.request(Method::POST, "/oauth/device").answers(StatusCode::OK).await
}

fn poll(service: &Service, begun: &Value) -> crate::support::described::RequestBuilder {
    let form = [("grant_type", GRANT), ("device_code", begun["device_code"].as_str().unwrap())];
    service.request(Method::POST, "/oauth/token").form(&form)
}

/// Answers the code in this browser.
async fn say(browser: &mut Browser, begun: &Value, answer: &str) -> crate::browser::Page {
    let page = browser.visit(begun["verification_uri_complete"].as_str().unwrap()).await;
    let word = page.between("name=\"form\" value=\"", "\"").to_owned();
    let code = page.between("name=\"user_code\" value=\"", "\"").to_owned();
    assert_eq!(code, begun["user_code"].as_str().unwrap());
    browser.post("/device", &[("form", &word), ("user_code", &code), ("answer", answer)]).await
}

#[tokio::test]
async fn a_yes_in_the_browser_signs_the_program_in_once() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let other = service.another().await;
    let begun = begin(&service).await;
    assert_eq!((&begun["interval"], &begun["expires_in"]), (&json!(5), &json!(900)));
    assert_eq!(begun["verification_uri"], "http://gitfaas.test/device");
    let pending = poll(&service, &begun).answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(pending["error"], "authorization_pending");
    let hasty = poll(&service, &begun).answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(hasty["error"], "slow_down");

    let mut browser = Browser::new(&service);
    let asked = browser.visit(begun["verification_uri_complete"].as_str().unwrap()).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    let button = asked.between("class=\"button\" href=\"", "\"").replace("&amp;", "&");
    let page = browser.visit(&button).await;
    assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/device"), "{}", page.text);
    let page = say(&mut browser, &begun, "allow").await;
    assert!(page.text.contains("The program is signed in now"), "{}", page.text);

    let granted = poll(&other, &begun).answers(StatusCode::OK).await;
    assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = granted["access_token"].as_str().unwrap();
    let who = service.get("/api/v1/whoami", token).answers(StatusCode::OK).await;
    assert_eq!(who["email"], "ada@example.com");
    let again = poll(&service, &begun).answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(again["error"], "invalid_grant");
    let body = json!({ "refresh_token": granted["refresh_token"] });
    let refreshed = other.request(Method::POST, "/api/v1/auth/refresh").json(&body);
    refreshed.answers(StatusCode::OK).await;
}

#[tokio::test]
async fn a_no_and_what_was_never_begun_are_told_apart() {
    let service = Service::start().await;
    let token = service.user("ada@example.com").await;
    // Without login an API token in the form says who answers.
    let mut browser = Browser::new(&service);
    let begun = begin(&service).await;
    let url = format!("http://{}/device", service.address);
    assert!(begun["verification_uri"].as_str().unwrap().ends_with("/device"), "{url}");
    browser.post("/login", &[("token", &token), ("next", "/device")]).await;
    let page = browser.visit("/device").await;
    let word = page.between("name=\"form\" value=\"", "\"").to_owned();
    let code = begun["user_code"].as_str().unwrap().to_lowercase();
    let fields = [("form", word.as_str()), ("user_code", &code), ("answer", "deny")];
    let foreign = browser.post("/device", &[("form", "x"), ("user_code", &code), ("answer", "allow")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(browser.post("/device", &fields).await.text.contains("The program was refused"));
    assert_eq!(poll(&service, &begun).answers(StatusCode::BAD_REQUEST).await["error"], "access_denied");
    let late = browser.post("/device", &fields).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
    assert!(late.text.contains("There is no such code"), "{}", late.text);

    let invented = json!({ "device_code": "invented" });
    assert_eq!(poll(&service, &invented).answers(StatusCode::BAD_REQUEST).await["error"], "expired_token");
    let other = service.request(Method::POST, "/oauth/token").form(&[("grant_type", "password")]);
    assert_eq!(other.answers(StatusCode::BAD_REQUEST).await["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_program_gets_no_more_scopes_than_the_sign_in_that_said_yes() {
    use jobs::accounts::{OPERATOR, Scope};
    let service = Service::start().await;
    service.user("ada@example.com").await;
    let accounts = &service.ledger.accounts;
    let user = accounts.find(OPERATOR, "ada@example.com").await.unwrap().unwrap().value.id;
    let (_, narrow) = accounts.make_token(user, "narrow", &[Scope::JobsRead], None).await.unwrap();
    let mut browser = Browser::new(&service);
    browser.post("/login", &[("token", narrow.expose()), ("next", "/device")]).await;
    let begun = begin(&service).await;
    let page = browser.visit("/device").await;
    let word = page.between("name=\"form\" value=\"", "\"").to_owned();
    let code = begun["user_code"].as_str().unwrap();
    browser.post("/device", &[("form", &word), ("user_code", code), ("answer", "allow")]).await;
    let granted = poll(&service, &begun).answers(StatusCode::OK).await;
    assert_eq!(granted["scope"], "jobs:read");
    let token = granted["access_token"].as_str().unwrap();
    let wish = json!({ "repo": "https://example.com/a/pi.git" });
    service.post("/api/v1/jobs", token, &wish).says(StatusCode::FORBIDDEN).await;
}

#[tokio::test]
async fn a_program_that_an_api_token_let_in_ends_with_that_token() {
    let service = Service::start().await;
    let own = service.user("ada@example.com").await;
    let wish = json!({ "expires_in": "30m" });
    let short = service.post("/api/v1/tokens", &own, &wish).answers(StatusCode::CREATED).await;
    let mut browser = Browser::new(&service);
    browser.post("/login", &[("token", short["token"].as_str().unwrap()), ("next", "/device")]).await;
    let begun = begin(&service).await;
    let word = browser.visit("/device").await.between("name=\"form\" value=\"", "\"").to_owned();
    let code = begun["user_code"].as_str().unwrap();
    browser.post("/device", &[("form", &word), ("user_code", code), ("answer", "allow")]).await;
    let granted = poll(&service, &begun).answers(StatusCode::OK).await;
    assert!(granted["expires_in"].as_i64().unwrap() <= 1800, "{granted}");
    let body = json!({ "refresh_token": granted["refresh_token"] });
    let renewed = service.request(Method::POST, "/api/v1/auth/refresh").json(&body);
    let renewed = renewed.answers(StatusCode::OK).await;
    assert!(renewed["expires_in"].as_i64().unwrap() <= 1800, "{renewed}");

    let token = renewed["token"].as_str().unwrap();
    let made = service.post("/api/v1/tokens", token, &json!({})).answers(StatusCode::CREATED).await;
    assert_eq!((&made["made_by"], &made["expires_at"]), (&short["id"], &short["expires_at"]));
    service.post("/api/v1/tokens", token, &json!({ "expires_in": "1h" })).says(StatusCode::BAD_REQUEST).await;
    let path = format!("/api/v1/tokens/{}", short["id"].as_str().unwrap());
    service.request(Method::DELETE, &path).bearer_auth(&own).says(StatusCode::NO_CONTENT).await;
    for ended in [token, made["token"].as_str().unwrap()] {
        service.get("/api/v1/whoami", ended).says(StatusCode::UNAUTHORIZED).await;
    }
}
