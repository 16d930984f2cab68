//! Versions of functions: what a green push makes callable, and which is the newest.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use jobs::{
    Cause, Job, JobId, Outcome, RepoId,
    function::{live_key, version_key},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service, push};

const URL: &str = "https://git.example.com/a/pi.git";
const MAIN: &str = "refs/heads/main";

/// A service with a registered repository.
struct Scene {
    service: Service,
    repo: RepoId,
    secret: String,
    token: String,
}

impl Scene {
    async fn start() -> Self {
        let service = Service::start().await;
        let token = service.user("a@example.com").await;
        let repo =
            service.register(&token, json!({ "url": URL, "events": ["push", "tag", "pull_request"] })).await;
        let text = |field: &str| repo[field].as_str().unwrap().to_owned();
        Self { repo: text("id").parse().unwrap(), secret: text("secret"), token, service }
    }

    /// A delivery of a push to `main` between two commits of one digit each, and its job.
    async fn push(&self, before: &str, after: &str) -> JobId {
        self.deliver("push", &push(URL, before, after)).await
    }

    async fn deliver(&self, event: &str, body: &str) -> JobId {
        let repo = self.repo.to_string();
        let id = JobId::new().to_string();
        let answer = self.service.deliver(&repo, &self.secret, event, &id, body);
        answer.answers(StatusCode::ACCEPTED).await["jobs"][0].as_str().unwrap().parse().unwrap()
    }

    /// Runs the job to an end, and waits until the gateway knows it.
    async fn end(&self, job: JobId, outcome: &Outcome) {
        let claim = self.service.claim(job).await;
        let attempt = claim.entry.value.status.attempt;
        self.service.ledger.finish(job, attempt, outcome, &|job: Job| job).await.unwrap().unwrap();
        claim.lease.give_up().await;
        self.known(&self.service, job).await;
    }

    async fn green(&self, job: JobId) {
        self.end(job, &Outcome::Finished).await;
    }

    /// Returns once a gateway lists the job among those that ended.
    async fn known(&self, service: &Service, job: JobId) {
        let is_listed = async |state: &str| {
            let list = service.get(&format!("/api/v1/jobs?state={state}"), &self.token);
            let list = list.answers(StatusCode::OK).await;
            list["items"].as_array().unwrap().iter().any(|item| item["id"] == job.to_string())
        };
        let listed = async {
            while !is_listed("finish").await && !is_listed("error").await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listed).await.expect("the job ends");
    }

    /// The digit of the newest green commit of a ref.
    async fn live(&self, reference: &str) -> Option<String> {
        let entry = self.service.ledger.live.get(&live_key(self.repo, reference)).await.unwrap()?;
        Some(entry.value.sha.as_str()[..1].to_owned())
    }

    async fn is_built(&self, digit: &str) -> bool {
        let key = version_key(self.repo, &digit.repeat(40).parse().unwrap());
        self.service.ledger.versions.get(&key).await.unwrap().is_some()
    }
}

fn red() -> Outcome {
    Outcome::function(Cause::Exit, "exit code 1")
}

#[tokio::test]
async fn a_green_push_is_live_and_a_red_one_takes_nothing_down() {
    let scene = Scene::start().await;
    scene.end(scene.push("0", "a").await, &red()).await;
    assert_eq!((scene.live(MAIN).await, scene.is_built("a").await), (None, false));
    scene.green(scene.push("a", "b").await).await;
    assert_eq!((scene.live(MAIN).await.unwrap(), scene.is_built("b").await), ("b".to_owned(), true));
    scene.end(scene.push("b", "c").await, &red()).await;
    let skipped = Outcome::Skipped { why: "no matching path".to_owned() };
    scene.end(scene.push("c", "d").await, &skipped).await;
    assert_eq!(scene.live(MAIN).await.unwrap(), "b");
    assert!(!scene.is_built("c").await && !scene.is_built("d").await);
}

#[tokio::test]
async fn a_push_that_ends_after_a_later_one_moves_nothing_back() {
    let scene = Scene::start().await;
    let first = scene.push("0", "a").await;
    let second = scene.push("a", "b").await;
    scene.green(second).await;
    scene.green(first).await;
    assert_eq!(scene.live(MAIN).await.unwrap(), "b");
    assert!(scene.is_built("a").await, "it was built all the same");
}

#[tokio::test]
async fn a_push_whose_delivery_came_late_is_not_the_newest() {
    let scene = Scene::start().await;
    let second = scene.push("a", "b").await;
    let first = scene.push("0", "a").await;
    scene.green(first).await;
    assert_eq!(scene.live(MAIN).await, None, "the ref's head is a later push");
    scene.green(second).await;
    assert_eq!(scene.live(MAIN).await.unwrap(), "b");
}

#[tokio::test]
async fn a_force_push_back_is_a_push() {
    let scene = Scene::start().await;
    scene.green(scene.push("0", "a").await).await;
    scene.green(scene.push("a", "b").await).await;
    let back = scene.push("b", "a").await;
    assert_eq!(scene.live(MAIN).await.unwrap(), "b", "until the new one is green");
    scene.green(back).await;
    assert_eq!(scene.live(MAIN).await.unwrap(), "a");
}

#[tokio::test]
async fn a_deleted_ref_has_no_newest_and_a_removed_repository_no_versions() {
    let scene = Scene::start().await;
    scene.green(scene.push("0", "a").await).await;
    let late = scene.push("a", "b").await;
    let claim = scene.service.claim(late).await;
    let deletion = push(URL, "b", "0");
    let answer = scene.service.deliver(&scene.repo.to_string(), &scene.secret, "push", "gone", &deletion);
    answer.answers(StatusCode::OK).await;
    assert_eq!((scene.live(MAIN).await, scene.is_built("a").await), (None, true));
    let ended = scene.service.ledger.finish(late, 1, &Outcome::Finished, &|job: Job| job).await.unwrap();
    assert!(ended.is_none(), "its job was cancelled");
    claim.lease.give_up().await;
    scene.green(scene.push("0", "c").await).await;
    let path = format!("/api/v1/repos/{}", scene.repo);
    let removed = scene.service.request(reqwest::Method::DELETE, &path).bearer_auth(&scene.token);
    assert!(removed.send().await.unwrap().status().is_success());
    assert_eq!((scene.live(MAIN).await, scene.is_built("c").await), (None, false));
}

#[tokio::test]
async fn calls_and_pull_requests_make_no_versions() {
    let scene = Scene::start().await;
    let sha = "e".repeat(40);
    let wish = json!({ "repo": scene.repo.to_string(), "ref": sha });
    let call = scene.service.post("/api/v1/jobs", &scene.token, &wish).answers(StatusCode::ACCEPTED).await;
    scene.green(call["id"].as_str().unwrap().parse().unwrap()).await;
    let side = |digit: &str| json!({ "ref": "topic", "sha": digit.repeat(40), "repo": { "id": 7, "full_name": "a/pi" } });
    let pull: Value = json!({
        "action": "opened",
        "number": 5,
        "pull_request": { "head": side("f"), "base": side("9"), "draft": false },
        "repository": { "id": 7, "full_name": "a/pi", "clone_url": URL },
    });
    scene.green(scene.deliver("pull_request", &pull.to_string()).await).await;
    assert!(scene.service.ledger.versions.keys().await.unwrap().is_empty());
    assert!(scene.service.ledger.live.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_ended_while_no_gateway_was_there_is_published_by_the_next() {
    let scene = Scene::start().await;
    let job = scene.push("0", "a").await;
    let claim = scene.service.claim(job).await;
    let ledger = scene.service.ledger.clone();
    let Scene { service, repo, secret, token } = scene;
    let restarted = service.restarted_after(async {
        ledger.finish(job, 1, &Outcome::Finished, &|job: Job| job).await.unwrap().unwrap();
        claim.lease.give_up().await;
    });
    let scene = Scene { service: restarted.await, repo, secret, token };
    scene.known(&scene.service, job).await;
    assert_eq!(scene.live(MAIN).await.unwrap(), "a");
}

#[tokio::test]
async fn two_gateways_agree_on_the_newest() {
    let scene = Scene::start().await;
    let other = scene.service.another().await;
    let mut before = "0";
    for digit in ["a", "b", "c", "d"] {
        scene.green(scene.push(before, digit).await).await;
        before = digit;
    }
    for job in scene.service.all_jobs().await {
        scene.known(&other, job.spec.id).await;
    }
    assert_eq!(scene.live(MAIN).await.unwrap(), "d");
}
