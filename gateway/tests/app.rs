//! The GitHub App: what installations bring and take away, and the tokens that are lent for them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod github;
mod support;

use futures_util::future::join_all;
use github::{APP_ID, FailedDelivery, Github};
use jobs::{
    CommitStatus, Delivery, Job, JobId, Verdict,
    bucket::Entry,
    grants::{GrantReply, JobGrant, StatusGrant},
    streams::commit_key,
};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use support::{Answered, GITHUB_SECRET, PATIENCE, Service};

/// The App owner's account.
const ACME: (u64, &str) = (5, "acme");
const STRANGER: (u64, &str) = (66, "stranger");

async fn service(github: &Github, more: &[(&str, &str)]) -> Service {
    let variables = github.variables();
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    Service::with(&variables.chain(more.iter().copied()).collect::<Vec<_>>()).await
}

fn described(repositories: &[(u64, &str)]) -> Vec<Value> {
    repositories.iter().map(|(id, name)| json!({ "id": id, "full_name": name, "private": true })).collect()
}

/// An `installation` event.
fn installation(id: u64, account: (u64, &str), action: &str, repositories: &[(u64, &str)]) -> String {
    let account = json!({ "id": account.0, "login": account.1 });
    json!({
        "action": action,
        "installation": { "id": id, "account": account, "app_id": APP_ID },
        "repositories": described(repositories),
    })
    .to_string()
}

/// An `installation_repositories` event.
fn changed(id: u64, account: (u64, &str), added: &[(u64, &str)], removed: &[(u64, &str)]) -> String {
    let account = json!({ "id": account.0, "login": account.1 });
    json!({
        "action": if added.is_empty() { "removed" } else { "added" },
        "installation": { "id": id, "account": account, "app_id": APP_ID },
        "repositories_added": described(added),
        "repositories_removed": described(removed),
    })
    .to_string()
}

/// A push to `main` through an installation.
fn push(github: &Github, installation: u64, repository: (u64, &str), before: &str, after: &str) -> String {
    json!({
        "ref": "refs/heads/main",
        "before": before.repeat(40),
        "after": after.repeat(40),
        "repository": {
            "id": repository.0,
            "full_name": repository.1,
            "clone_url": format!("{}/{}.git", github.url, repository.1),
        },
        "head_commit": { "message": "work" },
        "pusher": { "name": "someone" },
        "installation": { "id": installation },
    })
    .to_string()
}

/// Delivers to the App's hook; returns the verdict and its reason.
async fn told(service: &Service, event: &str, id: &str, body: &str) -> (Value, String) {
    let response = service.deliver("github", GITHUB_SECRET, event, id, body).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
    let verdict = answer["verdict"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (answer, format!("{verdict}: {reason}"))
}

/// The job of a push that was accepted.
async fn job_of(service: &Service, id: &str, body: &str) -> Job {
    let (answer, said) = told(service, "push", id, body).await;
    assert_eq!(said, "accepted: ");
    let job: JobId = answer["jobs"][0].as_str().unwrap().parse().unwrap();
    service.ledger.job(job).await.unwrap().unwrap().value
}

async fn asked(service: &Service, request: Value) -> GrantReply {
    let bytes = serde_json::to_vec(&request).unwrap();
    let answer = service.ledger.client.request("grants.w1", bytes.into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn job_grant(service: &Service, job: &Job, refused: Option<&str>) -> JobGrant {
    let digest = refused.map(|token| hex::encode(Sha256::digest(token)));
    let request =
        json!({ "kind": "job", "job": job.spec.id, "attempt": 1, "secrets": [], "refused": digest });
    match asked(service, request).await {
        GrantReply::Job(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn status_grant(service: &Service, job: &Job) -> Result<StatusGrant, String> {
    let context = job.spec.context.as_deref().unwrap_or("gitfaas/push");
    let commit = commit_key(job.spec.repo.unwrap(), job.spec.sha.as_ref().unwrap(), context);
    let taken = |now: &Entry<CommitStatus>| Some(CommitStatus::clone(&now.value.claim("w1")));
    service.ledger.commits.change(&commit, taken).await.unwrap().expect("there is a status to post");
    match asked(service, json!({ "kind": "status", "commit": commit, "job": job.spec.id })).await {
        GrantReply::Status(grant) => Ok(grant),
        other => Err(format!("{other:?}")),
    }
}

async fn repos(service: &Service) -> Vec<Value> {
    let admin = service.admin().await;
    let list = service.get("/api/v1/repos", &admin).answers(StatusCode::OK).await;
    list["items"].as_array().unwrap().clone()
}

/// URLs of all registrations below GitHub's address, in order.
async fn names(service: &Service, github: &Github) -> Vec<String> {
    let mut names: Vec<String> = repos(service)
        .await
        .iter()
        .map(|repo| repo["url"].as_str().unwrap().replace(&format!("{}/", github.url), ""))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_installation_brings_its_repositories_and_lends_tokens_for_their_jobs() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi"), (100, "acme/e")]);
    // The event's list is cut; GitHub is asked for all of it.
    let created = installation(12, ACME, "created", &[(99, "acme/pi")]);
    assert_eq!(told(&service, "installation", "1", &created).await.1, "accepted: registered 2 repositories");
    assert_eq!(told(&service, "installation", "1", &created).await.1, "accepted: registered 2 repositories");
    assert_eq!(told(&service, "installation", "2", &created).await.1, "accepted: registered 2 repositories");
    assert_eq!(names(&service, &github).await, ["acme/e.git", "acme/pi.git"]);
    for repo in repos(&service).await {
        assert_eq!(
            (&repo["forge"], &repo["posts"], &repo["installation"]),
            (&json!("github"), &json!(true), &json!(12))
        );
    }
    assert_eq!(github.known().asked_for_owner, 1);
    let stranger = service.user("b@example.com").await;
    let list = service.get("/api/v1/repos", &stranger).answers(StatusCode::OK).await;
    assert_eq!(list["items"], json!([]));

    let job = job_of(&service, "3", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
    assert_eq!(job.spec.url.as_str(), format!("{}/acme/pi.git", github.url));
    service.claim(job.spec.id).await;
    let clone = job_grant(&service, &job, None).await.clone.unwrap();
    assert_eq!(clone.user, "x-access-token");
    let minted = github.behind(&clone.token);
    assert_eq!((minted.installation, minted.repositories), (12, vec![99]));
    assert_eq!(minted.permissions, json!({ "contents": "read" }));
    let status = status_grant(&service, &job).await.unwrap();
    assert_eq!((status.owner.as_str(), status.name.as_str(), status.checks), ("acme", "pi", true));
    let minted = github.behind(&status.token);
    assert_eq!((minted.repositories, minted.permissions), (vec![99], json!({ "checks": "write" })));
}

#[tokio::test]
async fn a_token_is_lent_until_shortly_before_its_end_and_never_after_it_was_refused() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    told(&service, "installation", "1", &installation(12, ACME, "created", &[])).await;
    // The first one ends too soon to be lent twice.
    github.known().lives_s.push_back(300);
    let job = job_of(&service, "2", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
    service.claim(job.spec.id).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(job_grant(&service, &job, None).await.clone.unwrap().token);
    }
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!((&tokens[1], github.repository_tokens()), (&tokens[2], 2));
    let fresh = job_grant(&service, &job, Some(&tokens[1])).await.clone.unwrap().token;
    assert_ne!(fresh, tokens[1]);
    // Whoever is late with the same complaint gets the fresh one.
    assert_eq!(job_grant(&service, &job, Some(&tokens[1])).await.clone.unwrap().token, fresh);
    assert_eq!(github.repository_tokens(), 3);
}

#[tokio::test]
async fn a_strangers_installation_waits_for_an_admin() {
    let github = Github::start().await;
    let service = service(&github, &[("GITFAAS_GITHUB_ACCOUNTS", "friends,Others")]).await;
    github.install(13, &[(7, "stranger/x")]);
    github.install(14, &[(8, "others/y")]);
    let others = installation(14, (67, "others"), "created", &[]);
    assert_eq!(told(&service, "installation", "0", &others).await.1, "accepted: registered 1 repository");
    let created = installation(13, STRANGER, "created", &[(7, "stranger/x")]);
    let (answer, said) = told(&service, "installation", "1", &created).await;
    assert_eq!(said, "held: installations of stranger are not accepted unless an admin approves");
    assert_eq!(told(&service, "installation", "1", &created).await.1, said);
    assert_eq!(names(&service, &github).await, ["others/y.git"]);
    let pushed = push(&github, 13, (7, "stranger/x"), "0", "a");
    assert_eq!(told(&service, "push", "2", &pushed).await.1, "ignored: the repository is not registered");

    let approve = format!("/api/v1/deliveries/{}/approve", answer["delivery"].as_str().unwrap());
    let user = service.user("b@example.com").await;
    service.post(&approve, &user, &json!({})).answers(StatusCode::NOT_FOUND).await;
    let admin = service.admin().await;
    let approved = service.post(&approve, &admin, &json!({})).answers(StatusCode::ACCEPTED).await;
    assert_eq!(
        (&approved["verdict"], &approved["reason"]),
        (&json!("accepted"), &json!("registered 1 repository"))
    );
    service.post(&approve, &admin, &json!({})).answers(StatusCode::CONFLICT).await;
    assert_eq!(names(&service, &github).await, ["others/y.git", "stranger/x.git"]);
    job_of(&service, "3", &pushed).await;

    // It is known now: what it adds later needs no second word.
    github.install(13, &[(7, "stranger/x"), (9, "stranger/z")]);
    let added = changed(13, STRANGER, &[(9, "stranger/z")], &[]);
    assert_eq!(
        told(&service, "installation_repositories", "4", &added).await.1,
        "accepted: registered 1 repository"
    );
    let removed = changed(13, STRANGER, &[], &[(7, "stranger/x")]);
    assert_eq!(
        told(&service, "installation_repositories", "5", &removed).await.1,
        "accepted: unregistered 1 repository"
    );
    assert_eq!(
        told(&service, "installation_repositories", "5", &removed).await.1,
        "accepted: unregistered 1 repository"
    );
    assert_eq!(names(&service, &github).await, ["others/y.git", "stranger/z.git"]);
    let kept = service.get("/api/v1/deliveries", &admin).answers(StatusCode::OK).await;
    let verdicts: Vec<&str> =
        kept["items"].as_array().unwrap().iter().map(|item| item["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "accepted").count(), 5);
}

#[tokio::test]
async fn what_is_uninstalled_makes_no_job_and_gets_no_grant() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    let created = installation(12, ACME, "created", &[(99, "acme/pi")]);
    told(&service, "installation", "1", &created).await;
    let job = job_of(&service, "2", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
    service.claim(job.spec.id).await;
    assert!(job_grant(&service, &job, None).await.clone.is_some());

    github.known().installations.clear();
    let deleted = installation(12, ACME, "deleted", &[(99, "acme/pi")]);
    for id in ["3", "4"] {
        let (answer, _) = told(&service, "installation", id, &deleted).await;
        assert_eq!(answer["verdict"], json!(Verdict::Accepted));
    }
    assert_eq!(names(&service, &github).await, [""; 0]);
    let request = json!({ "kind": "job", "job": job.spec.id, "attempt": 1, "secrets": [] });
    assert!(matches!(asked(&service, request).await, GrantReply::Refused { .. }));
    let ended = service.ledger.job(job.spec.id).await.unwrap().unwrap().value;
    assert_eq!(ended.status.cause, Some(jobs::Cause::Cancelled), "{ended:?}");
    assert_eq!(
        status_grant(&service, &job).await.err().unwrap(),
        "Refused(the repository is not registered)"
    );
    let late = push(&github, 12, (99, "acme/pi"), "a", "b");
    assert_eq!(told(&service, "push", "5", &late).await.1, "ignored: the repository is not registered");
    // Done once more by an admin it is as idempotent.
    let admin = service.admin().await;
    let (answer, _) = told(&service, "installation", "3", &deleted).await;
    let replay = format!("/api/v1/deliveries/{}/replay", answer["delivery"].as_str().unwrap());
    let replayed = service.post(&replay, &admin, &json!({})).answers(StatusCode::ACCEPTED).await;
    assert_eq!(replayed["reason"], "unregistered 0 repositories");
    // An older event that comes late does not bring it back.
    let (_, said) = told(&service, "installation", "6", &created).await;
    assert!(said.starts_with("ignored: the installation is gone or suspended"), "{said}");
    assert_eq!(names(&service, &github).await, [""; 0]);
}

#[tokio::test]
async fn a_suspended_installation_posts_nothing_until_it_may_again() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    told(&service, "installation", "1", &installation(12, ACME, "created", &[])).await;
    let job = job_of(&service, "2", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
    github.known().suspended.insert(12);
    let suspended = installation(12, ACME, "suspend", &[]);
    assert_eq!(
        told(&service, "installation", "3", &suspended).await.1,
        "accepted: suspended: 1 repository posts no status any more"
    );
    assert_eq!(repos(&service).await[0]["posts"], false);
    assert!(status_grant(&service, &job).await.is_err());
    github.known().suspended.clear();
    let again = installation(12, ACME, "unsuspend", &[]);
    assert_eq!(told(&service, "installation", "4", &again).await.1, "accepted: registered 1 repository");
    assert_eq!(repos(&service).await[0]["posts"], true);
    assert!(status_grant(&service, &job).await.unwrap().checks);
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_registration_and_its_name_can_be_anothers() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    told(&service, "installation", "1", &installation(12, ACME, "created", &[])).await;
    let before = job_of(&service, "2", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
    github.install(12, &[(99, "acme/tau"), (100, "acme/pi")]);
    let after = job_of(&service, "3", &push(&github, 12, (99, "acme/tau"), "a", "b")).await;
    assert_eq!(
        (after.spec.repo, after.spec.url.to_string()),
        (before.spec.repo, format!("{}/acme/tau.git", github.url))
    );
    let status = status_grant(&service, &job_again(&service, after.spec.id).await).await.unwrap();
    assert_eq!((status.owner.as_str(), status.name.as_str()), ("acme", "tau"));
    // A job that waited meanwhile is cloned by its old URL, which GitHub redirects.
    service.claim(before.spec.id).await;
    assert!(job_grant(&service, &before, None).await.clone.is_some());
    // The old name is another repository's now.
    let another = push(&github, 12, (100, "acme/pi"), "0", "c");
    assert_eq!(told(&service, "push", "4", &another).await.1, "ignored: the repository is not registered");
    let added = changed(12, ACME, &[(100, "acme/pi")], &[]);
    told(&service, "installation_repositories", "5", &added).await;
    let anothers = job_of(&service, "6", &another).await;
    assert_ne!(anothers.spec.repo, before.spec.repo);
    assert_eq!(names(&service, &github).await, ["acme/pi.git", "acme/tau.git"]);
    let of = async |job: &Job| {
        let path = format!("/api/v1/repos/{}", job.spec.repo.unwrap());
        let repo = service.get(&path, &service.admin().await).answers(StatusCode::OK).await;
        repo["function"].as_str().unwrap().to_owned()
    };
    // Callers of a function do not notice that its repository has another name.
    assert_eq!([of(&before).await, of(&anothers).await], ["pi", "pi-2"]);
}

async fn job_again(service: &Service, id: JobId) -> Job {
    service.ledger.job(id).await.unwrap().unwrap().value
}

#[tokio::test]
async fn twenty_events_at_once_register_each_repository_once() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    let many: Vec<(u64, String)> = (0..30).map(|id| (id + 1, format!("acme/r{id}"))).collect();
    let many: Vec<(u64, &str)> = many.iter().map(|(id, name)| (*id, name.as_str())).collect();
    github.install(12, &many);
    let created = installation(12, ACME, "created", &many);
    let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let sent = join_all(ids.iter().map(|id| told(&service, "installation", id, &created))).await;
    assert!(sent.iter().all(|(_, said)| said == "accepted: registered 30 repositories"));
    let repos = repos(&service).await;
    assert_eq!((repos.len(), repos.iter().all(|repo| repo["posts"] == true)), (30, true));
}

#[tokio::test]
async fn an_event_that_was_left_half_taken_is_finished_by_whoever_meets_it() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    let created = installation(12, ACME, "created", &[]);
    let secret: jobs::Secret = GITHUB_SECRET.parse().unwrap();
    let signature = hooks::verify::sign(&secret, created.as_bytes()).parse().unwrap();
    let verified = hooks::verify::verify(&secret, [&signature], created.as_bytes()).unwrap();
    let incoming = hooks::incoming::parse(hooks::Forge::Github, "installation", &verified).unwrap();
    let entry = Delivery {
        owner: None,
        hook: "github".to_owned(),
        delivery_id: "1".to_owned(),
        event: "installation".to_owned(),
        repo: None,
        jobs: Vec::new(),
        verdict: None,
        reason: None,
        incoming: Some((&incoming).into()),
        received_at: None,
        replay_of: None,
        plan: jobs::DeliveryPlan::default(),
        approval: jobs::DeliveryApproval::default(),
        other: Map::new(),
    };
    service.ledger.deliveries.create(&Delivery::key("github", "1"), &entry).await.unwrap();
    assert_eq!(told(&service, "installation", "1", &created).await.1, "accepted: registered 1 repository");
    assert_eq!(names(&service, &github).await, ["acme/pi.git"]);
}

#[tokio::test]
async fn while_github_is_out_of_reach_the_events_own_list_counts_and_strangers_wait() {
    let github = Github::start().await;
    let service = service(&github, &[("GITFAAS_GITHUB_ACCOUNTS", "friends")]).await;
    github.known().is_down = true;
    let friends = installation(12, (6, "friends"), "created", &[(99, "friends/pi")]);
    let (_, said) = told(&service, "installation", "1", &friends).await;
    assert!(said.starts_with("accepted: registered 1 repository; GitHub does not list them"), "{said}");
    let acme = installation(13, ACME, "created", &[(100, "acme/pi")]);
    let (_, said) = told(&service, "installation", "2", &acme).await;
    assert!(said.starts_with("held: ") && said.contains("GitHub does not tell whose the App is"), "{said}");
    assert_eq!(names(&service, &github).await, ["friends/pi.git"]);
    let job = job_of(&service, "3", &push(&github, 12, (99, "friends/pi"), "0", "a")).await;
    service.claim(job.spec.id).await;
    let request = json!({ "kind": "job", "job": job.spec.id, "attempt": 1, "secrets": [] });
    assert!(matches!(asked(&service, request).await, GrantReply::Unavailable { .. }));
}

#[tokio::test]
async fn only_the_apps_own_hook_tells_of_installations() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    let user = service.user("b@example.com").await;
    let repo = service.register(&user, json!({ "url": "https://git.example.com/b/x" })).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let created = installation(12, ACME, "created", &[(99, "acme/pi")]);
    let forged = service.deliver(id, secret, "installation", "1", &created).answers(StatusCode::OK).await;
    assert_eq!(forged["reason"], "installations are told to the App's own hook");
    let another = created.replace(&APP_ID.to_string(), "1");
    assert_eq!(
        told(&service, "installation", "2", &another).await.1,
        "ignored: an installation of another App"
    );
    assert_eq!(repos(&service).await.len(), 1);
}

#[tokio::test]
async fn a_repository_that_an_admin_registers_gets_the_tokens_of_its_installation() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    github.install(12, &[(99, "acme/pi")]);
    let admin = service.admin().await;
    let url = format!("{}/acme/pi", github.url);
    let repo = service.register(&admin, json!({ "url": url })).await;
    assert_eq!((&repo["posts"], &repo["installation"]), (&json!(true), &json!(12)));
    let job = job_of(&service, "1", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
    assert_eq!(json!(job.spec.repo), repo["id"]);
    assert!(status_grant(&service, &job).await.unwrap().checks);
    // The installation goes; what somebody registered stays.
    told(&service, "installation", "2", &installation(12, ACME, "created", &[])).await;
    assert_eq!(repos(&service).await.len(), 1);
    github.known().installations.clear();
    told(&service, "installation", "3", &installation(12, ACME, "deleted", &[])).await;
    let left = repos(&service).await;
    assert_eq!((left.len(), &left[0]["posts"]), (1, &json!(false)));
}

#[tokio::test]
async fn a_lost_delivery_is_asked_for_again_although_an_older_one_is_refused() {
    let github = Github::start().await;
    let lost = |guid, redelivery_status| FailedDelivery { guid, redelivery_status };
    github.known().failed_deliveries =
        vec![lost("too-late", StatusCode::UNPROCESSABLE_ENTITY), lost("the-push", StatusCode::ACCEPTED)];
    github.install(12, &[(99, "acme/pi")]);
    let service = service(&github, &[]).await;
    told(&service, "installation", "1", &installation(12, ACME, "created", &[])).await;
    tokio::time::timeout(PATIENCE, github.is_asked_to_redeliver(2)).await.unwrap();
    assert_eq!(github.known().redeliveries, [1, 2]);
    job_of(&service, "the-push", &push(&github, 12, (99, "acme/pi"), "0", "a")).await;
}
