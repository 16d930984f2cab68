//! A new master key, while everything goes on.

use std::path::PathBuf;

use gateway::{Rekeyed, make_key, rekey};
use jobs::audit::Action;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    URL, granted,
    support::{Answered as _, Service, push},
};

struct Files {
    _folder: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
}

impl Files {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.key"), folder.path().join("new.key"));
        assert!(make_key(&old).unwrap() && make_key(&new).unwrap() && !make_key(&new).unwrap());
        Self { _folder: folder, old, new }
    }

    fn variables<'a>(&'a self, files: &[(&'static str, &'a PathBuf)]) -> Vec<(&'static str, &'a str)> {
        files.iter().map(|(name, path)| (*name, path.to_str().unwrap())).collect()
    }
}

const KEY: &str = "GITFAAS_MASTER_KEY_FILE";
const NEXT: &str = "GITFAAS_NEXT_MASTER_KEY_FILE";

#[tokio::test]
async fn everything_sealed_is_sealed_anew_while_gateways_run() {
    let files = Files::make();
    let service = Service::with(&files.variables(&[(KEY, &files.old), (NEXT, &files.new)])).await;
    let token = service.user("a@example.com").await;
    let signing = ["0123456789abcdef", "fedcba9876543210"];
    let wish = json!({ "url": URL, "forge": "plain", "token": "t0ken", "signing_secrets": signing });
    let repo = service.register(&token, wish).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let set = async |service: &Service, name: &str| {
        let path = format!("/api/v1/repos/{id}/secrets/{name}");
        let put = service.request(Method::PUT, &path).bearer_auth(&token).body(format!("value of {name}"));
        put.answers(StatusCode::CREATED).await;
    };
    let works = async |service: &Service, delivery: &str, names: &[&str]| {
        let body = push(URL, "0", delivery);
        service.deliver(id, secret, "push", delivery, &body).answers(StatusCode::ACCEPTED).await;
        let job = service.submit(&token, id).await;
        let claim = service.claim(job).await;
        let grant = granted(service, job, names).await;
        service.finish(claim, b"").await;
        assert_eq!(grant.clone.unwrap().token, "t0ken");
        for (name, value) in &grant.secrets {
            assert_eq!(*value, format!("value of {name}"));
        }
        assert_eq!(grant.secrets.len(), names.len());
    };
    set(&service, "ONE").await;
    works(&service, "1", &["ONE"]).await;
    let before = service.submit(&token, id).await;
    let record = service.ledger.job(before).await.unwrap().unwrap();

    let done = rekey(&service.ledger, &files.old, &files.new).await.unwrap();
    assert_eq!(
        done,
        Rekeyed { changed: 3, unreadable: Vec::new() },
        "a registration, a secret, the key of records"
    );
    let registration = service.ledger.repos.get(id).await.unwrap().unwrap().value;
    let sealed =
        [&registration.calls.signing_secrets[0].sealed, &registration.calls.signing_secrets[1].sealed];
    let key = registration.sealed_secret.split('.').next().unwrap();
    assert!(sealed.iter().all(|sealed| sealed.starts_with(key)), "what callers sign with too");
    works(&service, "2", &["ONE"]).await;
    set(&service, "TWO").await;
    works(&service, "3", &["ONE", "TWO"]).await;
    // A second run proves that nothing needs the old key any more.
    let again = rekey(&service.ledger, &files.old, &files.new).await.unwrap();
    assert_eq!(again, Rekeyed::default());

    let fresh = service.beside(&files.variables(&[(KEY, &files.new)])).await;
    service.stopped().await;
    works(&fresh, "4", &["ONE", "TWO"]).await;
    let now = fresh.ledger.job(before).await.unwrap().unwrap();
    assert_eq!(now.revision, record.revision, "no record is written for a new master key");
    let claim = fresh.claim(before).await;
    let grant = granted(&fresh, before, &["ONE"]).await;
    assert_eq!(grant.secrets.len(), 1, "what was signed under the old one is believed");
    fresh.finish(claim, b"").await;
    let events = fresh.ledger.js.get_stream(jobs::streams::AUDIT_ADMIN).await.unwrap();
    let subject = jobs::streams::audit_admin(&Action::MasterKeyChanged.word());
    assert!(events.get_last_raw_message_by_subject(&subject).await.is_ok());
}

#[tokio::test]
async fn what_broke_off_is_ended_by_another_run() {
    let files = Files::make();
    let service = Service::with(&files.variables(&[(KEY, &files.old), (NEXT, &files.new)])).await;
    let token = service.user("a@example.com").await;
    service.register(&token, json!({ "url": URL })).await;
    rekey(&service.ledger, &files.old, &files.new).await.unwrap();
    // As if a gateway had been sealing with the old key at that very moment.
    let old = Service::with(&files.variables(&[(KEY, &files.old)])).await;
    let other = old.user("b@example.com").await;
    let late = old.register(&other, json!({ "url": URL })).await;
    let late = old.ledger.repos.get(late["id"].as_str().unwrap()).await.unwrap().unwrap().value;
    service.ledger.repos.create(&late.id.to_string(), &late).await.unwrap();
    let done = rekey(&service.ledger, &files.old, &files.new).await.unwrap();
    assert_eq!(done, Rekeyed { changed: 1, unreadable: Vec::new() });
    let stranger = Files::make();
    let lost = rekey(&service.ledger, &stranger.old, &files.new).await.unwrap();
    assert_eq!(lost, Rekeyed::default(), "the old key is not asked for what the new one sealed");
    let refused = rekey(&service.ledger, &stranger.old, &stranger.new).await.unwrap_err();
    assert!(refused.to_string().contains("is not the one of this installation"), "{refused}");
}

#[tokio::test]
async fn a_gateway_without_the_new_key_is_not_ready_any_more() {
    let files = Files::make();
    let service = Service::with(&files.variables(&[(KEY, &files.old)])).await;
    rekey(&service.ledger, &files.old, &files.new).await.unwrap();
    let ready = service.request(Method::GET, "/readyz").says(StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(ready, "the master key was changed; this gateway must be started with the new one\n");
}
