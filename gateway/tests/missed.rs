//! Pushes whose delivery never came: each is made up for once, and nothing else is run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use futures_util::StreamExt as _;
use jobs::{Job, Trigger, head_key};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service, git_server::GitServer, push};

/// A service, a forge whose repository has `main` at `a`, and its registration: id, secret, token.
struct Registered {
    service: Service,
    forge: GitServer,
    repo: String,
    secret: String,
    token: String,
}

impl Registered {
    /// With a gateway that may reach the forge, so that the registration notes what is there.
    async fn noted(wishes: Value) -> Self {
        let registered = Self::start(&[("GITFAAS_CLONE_ALLOW", "127.0.0.1")], wishes).await;
        registered.has_noted("refs/heads/main").await;
        registered
    }

    async fn start(variables: &[(&str, &str)], mut wishes: Value) -> Self {
        let service = Service::with(variables).await;
        let forge = GitServer::start().await;
        forge.set_ref("refs/heads/main", "a");
        forge.set_ref("refs/tags/old", "a");
        wishes["url"] = forge.url("a/pi.git").into();
        let token = service.user("a@example.com").await;
        let repo = service.register(&token, wishes).await;
        let text = |field: &str| repo[field].as_str().unwrap().to_owned();
        let (repo, secret) = (text("id"), text("secret"));
        Self { service, forge, repo, secret, token }
    }

    /// Returns once `heads` knows the ref.
    async fn has_noted(&self, reference: &str) {
        let key = head_key(self.repo.parse().unwrap(), reference);
        let mut news = self.service.ledger.heads.watch(0).await.unwrap();
        let noted = async { while news.next().await.unwrap().unwrap().key != key {} };
        tokio::time::timeout(PATIENCE, noted).await.unwrap();
    }

    async fn head(&self, reference: &str) -> Option<String> {
        let key = head_key(self.repo.parse().unwrap(), reference);
        let head = self.service.ledger.heads.get(&key).await.unwrap();
        head.map(|head| head.value.after.as_str()[..1].to_owned())
    }

    async fn deliver(&self, id: &str, before: &str, after: &str) -> Value {
        let body = push(&self.forge.url("a/pi.git"), before, after);
        let sent = self.service.deliver(&self.repo, &self.secret, "push", id, &body);
        sent.answers(StatusCode::ACCEPTED).await
    }

    /// Ref and commit of every job, in the order they were made.
    async fn jobs(&self) -> Vec<(String, String)> {
        let mut jobs: Vec<Job> = self.service.all_jobs().await;
        jobs.sort_by_key(|job| job.spec.id);
        let about = |job: &Job| {
            (
                job.spec.reference.as_ref().unwrap().to_string(),
                job.spec.sha.as_ref().unwrap().as_str()[..1].to_owned(),
            )
        };
        jobs.iter().map(about).collect()
    }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[tokio::test]
async fn a_push_whose_delivery_was_lost_is_made_up_for_once_and_a_late_delivery_is_a_duplicate() {
    let at = Registered::noted(json!({ "name": "pi" })).await;
    let ref_poller = at.service.ref_poller().await;
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
    assert!(at.jobs().await.is_empty(), "what was there before is nobody's missed push");
    at.forge.set_ref("refs/heads/main", "b");
    assert_eq!(ref_poller.poll().await, (1, 0, 1));
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
    let [job] = &at.service.all_jobs().await[..] else { panic!("one job") };
    assert_eq!(
        (job.spec.trigger, job.spec.before.as_ref(), job.spec.name.as_deref()),
        (Trigger::Push, None, Some("pi"))
    );
    assert_eq!(at.jobs().await, pairs(&[("refs/heads/main", "b")]));
    let list = at.service.get("/api/v1/deliveries", &at.token).answers(StatusCode::OK).await;
    let kept = &list["items"][0];
    assert_eq!(
        (&kept["made_up"], &kept["verdict"], &kept["ref"]),
        (&json!(true), &json!("accepted"), &json!("refs/heads/main"))
    );
    let late = at.deliver("late", "a", "b").await;
    assert_eq!((&late["verdict"], &late["jobs"]), (&json!("duplicate"), &json!([job.spec.id])));
    assert_eq!(at.head("refs/heads/main").await.as_deref(), Some("b"));
    // What is delivered is not made up for.
    at.forge.set_ref("refs/heads/main", "c");
    assert_eq!(at.deliver("in time", "b", "c").await["verdict"], "accepted");
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
}

#[tokio::test]
async fn of_an_annotated_tag_the_commit_is_run_and_the_tag_object_remembered() {
    let at = Registered::noted(json!({})).await;
    let ref_poller = at.service.ref_poller().await;
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
    at.forge.set_ref("refs/tags/v1", "c");
    at.forge.set_ref("refs/tags/v1^{}", "d");
    assert_eq!(ref_poller.poll().await, (1, 0, 1));
    assert_eq!(at.jobs().await, pairs(&[("refs/tags/v1", "d")]));
    assert_eq!(at.head("refs/tags/v1").await.as_deref(), Some("c"));
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
}

#[tokio::test]
async fn two_gateways_that_look_at_once_make_one_job() {
    let at = Registered::noted(json!({})).await;
    let (one, other) = (at.service.ref_poller().await, at.service.ref_poller().await);
    at.forge.set_ref("refs/heads/main", "b");
    at.forge.set_ref("refs/heads/dev", "c");
    tokio::join!(one.poll(), other.poll());
    let mut jobs = at.jobs().await;
    jobs.sort();
    assert_eq!(jobs, pairs(&[("refs/heads/dev", "c"), ("refs/heads/main", "b")]));
}

#[tokio::test]
async fn branches_and_tags_are_made_up_for_as_the_registration_says() {
    let at = Registered::noted(json!({ "branches": ["main", "dev"] })).await;
    let ref_poller = at.service.ref_poller().await;
    at.forge.set_ref("refs/heads/dev", "b");
    at.forge.set_ref("refs/heads/other", "b");
    at.forge.set_ref("refs/tags/old", "b");
    at.forge.set_ref("refs/tags/new", "b");
    assert_eq!(ref_poller.poll().await, (1, 0, 2));
    let mut jobs = at.jobs().await;
    jobs.sort();
    assert_eq!(jobs, pairs(&[("refs/heads/dev", "b"), ("refs/tags/new", "b")]));
    // What is not run is known all the same.
    assert_eq!(at.head("refs/heads/other").await.as_deref(), Some("b"));
    assert_eq!(at.head("refs/tags/old").await.as_deref(), Some("b"));
    assert_eq!(at.service.ledger.deliveries.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_branch_that_is_gone_is_forgotten_and_one_forced_back_is_no_older_push() {
    let at = Registered::noted(json!({})).await;
    let ref_poller = at.service.ref_poller().await;
    at.forge.set_ref("refs/heads/dev", "b");
    assert_eq!(ref_poller.poll().await, (1, 0, 1));
    at.forge.remove_ref("refs/heads/dev");
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
    assert_eq!(at.head("refs/heads/dev").await, None);
    at.forge.set_ref("refs/heads/dev", "b");
    assert_eq!(ref_poller.poll().await, (1, 0, 1));
    // Delivered: a → b. Lost: back to a, which the head began with.
    at.deliver("1", "a", "b").await;
    assert_eq!(at.head("refs/heads/main").await.as_deref(), Some("b"));
    assert_eq!(ref_poller.poll().await, (1, 0, 1), "main is still at a");
    assert_eq!(at.head("refs/heads/main").await.as_deref(), Some("a"));
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
}

#[tokio::test]
async fn what_could_not_be_noted_at_the_registration_is_noted_by_the_first_look_without_running_it() {
    // This gateway may not reach the forge.
    let at = Registered::start(&[], json!({})).await;
    at.forge.set_ref("refs/heads/dev", "a");
    at.deliver("1", "0", "a").await;
    let ref_poller = at.service.ref_poller().await;
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
    assert_eq!(at.jobs().await, pairs(&[("refs/heads/main", "a")]));
    at.forge.set_ref("refs/heads/dev", "b");
    assert_eq!(ref_poller.poll().await, (1, 0, 1));
    assert_eq!(at.jobs().await[1..], pairs(&[("refs/heads/dev", "b")]));
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_harms_nothing() {
    let at = Registered::noted(json!({})).await;
    let second = at.service.register(&at.token, json!({ "url": "https://127.0.0.1:9/a/gone" })).await;
    let ref_poller = at.service.ref_poller().await;
    at.forge.set_ref("refs/heads/main", "b");
    assert_eq!(ref_poller.poll().await, (1, 1, 1));
    at.forge.fail();
    at.forge.set_ref("refs/heads/main", "c");
    assert_eq!(ref_poller.poll().await, (0, 2, 0));
    assert_eq!(at.head("refs/heads/main").await.as_deref(), Some("b"));
    at.forge.recover();
    assert_eq!(ref_poller.poll().await, (1, 1, 1));
    let path = format!("/api/v1/repos/{}", second["id"].as_str().unwrap());
    at.service.get(&path, &at.token).answers(StatusCode::OK).await;
}

#[tokio::test]
async fn so_many_new_branches_are_an_import_and_not_run() {
    let at = Registered::noted(json!({})).await;
    let ref_poller = at.service.ref_poller().await;
    for n in 0..51 {
        at.forge.set_ref(&format!("refs/heads/b{n}"), "b");
    }
    assert_eq!(ref_poller.poll().await, (1, 0, 0));
    assert!(at.jobs().await.is_empty());
    at.forge.set_ref("refs/heads/b0", "c");
    assert_eq!(ref_poller.poll().await, (1, 0, 1));
}

#[tokio::test]
async fn a_server_that_lists_thousands_of_refs_fills_its_share_alone_and_leaves_nothing_behind() {
    let at = Registered::start(&[], json!({ "events": ["push"] })).await;
    for number in 0..2500 {
        at.forge.set_ref(&format!("refs/heads/b{number:04}"), "a");
    }
    let ref_poller = at.service.ref_poller().await;
    ref_poller.poll().await;
    let known = async || {
        let heads = &at.service.ledger.heads;
        heads.subjects_under(&format!("{}.", at.repo)).await.unwrap().len()
    };
    assert_eq!(known().await, 2000);
    // What is not known is left alone, also when it moves; what is known is made up for.
    at.forge.set_ref("refs/heads/b2499", "b");
    at.forge.set_ref("refs/heads/b0001", "b");
    ref_poller.poll().await;
    assert_eq!(at.jobs().await, pairs(&[("refs/heads/b0001", "b")]));
    // A delivery of an unknown one runs all the same.
    let mut body: Value = serde_json::from_str(&push(&at.forge.url("a/pi.git"), "a", "c")).unwrap();
    body["ref"] = "refs/heads/b2498".into();
    let sent = at.service.deliver(&at.repo, &at.secret, "push", "1", &body.to_string());
    assert_eq!(sent.answers(StatusCode::ACCEPTED).await["verdict"], "accepted");
    assert_eq!(known().await, 2000);
    let path = format!("/api/v1/repos/{}", at.repo);
    let removed =
        at.service.request(reqwest::Method::DELETE, &path).bearer_auth(&at.token).send().await.unwrap();
    assert!(removed.status().is_success());
    let gone = async {
        while known().await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let filled = async {
        while !at.service.ledger.heads.subjects_under("filled.").await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, filled).await.unwrap();
}
