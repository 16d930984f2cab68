//! A forge that does not answer confirms nothing: nobody has the place until it does.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use jobs::{Repo, UnverifiedRight, bucket::Entry};
use reqwest::StatusCode;
use serde_json::{Value, json};
use test_case::test_case;

use crate::{
    ADMIN_TOKEN, Answered, Service,
    github::{BLIND_TOKEN, Github},
    id, job_of, patch, pushed, removed, seen, service, stored,
    support::GITHUB_SECRET,
    token_of, until, wish,
};

/// The forge is asked again now, and not in a minute.
async fn is_due(service: &Service, repo: &Value) {
    let due = |now: &Entry<Repo>| {
        let unproved = now.value.unproved.clone().expect("it is not confirmed");
        let again_at = Timestamp::now() - SignedDuration::from_secs(1);
        Some(Repo { unproved: Some(UnverifiedRight { again_at, ..unproved }), ..now.value.clone() })
    };
    service.ledger.repos.change(id(repo), due).await.unwrap();
}

#[test_case("github")]
#[test_case("gitea")]
#[test_case("gitlab")]
#[tokio::test]
async fn a_registration_at_a_forge_that_is_away_posts_from_its_first_good_delivery_on(forge: &str) {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let service = service(&github, &[]).await;
    let (a, b) = (service.user("a@example.com").await, service.user("b@example.com").await);
    github.known().is_down = true;
    let repo = service.register(&a, wish(&github, forge, "a/pi", ADMIN_TOKEN)).await;
    let reason = repo["posts_reason"].as_str().unwrap();
    assert!(
        repo["posts"] == false
            && reason.starts_with("the forge cannot be asked at the moment: 502")
            && reason.contains("; it is asked again at 20")
            && reason.ends_with(" UTC, and at the next delivery"),
        "{repo}"
    );
    assert_eq!(repo.get("problems"), None, "there is nothing to mend");
    let first = pushed(&service, &github, &repo, (77, "a/pi", "a")).await;
    assert_eq!(job_of(&service, &first).await.spec.context, None, "it runs, and posts nothing");
    // Nobody else has it either.
    let other = service.register(&b, wish(&github, forge, "a/pi", &token_of("b"))).await;
    assert_eq!(other["posts"], false, "{other}");
    removed(&service, &b, &other).await;

    github.known().is_down = false;
    let asked = github.known().asked_about;
    let forged = json!({ "id": repo["id"], "forge": repo["forge"], "secret": "somebody else's" });
    let refused = pushed(&service, &github, &forged, (77, "a/pi", "b")).await;
    assert_eq!(refused["error"]["code"], "unauthorized", "{refused}");
    assert_eq!(github.known().asked_about, asked, "who cannot sign makes nobody ask");
    let second = pushed(&service, &github, &repo, (77, "a/pi", "b")).await;
    assert_eq!(job_of(&service, &second).await.spec.context.as_deref(), Some("gitfaas/push"));
    assert_eq!(seen(&service, &a, &repo).await["posts"], true);
}

#[tokio::test]
async fn a_slow_forge_keeps_a_registration_for_three_seconds_and_is_asked_again_by_itself() {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let variables =
        [("GITFAAS_GITHUB_API_URL", github.url.as_str()), ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32")];
    let first = Service::with(&variables).await;
    let a = first.user("a@example.com").await;
    github.known().slow = Some(Duration::from_secs(30));
    let begun = Instant::now();
    let url = format!("{}/a/pi", github.url);
    let repo = first.register(&a, json!({ "url": url, "token": ADMIN_TOKEN, "webhook": true })).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_millis(4500), "{took:?}");
    assert_eq!(repo["webhook"]["error"], "the forge did not answer within 3 s");
    let reason = repo["posts_reason"].as_str().unwrap();
    assert!(repo["posts"] == false && reason.starts_with("the forge did not answer within 3 s"), "{repo}");

    // What is due stands in the record: another gateway takes it up.
    let second = first.another_with(&variables).await;
    first.stopped().await;
    github.known().slow = None;
    is_due(&second, &repo).await;
    let posting = until(&second, &repo, |repo| repo.posts && repo.webhook_id.is_some()).await;
    assert_eq!((posting.unproved, posting.problems), (None, vec![]));
    let hooks = github.webhooks();
    assert!(hooks.len() == 1 && hooks[0].ends_with(&format!("/webhooks/{}", id(&repo))), "{hooks:?}");
}

#[tokio::test]
async fn who_is_never_confirmed_is_asked_about_less_and_less_often_and_holds_up_nobody() {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let service = service(&github, &[]).await;
    let (a, b) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let claim = service.register(&b, wish(&github, "github", "a/pi", BLIND_TOKEN)).await;
    for tries in 2..4 {
        is_due(&service, &claim).await;
        let asked = until(&service, &claim, |repo| {
            repo.unproved.as_ref().is_some_and(|unproved| unproved.tries == tries)
        })
        .await;
        let left = asked.unproved.unwrap().again_at.duration_since(Timestamp::now());
        let wait = SignedDuration::from_mins(1 << (tries - 1));
        assert!(left <= wait && left > wait - SignedDuration::from_secs(30), "{left:?}");
        assert!(!asked.posts);
    }
    let owners = service.register(&a, wish(&github, "github", "a/pi", ADMIN_TOKEN)).await;
    assert_eq!(owners["posts"], true);
    // When the owners' goes, the claim is no more than before.
    let asked = github.known().asked_about;
    removed(&service, &a, &owners).await;
    assert_eq!(github.known().asked_about, asked, "the claim has its own time");
    assert!(!stored(&service, &claim).await.posts);
}

#[tokio::test]
async fn a_change_that_is_none_asks_nobody_and_many_changes_ask_three_times_a_minute() {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let service = service(&github, &[]).await;
    let a = service.user("a@example.com").await;
    let url = format!("{}/a/pi", github.url);
    let plain = service.register(&a, json!({ "url": url })).await;
    let claim = service.register(&a, wish(&github, "github", "a/pi", BLIND_TOKEN)).await;
    assert_eq!(github.known().asked_about, 2);
    for repo in [&plain, &claim] {
        for change in [json!({ "name": "another" }), json!({ "forge": "github" }), json!({ "branches": [] })]
        {
            patch(&service, &a, repo, &change).answers(StatusCode::OK).await;
        }
    }
    assert_eq!(github.known().asked_about, 2);
    for _ in 0..10 {
        let changed = patch(&service, &a, &claim, &json!({ "token": BLIND_TOKEN }));
        assert_eq!(changed.answers(StatusCode::OK).await["posts"], false);
    }
    assert_eq!(github.known().asked_about, 4, "the registration was one of three");
    let view = seen(&service, &a, &claim).await;
    let reason = view["posts_reason"].as_str().unwrap();
    assert!(reason.starts_with("the forge was asked too often within a minute"), "{view}");
    for after in ["a", "b", "c"] {
        pushed(&service, &github, &claim, (77, "a/pi", after)).await;
    }
    assert_eq!(github.known().asked_about, 4, "deliveries are of the same three");
}

#[tokio::test]
async fn a_posting_registration_keeps_its_place_while_the_forge_is_away_and_loses_it_with_its_right() {
    let github = Github::start().await;
    github.install(1, &[(7, "b/own"), (77, "a/pi")]);
    let service = service(&github, &[]).await;
    let a = service.user("a@example.com").await;
    let repo = service.register(&a, wish(&github, "github", "b/own", ADMIN_TOKEN)).await;
    github.known().is_down = true;
    pushed(&service, &github, &repo, (8, "b/own", "a")).await;
    assert!(stored(&service, &repo).await.posts);
    // A repository of another's is at its path now, where this token may only read.
    github.known().is_down = false;
    github.install(1, &[(78, "b/own"), (77, "a/pi")]);
    github.known().readers.insert(ADMIN_TOKEN.to_owned());
    pushed(&service, &github, &repo, (78, "b/own", "b")).await;
    let kept = stored(&service, &repo).await;
    assert!(!kept.posts && kept.unproved.is_some(), "{kept:?}");
    let body = json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": "c".repeat(40),
        "repository": { "id": 78, "full_name": "b/own", "clone_url": format!("{}/b/own.git", github.url) },
    });
    let told = service.deliver("github", GITHUB_SECRET, "push", "1", &body.to_string());
    assert_eq!(told.answers(StatusCode::OK).await["reason"], "the repository is not registered");
}

#[test_case(false, false; "nobody posted")]
#[test_case(true, true; "both posted")]
#[tokio::test]
async fn after_a_crash_between_two_writes_the_first_of_two_posts(first_posts: bool, second_posts: bool) {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let variables =
        [("GITFAAS_GITHUB_API_URL", github.url.as_str()), ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32")];
    let crashed = Service::with(&variables).await;
    let (a, b) = (crashed.user("a@example.com").await, crashed.user("b@example.com").await);
    let first = crashed.register(&a, wish(&github, "github", "a/pi", &token_of("a"))).await;
    let second = crashed.register(&b, wish(&github, "github", "a/pi", &token_of("b"))).await;
    let next = crashed.another_with(&variables).await;
    for (repo, posts) in [(&first, first_posts), (&second, second_posts)] {
        let left =
            |now: &Entry<Repo>| (now.value.posts != posts).then(|| Repo { posts, ..now.value.clone() });
        crashed.ledger.repos.change(id(repo), left).await.unwrap();
    }
    crashed.stopped().await;
    until(&next, &first, |repo| repo.posts).await;
    until(&next, &second, |repo| !repo.posts).await;
}

#[tokio::test]
async fn an_admins_registration_that_github_did_not_confirm_is_found_by_the_hook_of_all_repositories() {
    let github = Github::start().await;
    github.install(1, &[(77, "a/pi")]);
    let service = service(&github, &[("GITFAAS_GITHUB_TOKEN", ADMIN_TOKEN)]).await;
    let admin = service.admin().await;
    github.known().is_down = true;
    let repo = service.register(&admin, json!({ "url": format!("{}/a/pi", github.url) })).await;
    assert_eq!(repo["posts"], false, "{repo}");
    let delivery = |after: &str| {
        json!({
            "ref": "refs/heads/main", "before": "0".repeat(40), "after": after.repeat(40),
            "repository": { "id": 77, "full_name": "a/pi", "clone_url": format!("{}/a/pi.git", github.url) },
        })
        .to_string()
    };
    let told = service.deliver("github", GITHUB_SECRET, "push", "1", &delivery("a"));
    assert_eq!(told.answers(StatusCode::OK).await["reason"], "the repository is not registered");
    github.known().is_down = false;
    let told = service.deliver("github", GITHUB_SECRET, "push", "2", &delivery("b"));
    let job = job_of(&service, &told.answers(StatusCode::ACCEPTED).await).await;
    assert_eq!(
        (json!(job.spec.repo), job.spec.context.as_deref()),
        (repo["id"].clone(), Some("gitfaas/push"))
    );
}
