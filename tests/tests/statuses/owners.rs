//! Of several registrations of one repository one posts that can.

use http::{Method, StatusCode};
use serde_json::json;
use test_case::test_case;
use tests::{
    Api, Delivery, FakeForge, ForgeKind, Service,
    delivery::{path, payload},
    fake_forge::{Hook, Kind, Rights},
    waiting::STATUS,
};

use crate::{hello, registered, shown, told};

const TOKENS: [&str; 3] = ["ghp_first_0123456789", "ghp_second_0123456789", "ghp_third_0123456789"];

#[tokio::test]
async fn when_the_posting_registration_goes_another_posts_without_being_asked() {
    let service = Service::start().await;
    for token in TOKENS {
        service.forge.grants(token, Rights::all());
    }
    service.forge.repository("shared").await;
    let mut owners = Vec::new();
    for (n, token) in TOKENS.into_iter().enumerate() {
        let api = service.user(&format!("owner{n}@example.com"));
        let url = format!("{}/{}/shared.git", service.forge.url(), tests::fake_forge::OWNER);
        let body = json!({ "url": url, "token": token, "webhook": false });
        let made = Api::json(api.post("/api/v1/repos", &body).await, StatusCode::CREATED).await;
        owners.push((api, made));
    }
    let id = |n: usize| owners[n].1["id"].as_str().unwrap().to_owned();
    assert_eq!(owners[0].1["posts"], true);
    for n in [1, 2] {
        let made = &owners[n].1;
        assert_eq!(made["posts"], false, "{made}");
        assert_eq!(made["posts_reason"], "another registration of this repository posts");
        // Whose it is, is not told to a stranger.
        assert_eq!(made["also_registered"][0], json!({ "posts": true }));
    }
    // An admin may know.
    let seen = shown(&service, &id(1)).await;
    let reason = seen["posts_reason"].as_str().unwrap();
    assert!(reason.contains(&id(0)) && reason.contains("owner0@example.com"), "{reason}");

    let gone = owners[0].0.request(Method::DELETE, &format!("/api/v1/repos/{}", id(0)));
    assert_eq!(owners[0].0.send(gone).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(shown(&owners[1].0, &id(1)).await["posts"], true);
    assert_eq!(shown(&owners[2].0, &id(2)).await["posts"], false);
}

#[tokio::test]
async fn a_refused_post_hands_over_to_a_registration_that_may_and_its_owner_sees_why() {
    let service = Service::start().await;
    // It may push, and whether it may write statuses shows only when it does.
    service.forge.grants(TOKENS[0], Rights { push: true, hooks: true, ..Rights::default() });
    service.forge.grants(TOKENS[1], Rights::all());
    let (first, second) = (service.user("first@example.com"), service.user("second@example.com"));
    let repository = service.forge.repository("handed").await;
    let other = json!({ "url": repository.url, "token": TOKENS[1], "webhook": false });
    let repository = registered(&first, repository, json!({ "token": TOKENS[0], "webhook": false })).await;
    let other = Api::json(second.post("/api/v1/repos", &other).await, StatusCode::CREATED).await;
    let other = other["id"].as_str().unwrap();
    assert_eq!(shown(&first, &repository.registration().id).await["posts"], true);

    let commit = repository.push(hello()).await;
    service.finished(&commit.job()).await;
    let begun = std::time::Instant::now();
    let view = loop {
        let view = shown(&first, &repository.registration().id).await;
        if view["posts"] == false {
            break view;
        }
        assert!(begun.elapsed() < STATUS, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    let problem = &view["problems"][0];
    assert_eq!(problem["about"], "status");
    let message = problem["message"].as_str().unwrap();
    assert!(message.starts_with("the forge refuses the status: 403"), "{view}");
    assert!(problem["fix"].as_str().unwrap().contains("gitfaas repo set") && problem["since"].is_string());
    // The first lets go before the other is asked about at the forge.
    while shown(&second, other).await["posts"] != true {
        assert!(begun.elapsed() < STATUS, "nobody posts");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let job = Api::json(first.get(&format!("/api/v1/jobs/{}", commit.job())).await, StatusCode::OK).await;
    assert_eq!(job["status"]["state"], "refused", "{job}");
    assert!(job["status"]["reason"].as_str().unwrap().contains("403"), "{job}");

    // With a right given back it posts what was refused, once its owner says so.
    service.forge.grants(TOKENS[0], Rights::all());
    let gone = second.request(Method::DELETE, &format!("/api/v1/repos/{other}"));
    second.send(gone).await;
    let view = crate::patched(&first, &repository.registration().id, json!({ "token": TOKENS[0] })).await;
    assert_eq!((&view["posts"], view.get("problems")), (&json!(true), None), "{view}");
    let status = service.forge.final_status(&commit).await;
    assert!(told(&status).starts_with("gitfaas/push success: finished in"), "{status:?}");
}

#[tokio::test]
async fn a_token_that_cannot_see_the_repository_does_not_post() {
    let service = Service::start().await;
    service.forge.grants(TOKENS[0], Rights::all().only_on(&["acme/another"]));
    let repository = service.forge.repository("unseen").await;
    let api = service.user("owner@example.com");
    let body = json!({ "url": repository.url, "token": TOKENS[0], "webhook": false });
    let made = Api::json(api.post("/api/v1/repos", &body).await, StatusCode::CREATED).await;
    assert_eq!(made["posts"], false, "{made}");
    let reason = made["posts_reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the forge knows no such repository, or the token may not see it"),
        "{reason}"
    );
}

#[test_case(Kind::GitHub; "a fine-grained token of GitHub's")]
#[test_case(Kind::Gitea; "gitea")]
#[test_case(Kind::GitLab; "gitlab")]
#[tokio::test]
async fn at_every_forge_the_first_refused_status_lets_another_registration_post(kind: Kind) {
    let forge = FakeForge::start().await;
    forge.is_kind(kind);
    let (url, elsewhere) = (forge.url(), "https://api.github.example/".to_owned());
    let github = if kind == Kind::GitHub { url } else { elsewhere };
    let wishes = [("GITFAAS_GITHUB_API_URL", &*github), ("GITFAAS_GITHUB_TOKEN", "")];
    let service = Service::start_on(forge, &wishes).await;
    // No forge tells of a token whether it may write statuses.
    service.forge.grants(TOKENS[0], Rights { push: true, ..Rights::default() });
    service.forge.grants(TOKENS[1], Rights::all());
    let (first, second) = (service.user("first@example.com"), service.user("second@example.com"));
    let repository = service.forge.repository("refused").await;
    let other = json!({ "url": repository.url, "token": TOKENS[1], "webhook": false });
    let repository = registered(&first, repository, json!({ "token": TOKENS[0], "webhook": false })).await;
    let other = Api::json(second.post("/api/v1/repos", &other).await, StatusCode::CREATED).await;
    let registration = repository.registration();
    assert_eq!(shown(&first, &registration.id).await["posts"], true);
    assert_eq!(other["posts"], false, "{other}");

    let sha = repository.commit("main", hello(), "a change").await;
    repository.receive(&sha).await;
    let commit = tests::repository::Commit {
        reference: "refs/heads/main".to_owned(),
        before: tests::repository::NO_COMMIT.to_owned(),
        ..crate::commit(&sha)
    };
    let hook = |url: &str, secret: &str| Hook {
        id: 1,
        repository: "acme/refused".to_owned(),
        url: url.to_owned(),
        events: Vec::new(),
        secret: secret.to_owned(),
    };
    let tell = async |hook: Hook| match kind {
        Kind::GitLab => ForgeKind::Gitlab.tell(&service, &hook, &repository, &commit).await,
        Kind::Gitea => ForgeKind::Gitea.tell(&service, &hook, &repository, &commit).await,
        Kind::GitHub | Kind::All => {
            let delivery = Delivery::of("push", &payload(&repository, &commit), &hook.secret);
            delivery.send(&service, &path(&hook.url)).await
        }
    };
    let (status, answer) = tell(hook(&registration.webhook_url, &registration.secret)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let begun = std::time::Instant::now();
    let view = loop {
        let view = shown(&first, &registration.id).await;
        if view["posts"] == false {
            break view;
        }
        assert!(begun.elapsed() < STATUS, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    let message = view["problems"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("the forge refuses the status: 403"), "{view}");
    // The owner sees the refusal before the forge was asked about the other one.
    let id = other["id"].as_str().unwrap();
    while shown(&second, id).await["posts"] != true {
        assert!(begun.elapsed() < STATUS, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    // The same push, told to the other's hook, is told to the forge.
    let text = |field: &str| other[field].as_str().unwrap().to_owned();
    let (status, answer) = tell(hook(&text("webhook_url"), &text("secret"))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(service.forge.final_status(&commit).await.state, "success");
}
