//! Names of functions: how a registration gets one, and who may have one that somebody had.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use jobs::{
    FunctionName, Repo, RepoId, UserId,
    bucket::{Entry, from_watch},
    function::{FormerName, NameEntry, NameTarget, REMOVED_FOR, RENAMED_FOR},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service};
use test_case::test_case;

fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

fn id_of(repo: &Value) -> RepoId {
    repo["id"].as_str().unwrap().parse().unwrap()
}

/// The entry of a name.
async fn entry(service: &Service, text: &str) -> Option<NameEntry> {
    service.ledger.names.get(&name(text)).await.unwrap().map(|entry| entry.value)
}

/// Makes an entry's last change as old as this.
async fn age(service: &Service, text: &str, by: SignedDuration) {
    let at = Timestamp::now() - by;
    let older = |entry: &Entry<NameEntry>| {
        let former = entry.value.former.clone().map(|former| match former {
            FormerName::Renamed { to, .. } => FormerName::Renamed { to, at },
            FormerName::Removed { .. } => FormerName::Removed { at },
        });
        Some(NameEntry { since: at, former, ..entry.value.clone() })
    };
    service.ledger.names.bucket.change(text, older).await.unwrap().unwrap();
}

/// Waits until a name's entry is as `wanted`; `None` when it is gone.
async fn until(service: &Service, text: &str, wanted: impl Fn(Option<&NameEntry>) -> bool) {
    let waiting = async {
        let mut changes = service.ledger.names.bucket.watch(0).await.unwrap();
        while !wanted(entry(service, text).await.as_ref()) {
            changes.next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the entry becomes so");
}

fn rename(service: &Service, token: &str, repo: &Value, to: &str) -> support::described::RequestBuilder {
    let path = format!("/api/v1/repos/{}", id_of(repo));
    service.request(Method::PATCH, &path).bearer_auth(token).json(&json!({ "function": to }))
}

async fn remove(service: &Service, token: &str, repo: &Value) {
    let path = format!("/api/v1/repos/{}", id_of(repo));
    service.request(Method::DELETE, &path).bearer_auth(token).says(StatusCode::NO_CONTENT).await;
}

#[tokio::test]
async fn a_registration_is_called_as_its_url_ends_and_a_taken_name_gets_a_number() {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let mut names = Vec::new();
    for (token, url) in [
        (&one, "https://git.example.com/a/pi.git"),
        (&other, "https://git.example.com/b/pi"),
        (&one, "https://git.example.com/a/Pi"),
        (&one, "https://git.example.com/group/sub/My_Function.js"),
        (&one, "https://git.example.com/a/api"),
    ] {
        let repo = service.register(token, json!({ "url": url, "forge": "plain" })).await;
        let found = entry(&service, repo["function"].as_str().unwrap()).await.unwrap();
        assert_eq!((found.repo, found.former), (id_of(&repo), None));
        names.push(repo["function"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["pi", "pi-2", "pi-3", "my-function-js", "api-2"]);
    let listed = service.get("/api/v1/repos", &one).answers(StatusCode::OK).await;
    assert_eq!(listed["items"][0]["function"], "api-2");
}

#[test_case("pi", StatusCode::CONFLICT, "function: the name pi is taken")]
#[test_case("www", StatusCode::BAD_REQUEST, "function: www is reserved")]
#[test_case("a--b", StatusCode::BAD_REQUEST, "function: `--` is reserved for functions in folders")]
#[test_case(
    "Pi",
    StatusCode::BAD_REQUEST,
    "function: must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit"
)]
#[tokio::test]
async fn a_name_that_cannot_be_had_is_refused_with_a_sentence(
    wish: &str,
    status: StatusCode,
    sentence: &str,
) {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = |path: &str| json!({ "url": format!("https://git.example.com/{path}"), "forge": "plain" });
    service.register(&one, url("a/pi")).await;
    let mut asked = url("b/tau");
    asked["function"] = wish.into();
    let refused = service.post("/api/v1/repos", &other, &asked).answers(status).await;
    assert_eq!(refused["error"]["message"], sentence);
    assert_eq!(entry(&service, "tau").await, None, "nothing is kept of it");
    let repo = service.register(&other, url("b/tau")).await;
    let refused = rename(&service, &other, &repo, wish).answers(status).await;
    assert_eq!(refused["error"]["message"], sentence);
    let unchanged =
        service.get(&format!("/api/v1/repos/{}", id_of(&repo)), &other).answers(StatusCode::OK).await;
    assert_eq!(unchanged["function"], "tau");
}

#[tokio::test]
async fn a_renamed_function_keeps_its_old_name_for_thirty_days() {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = |path: &str| json!({ "url": format!("https://git.example.com/{path}"), "forge": "plain" });
    let repo = service.register(&one, url("a/pi")).await;
    let renamed = rename(&service, &one, &repo, "tau").answers(StatusCode::OK).await;
    assert_eq!(renamed["function"], "tau");
    let old = entry(&service, "pi").await.unwrap();
    assert!(matches!(&old.former, Some(FormerName::Renamed { to, .. }) if to.as_str() == "tau"), "{old:?}");
    assert_eq!(entry(&service, "tau").await.unwrap().repo, id_of(&repo));

    let theirs = service.register(&other, url("b/pi")).await;
    assert_eq!(theirs["function"], "pi-2");
    rename(&service, &other, &theirs, "pi").says(StatusCode::CONFLICT).await;
    let own = service.register(&one, url("a/pi.js")).await;
    rename(&service, &one, &own, "pi").says(StatusCode::CONFLICT).await;

    // Back again, and away again.
    rename(&service, &one, &repo, "pi").says(StatusCode::OK).await;
    assert_eq!(entry(&service, "pi").await.unwrap().former, None);
    assert!(matches!(entry(&service, "tau").await.unwrap().former, Some(FormerName::Renamed { .. })));
    rename(&service, &one, &repo, "rho").says(StatusCode::OK).await;
    age(&service, "pi", RENAMED_FOR).await;
    rename(&service, &other, &theirs, "pi").says(StatusCode::OK).await;
    assert_eq!(entry(&service, "pi").await.unwrap().repo, id_of(&theirs));
}

#[tokio::test]
async fn the_name_of_a_removed_function_is_its_former_owners_alone_for_ninety_days() {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = |path: &str, name: &str| json!({ "url": format!("https://git.example.com/{path}"), "forge": "plain", "function": name });
    let repo = service.register(&one, url("a/pi", "pi")).await;
    remove(&service, &one, &repo).await;
    assert!(matches!(entry(&service, "pi").await.unwrap().former, Some(FormerName::Removed { .. })));
    service.post("/api/v1/repos", &other, &url("b/pi", "pi")).says(StatusCode::CONFLICT).await;
    let again = service.register(&one, url("a/pi", "pi")).await;
    assert_eq!(entry(&service, "pi").await.unwrap().repo, id_of(&again));
    remove(&service, &one, &again).await;
    age(&service, "pi", REMOVED_FOR - SignedDuration::from_mins(1)).await;
    service.post("/api/v1/repos", &other, &url("b/pi", "pi")).says(StatusCode::CONFLICT).await;
    age(&service, "pi", REMOVED_FOR).await;
    let theirs = service.register(&other, url("b/pi", "pi")).await;
    assert_eq!(entry(&service, "pi").await.unwrap().repo, id_of(&theirs));
}

#[tokio::test]
async fn a_registration_of_an_older_program_gets_a_name_once() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo =
        service.register(&token, json!({ "url": "https://git.example.com/a/pi", "forge": "plain" })).await;
    let (id, pi) = (id_of(&repo), name("pi"));
    service.ledger.names.give_back(&pi, id).await.unwrap();
    let older = |entry: &Entry<Repo>| Some(Repo { function: None, ..entry.value.clone() });
    let mut changes = service.ledger.repos.watch(0).await.unwrap();
    service.ledger.repos.change(&id.to_string(), older).await.unwrap().unwrap();
    let another = service.another().await;
    let mut names = Vec::new();
    let named = async {
        loop {
            let change = changes.next().await.unwrap().unwrap();
            if let Ok(Some(entry)) = from_watch::<Repo>(&change) {
                names.push(entry.value.function.map(|name| name.to_string()));
            }
            if let [.., None, Some(_)] = &names[..] {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, named).await.expect("it is named");
    assert_eq!(names.last().unwrap().as_deref(), Some("pi"));
    assert_eq!(entry(&service, "pi").await.unwrap().repo, id);
    assert_eq!(entry(&service, "pi-2").await, None, "two gateways give it one name");
    another.stopped().await;
}

#[tokio::test]
async fn what_a_crash_left_among_names_is_settled() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo =
        service.register(&token, json!({ "url": "https://git.example.com/a/pi", "forge": "plain" })).await;
    let owner = service.ledger.repos.get(&id_of(&repo).to_string()).await.unwrap().unwrap().value.owner;
    let long_ago = SignedDuration::from_mins(11);
    // A registration that was never written, and a rename that was not finished.
    assert!(service.ledger.names.claim(&name("lost"), RepoId::new(), UserId::new()).await.unwrap());
    assert!(service.ledger.names.claim(&name("tau"), id_of(&repo), owner).await.unwrap());
    for text in ["lost", "tau", "pi"] {
        age(&service, text, long_ago).await;
    }
    until(&service, "lost", |entry| entry.is_none()).await;
    until(&service, "tau", |entry| {
        let former = entry.and_then(|entry| entry.former.as_ref());
        matches!(former, Some(FormerName::Renamed { to, .. }) if to.as_str() == "pi")
    })
    .await;
    assert_eq!(entry(&service, "pi").await.unwrap().former, None, "a name in use stays");
}

#[tokio::test]
async fn a_registration_whose_name_was_lost_or_taken_has_one_again() {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = |path: &str| json!({ "url": format!("https://git.example.com/{path}"), "forge": "plain" });
    let (kept, lost) =
        (service.register(&one, url("a/pi")).await, service.register(&one, url("a/tau")).await);
    let theirs = service.register(&other, url("b/rho")).await;
    for (text, repo) in [("pi", &kept), ("tau", &lost)] {
        service.ledger.names.give_back(&name(text), id_of(repo)).await.unwrap();
    }
    rename(&service, &other, &theirs, "tau").says(StatusCode::OK).await;
    until(&service, "pi", |entry| entry.is_some_and(|entry| entry.repo == id_of(&kept))).await;
    until(&service, "tau-2", |entry| entry.is_some_and(|entry| entry.repo == id_of(&lost))).await;
    assert_eq!(entry(&service, "tau").await.unwrap().repo, id_of(&theirs));
    let path = format!("/api/v1/repos/{}", id_of(&lost));
    let named = service.get(&path, &one).answers(StatusCode::OK).await;
    assert_eq!(named["function"], "tau-2");
}

#[tokio::test]
async fn a_name_leads_to_its_repository_wherever_an_id_does() {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = json!({ "url": "https://git.example.com/a/pi", "forge": "plain" });
    let repo = service.register(&one, url).await;
    let shown = service.get("/api/v1/repos/pi", &one).answers(StatusCode::OK).await;
    assert_eq!(shown["id"], repo["id"]);
    let job =
        service.post("/api/v1/jobs", &one, &json!({ "repo": "pi" })).answers(StatusCode::ACCEPTED).await;
    assert_eq!(job["repo"], repo["id"]);
    let secret = service.request(Method::PUT, "/api/v1/repos/pi/secrets/KEY").bearer_auth(&one).body("x");
    secret.says(StatusCode::CREATED).await;
    let listed = service.get("/api/v1/jobs?repo=pi", &one).answers(StatusCode::OK).await;
    assert_eq!(listed["items"][0]["id"], job["id"]);

    // Somebody else's looks like none.
    let theirs = service.get("/api/v1/repos/pi", &other).answers(StatusCode::NOT_FOUND).await;
    let unknown = service.get("/api/v1/repos/tau", &other).answers(StatusCode::NOT_FOUND).await;
    assert_eq!(theirs, unknown);
    let hook = service.request(Method::POST, "/webhooks/pi").body("{}").says(StatusCode::NOT_FOUND).await;
    assert!(hook.contains("no such"), "{hook}");

    rename(&service, &one, &repo, "tau").says(StatusCode::OK).await;
    let lookup = async |text: &str| service.ledger.names.lookup(&name(text)).await.unwrap();
    let led = Some(NameTarget::Renamed { repo: id_of(&repo), to: name("tau") });
    assert_eq!((lookup("tau").await, lookup("pi").await), (Some(NameTarget::Live(id_of(&repo))), led));
    let now = service.ledger.repos.get(repo["id"].as_str().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(NameTarget::settled(&name("tau"), &now), lookup("tau").await);
    assert_eq!(NameTarget::settled(&name("pi"), &now), lookup("pi").await);
    service.get("/api/v1/repos/pi", &one).says(StatusCode::OK).await;
    age(&service, "pi", RENAMED_FOR).await;
    assert_eq!(lookup("pi").await, None);
    service.get("/api/v1/repos/pi", &one).says(StatusCode::NOT_FOUND).await;
    remove(&service, &one, &repo).await;
    assert_eq!(lookup("tau").await, None);
}

#[tokio::test]
async fn of_names_that_are_not_in_use_an_owner_keeps_the_hundred_that_were_left_last() {
    let service = Service::start().await;
    let owner = UserId::new();
    let left = |minutes: i64| NameEntry {
        former: Some(FormerName::Removed { at: Timestamp::now() - SignedDuration::from_mins(minutes) }),
        ..NameEntry::of(RepoId::new(), owner, Timestamp::now())
    };
    let bucket = &service.ledger.names.bucket;
    for minutes in 1..=101 {
        bucket.create(&format!("left-{minutes}"), &left(minutes)).await.unwrap();
    }
    bucket.create("of-another", &NameEntry { owner: UserId::new(), ..left(1000) }).await.unwrap();
    until(&service, "left-101", |entry| entry.is_none()).await;
    assert!(entry(&service, "left-100").await.is_some());
    assert!(entry(&service, "of-another").await.is_some());
}

#[tokio::test]
async fn functions_are_listed_to_those_who_may_call_them() {
    let service = Service::start().await;
    let (one, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = |path: &str| json!({ "url": format!("https://git.example.com/{path}"), "forge": "plain" });
    let tau = service.register(&one, url("a/tau")).await;
    let seen =
        json!({ "url": "https://git.example.com/a/pi", "forge": "plain", "viewers": ["b@example.com"] });
    let pi = service.register(&one, seen).await;
    service.register(&other, url("b/rho")).await;
    let listed = async |token: &str| {
        let list = service.get("/api/v1/functions", token).answers(StatusCode::OK).await;
        let row = |it: &Value| format!("{} {}", it["name"].as_str().unwrap(), it["role"].as_str().unwrap());
        list["items"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(listed(&one).await, ["pi owner", "tau owner"]);
    assert_eq!(listed(&other).await, ["pi viewer", "rho owner"]);
    assert_eq!(listed(&service.admin().await).await, ["pi admin", "rho admin", "tau admin"]);
    let list = service.get("/api/v1/functions", &one).answers(StatusCode::OK).await;
    let described = json!({ "name": "pi", "repo": pi["id"], "url": pi["url"], "role": "owner" });
    assert_eq!(list["items"][0], described);
    remove(&service, &one, &tau).await;
    assert_eq!(listed(&one).await, ["pi owner"]);
}
