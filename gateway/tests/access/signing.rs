//! From records that nobody signed to records that must be signed.

use std::sync::Arc;

use futures_util::StreamExt as _;
use jobs::{
    Cause, Job, JobId, JobSpec, JobStatus, Ledger, Outcome, SecretEvent, Trigger, UserId,
    bucket::{Entry, from_watch},
    grants::{GrantReply, GrantRequest},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    URL, granted,
    support::{Answered as _, Nats, PATIENCE, Service},
};

/// A service as an older version left it: with a repository, and nothing that was ever signed.
struct Older {
    service: Service,
    token: String,
    owner: UserId,
    repo: String,
    /// Makes records as the older version does.
    ledger: Ledger,
}

impl Older {
    async fn start() -> Self {
        let nats = Arc::new(Nats::start());
        let data_dir = Arc::new(tempfile::tempdir().unwrap());
        let service = Box::pin(Service::on(Arc::clone(&nats), data_dir, &[])).await;
        let token = service.user("owner@example.com").await;
        let repo = service.register(&token, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/repos/{repo}/secrets/KEY?events=call");
        let put = service.request(Method::PUT, &path).bearer_auth(&token).body("v");
        put.answers(StatusCode::CREATED).await;
        let owner = service.ledger.repos.get(&repo).await.unwrap().unwrap().value.owner;
        let ledger = Ledger::open(&nats.client().await, PATIENCE).await.unwrap();
        Self { service, token, owner, repo, ledger }
    }

    fn call(&self) -> JobSpec {
        JobSpec { repo: Some(self.repo.parse().unwrap()), ..JobSpec::call(self.owner, URL) }
    }

    async fn unsigned(&self, new: JobSpec) -> JobId {
        self.ledger.submit(new).await.unwrap().value.spec.id
    }

    /// The older version stops, and this one starts.
    async fn upgraded(self) -> Self {
        let Self { service, token, owner, repo, ledger } = self;
        for (bucket, key) in [("meta", "records_signed"), ("secrets", "records.key")] {
            let store = ledger.js.get_key_value(bucket).await.unwrap();
            store.delete(key).await.unwrap();
        }
        Self { service: service.restarted().await, token, owner, repo, ledger }
    }
}

async fn mark(service: &Service) {
    let mut news = service.ledger.meta.watch(0).await.unwrap();
    let marking = async {
        while let Some(entry) = news.next().await {
            let entry = entry.unwrap();
            if entry.key == "records_signed" && !entry.value.is_empty() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, marking).await.expect("the mark is set");
}

/// The record once it is over.
pub(crate) async fn end(ledger: &Ledger, id: JobId) -> Job {
    let mut news = ledger.jobs.watch(0).await.unwrap();
    let ending = async {
        while let Some(entry) = news.next().await {
            let entry: Option<Entry<Job>> = from_watch(&entry.unwrap()).unwrap();
            if let Some(entry) = entry.filter(|entry| entry.key == id.to_string())
                && entry.value.status.state.is_final()
            {
                return entry.value;
            }
        }
        panic!("the watch ended");
    };
    tokio::time::timeout(PATIENCE, ending).await.expect("the record ends")
}

#[tokio::test]
async fn what_was_open_is_signed_once_and_runs_and_what_was_over_is_readable() {
    let older = Older::start().await;
    let over = older.unsigned(older.call()).await;
    older.service.run(over, "a line\n", b"3").await;
    let pending = older.unsigned(older.call()).await;
    let rerun = JobSpec { trigger: Trigger::Rerun, rerun_of: Some(over), ..older.call() };
    let rerun = older.unsigned(rerun).await;
    let working = older.unsigned(older.call()).await;
    let claim = older.service.claim(working).await;
    // The older version's last holder of the lock died at this.
    let half = older.unsigned(older.call()).await;

    let older = older.upgraded().await;
    let signed = older.service.ledger.sign_open(half, Some(SecretEvent::Call)).await.unwrap().unwrap();
    mark(&older.service).await;
    for job in [pending, rerun, working, half] {
        let record = older.ledger.job(job).await.unwrap().unwrap().value;
        let signature = record.signature.unwrap();
        assert_eq!(signature.event, Some(SecretEvent::Call), "a rerun has its original's event");
    }
    let half = older.ledger.job(half).await.unwrap().unwrap();
    assert_eq!(half.value.signature, signed.value.signature);
    for job in [pending, rerun] {
        let claim = older.service.claim(job).await;
        assert_eq!(granted(&older.service, job, &["KEY"]).await.secrets.len(), 1);
        older.service.finish(claim, b"").await;
    }
    assert_eq!(granted(&older.service, working, &["KEY"]).await.secrets.len(), 1, "it goes on");
    older.service.finish(claim, b"").await;

    let path = format!("/api/v1/jobs/{over}");
    let shown = older.service.get(&path, &older.token).answers(StatusCode::OK).await;
    assert_eq!(shown["state"], "finish");
    let log = older.service.get(&format!("{path}/log"), &older.token).says(StatusCode::OK).await;
    assert_eq!(log, "a line\n");
    let list = older.service.get("/api/v1/jobs", &older.token).says(StatusCode::OK).await;
    assert!(list.contains(&over.to_string()));
    let again = older.service.post(&format!("{path}/rerun"), &older.token, &json!({}));
    let refused = again.answers(StatusCode::CONFLICT).await;
    let sentence = "the job was made before records were signed, so it cannot be repeated; make a new one";
    assert_eq!(refused["error"]["message"], sentence);
    let again = older.service.post(&format!("/api/v1/jobs/{pending}/rerun"), &older.token, &json!({}));
    again.answers(StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn what_an_older_gateway_makes_afterwards_gets_nothing_and_ends() {
    let older = Older::start().await.upgraded().await;
    mark(&older.service).await;
    let other = older.service.another().await;
    let late = older.unsigned(older.call()).await;
    let end = end(&older.ledger, late).await;
    assert_eq!(end.status.cause, Some(Cause::Refused));
    insta::assert_snapshot!(end.status.message.unwrap(), @"the job's record is not signed: a gateway of an older version made it after the others were upgraded, or no gateway did");
    for service in [&older.service, &other] {
        let path = format!("/api/v1/jobs/{late}");
        service.get(&path, &older.token).says(StatusCode::NOT_FOUND).await;
        let metrics = service.request(Method::GET, "/metrics").says(StatusCode::OK).await;
        assert!(metrics.contains("records_not_believed_total{reason=\"unsigned\"}"), "{metrics}");
    }
    // One that it made over before it began is not believed either.
    let ended = older.ledger.record_ended(older.call(), &Outcome::Finished).await.unwrap().value.spec.id;
    older.service.get(&format!("/api/v1/jobs/{ended}"), &older.token).says(StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn an_unsigned_record_that_a_worker_claims_gets_no_grant() {
    let older = Box::pin(Older::start()).await;
    let older = Box::pin(older.upgraded()).await;
    mark(&older.service).await;
    let late = Job::new(older.call());
    let worker = Some("w1".parse().unwrap());
    let status = JobStatus { state: jobs::State::Working, attempt: 1, worker, ..late.status.clone() };
    let claimed = Job { status, ..late.clone() };
    older.ledger.jobs.create(&late.spec.id.to_string(), &claimed).await.unwrap();
    let request = GrantRequest::Job { job: late.spec.id, attempt: 1, secrets: vec!["KEY".to_owned()] };
    let bytes = serde_json::to_vec(&request).unwrap();
    let answer = older.ledger.client.request("grants.w1", bytes.into()).await.unwrap();
    let reply: GrantReply = serde_json::from_slice(&answer.payload).unwrap();
    assert!(matches!(reply, GrantReply::Refused { .. }), "{reply:?}");
}

#[tokio::test]
async fn gateways_that_start_together_sign_with_one_key() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let (one, two) = tokio::join!(service.another(), service.another());
    for made in [&service, &one, &two] {
        let job = made.submit(&token, URL).await;
        for reader in [&service, &one, &two] {
            reader.get(&format!("/api/v1/jobs/{job}"), &token).says(StatusCode::OK).await;
        }
    }
    let keys = service.ledger.js.get_key_value(jobs::streams::SECRETS).await.unwrap();
    assert_eq!(keys.history("records.key").await.unwrap().count().await, 1);
}
