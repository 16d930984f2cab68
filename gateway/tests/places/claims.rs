//! Who claims another's repository gets nothing of it, at every forge.

use futures_util::future::join_all;
use jobs::{ProblemKind, Repo, bucket::Entry};
use reqwest::StatusCode;
use serde_json::json;
use test_case::test_case;

use crate::{
    Answered, FORGES,
    github::{
        ADMIN_TOKEN, BLIND_TOKEN, Github, READER_TOKEN,
        repositories::{CLAIMED, FILES},
    },
    job_of, patch, pushed, removed, seen, service, stored,
    support::GITHUB_SECRET,
    token_of, wish,
};

#[test_case("github")]
#[test_case("gitea")]
#[test_case("gitlab")]
#[tokio::test]
async fn who_came_first_with_a_token_that_sees_nothing_holds_no_place(forge: &str) {
    let github = Github::start().await;
    github.install(1, &[(77, "a/second")]);
    let service = service(&github, &[]).await;
    let (b, a) = (service.user("b@example.com").await, service.user("a@example.com").await);
    for token in [BLIND_TOKEN, READER_TOKEN, "none-of-the-forge's"] {
        let claim = service.register(&b, wish(&github, forge, "a/second", token)).await;
        assert_eq!(claim["posts"], false, "{claim}");
        assert_eq!(stored(&service, &claim).await.unproved.unwrap().tries, 1);
    }
    let claim = service.register(&b, wish(&github, forge, "a/second", BLIND_TOKEN)).await;
    let reason = claim["posts_reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the forge knows no such repository, or the token may not see it"),
        "{reason}"
    );

    let owners = service.register(&a, wish(&github, forge, "a/second", ADMIN_TOKEN)).await;
    assert_eq!((&owners["posts"], owners.get("posts_reason")), (&json!(true), None), "{owners}");
    assert_eq!(stored(&service, &owners).await.forge_id, Some(77));
    let pushed = pushed(&service, &github, &owners, (77, "a/second", "a")).await;
    assert_eq!(job_of(&service, &pushed).await.spec.context.as_deref(), Some("gitfaas/push"));
    let job = format!("/api/v1/jobs/{}", pushed["jobs"][0].as_str().unwrap());
    service.get(&job, &b).answers(StatusCode::NOT_FOUND).await;
    assert_eq!(seen(&service, &b, &claim).await["posts"], false);
}

#[tokio::test]
async fn a_delivery_to_the_hook_of_all_repositories_is_the_proved_registrations_alone() {
    let github = Github::start().await;
    github.install(1, &[(77, "a/second")]);
    let service = service(&github, &[]).await;
    let (b, a) = (service.user("b@example.com").await, service.user("a@example.com").await);
    let claim = service.register(&b, wish(&github, "github", "a/second", BLIND_TOKEN)).await;
    let delivery = |after: &str| {
        json!({
            "ref": "refs/heads/main", "before": "0".repeat(40), "after": after.repeat(40),
            "repository": { "id": 77, "full_name": "a/second",
                            "clone_url": format!("{}/a/second.git", github.url) },
            "head_commit": { "message": "private" },
        })
        .to_string()
    };
    let told = service.deliver("github", GITHUB_SECRET, "push", "1", &delivery("a"));
    assert_eq!(told.answers(StatusCode::OK).await["reason"], "the repository is not registered");
    let owners = service.register(&a, wish(&github, "github", "a/second", ADMIN_TOKEN)).await;
    let told = service.deliver("github", GITHUB_SECRET, "push", "2", &delivery("b"));
    let job = job_of(&service, &told.answers(StatusCode::ACCEPTED).await).await;
    assert_eq!(json!(job.spec.repo), owners["id"]);
    // The claim's own secret opens nothing but the claim's own hook.
    let secret = claim["secret"].as_str().unwrap();
    service.deliver("github", secret, "push", "3", &delivery("c")).answers(StatusCode::UNAUTHORIZED).await;
    assert_eq!(service.all_jobs().await.len(), 1);
}

#[test_case("github")]
#[test_case("gitea")]
#[test_case("gitlab")]
#[tokio::test]
async fn an_own_signature_sets_neither_number_nor_name(forge: &str) {
    let github = Github::start().await;
    github.install(1, &[(7, "b/own"), (77, "a/secret")]);
    let service = service(&github, &[]).await;
    let b = service.user("b@example.com").await;
    let own = service.register(&b, wish(&github, forge, "b/own", ADMIN_TOKEN)).await;
    assert_eq!(own["posts"], true, "{own}");
    pushed(&service, &github, &own, (77, "b/own", "a")).await;
    pushed(&service, &github, &own, (7, "a/secret", "b")).await;
    pushed(&service, &github, &own, (77, "a/secret", "c")).await;
    let kept = stored(&service, &own).await;
    assert_eq!((kept.forge_id, kept.url.to_string()), (Some(7), format!("{}/b/own", github.url)));
    assert!(kept.posts);
}

#[test_case("github")]
#[test_case("gitea")]
#[test_case("gitlab")]
#[tokio::test]
async fn of_registrations_at_once_exactly_one_holds_the_place(forge: &str) {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let here = service(&github, &[]).await;
    let there = here
        .another_with(&[
            ("GITFAAS_GITHUB_API_URL", github.url.as_str()),
            ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32"),
        ])
        .await;
    let users = join_all((0..6).map(|n| {
        let here = &here;
        async move { here.user(&format!("u{n}@example.com")).await }
    }))
    .await;
    let made = join_all(users.iter().enumerate().map(|(n, user)| {
        let gateway = if n % 2 == 0 { &here } else { &there };
        gateway.register(user, wish(&github, forge, "a/pi", &token_of(&n.to_string())))
    }))
    .await;
    let mut posting = Vec::new();
    for (repo, user) in made.iter().zip(&users) {
        let kept = stored(&here, repo).await;
        assert_eq!(kept.unproved, None, "everyone may push there");
        if kept.posts {
            posting.push((repo, user));
        }
    }
    assert_eq!(posting.len(), 1, "{made:#?}");
    // When that one goes, exactly one other has it.
    removed(&here, posting[0].1, posting[0].0).await;
    let mut left = 0;
    for repo in made.iter().filter(|repo| repo["id"] != posting[0].0["id"]) {
        left += usize::from(stored(&here, repo).await.posts);
    }
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_users_file_at_the_forge_does_not_answer_for_the_forge() {
    let github = Github::start().await;
    github.install(1, &[(CLAIMED, "a/secret")]);
    // No GitHub is there: it is a Gitea, which serves its users' files beside its API.
    let service = service(&github, &[("GITFAAS_GITHUB_API_URL", "https://api.github.example")]).await;
    let (b, a) = (service.user("b@example.com").await, service.user("a@example.com").await);
    let with_api = json!({
        "url": format!("{}/a/secret", github.url), "forge": "gitea", "token": "any", "webhook": false,
        "api_url": format!("{}{FILES}/api/v1/", github.url),
    });
    let refused = service.post("/api/v1/repos", &b, &with_api).answers(StatusCode::BAD_REQUEST).await;
    assert!(
        refused["error"]["message"].as_str().unwrap().starts_with("api_url: it must be api/v1"),
        "{refused}"
    );
    let elsewhere = json!({ "url": with_api["url"], "forge": "gitea", "token": "any", "webhook": false });
    let mut claim = service.register(&b, elsewhere).await;
    let change = json!({ "api_url": with_api["api_url"] });
    patch(&service, &b, &claim, &change).answers(StatusCode::BAD_REQUEST).await;
    // One that an older gateway took is not asked either.
    let planted = |now: &Entry<Repo>| {
        Some(Repo { api_url: Some(with_api["api_url"].as_str().unwrap().to_owned()), ..now.value.clone() })
    };
    service.ledger.repos.change(claim["id"].as_str().unwrap(), planted).await.unwrap();
    pushed(&service, &github, &claim, (CLAIMED, "a/secret", "a")).await;
    assert!(!stored(&service, &claim).await.posts);

    // The file speaks for its own folder alone, whatever number it claims.
    let below = json!({
        "url": format!("{}{FILES}/a/secret", github.url), "forge": "gitea", "token": "any", "webhook": false,
    });
    claim = service.register(&b, below).await;
    assert_eq!((&claim["posts"], stored(&service, &claim).await.forge_id), (&json!(true), Some(CLAIMED)));
    let owners = service.register(&a, wish(&github, "gitea", "a/secret", ADMIN_TOKEN)).await;
    assert_eq!(owners["posts"], true, "{owners}");
    assert_eq!(owners["also_registered"].as_array().unwrap().len(), 1, "{owners}");
}

#[tokio::test]
async fn a_registration_that_the_forge_refuses_leaves_its_place_to_one_that_comes() {
    for forge in FORGES {
        let github = Github::start().await;
        github.install(1, &[(77, "a/pi")]);
        let service = service(&github, &[]).await;
        let (b, a) = (service.user("b@example.com").await, service.user("a@example.com").await);
        let refused = service.register(&b, wish(&github, forge, "a/pi", &token_of("b"))).await;
        assert_eq!(refused["posts"], true, "{refused}");
        let second = service.register(&a, wish(&github, forge, "a/pi", &token_of("a"))).await;
        assert_eq!(second["posts"], false, "{second}");
        removed(&service, &a, &second).await;
        let said = "the forge refuses the status: 403 Forbidden";
        let problem = |now: &Entry<Repo>| {
            Some(now.value.with_problem(ProblemKind::Status, Some(said), jiff::Timestamp::now()))
        };
        service.ledger.repos.change(refused["id"].as_str().unwrap(), problem).await.unwrap();
        let owners = service.register(&a, wish(&github, forge, "a/pi", &token_of("a"))).await;
        assert_eq!(owners["posts"], true, "{forge}: {owners}");
        let view = seen(&service, &b, &refused).await;
        assert_eq!((&view["posts"], &view["posts_reason"]), (&json!(false), &json!(said)));
        assert!(!stored(&service, &refused).await.posts);
        // Its owner gives another token: the place is the other's now.
        let mended = patch(&service, &b, &refused, &json!({ "token": token_of("c") }));
        let mended = mended.answers(StatusCode::OK).await;
        assert_eq!(mended["posts_reason"], "another registration of this repository posts");
    }
}
