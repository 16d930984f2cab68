//! A gateway dies between two steps of taking a push: whoever comes after it finishes it, as one job.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use hooks::Push;
use jobs::{
    Delivery, JobId, JobSpec, RefHead, RepoId, SeenPush, Trigger, Verdict,
    bucket::from_watch,
    head_key, push_key,
    streams::{JOBS, STATUSES, commit_key, status},
};
use reqwest::StatusCode;
use serde_json::{Map, json};
use support::{Answered, Service};
use test_case::test_case;

const MAIN: &str = "refs/heads/main";
const CONTEXT: &str = "gitfaas/push";
/// A reconciler rests 20 s at its start, waits 10 s for the delivery's own gateway, and looks every 2 s.
const MENDED_WITHIN: Duration = Duration::from_secs(60);
/// The steps before the verdict: entry, push, record, head, commit and status, message.
const STEPS: u64 = 6;

/// A repository whose statuses are posted, and a push to it.
struct Pushed {
    repo: RepoId,
    secret: String,
    url: String,
    body: String,
}

impl Pushed {
    /// To one of several repositories, told apart by `number`.
    async fn to(service: &Service, token: &str, number: u64) -> Self {
        let url = format!("https://github.com/a/pi{number}");
        let repo = service.register(token, json!({ "url": url })).await;
        service.confirmed(&repo, 70 + number).await;
        let body = support::push(&url, "a", "b").replace("\"id\":7", &format!("\"id\":{}", 70 + number));
        let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
        Self { repo: id.parse().unwrap(), secret: secret.to_owned(), url, body }
    }

    fn read(&self) -> Push {
        let secret = self.secret.parse().unwrap();
        let signature = hooks::verify::sign(&secret, self.body.as_bytes()).parse().unwrap();
        let verified = hooks::verify::verify(&secret, [&signature], self.body.as_bytes()).unwrap();
        match hooks::incoming::parse(hooks::Forge::Github, "push", &verified).unwrap() {
            hooks::Incoming::Push(push) => push,
            other => panic!("it is a push: {other:?}"),
        }
    }

    fn key(&self) -> String {
        Delivery::key(&self.repo.to_string(), "d")
    }

    /// What a gateway leaves behind that dies after so many steps of taking it; the first is done always.
    async fn died_after(&self, service: &Service, steps: u64) -> JobId {
        let (ledger, job, push) = (&service.ledger, JobId::new(), self.read());
        let (before, after) = (push.before.clone(), push.after.clone().unwrap());
        let delivery = Delivery {
            owner: None,
            hook: self.repo.to_string(),
            delivery_id: "d".to_owned(),
            event: "push".to_owned(),
            repo: Some(self.repo),
            jobs: vec![job],
            verdict: None,
            reason: None,
            incoming: Some((&hooks::Incoming::Push(push)).into()),
            received_at: None,
            replay_of: None,
            plan: jobs::DeliveryPlan::default(),
            approval: jobs::DeliveryApproval::default(),
            other: Map::new(),
        };
        ledger.deliveries.create(&self.key(), &delivery).await.unwrap();
        if steps < 2 {
            return job;
        }
        let seen = SeenPush { before: before.clone(), synthetic: false, job, other: Map::new() };
        ledger.pushes.create(&push_key(self.repo, MAIN, &after), &seen).await.unwrap();
        if steps < 3 {
            return job;
        }
        let new = JobSpec {
            id: job,
            trigger: Trigger::Push,
            repo: Some(self.repo),
            reference: Some(MAIN.into()),
            sha: Some(after.clone()),
            before: before.clone(),
            context: Some(CONTEXT.to_owned()),
            ..JobSpec::call(self.owner(service).await, self.url.clone())
        };
        let record = ledger.record(new).await.unwrap();
        if steps < 4 {
            return job;
        }
        let head = RefHead { before, after, job: Some(job), reference: Some(MAIN.into()), other: Map::new() };
        ledger.heads.create(&head_key(self.repo, MAIN), &head).await.unwrap();
        if steps < 5 {
            return job;
        }
        ledger.mark_status_dirty(&record).await.unwrap();
        if steps >= 6 {
            ledger.enqueue(&record.value).await.unwrap();
        }
        job
    }

    async fn owner(&self, service: &Service) -> jobs::UserId {
        service.ledger.repos.get(&self.repo.to_string()).await.unwrap().unwrap().value.owner
    }

    /// Every step left what it should, once.
    async fn is_one_job(&self, service: &Service, job: JobId) {
        let (ledger, after) = (&service.ledger, self.read().after.unwrap());
        let made = service.all_jobs().await.into_iter().filter(|made| made.spec.repo == Some(self.repo));
        assert_eq!(made.map(|made| made.spec.id).collect::<Vec<_>>(), [job]);
        let delivery = ledger.deliveries.get(&self.key()).await.unwrap().unwrap().value;
        assert_eq!((delivery.verdict, delivery.jobs), (Some(Verdict::Accepted), vec![job]));
        let seen = ledger.pushes.get(&push_key(self.repo, MAIN, &after)).await.unwrap();
        assert_eq!(seen.unwrap().value.job, job);
        let head = ledger.heads.get(&head_key(self.repo, MAIN)).await.unwrap().unwrap().value;
        assert_eq!((head.after.clone(), head.job), (after.clone(), Some(job)));
        let commit = ledger.commits.get(&commit_key(self.repo, &after, CONTEXT)).await.unwrap();
        assert_eq!(commit.unwrap().value.job(), job);
        let statuses = ledger.js.get_stream(STATUSES).await.unwrap();
        let told = statuses.get_last_raw_message_by_subject(&status(self.repo, &after, CONTEXT)).await;
        told.expect("a poster is told");
        assert_eq!(messages_of(service, job).await, 1);
        service.claim(job).await;
    }
}

/// How often the job is on the queue.
async fn messages_of(service: &Service, job: JobId) -> usize {
    let mut queue = service.ledger.js.get_stream(JOBS).await.unwrap();
    let state = queue.info().await.unwrap().state.clone();
    let mut found = 0;
    for sequence in state.first_sequence..=state.last_sequence {
        // One that was taken out is no message any more.
        let Ok(message) = queue.get_raw_message(sequence).await else { continue };
        found += usize::from(String::from_utf8_lossy(&message.payload).contains(&job.to_string()));
    }
    found
}

async fn posting_service() -> Service {
    Service::with(&[("GITFAAS_GITHUB_TOKEN", "ghp_operator")]).await
}

#[test_case(1 ; "after the delivery's entry")]
#[test_case(2 ; "after the push's entry")]
#[test_case(3 ; "after the record")]
#[test_case(4 ; "after the head")]
#[test_case(5 ; "after the commit and its status")]
#[test_case(6 ; "after the message, without a verdict")]
#[tokio::test]
async fn whoever_meets_a_delivery_that_was_left_half_taken_finishes_it(steps: u64) {
    let service = posting_service().await;
    let push = Pushed::to(&service, &service.admin().await, 0).await;
    let job = push.died_after(&service, steps).await;
    let deliver = || service.deliver(&push.repo.to_string(), &push.secret, "push", "d", &push.body);
    let answer = deliver().answers(StatusCode::ACCEPTED).await;
    assert_eq!((&answer["verdict"], &answer["jobs"]), (&json!("accepted"), &json!([job])));
    let again = deliver().answers(StatusCode::ACCEPTED).await;
    assert_eq!((&again["verdict"], &again["jobs"]), (&json!("accepted"), &json!([job])));
    push.is_one_job(&service, job).await;
}

#[tokio::test]
async fn what_no_forge_delivers_again_the_reconciler_finishes_after_any_step() {
    let service = posting_service().await;
    let token = service.admin().await;
    let mut verdicts = service.ledger.deliveries.watch(0).await.unwrap();
    let mut left = Vec::new();
    for steps in 1..=STEPS {
        let push = Pushed::to(&service, &token, steps).await;
        let job = push.died_after(&service, steps).await;
        left.push((push, job));
    }
    let mut open = left.len();
    let finished = async {
        while open > 0 {
            let entry = verdicts.next().await.unwrap().unwrap();
            let delivery = from_watch::<Delivery>(&entry).unwrap();
            open -= usize::from(delivery.is_some_and(|delivery| delivery.value.verdict.is_some()));
        }
    };
    tokio::time::timeout(MENDED_WITHIN, finished).await.expect("all are finished");
    for (push, job) in &left {
        push.is_one_job(&service, *job).await;
    }
}
