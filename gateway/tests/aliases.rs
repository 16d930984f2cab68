//! Aliases: made, moved, rolled back and removed, only to what is built.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use futures_util::future::join_all;
use jobs::{JobId, bucket::Bucket, streams};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{Answered, Service, described::RequestBuilder};
use test_case::test_case;

/// A service, the token of an owner, and the id of the owner's repository, whose function is `pi`.
async fn scene() -> (Service, String, String) {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let repo =
        service.register(&token, json!({ "url": "https://git.example.com/a/pi", "forge": "plain" })).await;
    (service, token, repo["id"].as_str().unwrap().to_owned())
}

fn sha(letter: char) -> String {
    letter.to_string().repeat(40)
}

/// What the end of a job writes that ran well: the commit is built, and the newest green one of these refs.
async fn built(service: &Service, repo: &str, letter: char, refs: &[&str]) {
    let js = &service.ledger.js;
    let versions = Bucket::<Value>::open(js, streams::VERSIONS).await.unwrap();
    versions.put(&format!("{repo}._.{}", sha(letter)), &json!({ "job": JobId::new() })).await.unwrap();
    let live = Bucket::<Value>::open(js, streams::LIVE).await.unwrap();
    for git_ref in refs {
        let key = format!("{repo}._.{}", hex::encode(Sha256::digest(git_ref)));
        live.put(
            &key,
            &json!({ "sha": sha(letter), "push_revision": 1, "push_revision": 1, "ref": git_ref }),
        )
        .await
        .unwrap();
    }
}

fn set(service: &Service, token: &str, alias: &str, wanted: &Value) -> RequestBuilder {
    service.request(Method::PUT, &format!("/api/v1/repos/pi/aliases/{alias}")).bearer_auth(token).json(wanted)
}

fn roll_back(service: &Service, token: &str, alias: &str) -> RequestBuilder {
    service.request(Method::POST, &format!("/api/v1/repos/pi/aliases/{alias}/rollback")).bearer_auth(token)
}

/// From what to what, the newest move first.
fn moves(alias: &Value) -> Vec<(String, String)> {
    let text = |version: &Value| match (&version["sha"], &version["follow"]) {
        (Value::String(sha), _) => sha[..1].to_owned(),
        (_, Value::String(branch)) => format!("follow {branch}"),
        _ => String::new(),
    };
    let history = alias["history"].as_array().unwrap();
    history.iter().map(|one| (text(&one["from"]), text(&one["to"]))).collect()
}

fn pair(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[tokio::test]
async fn an_alias_is_moved_by_commit_tag_and_branch_and_rolled_back_move_by_move() {
    let (service, token, repo) = scene().await;
    built(&service, &repo, 'a', &["refs/heads/main"]).await;
    built(&service, &repo, 'b', &["refs/tags/v1.2", "refs/tags/both"]).await;
    built(&service, &repo, 'c', &["refs/heads/feature/x", "refs/heads/both"]).await;
    let made =
        set(&service, &token, "live", &json!({ "version": "main" })).answers(StatusCode::CREATED).await;
    assert_eq!((&made["name"], &made["sha"]), (&json!("live"), &json!(sha('a'))));
    let mut known = Vec::new();
    for (version, found) in
        [("v1.2", 'b'), ("feature/x", 'c'), ("both", 'b'), ("refs/heads/both", 'c'), (sha('a').as_str(), 'a')]
    {
        let moved =
            set(&service, &token, "live", &json!({ "version": version })).answers(StatusCode::OK).await;
        assert_eq!(moved["sha"], sha(found), "{version}");
        known = moves(&moved);
    }
    let again = set(&service, &token, "live", &json!({ "version": "main" })).answers(StatusCode::OK).await;
    assert_eq!(moves(&again), known, "it stood for that already");
    let all = [pair("c", "a"), pair("b", "c"), pair("c", "b"), pair("b", "c"), pair("a", "b"), pair("", "a")];
    assert_eq!(known, all);

    for found in ['c', 'b'] {
        let back = roll_back(&service, &token, "live").answers(StatusCode::OK).await;
        assert_eq!(back["sha"], sha(found));
        assert_eq!(back["history"][0]["kind"], "rollback");
    }
    let listed = service.get("/api/v1/repos/pi/aliases", &token).answers(StatusCode::OK).await;
    let [alias] = &listed["items"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!(moves(alias)[..3], [pair("c", "b"), pair("a", "c"), pair("c", "a")]);
    assert_eq!(alias["history"][0]["email"], "a@example.com");
    for _ in 0..3 {
        roll_back(&service, &token, "live").says(StatusCode::OK).await;
    }
    let over = roll_back(&service, &token, "live").answers(StatusCode::CONFLICT).await;
    assert_eq!(over["error"]["message"], "live: no earlier version is known to go back to");

    let path = "/api/v1/repos/pi/aliases/live";
    let remove = || service.request(Method::DELETE, path).bearer_auth(&token);
    remove().says(StatusCode::NO_CONTENT).await;
    remove().says(StatusCode::NOT_FOUND).await;
    roll_back(&service, &token, "live").says(StatusCode::NOT_FOUND).await;
    let anew =
        set(&service, &token, "live", &json!({ "version": "main" })).answers(StatusCode::CREATED).await;
    assert_eq!(moves(&anew), [pair("", "a")]);
}

#[tokio::test]
async fn each_move_of_an_alias_is_in_the_audit_log() {
    let (service, token, repo) = scene().await;
    built(&service, &repo, 'a', &["refs/heads/main"]).await;
    built(&service, &repo, 'b', &[]).await;
    for version in [sha('a'), sha('a'), sha('b')] {
        set(&service, &token, "live", &json!({ "version": version })).send().await.unwrap();
    }
    roll_back(&service, &token, "live").says(StatusCode::OK).await;
    set(&service, &token, "live", &json!({ "follow": "main" })).says(StatusCode::OK).await;
    let removed = service.request(Method::DELETE, "/api/v1/repos/pi/aliases/live").bearer_auth(&token);
    removed.says(StatusCode::NO_CONTENT).await;
    let path = format!("/api/v1/audit?target={repo}.live");
    let log = service.get(&path, &service.admin().await).answers(StatusCode::OK).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let log: Vec<(String, String)> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (text(&it["action"]), text(&it["detail"])))
        .collect();
    let (a, b) = (sha('a'), sha('b'));
    let wanted = [
        pair("alias_removed", "follow main"),
        pair("alias_set", &format!("{a} -> follow main")),
        pair("alias_rolled_back", &format!("{b} -> {a}")),
        pair("alias_set", &format!("{a} -> {b}")),
        pair("alias_set", &a),
    ];
    assert_eq!(log, wanted);
}

#[tokio::test]
async fn an_alias_that_follows_a_branch_is_the_newest_green_commit_of_it() {
    let (service, token, repo) = scene().await;
    built(&service, &repo, 'a', &["refs/heads/main"]).await;
    let made = set(&service, &token, "next", &json!({ "follow": "main" })).answers(StatusCode::CREATED).await;
    assert_eq!((&made["follow"], &made["sha"]), (&json!("main"), &json!(sha('a'))));
    built(&service, &repo, 'b', &["refs/heads/main"]).await;
    let listed = service.get("/api/v1/repos/pi/aliases", &token).answers(StatusCode::OK).await;
    assert_eq!(listed["items"][0]["sha"], sha('b'));
    let same = set(&service, &token, "next", &json!({ "follow": "refs/heads/main" }));
    assert_eq!(moves(&same.answers(StatusCode::OK).await), [pair("", "follow main")]);
    set(&service, &token, "next", &json!({ "version": sha('a') })).says(StatusCode::OK).await;
    let back = roll_back(&service, &token, "next").answers(StatusCode::OK).await;
    assert_eq!((&back["follow"], &back["sha"]), (&json!("main"), &json!(sha('b'))));
}

#[test_case(json!({ "version": sha('f') }), &sha('f') ; "a commit")]
#[test_case(json!({ "version": "v9" }), "v9" ; "a tag or branch")]
#[test_case(json!({ "follow": "wip" }), "wip" ; "a branch to follow")]
#[tokio::test]
async fn an_alias_does_not_lead_to_what_is_not_built(wanted: Value, named: &str) {
    let (service, token, repo) = scene().await;
    // Another repository's, which is no one's here.
    built(&service, "01890a5d-ac96-774b-bcce-b302099a8057", 'f', &["refs/tags/v9", "refs/heads/wip"]).await;
    let refused = set(&service, &token, "live", &wanted).answers(StatusCode::CONFLICT).await;
    assert_eq!(refused["error"]["code"], "not_built");
    assert_eq!(
        refused["error"]["message"],
        format!(
            "{named}: no job of a push of it has ended well yet; push it, or run its job again, and then set the alias"
        )
    );
    let listed = service.get(&format!("/api/v1/repos/{repo}/aliases"), &token).answers(StatusCode::OK).await;
    assert_eq!(listed["items"], json!([]));
}

#[test_case("live", json!({}), "`version` or `follow` is missing" ; "neither")]
#[test_case("live", json!({ "version": "main", "follow": "main" }), "either `version` or `follow`, not both" ; "both")]
#[test_case("live", json!({ "versoin": "main" }), "unknown field `versoin`; did you mean `version`?" ; "a slip")]
#[test_case("live", json!({ "version": "-x" }), "version: neither a full commit id nor the name of a tag or branch" ; "an option")]
#[test_case("live", json!({ "version": "refs/pull/1/head" }), "version: neither a full commit id nor the name of a tag or branch" ; "a pull request")]
#[test_case("live", json!({ "follow": "refs/tags/v1" }), "follow: not a branch" ; "a tag to follow")]
#[test_case("Live", json!({ "version": "main" }), "alias: must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit" ; "upper case")]
#[test_case("a.b", json!({ "version": "main" }), "alias: must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit" ; "a dot")]
#[test_case(&sha('a'), json!({ "version": "main" }), "alias: must not look like a commit id" ; "a commit")]
#[tokio::test]
async fn what_cannot_be_an_alias_is_refused_with_a_sentence(alias: &str, wanted: Value, sentence: &str) {
    let (service, token, repo) = scene().await;
    built(&service, &repo, 'a', &["refs/heads/main"]).await;
    let refused = set(&service, &token, alias, &wanted).answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(refused["error"]["message"], sentence);
}

#[tokio::test]
async fn a_repository_has_fifty_aliases_at_most_and_they_go_with_it() {
    let (service, token, repo) = scene().await;
    built(&service, &repo, 'a', &["refs/heads/main"]).await;
    let wanted = json!({ "version": "main" });
    let setting = (0..50).map(|n| {
        let (service, token, wanted) = (&service, &token, &wanted);
        async move { set(service, token, &format!("a{n}"), wanted).says(StatusCode::CREATED).await }
    });
    join_all(setting).await;
    let full = set(&service, &token, "a50", &wanted).answers(StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(full["error"]["message"], "50 aliases are the limit; remove one");
    set(&service, &token, "a49", &wanted).says(StatusCode::OK).await;
    let one = service.request(Method::DELETE, "/api/v1/repos/pi/aliases/a7").bearer_auth(&token);
    one.says(StatusCode::NO_CONTENT).await;
    set(&service, &token, "a50", &wanted).says(StatusCode::CREATED).await;
    let gone = service.request(Method::DELETE, &format!("/api/v1/repos/{repo}")).bearer_auth(&token);
    gone.says(StatusCode::NO_CONTENT).await;
    assert_eq!(service.ledger.aliases.subjects().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn moves_at_two_gateways_at_once_are_all_kept() {
    let (service, token, repo) = scene().await;
    let other = service.another().await;
    for letter in 'a'..='f' {
        built(&service, &repo, letter, &[]).await;
    }
    set(&service, &token, "live", &json!({ "version": sha('a') })).says(StatusCode::CREATED).await;
    let moving = ('b'..='f').enumerate().map(|(n, letter)| {
        let gateway = if n % 2 == 0 { &service } else { &other };
        let (token, wanted) = (&token, json!({ "version": sha(letter) }));
        async move { set(gateway, token, "live", &wanted).says(StatusCode::OK).await }
    });
    join_all(moving).await;
    let listed = service.get("/api/v1/repos/pi/aliases", &token).answers(StatusCode::OK).await;
    let moves = moves(&listed["items"][0]);
    let mut to: Vec<&str> = moves.iter().map(|(_, to)| to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["a", "b", "c", "d", "e", "f"]);
    assert!(
        moves.windows(2).all(|pair| pair[0].0 == pair[1].1),
        "each begins where the one before ended: {moves:?}"
    );
    other.stopped().await;
}
