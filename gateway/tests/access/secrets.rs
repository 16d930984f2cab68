//! A secret is set by an owner, told to jobs that it is meant for, and to nobody else.

use jobs::{Job, JobId, JobSpec, Trigger};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    URL, granted,
    support::{Answered as _, Service},
};

struct Owned<'a> {
    service: &'a Service,
    token: String,
    id: String,
}

impl<'a> Owned<'a> {
    async fn on(service: &'a Service) -> Self {
        let token = service.user("owner@example.com").await;
        let id = service.register(&token, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
        Self { service, token, id }
    }

    fn put(&self, name: &str, value: &str) -> crate::support::described::RequestBuilder {
        let path = format!("/api/v1/repos/{}/secrets/{name}", self.id);
        self.service.request(Method::PUT, &path).bearer_auth(&self.token).body(value.to_owned())
    }

    async fn list(&self) -> Value {
        let path = format!("/api/v1/repos/{}/secrets", self.id);
        self.service.get(&path, &self.token).answers(StatusCode::OK).await["items"].clone()
    }

    /// What a job of the repository made by this is given of `KEY`.
    async fn given(&self, trigger: Trigger, untrusted: bool) -> Option<String> {
        let owner = self.service.ledger.repos.get(&self.id).await.unwrap().unwrap().value.owner;
        let repo = Some(self.id.parse().unwrap());
        let new = JobSpec { trigger, untrusted, repo, ..JobSpec::call(owner, URL) };
        let job = self.service.ledger.submit(new).await.unwrap().value.spec.id;
        self.value(job).await
    }

    async fn value(&self, job: JobId) -> Option<String> {
        let claim = self.service.claim(job).await;
        let grant = granted(self.service, job, &["KEY"]).await;
        self.service.finish(claim, b"").await;
        assert_eq!(grant.secrets.is_empty(), grant.missing_secrets == ["KEY"]);
        grant.secrets.into_iter().next().map(|(_, value)| value)
    }
}

#[tokio::test]
async fn a_secret_is_set_listed_changed_and_removed_and_never_told() {
    let service = Service::start().await;
    let repo = Owned::on(&service).await;
    let made = repo.put("KEY", "one").answers(StatusCode::CREATED).await;
    assert_eq!((&made["name"], &made["events"]), (&json!("KEY"), &json!(["push", "tag", "call"])));
    assert!(made.get("value").is_none() && made["updated_at"].is_string());
    repo.put("ANOTHER?events=pull_request,push", "x").answers(StatusCode::CREATED).await;
    repo.put("ANOTHER", "y").answers(StatusCode::OK).await;
    let list = repo.list().await;
    assert_eq!(
        (&list[0]["name"], &list[0]["events"], &list[1]["name"]),
        (&json!("ANOTHER"), &json!(["pull_request", "push"]), &json!("KEY")),
        "a new value keeps the events"
    );
    let path = format!("/api/v1/repos/{}/secrets/ANOTHER", repo.id);
    let remove = || service.request(Method::DELETE, &path).bearer_auth(&repo.token);
    remove().says(StatusCode::NO_CONTENT).await;
    remove().answers(StatusCode::NOT_FOUND).await;
    assert_eq!(repo.list().await.as_array().unwrap().len(), 1);
    repo.put("ANOTHER", "again").answers(StatusCode::CREATED).await;
}

#[tokio::test]
async fn what_no_variable_can_be_is_refused() {
    let service = Service::start().await;
    let repo = Owned::on(&service).await;
    for name in ["2KEY", "A.B", "A%20B", "GITFAAS_KEY", "secret", "token", "%2A", "%3E"] {
        repo.put(name, "x").answers(StatusCode::BAD_REQUEST).await;
    }
    for value in ["", " \n", "a\0b"] {
        repo.put("KEY", value).answers(StatusCode::BAD_REQUEST).await;
    }
    repo.put("KEY?events=merge", "x").answers(StatusCode::BAD_REQUEST).await;
    repo.put("KEY", &"x".repeat(48 * 1024)).answers(StatusCode::CREATED).await;
    repo.put("KEY", &"x".repeat(48 * 1024 + 1)).answers(StatusCode::PAYLOAD_TOO_LARGE).await;
}

#[tokio::test]
async fn a_job_is_given_a_secret_for_its_event_alone() {
    let service = Service::start().await;
    let repo = Owned::on(&service).await;
    repo.put("KEY", "v").answers(StatusCode::CREATED).await;
    assert_eq!(repo.given(Trigger::Call, false).await.as_deref(), Some("v"));
    assert_eq!(repo.given(Trigger::Push, false).await.as_deref(), Some("v"));
    assert_eq!(repo.given(Trigger::Tag, false).await.as_deref(), Some("v"));
    assert_eq!(repo.given(Trigger::PullRequest, false).await, None);
    repo.put("KEY?events=pull_request", "v").answers(StatusCode::OK).await;
    assert_eq!(repo.given(Trigger::PullRequest, false).await.as_deref(), Some("v"));
    assert_eq!(repo.given(Trigger::PullRequest, true).await, None, "a fork gets none, whatever the events");
    assert_eq!(repo.given(Trigger::Call, false).await, None);
    assert_eq!(repo.given(Trigger::Rerun, false).await, None, "of what, nobody knows");
}

#[tokio::test]
async fn a_rerun_is_given_what_its_original_was() {
    let service = Service::start().await;
    let repo = Owned::on(&service).await;
    repo.put("KEY?events=call", "v").answers(StatusCode::CREATED).await;
    let first = service.submit(&repo.token, &repo.id).await;
    assert_eq!(repo.value(first).await.as_deref(), Some("v"));
    let again = async |job: JobId| {
        let again = service.post(&format!("/api/v1/jobs/{job}/rerun"), &repo.token, &json!({}));
        again.answers(StatusCode::ACCEPTED).await["id"].as_str().unwrap().parse::<JobId>().unwrap()
    };
    let second = again(first).await;
    assert_eq!(repo.value(second).await.as_deref(), Some("v"));
    let third = again(second).await;
    repo.put("KEY?events=push", "v").answers(StatusCode::OK).await;
    assert_eq!(repo.value(third).await, None);
}

#[tokio::test]
async fn a_viewer_calls_branches_with_secrets_and_commits_without() {
    let service = Service::start().await;
    let repo = Owned::on(&service).await;
    repo.put("KEY", "v").answers(StatusCode::CREATED).await;
    let viewer = service.user("viewer@example.com").await;
    let wish = json!({ "viewers": ["viewer@example.com"] });
    let path = format!("/api/v1/repos/{}", repo.id);
    service.request(Method::PATCH, &path).bearer_auth(&repo.token).json(&wish).answers(StatusCode::OK).await;
    let called = async |token: &str, reference: &str| {
        let wish = json!({ "repo": repo.id, "ref": reference });
        let job = service.post("/api/v1/jobs", token, &wish).answers(StatusCode::ACCEPTED).await;
        repo.value(job["id"].as_str().unwrap().parse().unwrap()).await
    };
    let commit = "1".repeat(40);
    assert_eq!(called(&viewer, "main").await.as_deref(), Some("v"));
    // It may be that of a fork, which a viewer can make.
    assert_eq!(called(&viewer, &commit).await, None);
    assert_eq!(called(&repo.token, &commit).await.as_deref(), Some("v"));
    assert_eq!(called(&repo.token, "refs/pull/7/head").await, None);
}

#[tokio::test]
async fn secrets_go_with_their_repository() {
    let service = Service::start().await;
    let repo = Owned::on(&service).await;
    repo.put("KEY", "v").answers(StatusCode::CREATED).await;
    let job = service.submit(&repo.token, &repo.id).await;
    let path = format!("/api/v1/repos/{}", repo.id);
    service.request(Method::DELETE, &path).bearer_auth(&repo.token).says(StatusCode::NO_CONTENT).await;
    let store = service.ledger.js.get_key_value(jobs::streams::SECRETS).await.unwrap();
    assert!(store.get(format!("{}.KEY", repo.id)).await.unwrap().is_none());
    let job: Option<Job> = service.ledger.job(job).await.unwrap().map(|entry| entry.value);
    assert_eq!(
        job.expect("the job stays").status.cause,
        Some(jobs::Cause::Cancelled),
        "nobody gets it any more"
    );
}
