//! A registered function of a plain git server, its pushes and their ends.

use std::time::Duration;

use jobs::{
    Job, JobId, Outcome, RepoId,
    function::{live_key, version_key},
};
use reqwest::StatusCode;
use serde_json::json;

use super::{Answered as _, PATIENCE, Service, push};

pub(crate) const URL: &str = "https://git.example.com/a/pi.git";
pub(crate) const MAIN: &str = "refs/heads/main";

/// A service with a registered repository, whose function is called `pi`.
pub(crate) struct Function {
    pub(crate) service: Service,
    pub(crate) repo: RepoId,
    pub(crate) secret: String,
    pub(crate) token: String,
}

impl Function {
    pub(crate) async fn start() -> Self {
        let service = Service::start().await;
        let token = service.user("a@example.com").await;
        let repo =
            service.register(&token, json!({ "url": URL, "events": ["push", "tag", "pull_request"] })).await;
        let text = |field: &str| repo[field].as_str().unwrap().to_owned();
        Self { repo: text("id").parse().unwrap(), secret: text("secret"), token, service }
    }

    /// A delivery of a push to `main` between two commits of one digit each, and its job.
    pub(crate) async fn push(&self, before: &str, after: &str) -> JobId {
        self.deliver("push", &push(URL, before, after)).await
    }

    pub(crate) async fn deliver(&self, event: &str, body: &str) -> JobId {
        let repo = self.repo.to_string();
        let id = JobId::new().to_string();
        let answer = self.service.deliver(&repo, &self.secret, event, &id, body);
        answer.answers(StatusCode::ACCEPTED).await["jobs"][0].as_str().unwrap().parse().unwrap()
    }

    /// Runs the job to an end, and waits until the gateway knows it.
    pub(crate) async fn end(&self, job: JobId, outcome: &Outcome) {
        let claim = self.service.claim(job).await;
        let attempt = claim.entry.value.status.attempt;
        self.service.ledger.finish(job, attempt, outcome, &|job: Job| job).await.unwrap().unwrap();
        claim.lease.give_up().await;
        self.known(&self.service, job).await;
    }

    pub(crate) async fn green(&self, job: JobId) {
        self.end(job, &Outcome::Finished).await;
    }

    /// Returns once a gateway lists the job among those that ended.
    pub(crate) async fn known(&self, service: &Service, job: JobId) {
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
    pub(crate) async fn live(&self, reference: &str) -> Option<String> {
        let entry = self.service.ledger.live.get(&live_key(self.repo, reference)).await.unwrap()?;
        Some(entry.value.sha.as_str()[..1].to_owned())
    }

    pub(crate) async fn is_built(&self, digit: &str) -> bool {
        let key = version_key(self.repo, &digit.repeat(40).parse().unwrap());
        self.service.ledger.versions.get(&key).await.unwrap().is_some()
    }
}
