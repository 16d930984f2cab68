//! A credential that ends is seen by its owner, who can mend it.

use http::StatusCode;
use serde_json::json;
use tests::{Api, Delivery, Service, delivery::path, fake_forge::Rights, waiting::STATUS};

use crate::{hello, patched, registered, shown};

const OLD: &str = "ghp_old_0123456789";
const NEW: &str = "ghp_new_0123456789";

#[tokio::test]
async fn a_revoked_token_shows_to_its_owner_and_a_new_one_mends_all_of_it() {
    let service = Service::start().await;
    service.forge.grants(OLD, Rights::all());
    let api = service.user("owner@example.com");
    let repository = service.forge.repository("revoked").await;
    service.forge.makes_private(&repository);
    let repository = registered(&api, repository, json!({ "token": OLD, "webhook": false })).await;
    let id = repository.registration().id.clone();
    let good = repository.push(hello()).await;
    assert_eq!(service.forge.final_status(&good).await.state, "success");

    service.forge.revokes(OLD);
    let commit = repository.push(hello().file("n", "2")).await;
    let job = service.finished(&commit.job()).await;
    assert_eq!(
        (job.cause.as_deref(), job.fault.as_deref(), job.attempt),
        (Some("checkout"), Some("nobody"), 1)
    );
    let says = "the forge does not take the registration's token any more";
    assert!(job.message.as_deref().unwrap().starts_with(says), "{job:?}");
    let begun = std::time::Instant::now();
    let view = loop {
        let view = shown(&api, &id).await;
        if view["problems"][0]["about"] == "token" {
            break view;
        }
        assert!(begun.elapsed() < STATUS, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!((&view["posts"], &view["problems"][0]["message"]), (&json!(false), &json!(says)), "{view}");
    let listed = Api::json(api.get("/api/v1/repos").await, StatusCode::OK).await;
    assert_eq!(listed["items"][0]["problems"], view["problems"]);

    service.forge.grants(NEW, Rights::all());
    let view = patched(&api, &id, json!({ "token": NEW })).await;
    assert_eq!((&view["posts"], view.get("problems")), (&json!(true), None), "{view}");
    let status = service.forge.final_status(&commit).await;
    assert_eq!(status.state, "error", "the job's own end is told now: {status:?}");
    let next = repository.push(hello().file("n", "3")).await;
    assert_eq!(service.forge.final_status(&next).await.state, "success");
}

#[tokio::test]
async fn a_good_token_makes_the_webhook_that_could_not_be_made() {
    let service = Service::start().await;
    service.forge.grants(OLD, Rights { push: true, statuses: true, ..Rights::default() });
    let api = service.user("owner@example.com");
    let repository = service.forge.repository("hookless").await;
    let body = json!({ "url": repository.url, "token": OLD });
    let made = Api::json(api.post("/api/v1/repos", &body).await, StatusCode::CREATED).await;
    assert!(made["webhook"]["error"].is_string() && made["posts"] == true, "{made}");
    assert_eq!(made["problems"][0]["about"], "webhook", "{made}");
    service.forge.grants(NEW, Rights::all());
    let view = patched(&api, made["id"].as_str().unwrap(), json!({ "token": NEW })).await;
    assert_eq!((&view["webhook"], view.get("problems")), (&json!("created"), None), "{view}");
    assert_eq!(service.forge.hooks().len(), 1);
}

#[tokio::test]
async fn a_webhook_secret_that_was_changed_at_the_forge_shows_to_the_owner() {
    let service = Service::start().await;
    let api = service.user("owner@example.com");
    let repository = registered(&api, service.forge.repository("resigned").await, json!({})).await;
    let registration = repository.registration();
    let next = repository.commit("main", hello(), "a change").await;
    let payload = tests::delivery::payload(&repository, &crate::commit(&next));
    let hook = path(&registration.webhook_url);
    let forged = Delivery::of("push", &payload, "another secret");
    assert_eq!(forged.send(&service, &hook).await.0, StatusCode::UNAUTHORIZED);
    let view = shown(&api, &registration.id).await;
    assert_eq!(view["problems"][0]["about"], "signature", "{view}");
    assert!(view["problems"][0]["message"].as_str().unwrap().contains("wrong signature"), "{view}");
    let deliveries = Api::json(api.get("/api/v1/deliveries").await, StatusCode::OK).await;
    assert_eq!(deliveries["unsigned"][0]["reason"], "wrong signature", "{deliveries}");
    let stranger = service.user("stranger@example.com");
    let deliveries = Api::json(stranger.get("/api/v1/deliveries").await, StatusCode::OK).await;
    assert!(deliveries.get("unsigned").is_none(), "{deliveries}");

    let believed = Delivery::of("ping", &payload, &registration.secret);
    assert_eq!(believed.send(&service, &hook).await.0, StatusCode::OK);
    assert_eq!(shown(&api, &registration.id).await.get("problems"), None, "the forge signs well again");
}

#[tokio::test]
async fn repo_add_with_a_token_that_the_forge_refuses_registers_nothing_unless_it_is_told_to() {
    let service = Service::start().await;
    let repository = service.forge.repository("refused").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ghp_none_of_the_forges").unwrap();
    service.forge.revokes("ghp_none_of_the_forges");
    let token = file.path().to_str().unwrap();
    let add = ["repo", "add", &repository.url, "--token-file", token];
    let refused = service.gitfaas(&add).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("the forge does not take the token: 401") && said.contains("--force"), "{said}");
    let list = Api::json(service.get("/api/v1/repos").await, StatusCode::OK).await;
    assert_eq!(list["items"], json!([]));

    let forced = service.gitfaas(&[&add[..], &["--force"]].concat()).await;
    let said = String::from_utf8_lossy(&forced.stderr).into_owned();
    assert!(forced.status.success() && said.contains("statuses are not posted"), "{said}");
    let list = service.gitfaas(&["repo", "list"]).await;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("no: ") && list.contains("gitfaas repo set ID --token-stdin"), "{list}");
}
