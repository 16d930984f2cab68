//! What a newcomer meets at the registration: forges below a path, forms, unknown hosts, tokens over http.

use http::StatusCode;
use serde_json::json;
use tests::{
    Api, FakeForge, Service,
    delivery::{gitea_form, path, send_as},
    fake_forge::{Kind, TOKEN},
    forge_kind::gitea_push,
};

use crate::{commit, hello, registered, told};

/// A Gitea below a path, and a service that knows no GitHub.
async fn gitea_below_a_path() -> Service {
    let forge = FakeForge::start_below("/git").await;
    forge.is_kind(Kind::Gitea);
    let elsewhere = [("GITFAAS_GITHUB_API_URL", "https://api.github.example/"), ("GITFAAS_GITHUB_TOKEN", "")];
    Service::start_on(forge, &elsewhere).await
}

#[tokio::test]
async fn a_gitea_below_a_path_is_recognised_and_its_forms_are_believed() {
    let service = gitea_below_a_path().await;
    let repository = service.forge.repository("below").await;
    let repository = registered(&service, repository, json!({ "token": TOKEN })).await;
    let registration = repository.registration();
    let view = crate::shown(&service, &registration.id).await;
    assert_eq!((&view["forge"], &view["posts"]), (&json!("gitea"), &json!(true)), "{view}");
    assert_eq!(view["api_url"], format!("{}/api/v1/", service.forge.url()), "{view}");
    assert_eq!(service.forge.hooks().len(), 1);

    let sha = repository.commit("main", hello(), "a change").await;
    repository.receive(&sha).await;
    let pushed = tests::repository::Commit {
        reference: "refs/heads/main".to_owned(),
        before: tests::repository::NO_COMMIT.to_owned(),
        ..commit(&sha)
    };
    let hook = path(&registration.webhook_url);
    let (headers, form) = gitea_form("push", &gitea_push(&repository, &pushed), &registration.secret);
    let mut disagree = headers.clone();
    disagree.insert("x-gogs-signature", "0".repeat(64).parse().unwrap());
    let (status, _) = send_as(&service, &hook, disagree, form.clone()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "all signatures that are there must agree");
    let mut bare = headers.clone();
    bare.remove("x-hub-signature-256");
    let (status, answer) = send_as(&service, &hook, bare, form).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let status = service.forge.final_status(&pushed).await;
    assert!(told(&status).starts_with("gitfaas/push success"), "{status:?}");
    let elsewhere: Vec<_> =
        service.forge.seen().into_iter().filter(|seen| !seen.path.starts_with("/git/")).collect();
    assert!(elsewhere.iter().all(|seen| seen.path.ends_with("/version")), "{elsewhere:?}");
}

#[tokio::test]
async fn a_host_that_does_not_say_which_forge_it_is_must_be_named_and_is_never_taken_for_plain() {
    let service = Service::start_with(&[("GITFAAS_GITHUB_API_URL", "https://api.github.example/")]).await;
    let repository = service.forge.repository("unknown").await;
    let wish = json!({ "url": repository.url, "token": TOKEN });
    let refused = Api::json(service.post("/api/v1/repos", &wish).await, StatusCode::BAD_REQUEST).await;
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("does not say which forge it is") && said.contains("gitea"), "{said}");
    let plain = json!({ "url": repository.url });
    let made = Api::json(service.post("/api/v1/repos", &plain).await, StatusCode::CREATED).await;
    assert_eq!(made["forge"], "plain", "without a token a plain server stays one");
    assert_eq!(made["posts_reason"], "a plain git server takes no statuses");
}

#[tokio::test]
async fn a_gitlab_tells_what_it_is_to_who_asks_without_a_token() {
    let forge = FakeForge::start().await;
    forge.is_kind(Kind::GitLab);
    let elsewhere = [("GITFAAS_GITHUB_API_URL", "https://api.github.example/"), ("GITFAAS_GITHUB_TOKEN", "")];
    let service = Service::start_on(forge, &elsewhere).await;
    let repository = service.forge.repository("lab").await;
    let repository = registered(&service, repository, json!({ "token": TOKEN })).await;
    let view = crate::shown(&service, &repository.registration().id).await;
    assert_eq!((&view["forge"], &view["posts"]), (&json!("gitlab"), &json!(true)), "{view}");
    let shown = service.forge.seen();
    let asked = shown.iter().filter(|seen| seen.path.ends_with("/version"));
    assert!(asked.clone().count() > 0 && asked.clone().all(|seen| seen.authorization.is_none()), "{shown:?}");
}

#[tokio::test]
async fn a_token_over_http_is_refused_at_the_registration_unless_the_operator_allowed_the_host() {
    let service = Service::start().await;
    let repository = service.forge.repository("clear").await;
    let named = repository.url.replace("127.0.0.1", "localhost");
    let wish = json!({ "url": named, "forge": "gitea", "token": TOKEN });
    let refused = Api::json(service.post("/api/v1/repos", &wish).await, StatusCode::BAD_REQUEST).await;
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("over http") && said.contains("GITFAAS_CLONE_ALLOW"), "{said}");
    // The operator allowed this address: one rule for clones and statuses.
    service.forge.makes_private(&repository);
    let allowed = registered(&service, repository, json!({ "token": TOKEN })).await;
    let commit = allowed.push(hello()).await;
    assert_eq!(service.forge.final_status(&commit).await.state, "success");
}
