//! Who may call a function, as registrations say it.

use jobs::{Repo, SigningSecret};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    URL,
    support::{Answered as _, Service},
};

const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Asks for a change of a registration.
fn patch(
    service: &Service,
    token: &str,
    id: &str,
    wish: &Value,
) -> crate::support::described::RequestBuilder {
    service.request(Method::PATCH, &format!("/api/v1/repos/{id}")).bearer_auth(token).json(wish)
}

async fn changed(service: &Service, token: &str, id: &str, wish: Value) -> Value {
    patch(service, token, id, &wish).answers(StatusCode::OK).await
}

async fn refused(service: &Service, token: &str, id: &str, wish: Value) -> String {
    let answer = patch(service, token, id, &wish).answers(StatusCode::BAD_REQUEST).await;
    answer["error"]["message"].as_str().unwrap().to_owned()
}

async fn stored(service: &Service, id: &str) -> Repo {
    service.ledger.repos.get(id).await.unwrap().unwrap().value
}

#[tokio::test]
async fn an_owner_says_who_may_call_and_a_switch_turns_the_function_off() {
    let service = Service::with(&[("GITFAAS_PUBLIC_FUNCTIONS", "true")]).await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    assert_eq!((&repo["access"], &repo["enabled"]), (&json!("token"), &json!(true)));
    assert!(repo.get("signing_secrets").is_none(), "{repo}");
    let id = repo["id"].as_str().unwrap();
    let off = changed(&service, &token, id, json!({ "access": "public", "enabled": false })).await;
    assert_eq!((&off["access"], &off["enabled"]), (&json!("public"), &json!(false)));
    let renamed = changed(&service, &token, id, json!({ "name": "n" })).await;
    assert_eq!((&renamed["access"], &renamed["enabled"]), (&json!("public"), &json!(false)), "they stay");
    let on = changed(&service, &token, id, json!({ "enabled": true, "access": "token" })).await;
    assert_eq!((&on["access"], &on["enabled"]), (&json!("token"), &json!(true)));

    let signed =
        service.register(&token, json!({ "url": URL, "access": "signed", "signing_secrets": [FIRST] }));
    let signed = signed.await;
    assert_eq!(
        (&signed["access"], signed["signing_secrets"].as_array().unwrap().len()),
        (&json!("signed"), 1)
    );
    let wish = json!({ "url": URL, "access": "signed" });
    let said = service.post("/api/v1/repos", &token, &wish).says(StatusCode::BAD_REQUEST).await;
    assert!(said.contains("access: a signed function needs a secret"), "{said}");
}

#[tokio::test]
async fn there_are_public_functions_only_where_the_operator_allows_them() {
    let service = Service::start().await;
    let admin = service.admin().await;
    let id = service.register(&admin, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let why =
        "access: there are no public functions here; the operator may set GITFAAS_PUBLIC_FUNCTIONS=true";
    assert_eq!(refused(&service, &admin, &id, json!({ "access": "public" })).await, why);
    let wish = json!({ "url": URL, "access": "public" });
    let said = service.post("/api/v1/repos", &admin, &wish).says(StatusCode::BAD_REQUEST).await;
    assert!(said.contains(why), "{said}");
    // What was opened while it was allowed is changed otherwise, and closed.
    let allowed = service.another_with(&[("GITFAAS_PUBLIC_FUNCTIONS", "true")]).await;
    changed(&allowed, &admin, &id, json!({ "access": "public" })).await;
    assert_eq!(changed(&service, &admin, &id, json!({ "name": "n" })).await["access"], "public");
    assert_eq!(changed(&service, &admin, &id, json!({ "access": "token" })).await["access"], "token");
}

#[tokio::test]
async fn a_signing_secret_is_changed_without_a_gap_and_shown_to_nobody() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let wish = json!({ "url": URL, "access": "signed", "signing_secrets": [FIRST] });
    let repo = service.register(&token, wish).await;
    let id = repo["id"].as_str().unwrap();
    let ids = |repo: &Value| -> Vec<String> {
        let secrets = repo["signing_secrets"].as_array().unwrap().iter();
        secrets.map(|secret| secret["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = ids(&repo)[0].clone();
    let both = changed(&service, &token, id, json!({ "signing_secrets": [first, SECOND] })).await;
    let second = ids(&both)[1].clone();
    assert_eq!(ids(&both), [first.clone(), second.clone()]);
    let three = refused(&service, &token, id, json!({ "signing_secrets": [first, second, FIRST] })).await;
    assert_eq!(three, "signing_secrets: more than 2; the one that is no longer used must go first");
    let one = changed(&service, &token, id, json!({ "signing_secrets": [second, second] })).await;
    assert_eq!(ids(&one), std::slice::from_ref(&second));

    let none = refused(&service, &token, id, json!({ "signing_secrets": [] })).await;
    assert_eq!(
        none,
        "access: a signed function needs a secret that its callers sign with, in signing_secrets"
    );
    let gone = refused(&service, &token, id, json!({ "signing_secrets": [second, first] })).await;
    assert_eq!(
        gone,
        "signing_secrets[1]: not the id of a secret that is there, and as a new one must have 16 to 256 bytes"
    );
    let wrong = refused(&service, &token, id, json!({ "signing_secrets": ["whsec_nonsense"] })).await;
    assert!(wrong.ends_with("whsec_ must be followed by base64 of 24 to 64 bytes"), "{wrong}");
    changed(&service, &token, id, json!({ "access": "token", "signing_secrets": [] })).await;
    assert_eq!(stored(&service, id).await.calls.signing_secrets, Vec::<SigningSecret>::new());

    let shown = [&repo, &both, &one].map(Value::to_string).concat();
    let shown = shown + &service.get("/api/v1/repos", &token).says(StatusCode::OK).await;
    let shown = shown + &service.get("/api/v1/audit", &service.admin().await).says(StatusCode::OK).await;
    assert!(shown.contains("access signing_secrets"), "{shown}");
    for secret in [FIRST, SECOND] {
        assert!(!shown.contains(&secret[6..]), "{shown}");
    }
}
