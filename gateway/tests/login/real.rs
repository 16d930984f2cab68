//! With the real provider, from the first request to a job.

use jobs::accounts::OPERATOR;
use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::{
    browser::{Browser, HTML, location},
    provider::{Provider, sign_in},
    service,
    support::{Answered as _, Service},
};

#[tokio::test]
async fn a_person_signs_in_and_the_page_shows_a_token_that_submits_a_job() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let mut browser = Browser::new(&service);
    let page = sign_in(&mut browser, "/oauth/authorize", "ada@example.com").await;
    assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/oauth/callback"), "{}", page.text);
    assert!(browser.cookie("gitfaas_session").is_some_and(|cookie| cookie.starts_with("gfs_")));
    assert_eq!(browser.cookie("gitfaas_login"), None);

    let token = page.between("tabindex=\"0\">", "</pre>").to_owned();
    let who = service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
    assert_eq!((&who["email"], &who["admin"]), (&json!("ada@example.com"), &json!(false)));
    let body = json!({ "URL": "https://example.com/a/pi.git" });
    let sent = service.post("/job/send-job", &token, &body).answers(StatusCode::OK).await;
    assert!(sent["jobID"].is_string());
    let home = browser.visit("/").await;
    assert!(home.text.contains("ada@example.com") && home.text.contains("pi"), "{}", home.text);
}

#[tokio::test]
async fn programs_get_what_they_accept() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let mut json = Browser::reading(&service, "application/json");
    let page = sign_in(&mut json, "/oauth/authorize?provider=oidc", "ada@example.com").await;
    let answer: serde_json::Value = serde_json::from_str(&page.text).unwrap();
    assert_eq!(answer["expires_in"], 3600);
    assert!(answer["refresh_token"].as_str().unwrap().starts_with("gfr_"));

    let mut bare = Browser::reading(&service, "*/*");
    let page = sign_in(&mut bare, "/oauth/authorize", "ada@example.com").await;
    for token in [answer["token"].as_str().unwrap(), &page.text] {
        let listed = service.get("/job/list-jobs", token).answers(StatusCode::OK).await;
        assert_eq!(listed, serde_json::json!([]));
    }
}

#[tokio::test]
async fn a_button_leads_back_to_the_page_that_asked() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let mut browser = Browser::new(&service);
    let path = "/jobs/0197a000-0000-7000-8000-000000000001";
    let asked = browser.visit(path).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    let button = asked.between("class=\"button\" href=\"", "\"").replace("&amp;", "&");
    assert!(asked.text.contains("Sign in with 127.0.0.1"));
    let page = sign_in(&mut browser, &button, "ada@example.com").await;
    // It is not there, but that is now said to somebody who is known.
    assert_eq!((page.status, page.url.path()), (StatusCode::NOT_FOUND, path));
    for next in ["//evil.example", "/%2fevil.example", "https://evil.example", "/\\evil.example"] {
        let url = reqwest::Url::parse_with_params("http://gitfaas.test/oauth/authorize", [("next", next)]);
        let refused = browser.visit(url.unwrap().as_str()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{next}");
    }
}

#[tokio::test]
async fn the_first_sign_in_takes_over_the_user_that_an_operator_made_and_no_second_one_does() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    service.admin().await;
    let made = service.ledger.accounts.find(OPERATOR, "admin@example.com").await.unwrap().unwrap();

    let id_of = async |name: &str| {
        let mut program = Browser::reading(&service, "*/*");
        let token = sign_in(&mut program, "/oauth/authorize", name).await.text;
        service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await
    };
    let first = id_of("admin@example.com").await;
    assert_eq!((&first["id"], &first["admin"]), (&json!(made.value.id), &json!(true)));
    assert_eq!(id_of("admin@example.com").await["id"], first["id"]);
    let accounts = &service.ledger.accounts;
    let second = accounts.take_over(&provider.issuer, "somebody else", "admin@example.com").await.unwrap();
    assert!(second.is_none());
}

#[tokio::test]
async fn an_address_that_was_not_verified_is_nobody() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let mut browser = Browser::new(&service);
    let page = sign_in(&mut browser, "/oauth/authorize", "unverified@example.com").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("has no verified e-mail address of yours"), "{}", page.text);
    nothing_is_stored(&service).await;
}

#[tokio::test]
async fn who_is_not_on_the_list_stays_outside() {
    let provider = Provider::start();
    let allow = [("GITFAAS_LOGIN_ALLOW", "@example.com,eve@example.org")];
    let service = service(&provider.issuer, &allow).await;
    for (name, status) in [
        ("ada@example.com", StatusCode::OK),
        ("eve@example.org", StatusCode::OK),
        ("bob@example.org", StatusCode::FORBIDDEN),
    ] {
        let mut browser = Browser::new(&service);
        assert_eq!(sign_in(&mut browser, "/oauth/authorize", name).await.status, status, "{name}");
    }
    assert_eq!(service.ledger.accounts.users.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_state_is_good_once_and_in_its_own_browser() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let mut browser = Browser::new(&service);
    let begun = browser.step("/oauth/authorize").await;
    let cookies: Vec<&str> =
        begun.headers().get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap()).collect();
    assert!(cookies[0].contains("HttpOnly; SameSite=Lax") && cookies[0].contains("Path=/oauth"));
    let address = location(&begun).unwrap();
    let sealed = browser.cookie("gitfaas_login").unwrap().to_owned();
    let query = |name: &str| address.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!((query("code_challenge_method"), query("response_type")), ("S256".into(), "code".into()));

    let callback = format!("/oauth/callback?code=x&state={}", query("state"));
    let other = Browser::new(&service).visit(&callback).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert!(other.text.contains("was not begun in this browser"), "{}", other.text);

    let page = sign_in(&mut browser, address.as_str(), "ada@example.com").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let replay = async |service: &Service, cookie: &str| {
        let request = service.request(Method::GET, &callback);
        request
            .header(header::COOKIE, format!("gitfaas_login={cookie}"))
            .header(header::ACCEPT, HTML)
            .says(StatusCode::BAD_REQUEST)
            .await
    };
    assert!(replay(&service, &sealed).await.contains("was used before"));
    let other = service.another().await;
    assert!(!replay(&service, "x.y").await.contains("was used before"));
    // A gateway without login has none to finish.
    let unfinished = other.request(Method::GET, &callback).says(StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(unfinished, r#"{"message":"login is not configured"}"#);
}

#[tokio::test]
async fn what_the_provider_refuses_is_said_in_a_sentence() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let mut browser = Browser::new(&service);
    let begun = browser.step("/oauth/authorize").await;
    let address = location(&begun).unwrap();
    let state = address.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let page = browser.visit(&format!("/oauth/callback?error=access_denied&state={state}")).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("127.0.0.1 did not let you in, or you said no there"), "{}", page.text);
    nothing_is_stored(&service).await;

    let mut other = service.request(Method::GET, "/oauth/authorize?provider=github");
    other = other.header(header::ACCEPT, "application/json");
    let said = other.says(StatusCode::BAD_REQUEST).await;
    assert_eq!(said, r#"{"error":"there is no such provider; configured: oidc"}"#);
}

/// Neither a user nor a session.
pub(crate) async fn nothing_is_stored(service: &Service) {
    let accounts = &service.ledger.accounts;
    assert_eq!(accounts.users.keys().await.unwrap(), Vec::<String>::new());
    assert_eq!(accounts.identities.keys().await.unwrap(), Vec::<String>::new());
    let js = &service.ledger.js;
    let sessions = js.get_key_value(jobs::streams::SESSIONS).await.unwrap();
    assert_eq!(sessions.status().await.unwrap().values(), 0);
}
