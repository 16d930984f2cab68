//! An accepted installation of the GitHub App comes before a token, and a token's turn comes again after it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    ADMIN_TOKEN, Answered, Service,
    github::{APP_ID, Github},
    id, job_of, patch, seen, stored,
    support::GITHUB_SECRET,
    token_of, wish,
};

async fn service(github: &Github) -> Service {
    let variables = github.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Service::with(&variables).await
}

/// An event of installation 12, which is the App owner's.
async fn told(service: &Service, delivery: &str, action: &str) -> Value {
    let body = json!({
        "action": action,
        "installation": { "id": 12, "account": { "id": 5, "login": "acme" }, "app_id": APP_ID },
        "repositories": [{ "id": 99, "full_name": "acme/pi", "private": true }],
    });
    let told = service.deliver("github", GITHUB_SECRET, "installation", delivery, &body.to_string());
    told.answers(StatusCode::ACCEPTED).await
}

/// A push through the App's hook.
async fn pushed(service: &Service, github: &Github, delivery: &str, after: &str) -> Value {
    let body = json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": after.repeat(40),
        "repository": { "id": 99, "full_name": "acme/pi", "clone_url": format!("{}/acme/pi.git", github.url) },
        "head_commit": { "message": "work" },
        "installation": { "id": 12 },
    });
    let response = service.deliver("github", GITHUB_SECRET, "push", delivery, &body.to_string()).send();
    response.await.unwrap().json().await.unwrap()
}

/// The registration that the installation brought.
async fn brought(service: &Service, admin: &str) -> Value {
    let list = service.get("/api/v1/repos", admin).answers(StatusCode::OK).await;
    let items = list["items"].as_array().unwrap();
    items.iter().find(|item| item["installation"] == 12).unwrap_or_else(|| panic!("{list}")).clone()
}

#[tokio::test]
async fn an_installation_displaces_a_tokens_place_and_gives_it_back_when_it_goes() {
    let github = Github::start().await;
    let service = service(&github).await;
    let (admin, a) = (service.admin().await, service.user("a@example.com").await);
    github.install(12, &[(99, "acme/pi")]);
    let tokens = service.register(&a, wish(&github, "github", "acme/pi", ADMIN_TOKEN)).await;
    assert_eq!(tokens["posts"], true, "{tokens}");

    assert_eq!(told(&service, "1", "created").await["reason"], "registered 1 repository");
    let apps = brought(&service, &admin).await;
    assert_eq!(apps["posts"], true, "{apps}");
    let view = seen(&service, &a, &tokens).await;
    let why = "another registration of this repository posts, with the GitHub App that is installed there";
    assert_eq!((&view["posts"], &view["posts_reason"]), (&json!(false), &json!(why)));
    let audit = service.get("/api/v1/audit", &admin).answers(StatusCode::OK).await;
    let events = audit["items"].as_array().unwrap();
    let event = events.iter().find(|event| event["action"] == "status_owner_changed").unwrap();
    assert_eq!((&event["target"], &event["detail"]), (&apps["id"], &tokens["id"]));
    let job = job_of(&service, &pushed(&service, &github, "2", "a").await).await;
    assert_eq!(
        (json!(job.spec.repo), job.spec.context.as_deref()),
        (apps["id"].clone(), Some("gitfaas/push"))
    );

    // No token displaces it: not a new registration's, and not with a change.
    let another = service.register(&a, wish(&github, "github", "acme/pi", &token_of("new"))).await;
    assert_eq!(another["posts"], false, "{another}");
    let changed = patch(&service, &a, &another, &json!({ "token": token_of("again") }));
    assert_eq!(changed.answers(StatusCode::OK).await["posts"], false);
    assert!(stored(&service, &apps).await.posts);

    // Suspended it posts nothing, and a token's registration does meanwhile.
    github.known().suspended.insert(12);
    told(&service, "3", "suspend").await;
    assert!(!stored(&service, &apps).await.posts);
    assert_eq!(seen(&service, &a, &tokens).await["posts"], true);
    github.known().suspended.clear();
    told(&service, "4", "unsuspend").await;
    assert_eq!(id(&brought(&service, &admin).await), id(&apps), "it is the same registration");
    assert!(stored(&service, &apps).await.posts && !stored(&service, &tokens).await.posts);

    told(&service, "5", "deleted").await;
    let view = seen(&service, &a, &tokens).await;
    assert_eq!((&view["posts"], view.get("posts_reason")), (&json!(true), None), "{view}");
    assert!(!stored(&service, &another).await.posts);
    assert_eq!(pushed(&service, &github, "6", "b").await["reason"], "the repository is not registered");
}

#[tokio::test]
async fn when_the_installation_goes_while_github_is_away_the_token_has_its_place_back_later() {
    let github = Github::start().await;
    let service = service(&github).await;
    let a = service.user("a@example.com").await;
    github.install(12, &[(99, "acme/pi")]);
    told(&service, "1", "created").await;
    let tokens = service.register(&a, wish(&github, "github", "acme/pi", ADMIN_TOKEN)).await;
    assert_eq!(tokens["posts"], false, "{tokens}");
    github.known().is_down = true;
    told(&service, "2", "deleted").await;
    assert!(!stored(&service, &tokens).await.posts);
    github.known().is_down = false;
    crate::pushed(&service, &github, &tokens, (99, "acme/pi", "c")).await;
    assert!(stored(&service, &tokens).await.posts);
}

#[tokio::test]
async fn an_installation_whose_checks_are_refused_still_gets_its_own_deliveries() {
    let github = Github::start().await;
    let service = service(&github).await;
    let (admin, a) = (service.admin().await, service.user("a@example.com").await);
    github.install(12, &[(99, "acme/pi")]);
    told(&service, "1", "created").await;
    let apps = brought(&service, &admin).await;
    let why = "the GitHub App may not do this for this repository any more";
    let refused = |now: &jobs::bucket::Entry<jobs::Repo>| {
        let about = jobs::ProblemKind::Status;
        Some(now.value.with_problem(about, Some(why), jiff::Timestamp::now()))
    };
    service.ledger.repos.change(id(&apps), refused).await.unwrap();
    let tokens = service.register(&a, wish(&github, "github", "acme/pi", ADMIN_TOKEN)).await;
    assert_eq!(tokens["posts"], true, "{tokens}");
    let job = job_of(&service, &pushed(&service, &github, "2", "a").await).await;
    assert_eq!((json!(job.spec.repo), job.spec.context), (apps["id"].clone(), None));
    // The App was given the right: it comes first again.
    told(&service, "3", "new_permissions_accepted").await;
    assert!(stored(&service, &apps).await.posts && !stored(&service, &tokens).await.posts);
}
