//! Parts of the forge that fail beside its statuses: a registration stands, and a job ends well.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tests::{
    Api, Function, Repository, Service,
    fake_forge::{Outage, Part},
    installation::{installed, tell},
};

/// Four outages in a row, one of which is silent for 10 s, each with a wait after it.
const BOUND: Duration = Duration::from_secs(150);

fn bad_gateway() -> Outage {
    Outage::Answer(502, Vec::new())
}

/// What registering a repository with a webhook answers.
async fn registered(service: &Service, repository: &Repository) -> Value {
    let wish = json!({ "url": repository.url, "webhook": true });
    Api::json(service.post("/api/v1/repos", &wish).await, StatusCode::CREATED).await
}

#[tokio::test]
async fn a_token_that_is_refused_four_times_costs_no_job_and_no_check_run() {
    let (service, repositories) = installed(&["minted"]).await;
    let outages =
        [bad_gateway(), Outage::Hang, Outage::Reset, Outage::Answer(403, vec![("retry-after", "2")])];
    let count = outages.len();
    service.forge.outages_at(Part::Mint, outages);
    let commit = repositories[0].push(Function::python("print('ok')")).await;
    let job = tell(&service, &repositories[0], &commit).await;
    let run = service.forge.completed_within(BOUND, &commit).await;
    assert_eq!((run.conclusion.as_deref(), &run.external_id), (Some("success"), &job), "{run:#?}");
    assert_eq!(service.forge.check_runs(&commit).len(), 1);
    assert_eq!(service.forge.outages_met_at(Part::Mint), count);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_made_is_told_and_the_registration_stands() {
    let service = Service::start().await;
    for (name, outage) in [("answers", bad_gateway()), ("hangs", Outage::Hang)] {
        let repository = service.forge.repository(name).await;
        service.forge.outages_at(Part::Hooks, [outage]);
        let made = registered(&service, &repository).await;
        let why = made["webhook"]["error"].as_str().unwrap_or_default();
        eprintln!("{name}: {why}");
        assert!(!why.is_empty(), "{made}");
        let path = format!("/api/v1/repos/{}", made["id"].as_str().expect("it has an id"));
        assert_eq!(service.get(&path).await.status(), StatusCode::OK);
    }
    assert_eq!(service.forge.outages_met_at(Part::Hooks), 2);
}

#[tokio::test]
async fn a_repository_that_the_forge_does_not_tell_about_is_registered_and_posts_once_it_does() {
    let service = Service::start().await;
    service.forge.outages_at(Part::LookUp, [Outage::Answer(500, Vec::new())]);
    let repository = service.registered("unknown").await;
    assert_eq!(service.forge.outages_met_at(Part::LookUp), 1);
    let commit = repository.push(Function::python("print('ok')")).await;
    assert_eq!(service.forge.final_status(&commit).await.state, "success");
}
