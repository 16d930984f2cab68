//! Tokens of a GitHub App, from a server that checks its proof.

use std::process::Command;

use hooks::address::Allow;
use hooks::app::{App, AppError, Right};
use hooks::status::StatusError;
use octocrab::jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A fresh RSA key: private and public half, as PEM.
fn key() -> (String, String) {
    let openssl = |arguments: &[&str], input: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("in"), input).expect("written");
        let output = Command::new("openssl").current_dir(folder.path()).args(arguments).output();
        String::from_utf8(output.expect("openssl is installed").stdout).expect("PEM")
    };
    let private = openssl(&["genrsa", "2048"], "");
    let public = openssl(&["rsa", "-in", "in", "-pubout"], &private);
    (private, public)
}

fn app(private: &str, url: &str) -> Result<App, AppError> {
    let allow: Allow = "127.0.0.1".parse().expect("a list");
    let key = private.parse().expect("not empty");
    App::new(4711, &key, url.parse().expect("a URL"), &allow, None)
}

#[tokio::test]
async fn a_token_is_asked_for_one_repository_and_right_with_a_good_proof() {
    let (private, public) = key();
    let server = MockServer::start().await;
    let answer = json!({"token": "ghs_long.form_0", "expires_at": "2026-11-24T07:00:00Z", "permissions": {}});
    Mock::given(method("POST"))
        .and(path("/api/v3/app/installations/12/access_tokens"))
        .respond_with(ResponseTemplate::new(201).set_body_json(answer))
        .mount(&server)
        .await;
    let app = app(&private, &format!("{}/api/v3/", server.uri())).expect("a key");
    let mut bodies = Vec::new();
    for right in [Right::ReadContents, Right::WriteStatuses, Right::WriteChecks] {
        let token = app.token(12, 99, right).await.expect("given");
        assert_eq!(token.token.expose(), "ghs_long.form_0");
        assert_eq!(token.expires_at.to_string(), "2026-11-24T07:00:00Z");
    }
    for request in server.received_requests().await.expect("recorded") {
        bodies.push(request.body_json::<Value>().expect("JSON").to_string());
        let proof = request.headers["authorization"]
            .to_str()
            .expect("a text")
            .strip_prefix("Bearer ")
            .expect("bearer");
        let key = DecodingKey::from_rsa_pem(public.as_bytes()).expect("a key");
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_required_spec_claims(&["exp"]);
        let claims = decode::<Value>(proof, &key, &rules).expect("signed by the App").claims;
        assert_eq!(claims["iss"].to_string().trim_matches('"'), "4711");
        let life = claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time");
        assert!(life <= 600, "GitHub takes ten minutes at most");
    }
    insta::assert_snapshot!(bodies.join("\n"), @r#"
    {"permissions":{"contents":"read"},"repository_ids":[99]}
    {"permissions":{"statuses":"write"},"repository_ids":[99]}
    {"permissions":{"checks":"write"},"repository_ids":[99]}
    "#);
}

#[tokio::test]
async fn a_removed_installation_is_refused_and_a_garbled_answer_tells_no_token() {
    let (private, _) = key();
    let server = MockServer::start().await;
    let gone = ResponseTemplate::new(404).set_body_json(json!({"message": "Not Found"}));
    Mock::given(path("/app/installations/1/access_tokens")).respond_with(gone).mount(&server).await;
    let garbled = ResponseTemplate::new(201).set_body_string(r#"{"token": "ghs_secret", "expires_at": "#);
    Mock::given(path("/app/installations/2/access_tokens")).respond_with(garbled).mount(&server).await;
    let app = app(&private, &server.uri()).expect("a key");
    let gone = app.token(1, 99, Right::ReadContents).await;
    assert!(matches!(gone, Err(AppError::Forge(StatusError::Refused { .. }))), "{gone:?}");
    let garbled = app.token(2, 99, Right::ReadContents).await;
    assert!(matches!(garbled, Err(AppError::Forge(StatusError::Retry { .. }))), "{garbled:?}");
    assert!(!format!("{garbled:?}").contains("ghs_secret"));
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_a_key_is_never_printed() {
    assert!(matches!(app("not a key", "http://127.0.0.1/"), Err(AppError::Key(_))));
    let (private, _) = key();
    insta::assert_snapshot!(format!("{:?}", app(&private, "http://127.0.0.1/").expect("a key")), @r#"App { id: 4711, url: "http://127.0.0.1/", .. }"#);
}

#[tokio::test]
async fn the_apps_owner_and_every_page_of_an_installations_repositories_are_read() {
    let (private, _) = key();
    let server = MockServer::start().await;
    let owner =
        json!({ "id": 4711, "slug": "faas", "owner": { "id": 5, "login": "acme", "type": "Organization" } });
    Mock::given(path("/app"))
        .respond_with(ResponseTemplate::new(200).set_body_json(owner))
        .mount(&server)
        .await;
    let token = json!({ "token": "ghs_list", "expires_at": "2026-11-24T07:00:00Z" });
    Mock::given(path("/app/installations/12/access_tokens"))
        .respond_with(ResponseTemplate::new(201).set_body_json(token))
        .mount(&server)
        .await;
    let repository = |id: u64| json!({ "id": id, "full_name": format!("acme/r{id}"), "private": id == 1 });
    for (page, ids) in [("1", 0..100), ("2", 100..101)] {
        let repositories: Vec<Value> = ids.map(repository).collect();
        let answer = json!({ "total_count": 101, "repositories": repositories });
        Mock::given(path("/installation/repositories"))
            .and(query_param("per_page", "100"))
            .and(query_param("page", page))
            .and(header("authorization", "Bearer ghs_list"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .expect(1)
            .mount(&server)
            .await;
    }
    let app = app(&private, &server.uri()).expect("a key");
    let owner = app.owner().await.expect("told");
    assert_eq!((owner.id, owner.login.as_str()), (5, "acme"));
    let repositories = app.repositories(12).await.expect("listed");
    assert_eq!(repositories.len(), 101);
    assert!(repositories[1].private && !repositories[100].private);
    assert_eq!(repositories[100].full_name, "acme/r100");
    let minted = server.received_requests().await.expect("recorded");
    let minted = minted.iter().find(|request| request.method.as_str() == "POST").expect("a token");
    insta::assert_snapshot!(minted.body_json::<Value>().expect("JSON"), @r#"{"permissions":{"metadata":"read"}}"#);
}

#[tokio::test]
async fn it_is_told_whether_the_app_is_installed_on_a_repository() {
    let (private, _) = key();
    let server = MockServer::start().await;
    let found = ResponseTemplate::new(200).set_body_json(json!({ "id": 12, "account": { "login": "acme" } }));
    Mock::given(path("/repos/acme/pi/installation")).respond_with(found).mount(&server).await;
    let token = json!({ "token": "ghs_look", "expires_at": "2026-11-24T07:00:00Z" });
    Mock::given(path("/app/installations/12/access_tokens"))
        .respond_with(ResponseTemplate::new(201).set_body_json(token))
        .mount(&server)
        .await;
    Mock::given(path("/repos/acme/pi"))
        .and(header("authorization", "Bearer ghs_look"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "id": 99 })))
        .mount(&server)
        .await;
    let app = app(&private, &server.uri()).expect("a key");
    let installed = app.installed_on("acme", "pi").await.expect("told").expect("installed");
    assert_eq!((installed.installation, installed.repository_id), (12, 99));
    assert_eq!(app.installed_on("acme", "other").await.expect("told"), None);
}
