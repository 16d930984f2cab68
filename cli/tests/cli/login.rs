//! Signing in from the command line, against a mock gateway.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, body_string_contains, header, method, path},
};

use crate::common::{gitfaas, stderr, stdout};

async fn client(server: &MockServer, dir: &Path, args: &[&str]) -> Output {
    let mut command = gitfaas(dir);
    command.env("GITFAAS_URL", server.uri()).args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn answers(server: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    let reply = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method(verb)).and(path(at)).respond_with(reply).mount(server).await;
}

/// A gateway at which the first poll finds nobody who said yes, and the second one does.
async fn gateway(expires_in_s: i64) -> MockServer {
    let server = MockServer::start().await;
    let page = format!("{}/device", server.uri());
    let begun = json!({
        "device_code": "d-1", "user_code": "BCDF-GHJK", "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code=BCDF-GHJK"), "expires_in": 900, "interval": 1
    });
    answers(&server, "POST", "/oauth/device", 200, begun).await;
    let pending = ResponseTemplate::new(400).set_body_json(json!({ "error": "authorization_pending" }));
    Mock::given(method("POST"))
        .and(path("/oauth/token"))
        .respond_with(pending)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let granted = ResponseTemplate::new(200).set_body_json(json!({
        "access_token": "one", "token_type": "Bearer", "expires_in": expires_in_s, "refresh_token": "gfr_1"
    }));
    Mock::given(method("POST"))
        .and(path("/oauth/token"))
        .and(body_string_contains("device_code=d-1"))
        .respond_with(granted)
        .mount(&server)
        .await;
    let renewed = ResponseTemplate::new(200)
        .set_body_json(json!({ "token": "two", "refresh_token": "gfr_2", "expires_in": 3600 }));
    Mock::given(method("POST"))
        .and(path("/api/v1/auth/refresh"))
        .and(body_json(json!({ "refresh_token": "gfr_1" })))
        .respond_with(renewed)
        .mount(&server)
        .await;
    for token in ["one", "two"] {
        let who = json!({ "id": crate::samples::ID, "email": "ada@example.com", "admin": false, "scopes": [], "by": token });
        Mock::given(method("GET"))
            .and(path("/api/v1/whoami"))
            .and(header("authorization", format!("Bearer {token}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(who))
            .mount(&server)
            .await;
    }
    server
}

#[tokio::test]
async fn a_sign_in_is_kept_used_and_ended() {
    let (server, dir) = (gateway(3600).await, tempfile::tempdir().unwrap());
    let login = client(&server, dir.path(), &["login"]).await;
    assert_eq!(login.status.code(), Some(0), "{}", stderr(&login));
    let said = stderr(&login);
    assert!(
        said.contains("BCDF-GHJK") && said.contains("/device") && said.contains("ada@example.com"),
        "{said}"
    );
    assert!(!said.contains("gfr_1") && stdout(&login).is_empty());
    let file = dir.path().join("config/gitfaas/credentials.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let who = client(&server, dir.path(), &["whoami"]).await;
    assert_eq!(stdout(&who), "ada@example.com\n");
    let body = json!({ "refresh_token": "gfr_1" });
    Mock::given(method("POST"))
        .and(path("/api/v1/auth/logout"))
        .and(body_json(body))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(client(&server, dir.path(), &["logout"]).await.status.code(), Some(0));
    let after = client(&server, dir.path(), &["whoami"]).await;
    assert_eq!(after.status.code(), Some(64));
    assert!(stderr(&after).contains("sign in with `gitfaas login`"), "{}", stderr(&after));
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_renewed_first() {
    let (server, dir) = (gateway(0).await, tempfile::tempdir().unwrap());
    let login = client(&server, dir.path(), &["login"]).await;
    assert_eq!(login.status.code(), Some(0), "{}", stderr(&login));
    let (one, two) = tokio::join!(
        client(&server, dir.path(), &["whoami", "--json"]),
        client(&server, dir.path(), &["whoami"])
    );
    let who: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(who["by"], "two");
    assert_eq!(stdout(&two), "ada@example.com\n");
    let refreshed = server.received_requests().await.unwrap();
    let refreshed = refreshed.iter().filter(|request| request.url.path().ends_with("/refresh")).count();
    assert_eq!(refreshed, 1);
}

#[tokio::test]
async fn a_sign_in_that_ended_at_the_gateway_is_forgotten_with_a_sentence() {
    let server = MockServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let kept = json!({ server.uri(): { "token": "one", "refresh_token": "gfr_0", "expires_at": "2020-01-01T00:00:00Z" } });
    let folder = dir.path().join("config/gitfaas");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("credentials.json"), kept.to_string()).unwrap();
    answers(&server, "POST", "/api/v1/auth/refresh", 401, json!({})).await;
    let who = client(&server, dir.path(), &["whoami"]).await;
    assert_eq!(who.status.code(), Some(1));
    assert!(stderr(&who).contains("has ended; sign in again with `gitfaas login`"), "{}", stderr(&who));
    assert_eq!(client(&server, dir.path(), &["whoami"]).await.status.code(), Some(64));
}

#[tokio::test]
async fn a_no_in_the_browser_is_a_sentence() {
    let server = MockServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let begun = json!({ "device_code": "d", "user_code": "BCDF-GHJK", "verification_uri": "http://x/device", "interval": 1 });
    answers(&server, "POST", "/oauth/device", 200, begun).await;
    answers(&server, "POST", "/oauth/token", 400, json!({ "error": "access_denied" })).await;
    let login = client(&server, dir.path(), &["login"]).await;
    assert_eq!(login.status.code(), Some(1));
    assert!(stderr(&login).contains("the request was denied in the browser"), "{}", stderr(&login));
    assert!(!dir.path().join("config/gitfaas/credentials.json").exists());
}
