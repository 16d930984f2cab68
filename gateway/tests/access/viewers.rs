//! Viewers look, and change nothing.

use jobs::{
    Cause, JobId, WorkerName,
    grants::{GrantReply, GrantRequest},
    streams,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    URL,
    support::{Answered as _, Service},
};

async fn change(service: &Service, token: &str, id: &str, viewers: Value) -> Value {
    let path = format!("/api/v1/repos/{id}");
    let wish = json!({ "viewers": viewers });
    service.request(Method::PATCH, &path).bearer_auth(token).json(&wish).answers(StatusCode::OK).await
}

#[tokio::test]
async fn an_owner_names_viewers_and_they_see_jobs_and_nothing_of_the_settings() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let viewer = service.user("viewer@example.com").await;
    let id = service.register(&owner, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let job = service.submit(&owner, &id).await;
    service.run(job, "a line", b"3.14").await;
    let (repo, job) = (format!("/api/v1/repos/{id}"), format!("/api/v1/jobs/{job}"));
    service.get(&repo, &viewer).answers(StatusCode::NOT_FOUND).await;

    let who = service.get("/api/v1/whoami", &viewer).answers(StatusCode::OK).await["id"].clone();
    let changed = change(&service, &owner, &id, json!([who, who])).await;
    assert_eq!(changed["viewers"], json!([{ "id": who, "email": "viewer@example.com" }]));
    assert_eq!(service.get(&repo, &owner).answers(StatusCode::OK).await["viewers"], changed["viewers"]);

    let shown = service.get(&repo, &viewer).answers(StatusCode::OK).await;
    assert_eq!(shown, json!({ "id": id, "url": URL, "forge": "plain", "function": "pi", "role": "viewer" }));
    let list = service.get("/api/v1/repos", &viewer).answers(StatusCode::OK).await;
    assert_eq!(list["items"], json!([shown]));
    assert_eq!(service.get(&format!("{job}/log"), &viewer).says(StatusCode::OK).await, "a line");
    assert_eq!(service.get(&format!("{job}/result"), &viewer).says(StatusCode::OK).await, "3.14");
    let listed = service.get("/api/v1/jobs", &viewer).answers(StatusCode::OK).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let deliveries = service.get("/api/v1/deliveries", &viewer).answers(StatusCode::OK).await;
    assert_eq!(deliveries["items"], json!([]));

    change(&service, &owner, &id, json!([])).await;
    service.get(&job, &viewer).answers(StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn an_invitation_does_not_tell_which_addresses_are_users() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let known = service.user("known@example.com").await;
    let id = service.register(&owner, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let job = service.submit(&owner, &id).await;
    let path = format!("/api/v1/jobs/{job}");
    let shown = async |address: &str| {
        let path = format!("/api/v1/repos/{id}");
        let wish = json!({ "viewers": [address.to_uppercase(), address] });
        let request = service.request(Method::PATCH, &path).bearer_auth(&owner).json(&wish);
        let changed = request.says(StatusCode::OK).await;
        let read = service.get(&path, &owner).says(StatusCode::OK).await;
        let listed = service.get("/api/v1/repos", &owner).says(StatusCode::OK).await;
        [changed, read, listed].map(|answer| answer.replace(address, "ADDRESS"))
    };
    let of_nobody = shown("nobody@example.com").await;
    assert!(of_nobody[0].contains(r#""viewers":[{"email":"ADDRESS"}]"#), "{}", of_nobody[0]);
    service.get(&path, &known).says(StatusCode::NOT_FOUND).await;
    assert_eq!(shown("known@example.com").await, of_nobody);
    service.get(&path, &known).says(StatusCode::OK).await;
    // Made after the invitation, and one of an operator, who vouches for the address.
    shown("later@example.com").await;
    let later = service.user("later@example.com").await;
    service.get(&path, &later).says(StatusCode::OK).await;
    service.get(&path, &known).says(StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn who_is_neither_an_address_nor_a_user_is_no_viewer_and_there_is_a_most() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let id = service.register(&owner, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let machine = jobs::accounts::OwnerKind::Installation;
    let accounts = &service.ledger.accounts;
    let made = accounts.find_or_make("github-installation", "1", "an-org", machine).await.unwrap();
    let refused = async |viewers: Value| {
        let path = format!("/api/v1/repos/{id}");
        let wish = json!({ "viewers": viewers });
        let request = service.request(Method::PATCH, &path).bearer_auth(&owner).json(&wish);
        request.answers(StatusCode::BAD_REQUEST).await["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(json!(["an-org"])).await, "viewers: an-org is neither an address nor a user's id");
    let machine = made.value.id.to_string();
    assert_eq!(refused(json!([machine])).await, format!("viewers: there is no user {machine}"));
    let many: Vec<String> = (0..101).map(|n| format!("{n}@example.com")).collect();
    assert_eq!(refused(json!(many)).await, "viewers: more than 100");
    change(&service, &owner, &id, json!(many[..100])).await;
}

/// What a worker that runs the job is given for it.
async fn grant(service: &Service, job: JobId) -> GrantReply {
    let worker: WorkerName = "w1".parse().unwrap();
    let request = GrantRequest::Job { job, attempt: 1, secrets: vec!["KEY".to_owned()] };
    let bytes = serde_json::to_vec(&request).unwrap();
    let reply = service.ledger.client.request(streams::grants(&worker), bytes.into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

#[tokio::test]
async fn who_is_no_viewer_any_more_reads_his_old_jobs_and_gets_nothing_of_the_repository() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let viewer = service.user("viewer@example.com").await;
    let wishes = json!({ "url": URL, "forge": "plain", "token": "t0ken", "viewers": ["viewer@example.com"] });
    let id = service.register(&owner, wishes).await["id"].as_str().unwrap().to_owned();
    let put = service.request(Method::PUT, &format!("/api/v1/repos/{id}/secrets/KEY")).bearer_auth(&owner);
    put.body("hunter2").says(StatusCode::CREATED).await;
    let done = service.submit(&viewer, &id).await;
    let claim = service.claim(done).await;
    let GrantReply::Job(given) = grant(&service, done).await else { panic!("he views it") };
    assert_eq!((given.clone.unwrap().token.as_str(), given.secrets.len()), ("t0ken", 1));
    service.finish(claim, b"3.14").await;
    let rerun = |token: &str, job: JobId| {
        service.request(Method::POST, &format!("/api/v1/jobs/{job}/rerun")).bearer_auth(token)
    };
    let again = rerun(&viewer, done).answers(StatusCode::ACCEPTED).await;
    let again: JobId = again["id"].as_str().unwrap().parse().unwrap();

    change(&service, &owner, &id, json!([])).await;
    let said = rerun(&viewer, done).says(StatusCode::FORBIDDEN).await;
    assert!(said.contains("you may not call this job's repository any more"), "{said}");
    let result = format!("/api/v1/jobs/{done}/result");
    assert_eq!(service.get(&result, &viewer).says(StatusCode::OK).await, "3.14");

    // The owner's repetition of it would still be the viewer's job.
    let by_owner = rerun(&owner, done).answers(StatusCode::ACCEPTED).await;
    for job in [again, by_owner["id"].as_str().unwrap().parse().unwrap()] {
        let _claim = service.claim(job).await;
        assert!(matches!(grant(&service, job).await, GrantReply::Refused { .. }));
        let record = service.ledger.job(job).await.unwrap().unwrap().value;
        assert_eq!(record.status.cause, Some(Cause::Refused));
        assert!(record.status.message.unwrap().contains("does not own or view the repository any more"));
    }
    change(&service, &owner, &id, json!(["viewer@example.com"])).await;
    rerun(&viewer, done).answers(StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn a_page_repeats_no_job_of_a_repository_that_was_taken_away() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let viewer = service.user("viewer@example.com").await;
    let wishes = json!({ "url": URL, "viewers": ["viewer@example.com"] });
    let id = service.register(&owner, wishes).await["id"].as_str().unwrap().to_owned();
    let job = service.submit(&viewer, &id).await;
    change(&service, &owner, &id, json!([])).await;
    let cookie = format!("gitfaas_session={viewer}");
    let page = service.request(Method::GET, &format!("/jobs/{job}")).header("cookie", &cookie);
    let page = page.says(StatusCode::OK).await;
    let word = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let rerun = service.request(Method::POST, &format!("/jobs/{job}/rerun")).header("cookie", &cookie);
    rerun.form(&[("form", word)]).says(StatusCode::FORBIDDEN).await;
}
