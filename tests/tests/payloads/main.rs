//! Every saved delivery of the forges, and what can become of one, sent to a running gateway: status,
//! verdict, reason and number of jobs of each. Nobody runs the jobs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod mutations;
mod table;

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};
use tests::{
    Api, Delivery, FakeForge, Service,
    delivery::{path, send_as, signature},
    repository::Registration,
};

use table::Table;

const GITHUB: &str = include_str!("../../testdata/github-webhooks.json");
const GITEA: &str = include_str!("../../testdata/gitea-webhooks.json");
/// The hook of all repositories.
const OF_ALL: &str = "/webhooks/github";
const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

fn saved(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The secret of the deliveries of the real Gitea.
fn giteas_secret() -> String {
    saved(GITEA)["secret"].as_str().unwrap().to_owned()
}

/// The number of the repository of the real Gitea.
fn gitea_number() -> u64 {
    let first = saved(GITEA)["deliveries"][0]["body"].as_str().unwrap().to_owned();
    saved(&first)["repository"]["id"].as_u64().unwrap()
}

/// The number of a repository in the saved deliveries, the first that is told.
fn number_in(text: &str, full_name: &str) -> Option<u64> {
    let all = saved(text);
    let events = all.as_object().unwrap().values().filter_map(Value::as_array).flatten();
    let named = events.filter(|event| event["repository"]["full_name"] == full_name);
    named.filter_map(|event| event["repository"]["id"].as_u64()).next()
}

/// An example of GitHub's, with this forge in GitHub's place.
fn here(payload: &Value, forge: &FakeForge) -> Value {
    let text = payload.to_string();
    let text = text.replace("https://github.com", &forge.url()).replace("http://github.com", &forge.url());
    serde_json::from_str(&text).unwrap()
}

async fn registered(api: &Api, url: &str, forge: &str) -> Registration {
    let events = ["push", "tag", "pull_request"];
    let answer = api.post("/api/v1/repos", &json!({ "url": url, "forge": forge, "events": events })).await;
    serde_json::from_value(Api::json(answer, StatusCode::CREATED).await).unwrap()
}

/// A service in which jobs only wait.
async fn service() -> Service {
    Service::start_with(&[
        ("GITFAAS_WORKER_LABELS", "nobody"),
        ("GITFAAS_GITHUB_WEBHOOK_SECRET", &giteas_secret()),
    ])
    .await
}

#[tokio::test]
async fn every_example_payload_of_github_has_its_verdict() {
    let service = service().await;
    for name in
        ["Codertocat/Hello-World", "Octocoders/Hello-World", "electron/electron", "github/hello-world"]
    {
        service.forge.shows(name);
        if let Some(number) = number_in(GITHUB, name) {
            service.forge.numbers(name, number);
        }
        registered(&service, &format!("{}/{name}.git", service.forge.url()), "github").await;
    }
    let mut table = Table::default();
    for (event, payloads) in saved(GITHUB).as_object().unwrap() {
        for payload in payloads.as_array().unwrap() {
            let delivery = Delivery::of(event, &here(payload, &service.forge), &giteas_secret());
            let what = match (payload["action"].as_str(), payload["ref"].as_str()) {
                (Some(action), _) => format!("{event} {action}"),
                (None, Some(reference)) => format!("{event} {reference}"),
                (None, None) => event.clone(),
            };
            table.note(&what, delivery.send(&service, OF_ALL).await);
        }
    }
    assert_eq!(table.rows.len(), 44);
    insta::assert_snapshot!(table.shown(), @"
    check_run requested_action | 200 ignored 0 nothing to do for check_run requested_action
    2 x check_run rerequested | 200 ignored 0 the check is not ours
    2 x check_suite rerequested | 200 ignored 0 the check is not ours
    5 x create simple-tag | 200 ignored 0 the push event tells of what was made
    4 x delete simple-tag | 200 ignored 0 the push event tells of what was removed
    github_app_authorization revoked | 200 ignored 0 nothing to do for github_app_authorization revoked
    installation deleted | 200 ignored 0 no GitHub App is configured
    2 x installation created | 200 ignored 0 no GitHub App is configured
    installation deleted | 200 ignored 0 no GitHub App is configured
    installation suspend | 200 ignored 0 no GitHub App is configured
    2 x installation_repositories added | 200 ignored 0 no GitHub App is configured
    installation_repositories removed | 200 ignored 0 no GitHub App is configured
    4 x ping | 200 ignored 0 ping
    pull_request opened | 202 accepted 1
    pull_request closed | 200 ignored 0 the pull request was closed
    pull_request labeled | 200 ignored 0 nothing to do for pull_request labeled
    pull_request ready_for_review | 202 accepted 1
    pull_request reopened | 202 duplicate 1 duplicate of <job>
    pull_request synchronize | 202 duplicate 1 duplicate of <job>
    push refs/tags/simple-tag | 202 accepted 1
    3 x push refs/tags/simple-tag | 200 ignored 0 the ref was removed
    push refs/heads/master | 202 accepted 1
    push refs/heads/master | 202 duplicate 1 duplicate of <job>
    push refs/tags/simple-tag | 200 ignored 0 the ref was removed
    repository renamed | 200 ignored 0 nothing to do for repository renamed
    3 x repository transferred | 200 ignored 0 nothing to do for repository transferred
    ");
    assert_eq!(service.nats().messages("KV_jobs").await, table.jobs.len() as u64);
    assert_eq!(service.nats().messages("JOBS").await, table.jobs.len() as u64);
}

#[tokio::test]
async fn what_the_examples_tell_of_installations_has_its_verdict() {
    let forge = FakeForge::start().await;
    forge.app_is(29310);
    // As the payloads number them.
    forge.numbers("Codertocat/Hello-World", 186_853_002);
    forge.numbers("Codertocat/Space", 186_853_007);
    forge.installs(957_387, &["Codertocat/Hello-World", "Codertocat/Space"]);
    let settings = [
        ("GITFAAS_WORKER_LABELS", "nobody"),
        ("GITFAAS_GITHUB_WEBHOOK_SECRET", &giteas_secret()),
        ("GITFAAS_GITHUB_ACCOUNTS", "Codertocat"),
    ];
    let service = Service::start_as_app(forge, &settings).await;
    let mut table = Table::default();
    let examples = saved(GITHUB);
    for event in ["installation", "installation_repositories", "push", "check_suite", "check_run"] {
        for payload in examples[event].as_array().unwrap() {
            let id = &payload["installation"]["id"];
            let what = format!("{event} {} of {id}", payload["action"].as_str().unwrap_or("-"));
            let delivery = Delivery::of(event, &here(payload, &service.forge), &giteas_secret());
            table.note(&what, delivery.send(&service, OF_ALL).await);
        }
    }
    insta::assert_snapshot!(table.shown(), @"
    installation deleted of 2 | 200 ignored 0 an installation of another App
    2 x installation created of 957387 | 202 accepted 0 registered 2 repositories
    installation deleted of 2 | 200 ignored 0 an installation of another App
    installation suspend of 16598467 | 202 accepted 0 suspended: 0 repositories post no status any more
    2 x installation_repositories added of 957387 | 202 accepted 0 registered 1 repository
    installation_repositories removed of 2 | 200 ignored 0 an installation of another App
    push - of null | 202 accepted 1
    2 x push - of null | 200 ignored 0 the ref was removed
    3 x push - of 1 | 200 ignored 0 the repository is not registered
    push - of null | 200 ignored 0 the ref was removed
    2 x check_suite rerequested of 957387 | 200 ignored 0 there is no job of this commit
    check_run requested_action of 690857 | 200 ignored 0 nothing to do for check_run requested_action
    2 x check_run rerequested of 1 | 200 ignored 0 the repository is not registered
    ");
    let repos = Api::json(service.get("/api/v1/repos").await, StatusCode::OK).await;
    let mut urls: Vec<&str> =
        repos["items"].as_array().unwrap().iter().map(|repo| repo["url"].as_str().unwrap()).collect();
    urls.sort_unstable();
    let names: Vec<&str> = urls.iter().map(|url| url.trim_start_matches(&service.forge.url())).collect();
    insta::assert_debug_snapshot!(names, @r#"
    [
        "/Codertocat/Hello-World.git",
        "/Codertocat/Space.git",
    ]
    "#);
}

#[tokio::test]
async fn every_delivery_of_a_real_gitea_has_its_verdict_signed_anew_and_as_it_came() {
    let service = service().await;
    let url = "http://127.0.0.1:3300/dev/hello.git";
    // A registration makes its own secret, so these bytes are signed again; the hook of all
    // repositories has the secret of the recording, so there even the signatures are the real ones.
    let own = registered(&service, url, "gitea").await;
    service.forge.shows("dev/hello");
    service.forge.numbers("dev/hello", gitea_number());
    registered(&service, url, "github").await;
    let mut tables = [Table::default(), Table::default()];
    for delivery in saved(GITEA)["deliveries"].as_array().unwrap() {
        let body = delivery["body"].as_str().unwrap();
        let real: HeaderMap = delivery["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap())
            })
            .collect();
        let mut anew = real.clone();
        let signed = signature(&own.secret, body.as_bytes());
        anew.insert(SIGNATURE, signed.parse().unwrap());
        for bare in ["x-gitea-signature", "x-gogs-signature"] {
            assert!(anew.insert(bare, signed.trim_start_matches("sha256=").parse().unwrap()).is_some());
        }
        let what = delivery["what"].as_str().unwrap();
        tables[0].note(what, send_as(&service, &path(&own.webhook_url), anew, body.to_owned()).await);
        tables[1].note(what, send_as(&service, OF_ALL, real, body.to_owned()).await);
    }
    let [own, of_all] = tables;
    assert_eq!((own.rows.len(), of_all.rows.len()), (19, 19));
    insta::assert_snapshot!(own.shown(), @"
    one commit | 202 accepted 1
    seven commits (the list is cut to five) | 202 accepted 1
    non-ASCII and [skip ci] | 200 ignored 0 the commit message says so
    forced | 202 accepted 1
    light tag | 202 accepted 1
    light tag, create | 200 ignored 0 the push event tells of what was made
    annotated tag (after is the tag object) | 202 accepted 1
    annotated tag, create | 200 ignored 0 the push event tells of what was made
    new branch, create | 200 ignored 0 the push event tells of what was made
    new branch, push | 202 accepted 1
    commit on a branch | 202 accepted 1
    pull request opened | 202 accepted 1
    push to its branch | 202 accepted 1
    pull request synchronized | 202 accepted 1
    light tag deleted, push | 200 ignored 0 the ref was removed
    light tag deleted, delete | 200 ignored 0 the ref was removed
    branch deleted (no push is sent) | 200 ignored 0 the ref was removed
    pull request closed by it | 200 ignored 0 the pull request was closed
    test delivery from the forge's page (before equals after) | 200 ignored 0 nothing changed: before equals after
    ");
    insta::assert_snapshot!(of_all.shown(), @"
    one commit | 202 accepted 1
    seven commits (the list is cut to five) | 202 accepted 1
    non-ASCII and [skip ci] | 202 accepted 1 the commit says so
    forced | 202 accepted 1
    light tag | 202 accepted 1
    light tag, create | 200 ignored 0 the push event tells of what was made
    annotated tag (after is the tag object) | 202 accepted 1
    annotated tag, create | 200 ignored 0 the push event tells of what was made
    new branch, create | 200 ignored 0 the push event tells of what was made
    new branch, push | 202 accepted 1
    commit on a branch | 202 accepted 1
    pull request opened | 202 accepted 1
    push to its branch | 202 accepted 1
    pull request synchronized | 202 accepted 1
    light tag deleted, push | 200 ignored 0 the ref was removed
    light tag deleted, delete | 200 ignored 0 the push event tells of what was removed
    branch deleted (no push is sent) | 200 ignored 0 the push event tells of what was removed
    pull request closed by it | 200 ignored 0 the pull request was closed
    test delivery from the forge's page (before equals after) | 200 ignored 0 nothing changed: before equals after
    ");
    let jobs = own.jobs.len() + of_all.jobs.len();
    assert_eq!(service.nats().messages("KV_jobs").await, jobs as u64);
}
