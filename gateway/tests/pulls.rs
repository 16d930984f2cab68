//! Pull requests, those from forks among them, and checks that are asked for again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use jobs::{
    Job, State, Trigger,
    grants::{GrantReply, GrantRequest},
    head_key,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Answered, GITHUB_SECRET, Service};
use test_case::test_case;

const URL: &str = "https://github.com/a/pi.git";
const HEAD: &str = "refs/pull/5/head";
/// Of the App that is configured here; its key was made for these tests alone.
const APP: u64 = 4711;

/// What a pull request's event says.
#[derive(Clone, Copy)]
struct Pull {
    action: &'static str,
    /// Digits of commits: the newest, and the one before.
    head: &'static str,
    before: Option<&'static str>,
    fork: bool,
}

const OPENED: Pull = Pull { action: "opened", head: "a", before: None, fork: false };
const FROM_FORK: Pull = Pull { fork: true, ..OPENED };

impl Pull {
    fn body(self) -> String {
        let side = |branch: &str, digit: &str, id: u64| json!({ "ref": branch, "sha": digit.repeat(40), "repo": { "id": id, "full_name": "x/pi" } });
        let (head, base) = (side("topic", self.head, if self.fork { 8 } else { 7 }), side("main", "9", 7));
        let mut body = json!({
            "action": self.action,
            "number": 5,
            "pull_request": { "head": head, "base": base, "draft": false },
            "repository": { "id": 7, "full_name": "a/pi", "clone_url": URL },
        });
        if let Some(before) = self.before {
            body["before"] = before.repeat(40).into();
        }
        body.to_string()
    }
}

/// A service with a registered repository.
struct Registered {
    service: Service,
    repo: String,
    secret: String,
    token: String,
}

impl Registered {
    async fn start(wishes: Value) -> Self {
        let service = Service::start().await;
        let token = service.user("a@example.com").await;
        let mut all = json!({ "url": URL, "events": ["pull_request"] });
        all.as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
        let repo = service.register(&token, all).await;
        let text = |field: &str| repo[field].as_str().unwrap().to_owned();
        let (repo, secret) = (text("id"), text("secret"));
        Self { service, repo, secret, token }
    }

    async fn tells(&self, id: &str, pull: Pull, status: StatusCode) -> Value {
        let sent = self.service.deliver(&self.repo, &self.secret, "pull_request", id, &pull.body());
        sent.answers(status).await
    }

    async fn approves(&self, delivery: &Value, digit: &str, status: StatusCode) -> Value {
        let path = format!("/api/v1/deliveries/{}/approve", delivery["delivery"].as_str().unwrap());
        self.service.post(&path, &self.token, &json!({ "sha": digit.repeat(40) })).answers(status).await
    }

    async fn job(&self, answer: &Value) -> Job {
        let id = answer["jobs"][0].as_str().unwrap().parse().unwrap();
        self.service.ledger.job(id).await.unwrap().unwrap().value
    }

    async fn head(&self) -> Option<jobs::RefHead> {
        let key = head_key(self.repo.parse().unwrap(), HEAD);
        self.service.ledger.heads.get(&key).await.unwrap().map(|head| head.value)
    }
}

fn conflict(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap()
}

#[tokio::test]
async fn a_pull_request_of_the_same_repository_is_a_job_of_its_newest_commit() {
    let at = Registered::start(json!({ "paths": ["src/**"] })).await;
    let answer = at.tells("1", OPENED, StatusCode::ACCEPTED).await;
    let job = at.job(&answer).await;
    assert_eq!(
        (job.spec.trigger, job.spec.reference.as_ref().map(jobs::Stored::as_str), job.spec.untrusted),
        (Trigger::PullRequest, Some(HEAD), false)
    );
    assert_eq!(
        (job.spec.sha.unwrap().as_str(), job.spec.before.unwrap().as_str()),
        (&*"a".repeat(40), &*"9".repeat(40))
    );
    assert_eq!(serde_json::to_value(&job.spec.paths).unwrap(), json!(["src/**"]));
    // The same commit is the same job, whatever brings it.
    let ready = Pull { action: "ready_for_review", ..OPENED };
    let again = at.tells("2", ready, StatusCode::ACCEPTED).await;
    assert_eq!((&again["verdict"], &again["jobs"]), (&json!("duplicate"), &answer["jobs"]));
    let newer = Pull { action: "synchronize", head: "b", before: Some("a"), ..OPENED };
    let newer = at.tells("3", newer, StatusCode::ACCEPTED).await;
    assert_eq!(json!(at.head().await.unwrap().job), newer["jobs"][0]);
    // A late delivery of the first commit does not move the head back.
    at.tells("4", Pull { action: "reopened", ..OPENED }, StatusCode::ACCEPTED).await;
    assert_eq!(json!(at.head().await.unwrap().job), newer["jobs"][0]);
    let closed = Pull { action: "closed", head: "b", ..OPENED };
    assert_eq!(at.tells("5", closed, StatusCode::OK).await["reason"], "the pull request was closed");
    assert!(at.head().await.is_none());
    let reopened = Pull { action: "reopened", head: "b", ..OPENED };
    assert_eq!(at.tells("6", reopened, StatusCode::ACCEPTED).await["verdict"], "accepted");
}

#[test_case(json!({ "events": ["push"] }), OPENED, "pull requests make no jobs here" ; "not among the events")]
#[test_case(json!({ "branches": ["release"] }), OPENED, "the branch is filtered" ; "into another branch")]
#[test_case(json!({ "forks": "never" }), FROM_FORK, "pull requests from forks make no jobs here" ; "never from forks")]
#[test_case(json!({}), Pull { action: "labeled", ..OPENED }, "nothing to do for pull_request labeled" ; "another action")]
#[tokio::test]
async fn others_make_no_job(wishes: Value, pull: Pull, why: &str) {
    let at = Registered::start(wishes).await;
    assert_eq!(at.tells("1", pull, StatusCode::OK).await["reason"], why);
    assert!(at.service.all_jobs().await.is_empty());
}

#[tokio::test]
async fn one_from_a_fork_is_held_until_its_commit_is_approved() {
    let at = Registered::start(json!({})).await;
    let held = at.tells("1", FROM_FORK, StatusCode::OK).await;
    assert_eq!((&held["verdict"], held.get("jobs")), (&json!("held"), None));
    assert!(at.service.all_jobs().await.is_empty());
    let list = at.service.get("/api/v1/deliveries", &at.token).answers(StatusCode::OK).await;
    assert_eq!((&list["items"][0]["ref"], &list["items"][0]["sha"]), (&json!(HEAD), &json!("a".repeat(40))));

    let wrong = at.approves(&held, "b", StatusCode::CONFLICT).await;
    assert!(conflict(&wrong).starts_with("this delivery is of commit aaaa"), "{wrong}");
    let path = format!("/api/v1/deliveries/{}/approve", held["delivery"].as_str().unwrap());
    let stranger = at.service.user("b@example.com").await;
    let one = path.trim_end_matches("/approve");
    let shown = at.service.get(one, &at.token).answers(StatusCode::OK).await;
    assert_eq!((&shown, &shown["pull"]), (&list["items"][0], &json!(5)));
    at.service.get(one, &stranger).answers(StatusCode::NOT_FOUND).await;
    at.service.get("/api/v1/deliveries/5", &at.token).answers(StatusCode::NOT_FOUND).await;
    let sha = json!({ "sha": "a".repeat(40) });
    at.service.post(&path, &stranger, &sha).answers(StatusCode::NOT_FOUND).await;
    at.service.post(&path, &at.token, &json!({})).answers(StatusCode::BAD_REQUEST).await;

    let approved = at.approves(&held, "a", StatusCode::ACCEPTED).await;
    assert_eq!(approved["verdict"], "accepted");
    let job = at.job(&approved).await;
    assert!(
        job.spec.untrusted && job.spec.trigger == Trigger::PullRequest && job.status.state == State::Pending
    );
    assert_eq!(at.approves(&held, "a", StatusCode::ACCEPTED).await["jobs"], approved["jobs"]);
    assert_eq!(at.service.all_jobs().await.len(), 1);
    // A commit that was approved needs no second approval, nor does a redelivery.
    let ready = Pull { action: "ready_for_review", ..FROM_FORK };
    for (id, pull) in [("1", FROM_FORK), ("2", ready)] {
        let again = at.tells(id, pull, StatusCode::ACCEPTED).await;
        assert_eq!(again["jobs"], approved["jobs"], "{again}");
    }
}

#[tokio::test]
async fn an_approval_that_was_left_half_done_is_finished_unless_a_newer_commit_came() {
    let at = Registered::start(json!({})).await;
    let held = at.tells("1", FROM_FORK, StatusCode::OK).await;
    let key = held["delivery"].as_str().unwrap();
    let job = jobs::JobId::new();
    // What a gateway leaves that dies after the first step of an approval.
    let died = async || {
        let approved = |now: &jobs::bucket::Entry<jobs::Delivery>| {
            let mut left = jobs::Delivery { verdict: None, jobs: vec![job], ..now.value.clone() };
            left.approval.commit = Some(jobs::StoredJson::from_json(json!({ "sha": "a".repeat(40) })));
            Some(left)
        };
        at.service.ledger.deliveries.change(key, approved).await.unwrap();
    };
    died().await;
    let again = at.tells("1", FROM_FORK, StatusCode::ACCEPTED).await;
    assert_eq!((&again["verdict"], &again["jobs"]), (&json!("accepted"), &json!([job])));
    let newer = Pull { action: "synchronize", head: "b", before: Some("a"), ..FROM_FORK };
    at.tells("2", newer, StatusCode::OK).await;
    // Its job exists, so it is that job still.
    died().await;
    assert_eq!(at.approves(&held, "a", StatusCode::CONFLICT).await["error"]["code"], "conflict");
    assert_eq!(at.tells("1", FROM_FORK, StatusCode::ACCEPTED).await["jobs"], json!([job]));
    assert_eq!(at.service.all_jobs().await.len(), 1);
}

#[tokio::test]
async fn a_newer_commit_voids_an_approval() {
    let at = Registered::start(json!({})).await;
    let first = at.tells("1", FROM_FORK, StatusCode::OK).await;
    let newer = Pull { action: "synchronize", head: "b", before: Some("a"), ..FROM_FORK };
    let second = at.tells("2", newer, StatusCode::OK).await;
    let late = at.approves(&first, "a", StatusCode::CONFLICT).await;
    assert!(conflict(&late).starts_with("a newer commit came before this one was approved: bbbb"), "{late}");
    // Delivered again, or replayed, the old one is no newer for it.
    at.tells("1", FROM_FORK, StatusCode::OK).await;
    let path = format!("/api/v1/deliveries/{}/replay", first["delivery"].as_str().unwrap());
    let replayed = at.service.post(&path, &at.token, &json!({})).answers(StatusCode::ACCEPTED).await;
    assert_eq!(replayed["verdict"], "held");
    at.approves(&json!({ "delivery": replayed["id"] }), "a", StatusCode::CONFLICT).await;
    assert!(at.service.all_jobs().await.is_empty());
    assert_eq!(at.approves(&second, "b", StatusCode::ACCEPTED).await["verdict"], "accepted");
    let third = Pull { action: "synchronize", head: "c", before: Some("b"), ..FROM_FORK };
    let third = at.tells("3", third, StatusCode::OK).await;
    at.tells("4", Pull { action: "closed", head: "c", ..FROM_FORK }, StatusCode::OK).await;
    let closed = at.approves(&third, "c", StatusCode::CONFLICT).await;
    assert_eq!(conflict(&closed), "the pull request was closed");
}

#[tokio::test]
async fn a_forks_job_gets_no_secrets_nor_does_its_rerun() {
    let at = Registered::start(json!({ "forks": "run", "token": "t0ken", "forge": "gitea" })).await;
    let forks = at.tells("1", FROM_FORK, StatusCode::ACCEPTED).await;
    let own = at.tells("2", Pull { head: "b", ..OPENED }, StatusCode::ACCEPTED).await;
    let path = format!("/api/v1/jobs/{}/rerun", forks["jobs"][0].as_str().unwrap());
    let rerun = at.service.post(&path, &at.token, &json!({})).answers(StatusCode::ACCEPTED).await;
    let call = json!({ "repo": at.repo, "ref": HEAD });
    let call = at.service.post("/api/v1/jobs", &at.token, &call).answers(StatusCode::ACCEPTED).await;
    for (id, untrusted) in
        [(&forks["jobs"][0], true), (&own["jobs"][0], false), (&rerun["id"], true), (&call["id"], true)]
    {
        let id = id.as_str().unwrap().parse().unwrap();
        let claim = at.service.claim(id).await;
        assert_eq!(claim.entry.value.spec.untrusted, untrusted);
        let secrets = vec!["KEY".to_owned()];
        let request = GrantRequest::Job { job: id, attempt: 1, secrets };
        let request = serde_json::to_vec(&request).unwrap();
        let reply = at.service.ledger.client.request("grants.w1", request.into()).await.unwrap();
        let GrantReply::Job(grant) = serde_json::from_slice(&reply.payload).unwrap() else {
            panic!("not granted")
        };
        assert_eq!((grant.secrets.len(), grant.missing_secrets.len()), (0, 1));
        assert!(grant.clone.is_some(), "it is fetched from the base repository");
    }
}

/// A service that acts as a GitHub App, with a finished push of a registration that posts.
async fn checked(key: &std::path::Path) -> (Service, String, String) {
    let id = APP.to_string();
    let service = Service::with(&[
        ("GITFAAS_GITHUB_TOKEN", "ghp_operator"),
        ("GITFAAS_GITHUB_APP_ID", &id),
        ("GITFAAS_GITHUB_APP_KEY_FILE", key.to_str().unwrap()),
        // Nobody is asked in earnest.
        ("GITFAAS_GITHUB_API_URL", "http://127.0.0.1:9/"),
    ])
    .await;
    let admin = service.admin().await;
    let url = "http://127.0.0.1:9/a/pi.git";
    let repo = service.register(&admin, json!({ "url": url })).await;
    service.confirmed(&repo, 7).await;
    let body = support::push(url, "0", "a");
    let taken =
        service.deliver("github", GITHUB_SECRET, "push", "1", &body).answers(StatusCode::ACCEPTED).await;
    let job = taken["jobs"][0].as_str().unwrap().to_owned();
    service.run(job.parse().unwrap(), "log", b"3.14").await;
    (service, job, url.to_owned())
}

fn rerequested(url: &str, kind: &str, app: u64, external_id: Option<&str>) -> String {
    let check = json!({
        "id": 1, "head_sha": "a".repeat(40), "name": "gitfaas/push", "external_id": external_id, "app": { "id": app },
    });
    let repository = json!({ "id": 7, "full_name": "a/pi", "clone_url": url });
    json!({ "action": "rerequested", kind: check, "repository": repository }).to_string()
}

#[tokio::test]
async fn a_check_that_is_asked_for_again_runs_the_newest_job_of_its_commit_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let key = app_key(folder.path());
    let (service, first, url) = checked(&key).await;
    let ask = async |id: &str, kind: &str, app: u64, external_id: Option<&str>, status: StatusCode| {
        let body = rerequested(&url, kind, app, external_id);
        service.deliver("github", GITHUB_SECRET, kind, id, &body).answers(status).await
    };
    let others = ask("2", "check_run", 1, Some(&first), StatusCode::OK).await;
    assert_eq!(others["reason"], "the check is not ours");
    let foreign = "0197a000-0000-7000-8000-000000000001";
    let unknown = ask("3", "check_run", APP, Some(foreign), StatusCode::OK).await;
    assert_eq!(unknown["reason"], "there is no job of this commit");
    let again = ask("4", "check_run", APP, Some(&first), StatusCode::ACCEPTED).await;
    let second = again["jobs"][0].as_str().unwrap().to_owned();
    let job = async |id: &str| service.ledger.job(id.parse().unwrap()).await.unwrap().unwrap().value;
    let rerun = job(&second).await;
    assert_eq!(
        (rerun.spec.trigger, rerun.spec.rerun_of.unwrap().to_string()),
        (Trigger::Rerun, first.clone())
    );
    assert_eq!(rerun.spec.context.as_deref(), Some("gitfaas/push"));
    assert_eq!(ask("4", "check_run", APP, Some(&first), StatusCode::ACCEPTED).await["jobs"], again["jobs"]);
    // The check that was clicked may show an older job.
    let third = ask("5", "check_suite", APP, None, StatusCode::ACCEPTED).await;
    assert_eq!(job(third["jobs"][0].as_str().unwrap()).await.spec.rerun_of.unwrap().to_string(), second);
    assert_eq!(service.all_jobs().await.len(), 3);
    service.request(Method::GET, "/healthz").says(StatusCode::OK).await;
}

#[tokio::test]
async fn a_check_repeats_no_job_that_a_worker_put_in_the_place_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = app_key(folder.path());
    let (service, first, url) = checked(&key).await;
    let victim = service.user("victim@example.com").await;
    let others = service.submit(&victim, "http://127.0.0.1:9/victim/private.git").await;
    let first: Job = service.ledger.job(first.parse().unwrap()).await.unwrap().unwrap().value;
    let at =
        jobs::streams::commit_key(first.spec.repo.unwrap(), first.spec.sha.as_ref().unwrap(), "gitfaas/push");
    let put = |entry: &jobs::bucket::Entry<jobs::CommitStatus>| {
        let mut json = serde_json::to_value(&entry.value).unwrap();
        json["job"] = serde_json::to_value(others).unwrap();
        Some(serde_json::from_value(json).unwrap())
    };
    service.ledger.commits.change(&at, put).await.unwrap().unwrap();
    let body = rerequested(&url, "check_suite", APP, None);
    let asked = service.deliver("github", GITHUB_SECRET, "check_suite", "6", &body);
    assert_eq!(asked.answers(StatusCode::OK).await["reason"], "there is no job of this commit");
    assert_eq!(service.all_jobs().await.len(), 2, "nothing was repeated");
}

/// An RSA key in PEM form.
fn app_key(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("app.pem");
    let made = std::process::Command::new("openssl")
        .args(["genrsa", "-traditional", "-out"])
        .arg(&path)
        .arg("2048")
        .stderr(std::process::Stdio::null())
        .status();
    assert!(made.unwrap().success());
    path
}
