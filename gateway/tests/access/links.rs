//! The key in a status's link opens what its registration says, and nothing once that is gone.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jobs::JobId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    URL,
    support::{Answered as _, Service},
};

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// The key of a job's link, made as the gateway makes it.
pub(crate) fn key(service: &Service, job: JobId) -> String {
    use base64::Engine as _;
    let links = mac(&service.master_key(), &[b"gitfaas ", b"links", &[1]]);
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&mac(&links, &[job.as_bytes()])[..16])
}

/// What each reader of a job answers to its link's key.
async fn statuses(service: &Service, job: JobId) -> Vec<StatusCode> {
    let key = key(service, job);
    let api = format!("/api/v1/jobs/{job}");
    let paths = [
        api.clone(),
        format!("{api}/log"),
        format!("{api}/result"),
        format!("{api}/events"),
        format!("/jobs/{job}"),
    ];
    let mut found = Vec::new();
    for path in paths {
        let asked = service.request(Method::GET, &format!("{path}?key={key}"));
        found.push(asked.send().await.unwrap().status());
    }
    found
}

async fn registered(service: &Service, token: &str, wishes: Value) -> (String, JobId) {
    let id = service.register(token, wishes).await["id"].as_str().unwrap().to_owned();
    let job = service.submit(token, &id).await;
    service.run(job, "a line", b"3.14").await;
    (id, job)
}

#[tokio::test]
async fn the_key_of_a_link_opens_nothing_once_its_registration_is_gone() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let (kept, by_login) = registered(&service, &owner, json!({ "url": URL, "links": "login" })).await;
    let other = "https://127.0.0.1/a/tau.git";
    let (open, by_key) = registered(&service, &owner, json!({ "url": other })).await;
    let bare = service.submit(&owner, "https://127.0.0.1/a/bare.git").await;
    service.run(bare, "a line", b"3.14").await;
    assert_eq!(statuses(&service, by_login).await, [StatusCode::NOT_FOUND; 5]);
    assert_eq!(statuses(&service, by_key).await, [StatusCode::OK; 5]);
    assert_eq!(statuses(&service, bare).await, [StatusCode::OK; 5]);

    for id in [kept, open] {
        let path = format!("/api/v1/repos/{id}");
        let removed = service.request(Method::DELETE, &path).bearer_auth(&owner).send().await.unwrap();
        assert!(removed.status().is_success(), "{}", removed.status());
        while service.ledger.repos.get(&id).await.unwrap().is_some() {}
    }
    assert_eq!(statuses(&service, by_login).await, [StatusCode::NOT_FOUND; 5]);
    assert_eq!(statuses(&service, by_key).await, [StatusCode::NOT_FOUND; 5]);
    assert_eq!(statuses(&service, bare).await, [StatusCode::OK; 5], "no registration ever said otherwise");
    for job in [by_login, by_key] {
        let result = format!("/api/v1/jobs/{job}/result");
        assert_eq!(service.get(&result, &owner).says(StatusCode::OK).await, "3.14", "its owner signs in");
    }
}
