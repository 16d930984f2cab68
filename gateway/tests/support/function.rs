//! A registered function of a plain git server, its pushes and their ends.

use std::time::Duration;

use jobs::{
    Claim, Job, JobId, JobResult, Outcome, RepoId,
    function::{live_key, version_key},
    manifest::Http,
    queue::FairScheduler,
    slot_limit::SlotLimit,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

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
        Self::with(&[]).await
    }

    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let service = Service::with(variables).await;
        let token = service.user("a@example.com").await;
        let repo =
            service.register(&token, json!({ "url": URL, "events": ["push", "tag", "pull_request"] })).await;
        let text = |field: &str| repo[field].as_str().unwrap().to_owned();
        Self { repo: text("id").parse().unwrap(), secret: text("secret"), token, service }
    }

    /// One with a green push, whose manifest says this of calls.
    pub(crate) async fn callable(variables: &[(&str, &str)], http: Value) -> Self {
        let function = Self::with(variables).await;
        let job = function.push("0", "a").await;
        let claim = function.service.claim(job).await;
        let http: Http = serde_json::from_value(http).unwrap();
        let notes = |mut job: Job| {
            job.status.http = Some((&http).into());
            job
        };
        function.service.ledger.finish(job, 1, &Outcome::Finished, &notes).await.unwrap().unwrap();
        claim.lease.give_up().await;
        function.known(&function.service, job).await;
        function
    }

    /// One that everybody may call.
    pub(crate) async fn public(variables: &[(&str, &str)], http: Value) -> Self {
        let variables = [&[("GITFAAS_PUBLIC_FUNCTIONS", "true")], variables].concat();
        let function = Self::callable(&variables, http).await;
        let repo = function.service.request(Method::PATCH, &format!("/api/v1/repos/{}", function.repo));
        repo.bearer_auth(&function.token).json(&json!({ "access": "public" })).answers(StatusCode::OK).await;
        function
    }

    /// The claim of the one call that waits.
    pub(crate) async fn claimed(&self) -> Claim {
        let ledger = &self.service.ledger;
        let claiming = async {
            loop {
                let (label, mut scheduler) = ("default".parse().unwrap(), FairScheduler::default());
                let picked = scheduler.pick(ledger, &label, 10, SlotLimit::Unlimited, |_| true);
                match picked.await.unwrap().next() {
                    Some(picked) => {
                        break ledger.claim(&picked, &"w1".parse().unwrap()).await.unwrap().unwrap();
                    }
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, claiming).await.expect("a call is made")
    }

    /// Runs the one call that waits to this end, and returns its job.
    pub(crate) async fn run(&self, output: &[u8], outcome: &Outcome) -> Job {
        let claim = self.claimed().await;
        let job = claim.entry.value.clone();
        let notes = |mut job: Job| {
            job.status.result = Some(JobResult::of(output, 0));
            job
        };
        self.service.ledger.finish(job.spec.id, 1, outcome, &notes).await.unwrap().unwrap();
        claim.lease.give_up().await;
        job
    }

    /// What the program of a call is told of its request.
    pub(crate) async fn told(&self, job: JobId) -> Vec<(String, String)> {
        let job = self.service.ledger.job(job).await.unwrap().unwrap().value;
        let (owner, input) = (job.spec.owner, job.spec.input.as_ref().unwrap());
        let input = self.service.ledger.inputs.fetch(owner, job.spec.id, input).await.unwrap();
        jobs::cgi::variables(input.head.request.as_ref().unwrap(), &[]).unwrap()
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
