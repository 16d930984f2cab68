//! An owner, another user, and an attacker with a worker's credential and nothing else.

use std::sync::Arc;

use futures_util::StreamExt as _;
use jobs::{
    Claim, Job, JobId, JobSpec, Ledger, Trigger, UserId,
    bucket::Entry,
    grants::{GrantReply, GrantRequest},
    queue::FairScheduler,
    slot_limit::SlotLimit,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    URL,
    signing::end,
    support::{Answered as _, Nats, PATIENCE, Service},
};

pub(super) const THIEF: &str = "worker-1";

/// An owner with a repository and a secret, another user, and an attacker with the credential of `worker-1`.
pub(super) struct Scene {
    pub(super) service: Service,
    pub(super) admin: String,
    pub(super) victim: String,
    pub(super) stranger: String,
    pub(super) stranger_id: UserId,
    pub(super) repo: String,
    pub(super) thief: Ledger,
}

impl Scene {
    pub(super) async fn start() -> Self {
        let nats = Arc::new(Nats::with_permissions());
        let data_dir = Arc::new(tempfile::tempdir().unwrap());
        let service = Service::on(Arc::clone(&nats), data_dir, &[]).await;
        let (admin, victim) = (service.admin().await, service.user("victim@example.com").await);
        let stranger = service.user("stranger@example.com").await;
        let accounts = &service.ledger.accounts;
        let stranger_id = accounts.find("operator", "stranger@example.com").await.unwrap().unwrap().value.id;
        let wishes = json!({ "url": URL, "forge": "plain", "token": "t0ken" });
        let repo = service.register(&victim, wishes).await["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/repos/{repo}/secrets/KEY");
        let put = service.request(Method::PUT, &path).bearer_auth(&victim).body("hunter2");
        put.answers(StatusCode::CREATED).await;
        let thief = Ledger::open(&nats.client_as(Some(THIEF)).await, PATIENCE).await.unwrap();
        Self { service, admin, victim, stranger, stranger_id, repo, thief }
    }

    /// A job of the victim's, as its gateway made it.
    pub(super) async fn job(&self, trigger: Trigger, untrusted: bool) -> JobId {
        let repo = self.service.ledger.repos.get(&self.repo).await.unwrap().unwrap().value;
        let sha = (trigger == Trigger::Push).then(|| "a".repeat(40).parse().unwrap());
        let context = sha.is_some().then(|| "gitfaas/push".to_owned());
        let new = JobSpec {
            trigger,
            untrusted,
            repo: Some(repo.id),
            sha,
            context,
            ..JobSpec::call(repo.owner, URL)
        };
        self.service.ledger.submit(new).await.unwrap().value.spec.id
    }

    /// Writes into a record whatever is liked, with no more than the worker's credential.
    pub(super) async fn write(&self, id: JobId, change: impl Fn(&mut Value)) {
        let changed = |entry: &Entry<Job>| {
            let mut record = serde_json::to_value(&entry.value).unwrap();
            change(&mut record);
            Some(serde_json::from_value(record).unwrap())
        };
        self.thief.jobs.change(&id.to_string(), changed).await.unwrap().unwrap();
    }

    pub(super) async fn claim(&self, id: JobId) -> Claim {
        let label = "default".parse().unwrap();
        let picked = FairScheduler::default()
            .pick(&self.thief, &label, 10, SlotLimit::Unlimited, |job| job == id)
            .await;
        let waiting = picked.unwrap().next().unwrap();
        self.thief.claim(&waiting, &THIEF.parse().unwrap()).await.unwrap().unwrap()
    }

    pub(super) async fn ask(&self, request: &GrantRequest) -> GrantReply {
        let bytes = serde_json::to_vec(request).unwrap();
        let answer = self.thief.client.request(format!("grants.{THIEF}"), bytes.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    pub(super) async fn ask_for_job(&self, job: JobId, attempt: u32) -> GrantReply {
        self.ask(&GrantRequest::Job { job, attempt, secrets: vec!["KEY".to_owned()] }).await
    }

    pub(super) async fn record(&self, id: JobId) -> Job {
        self.service.ledger.job(id).await.unwrap().unwrap().value
    }

    /// The record once it is over.
    pub(super) async fn end_of(&self, id: JobId) -> Job {
        end(&self.service.ledger, id).await
    }

    /// Nobody but an admin sees anything of the job, and nobody repeats it.
    pub(super) async fn is_nobodys(&self, id: JobId) {
        for token in [&self.victim, &self.stranger] {
            for tail in ["", "/log", "/result", "/events"] {
                let path = format!("/api/v1/jobs/{id}{tail}");
                self.service.get(&path, token).says(StatusCode::NOT_FOUND).await;
            }
            for tail in ["cancel", "rerun"] {
                let path = format!("/api/v1/jobs/{id}/{tail}");
                self.service.post(&path, token, &json!({})).says(StatusCode::NOT_FOUND).await;
            }
            let old = format!("/job/job-status/?jobID={id}");
            assert_ne!(self.service.get(&old, token).send().await.unwrap().status(), StatusCode::OK);
            for path in ["/api/v1/jobs", "/job/list-jobs", "/"] {
                let list = self.service.get(path, token).says(StatusCode::OK).await;
                assert!(!list.contains(&id.to_string()), "{path}: {list}");
            }
        }
        self.service.get(&format!("/api/v1/jobs/{id}"), &self.admin).says(StatusCode::OK).await;
        self.service
            .post(&format!("/api/v1/jobs/{id}/rerun"), &self.admin, &json!({}))
            .says(StatusCode::NOT_FOUND)
            .await;
        let list = self.service.get("/api/v1/jobs", &self.admin).says(StatusCode::OK).await;
        assert!(list.contains(&id.to_string()), "{list}");
    }

    /// Waits until everything must be signed.
    pub(super) async fn is_marked(&self) {
        let mut news = self.service.ledger.meta.watch(0).await.unwrap();
        let marking = async {
            while let Some(entry) = news.next().await {
                if entry.unwrap().key == "records_signed" {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, marking).await.expect("the mark is set");
    }
}

pub(super) fn refusal(reply: GrantReply) -> String {
    match reply {
        GrantReply::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}
