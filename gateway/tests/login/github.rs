//! GitHub's OAuth: answers in its own format, the account from its API.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Form, Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode as Status, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page},
    fake_provider::FakeProvider,
    real::nothing_is_stored,
    service,
    support::{Answered as _, Service},
};

/// What the double does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Json,
    /// Overlooks `Accept`, as GitHub does where it is missing.
    Form,
    /// 200, and an error in it.
    ErrorAsForm,
    ErrorAsJson,
    NoVerifiedAddress,
    AnotherAddress,
}

struct Github {
    url: String,
    does: Arc<Mutex<Does>>,
}

impl Github {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let does = Arc::new(Mutex::new(Does::Json));
        let app = Router::new()
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(token))
            .route("/user", get(user))
            .route("/user/emails", get(emails))
            .route("/user/memberships/orgs/{org}", get(membership))
            .with_state(Arc::clone(&does));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, does }
    }

    fn does(&self, what: Does) {
        *self.does.lock().unwrap() = what;
    }

    fn variables(&self) -> [(&str, &str); 3] {
        [
            ("GITFAAS_GITHUB_API_URL", &self.url),
            ("GITFAAS_GITHUB_CLIENT_ID", "Iv1.0"),
            ("GITFAAS_GITHUB_CLIENT_SECRET", "of-github"),
        ]
    }
}

async fn authorize(Query(query): Query<HashMap<String, String>>) -> Redirect {
    assert_eq!(query["code_challenge_method"], "S256");
    assert!(query["scope"].starts_with("read:user user:email"));
    let pairs = [("code", "c"), ("state", query["state"].as_str())];
    Redirect::to(reqwest::Url::parse_with_params(&query["redirect_uri"], pairs).unwrap().as_str())
}

async fn token(
    State(does): State<Arc<Mutex<Does>>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    assert_eq!(headers[header::ACCEPT], "application/json");
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("Iv1.0", "of-github"));
    let as_form = |text: &'static str| {
        ([(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")], text).into_response()
    };
    match *does.lock().unwrap() {
        Does::Json | Does::NoVerifiedAddress | Does::AnotherAddress => {
            Json(json!({ "access_token": "gho_x", "scope": "read:user,user:email", "token_type": "bearer" }))
                .into_response()
        }
        Does::Form => as_form("access_token=gho_x&scope=read%3Auser%2Cuser%3Aemail&token_type=bearer"),
        Does::ErrorAsForm => as_form("error=bad_verification_code&error_description=The+code+is+old."),
        Does::ErrorAsJson => {
            Json(json!({ "error": "incorrect_client_credentials", "error_description": "Wrong client." }))
                .into_response()
        }
    }
}

async fn user(headers: HeaderMap) -> Json<Value> {
    assert_eq!(headers[header::AUTHORIZATION], "Bearer gho_x");
    Json(json!({ "id": 4242, "login": "ada", "email": null }))
}

async fn emails(State(does): State<Arc<Mutex<Does>>>) -> Json<Value> {
    let does = *does.lock().unwrap();
    let verified = does != Does::NoVerifiedAddress;
    let email = if does == Does::AnotherAddress { "ada@home.example" } else { "ada@example.com" };
    Json(json!([
        { "email": "old@example.com", "primary": false, "verified": true },
        { "email": email, "primary": true, "verified": verified },
    ]))
}

async fn membership(Path(org): Path<String>) -> Result<Json<Value>, Status> {
    match org.as_str() {
        "ours" => Ok(Json(json!({ "state": "active" }))),
        "invited" => Ok(Json(json!({ "state": "pending" }))),
        _ => Err(Status::NOT_FOUND),
    }
}

/// A gateway with both providers.
async fn both(github: &Github, fake: &FakeProvider, more: &[(&str, &str)]) -> Service {
    let mut variables = github.variables().to_vec();
    variables.extend(more);
    service(&fake.issuer, &variables).await
}

const BEGIN: &str = "/oauth/authorize?provider=github";

#[tokio::test]
async fn somebody_signs_in_with_github_in_either_dialect_and_is_the_number_of_his_account() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let service = both(&github, &fake, &[]).await;
    let mut ids = Vec::new();
    for dialect in [Does::Json, Does::Form] {
        github.does(dialect);
        let token = Browser::reading(&service, "*/*").visit(BEGIN).await.text;
        let who = service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
        assert_eq!(who["email"], "ada@example.com");
        ids.push(who["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    let authority = github.url.strip_prefix("http://").unwrap();
    let found = service.ledger.accounts.find(authority, "4242").await.unwrap().unwrap();
    assert_eq!(json!(found.value.id), ids[0]);
    // The same address at another provider is another user until the owner links the two.
    let token = Browser::reading(&service, "*/*").visit("/oauth/authorize").await.text;
    let who = service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
    assert_ne!(who["id"], ids[0]);
}

#[tokio::test]
async fn an_address_at_github_takes_no_user_over_that_an_operator_made() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let service = both(&github, &fake, &[]).await;
    service.user("ada@example.com").await;
    let made = service.ledger.accounts.find(jobs::accounts::OPERATOR, "ada@example.com").await.unwrap();
    let token = Browser::reading(&service, "*/*").visit(BEGIN).await.text;
    let who = service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
    assert_ne!(who["id"], json!(made.unwrap().value.id));
}

#[tokio::test]
async fn errors_with_status_200_are_sentences_and_nothing_is_stored() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let service = both(&github, &fake, &[]).await;
    for (does, sentence) in [
        (Does::ErrorAsForm, "does not accept the code any more; begin again"),
        (Does::ErrorAsJson, "refused: Wrong client. (incorrect_client_credentials)"),
        (Does::NoVerifiedAddress, "has no verified e-mail address of yours"),
    ] {
        github.does(does);
        let page = Browser::new(&service).visit(BEGIN).await;
        assert!(page.text.contains(sentence), "{does:?}: {}", page.text);
        nothing_is_stored(&service).await;
    }
}

#[tokio::test]
async fn members_of_an_organisation_are_let_in_and_invited_ones_are_not() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    for (allow, status) in [
        ("github:org/Ours", StatusCode::OK),
        ("github:org/invited", StatusCode::FORBIDDEN),
        ("github:org/others", StatusCode::FORBIDDEN),
    ] {
        let service = both(&github, &fake, &[("GITFAAS_LOGIN_ALLOW", allow)]).await;
        let page = Browser::new(&service).visit(BEGIN).await;
        assert_eq!(page.status, status, "{allow}: {}", page.text);
    }
}

/// Links the account at GitHub, from the button to where it ends.
async fn link(browser: &mut Browser) -> Page {
    let home = browser.visit("/").await;
    assert!(home.text.contains("name=\"provider\" value=\"github\""), "{}", home.text);
    let word = home.between("action=\"/link\"><input type=\"hidden\" name=\"form\" value=\"", "\"");
    let page = browser.post("/link", &[("form", word), ("provider", "github")]).await;
    assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/link"), "{}", page.text);
    let onward = page.between("class=\"button\" href=\"", "\"").replace("&#38;", "&");
    assert_eq!(page.between("content=\"0; url=", "\"").replace("&#38;", "&"), onward);
    browser.visit(&onward).await
}

#[tokio::test]
async fn an_address_or_a_form_of_another_site_links_nothing() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let service = both(&github, &fake, &[]).await;
    let mut browser = Browser::new(&service);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    let page = browser.visit(&format!("{BEGIN}&link=1")).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("linked with the button on the page of your jobs"), "{}", page.text);
    assert_eq!(browser.visit("/link").await.status, StatusCode::METHOD_NOT_ALLOWED);
    for word in ["", "guess"] {
        let page = browser.post("/link", &[("form", word), ("provider", "github")]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{word}");
    }
    assert_eq!(browser.cookie("gitfaas_login"), None);
    // The provider of the sign-in itself has no button.
    let home = browser.visit("/").await.text;
    assert!(!home.contains("value=\"oidc\""), "{home}");

    // A sign-in has every scope and can be renewed, so who has less has no account to link.
    let user = service.user("bob@example.com").await;
    for wish in [json!({ "scopes": ["jobs:read"] }), json!({ "expires_in": "1h" })] {
        let made = service.post("/api/v1/tokens", &user, &wish).answers(StatusCode::CREATED).await;
        let mut browser = Browser::new(&service);
        let home = browser.post("/login", &[("token", made["token"].as_str().unwrap()), ("next", "/")]).await;
        assert!(!home.text.contains("action=\"/link\""), "{}", home.text);
        let word = home.between("name=\"form\" value=\"", "\"");
        let page = browser.post("/link", &[("form", word), ("provider", "github")]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{wish}");
    }
}

#[tokio::test]
async fn a_further_account_is_linked_while_signed_in_and_then_leads_to_the_same_user() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let service = both(&github, &fake, &[]).await;
    let mut browser = Browser::new(&service);
    assert_eq!(browser.post("/link", &[("provider", "github")]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    let linked = link(&mut browser).await;
    assert_eq!((linked.status, linked.url.path()), (StatusCode::OK, "/"), "{}", linked.text);
    assert_eq!(service.ledger.accounts.users.keys().await.unwrap().len(), 1);
    let token = Browser::reading(&service, "*/*").visit(BEGIN).await.text;
    service.get("/api/v1/whoami", &token).answers(StatusCode::OK).await;
    assert_eq!(service.ledger.accounts.users.keys().await.unwrap().len(), 1);

    // Somebody else cannot have it as well.
    let other = service.user("bob@example.com").await;
    let mut browser = Browser::new(&service);
    browser.post("/login", &[("token", &other), ("next", "/")]).await;
    let page = link(&mut browser).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("belongs to another user here"), "{}", page.text);
}

#[tokio::test]
async fn a_linked_account_lets_nobody_in_whose_own_address_is_not_on_the_list() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let service = both(&github, &fake, &[("GITFAAS_LOGIN_ALLOW", "@example.com")]).await;
    let mut browser = Browser::new(&service);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    github.does(Does::AnotherAddress);
    assert_eq!(link(&mut browser).await.status, StatusCode::FORBIDDEN);
    github.does(Does::Json);
    assert_eq!(link(&mut browser).await.status, StatusCode::OK);
    assert_eq!(Browser::new(&service).visit(BEGIN).await.status, StatusCode::OK);

    github.does(Does::AnotherAddress);
    let page = Browser::new(&service).visit(BEGIN).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("ada@home.example may not sign in here"), "{}", page.text);
}

#[tokio::test]
async fn a_member_of_an_organisation_goes_on_while_the_list_has_it() {
    let (github, fake) = (Github::start().await, FakeProvider::start().await);
    let list = |list: &'static str| [("GITFAAS_LOGIN_ALLOW", list)];
    let service = both(&github, &fake, &list("github:org/ours")).await;
    let page = Browser::reading(&service, "application/json").visit(BEGIN).await;
    let mut held: Value = serde_json::from_str(&page.text).unwrap();
    for (now, status) in [("github:org/Ours", StatusCode::OK), ("@example.com", StatusCode::UNAUTHORIZED)] {
        let other = service.another_with(&list(now)).await;
        let body = json!({ "refresh_token": held["refresh_token"] });
        held = other.request(Method::POST, "/api/v1/auth/refresh").json(&body).answers(status).await;
    }
}
