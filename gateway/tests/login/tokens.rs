//! The page of one's API tokens.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page},
    support::{Answered as _, Service},
};

fn word(page: &Page) -> String {
    page.between("name=\"form\" value=\"", "\"").to_owned()
}

/// A browser that keeps this API token.
async fn signed_in(service: &Service, token: &str) -> Browser {
    let mut browser = Browser::new(service);
    let page = browser.post("/login", &[("token", token), ("next", "/tokens")]).await;
    assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/tokens"));
    browser
}

#[tokio::test]
async fn a_person_makes_a_token_sees_it_once_and_revokes_it() {
    let service = Service::start().await;
    let own = service.user("ada@example.com").await;
    let mut browser = signed_in(&service, &own).await;
    assert!(browser.visit("/").await.text.contains("href=\"/tokens\""));
    let page = browser.visit("/tokens").await;
    assert!(page.text.contains("(this browser)") && !page.text.contains("gft_0"), "{}", page.text);
    assert!(!page.text.contains("value=\"admin\""), "of no use to who is no admin");

    let wish = [("name", "<ci>"), ("scope", "jobs:read"), ("scope", "repos"), ("expires_in", "30d")];
    let made = browser.post("/tokens", &[&[("form", word(&page).as_str())], &wish[..]].concat()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let text = made.between("id=\"new-token\" tabindex=\"0\">", "<").to_owned();
    assert!(made.text.contains("&#60;ci&#62;") && !made.text.contains("<ci>"), "{}", made.text);
    service.get("/api/v1/jobs", &text).answers(StatusCode::OK).await;
    let refused = service.post("/api/v1/jobs", &text, &json!({ "repo": "https://example.com/a/pi.git" }));
    refused.answers(StatusCode::FORBIDDEN).await;

    let again = browser.visit("/tokens").await;
    assert!(!again.text.contains(&text), "it is shown once");
    let list = service.get("/api/v1/tokens", &own).answers(StatusCode::OK).await;
    let ci = &list["items"][0];
    assert_eq!((&ci["name"], &ci["scopes"]), (&json!("<ci>"), &json!(["jobs:read", "repos"])));
    assert!(ci["expires_at"].is_string(), "{ci}");

    let path = format!("/tokens/{}/revoke", ci["id"].as_str().unwrap());
    assert!(again.text.contains(&path), "{}", again.text);
    let after = browser.post(&path, &[("form", &word(&again))]).await;
    assert_eq!((after.status, after.url.path()), (StatusCode::OK, "/tokens"));
    assert!(!after.text.contains(&path));
    service.get("/api/v1/jobs", &text).answers(StatusCode::UNAUTHORIZED).await;
    let gone = browser.post(&path, &[("form", &word(&after))]).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn forms_that_are_wrong_or_of_another_session_make_and_revoke_nothing() {
    let service = Service::start().await;
    let (ada, eve) = (service.user("ada@example.com").await, service.user("eve@example.com").await);
    let mut browser = signed_in(&service, &ada).await;
    let mut other = signed_in(&service, &eve).await;
    let page = browser.visit("/tokens").await;
    let word = word(&page);
    let foreign = other.visit("/tokens").await.between("name=\"form\" value=\"", "\"").to_owned();
    let revoke = format!("/tokens/{}", page.between("action=\"/tokens/", "\""));

    for form in ["", "invented", &foreign] {
        let made = browser.post("/tokens", &[("form", form), ("scope", "jobs:read")]).await;
        assert_eq!(made.status, StatusCode::FORBIDDEN, "{form}");
        assert_eq!(browser.post(&revoke, &[("form", form)]).await.status, StatusCode::FORBIDDEN, "{form}");
    }
    let of_another = other.post(&revoke, &[("form", &foreign)]).await;
    assert_eq!(of_another.status, StatusCode::NOT_FOUND);
    let long = "x".repeat(201);
    for (fields, sentence) in [
        (vec![("name", "ci")], "say what the token may do"),
        (vec![("scope", "everything")], "there is no such scope"),
        (vec![("scope", "repos"), ("expires_in", "soon")], "expires_in: must be seconds"),
        (vec![("scope", "repos"), ("name", &long)], "name: longer than 200 bytes"),
    ] {
        let refused = browser.post("/tokens", &[vec![("form", word.as_str())], fields].concat()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{sentence}");
        assert!(refused.text.contains(sentence), "{sentence}: {}", refused.text);
        assert!(!refused.text.contains("new-token"));
    }
    let mut stranger = Browser::new(&service);
    assert_eq!(stranger.visit("/tokens").await.status, StatusCode::UNAUTHORIZED);
    let list = service.get("/api/v1/tokens", &ada).answers(StatusCode::OK).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_browser_with_a_token_that_ends_is_offered_no_later_end() {
    let service = Service::start().await;
    let ada = service.user("ada@example.com").await;
    let wish = json!({ "scopes": ["jobs:read"], "expires_in": "8d" });
    let short: Value = service.post("/api/v1/tokens", &ada, &wish).answers(StatusCode::CREATED).await;
    let mut browser = signed_in(&service, short["token"].as_str().unwrap()).await;
    let page = browser.visit("/tokens").await;
    assert!(page.text.contains("value=\"7d\"") && !page.text.contains("value=\"30d\""), "{}", page.text);
    assert!(!page.text.contains("value=\"jobs:write\""));
    let form = word(&page);
    let made = browser.post("/tokens", &[("form", &form), ("scope", "jobs:read"), ("expires_in", "")]).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let list = service.get("/api/v1/tokens", &ada).answers(StatusCode::OK).await;
    assert_eq!(list["items"][0]["expires_at"], short["expires_at"]);
    let later = [("form", form.as_str()), ("scope", "jobs:read"), ("expires_in", "90d")];
    assert_eq!(browser.post("/tokens", &later).await.status, StatusCode::BAD_REQUEST);
    // With its own token the browser is out.
    let path = format!("/tokens/{}/revoke", short["id"].as_str().unwrap());
    assert_eq!(browser.post(&path, &[("form", &form)]).await.status, StatusCode::UNAUTHORIZED);
}
