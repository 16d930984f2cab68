//! Every saved delivery of the forges, and mutations of them, through signature and parser.

use std::fmt::Write as _;
use std::path::Path;

use hooks::Forge;
use hooks::incoming::{Incoming, Malformed, Push, parse};
use hooks::verify::{sign, verify, verify_headers};
use http::{HeaderMap, HeaderValue};
use jobs::Secret;
use serde_json::{Value, json};

fn testdata(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata").join(file);
    let text = std::fs::read(&path).expect("the file is part of the repository");
    serde_json::from_slice(&text).expect("it is JSON")
}

fn understood(forge: Forge, event: &str, body: &[u8]) -> Result<Incoming, Malformed> {
    let secret: Secret = "s3cret".parse().expect("not empty");
    let signature = HeaderValue::from_str(&sign(&secret, body)).expect("hex");
    let verified = verify(&secret, [&signature], body).expect("just signed");
    parse(forge, event, &verified)
}

fn pushed(body: &Value) -> Push {
    match understood(Forge::Github, "push", body.to_string().as_bytes()).expect("a push") {
        Incoming::Push(push) => push,
        other => panic!("not a push: {other:?}"),
    }
}

/// One line that tells what was understood.
fn summary(incoming: &Incoming) -> String {
    let short = |sha: &Option<jobs::CommitSha>| {
        sha.as_ref().map_or("-".to_owned(), |sha| sha.as_str()[..7].to_owned())
    };
    match incoming {
        Incoming::Push(p) => format!(
            "push {}#{} {} {}..{}{}{}{}{}",
            p.repository.full_name,
            p.repository.forge_id.unwrap_or_default(),
            p.reference,
            short(&p.before),
            short(&p.after),
            p.tagged.as_ref().map_or(String::new(), |commit| format!(" tagged {}", &commit.as_str()[..7])),
            if p.forced { " forced" } else { "" },
            if p.asks_to_skip() { " skip" } else { "" },
            p.installation.map_or(String::new(), |id| format!(" installation {id}")),
        ),
        Incoming::Ping => "ping".to_owned(),
        Incoming::PullRequest(p) => format!(
            "pull request {} #{} {:?} {} {} -> {} fork {}",
            p.repository.full_name,
            p.number,
            p.action,
            &p.head_sha.as_str()[..7],
            p.head_branch,
            p.base_branch,
            p.from_fork,
        ),
        Incoming::Rerequested(r) => format!(
            "rerequested {} {} run {:?} {:?} {:?} app {:?}",
            r.repository.full_name,
            &r.sha.as_str()[..7],
            r.check_run,
            r.name,
            r.external_id,
            r.app_id,
        ),
        Incoming::Installation(i) => format!(
            "installation {} {:?} of {} app {:?}: {:?}",
            i.id,
            i.action,
            i.account.login,
            i.app_id,
            i.repositories.iter().map(|r| &r.full_name).collect::<Vec<_>>(),
        ),
        Incoming::InstallationRepositories(i) => format!(
            "installation {} of {}: +{:?} -{:?}",
            i.id,
            i.account.login,
            i.added.iter().map(|r| &r.full_name).collect::<Vec<_>>(),
            i.removed.iter().map(|r| &r.full_name).collect::<Vec<_>>(),
        ),
        Incoming::Ignored(why) => format!("ignored: {why}"),
    }
}

#[test]
fn every_example_of_github_is_understood() {
    let examples = testdata("github-webhooks.json");
    let mut lines = String::new();
    for (event, payloads) in examples.as_object().expect("by event") {
        for payload in payloads.as_array().expect("a list") {
            let incoming =
                understood(Forge::Github, event, payload.to_string().as_bytes()).expect("understood");
            writeln!(lines, "{event}: {}", summary(&incoming)).expect("to memory");
        }
    }
    assert_eq!(lines.lines().count(), 44);
    insta::assert_snapshot!(lines);
}

#[test]
fn every_delivery_of_a_real_gitea_is_verified_and_understood() {
    let saved = testdata("gitea-webhooks.json");
    let secret: Secret = saved["secret"].as_str().expect("a text").parse().expect("not empty");
    let mut lines = String::new();
    for delivery in saved["deliveries"].as_array().expect("a list") {
        let headers: HeaderMap = delivery["headers"]
            .as_object()
            .expect("headers")
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().expect("a text").parse().expect("a header's value");
                (name.parse::<http::HeaderName>().expect("a header's name"), value)
            })
            .collect();
        let body = delivery["body"].as_str().expect("a text").as_bytes();
        let verified = verify_headers(Forge::Gitea, &secret, &headers, body).expect("signed");
        let event = hooks::incoming::event(Forge::Gitea, &headers).expect("has an event");
        assert!(hooks::incoming::delivery_id(Forge::Gitea, &headers).is_some());
        let incoming = parse(Forge::Gitea, event, &verified).expect("understood");
        writeln!(lines, "{}: {}", delivery["what"].as_str().expect("a text"), summary(&incoming))
            .expect("to memory");
    }
    assert_eq!(lines.lines().count(), 19);
    insta::assert_snapshot!(lines);
}

/// A push of one commit, from the examples.
fn example() -> Value {
    let mut push = testdata("github-webhooks.json")["push"][4].clone();
    push["before"] = json!("0e1d1e873a32d406f624a4b25d44b9a586914a98");
    push["created"] = json!(false);
    push
}

#[test]
fn a_push_keeps_its_form_in_the_ledger() {
    let incoming = Incoming::Push(pushed(&example()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&incoming).expect("plain values"));
    let kept = serde_json::to_string(&incoming).expect("plain values");
    assert_eq!(serde_json::from_str::<Incoming>(&kept).expect("reads back"), incoming);
}

#[test]
fn an_entry_of_an_older_version_reads_with_defaults() {
    let old = json!({"kind": "push", "what": {
        "repository": {"full_name": "a/b", "clone_url": "https://host/a/b"}, "ref": "refs/heads/main", "later": 1,
    }});
    let Incoming::Push(push) = serde_json::from_value(old).expect("reads") else { panic!("a push") };
    assert!(push.is_deletion() && push.repository.private && !push.asks_to_skip());
}

#[test]
fn a_removed_branch_has_no_after() {
    let mut body = example();
    body["after"] = json!("0".repeat(40));
    body["deleted"] = json!(true);
    body["head_commit"] = Value::Null;
    let push = pushed(&body);
    assert!(push.is_deletion() && push.before.is_some() && push.head_message.is_none());
}

#[test]
fn a_new_branch_is_never_forced() {
    let mut body = example();
    body["before"] = json!("0".repeat(40));
    body["forced"] = json!(true);
    assert!(!pushed(&body).forced);
}

#[test]
fn force_skip_and_names_that_are_not_ascii_are_taken_over() {
    let mut body = example();
    body["forced"] = json!(true);
    body["ref"] = json!("refs/heads/зелень-日本");
    body["head_commit"]["message"] = json!("naïve \u{1F980}\n\n[CI Skip]");
    body["pusher"]["name"] = json!("Zoë");
    let push = pushed(&body);
    assert!(push.forced && push.asks_to_skip());
    assert_eq!(push.reference.branch(), Some("зелень-日本"));
    assert_eq!(push.head_message.as_deref(), Some("naïve \u{1F980}\n\n[CI Skip]"));
    assert_eq!(push.pusher.as_deref(), Some("Zoë"));
}

#[test]
fn what_is_not_needed_may_be_of_any_type() {
    let mut body = example();
    for field in
        ["pusher", "sender", "head_commit", "installation", "commits", "forced", "created", "organization"]
    {
        body[field] = json!({"x": [1, null]});
    }
    for field in ["id", "html_url", "private", "owner", "created_at", "default_branch"] {
        body["repository"][field] = json!({"x": 1});
    }
    let push = pushed(&body);
    assert!(push.repository.private && push.repository.forge_id.is_none() && push.installation.is_none());
}

#[test]
fn an_event_that_nobody_knows_is_ignored_whatever_it_holds() {
    let ignored =
        |event: &str, body: &[u8]| summary(&understood(Forge::Github, event, body).expect("understood"));
    let lines = [
        ignored("stars_aligned", br#"{"action": {"x": 1}, "repository": [], "sender": 7}"#),
        ignored("issues", br#"{"action": "opened\u0007", "repository": {"full_name": 1}}"#),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    ignored: nothing to do for stars_aligned
    ignored: nothing to do for issues opened
    ");
}

#[test]
fn a_list_of_repositories_with_one_that_is_garbled_is_not_half_believed() {
    let mut body = testdata("github-webhooks.json")["installation_repositories"][2].clone();
    body["repositories_removed"][0]["id"] = json!("1296269");
    let result = understood(Forge::Github, "installation_repositories", body.to_string().as_bytes());
    assert!(matches!(result, Err(Malformed::Json(_))));
}

#[test]
fn a_delivery_is_named_by_its_header_if_that_is_usable() {
    let id = |forge, name: &'static str, value: &[u8]| {
        let headers: HeaderMap =
            [(http::HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a value"))]
                .into_iter()
                .collect();
        hooks::incoming::delivery_id(forge, &headers).map(str::to_owned)
    };
    assert_eq!(id(Forge::Github, "x-github-delivery", b"72d3162e").as_deref(), Some("72d3162e"));
    assert_eq!(id(Forge::Gitlab, "idempotency-key", b"f5e5f430").as_deref(), Some("f5e5f430"));
    assert_eq!(id(Forge::Gitlab, "x-gitlab-event-uuid", b"1378").as_deref(), Some("1378"));
    for unusable in [b"".as_slice(), b"a b", b"\xff", &[b'x'; 129]] {
        assert_eq!(id(Forge::Github, "x-github-delivery", unusable), None);
    }
}

#[test]
fn thousands_of_commits_are_read_past() {
    let mut body = example();
    let commit = json!({"id": "0e1d1e873a32d406f624a4b25d44b9a586914a98", "message": "x".repeat(200), "added": vec!["a"; 50]});
    body["commits"] = Value::Array(vec![commit; 2048]);
    assert_eq!(pushed(&body).reference.branch(), Some("master"));
}

#[test]
fn a_form_is_the_same_push() {
    let body = example().to_string();
    let form: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &body).finish();
    let incoming = understood(Forge::Github, "push", form.as_bytes()).expect("understood");
    assert_eq!(incoming, Incoming::Push(pushed(&example())));
}

#[test]
fn what_cannot_be_understood_says_why() {
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut body = example();
        change(&mut body);
        match understood(Forge::Github, "push", body.to_string().as_bytes()) {
            Ok(incoming) => summary(&incoming),
            Err(malformed) => malformed.to_string(),
        }
    };
    let lines = [
        broken(&|b| b["ref"] = json!("refs/heads/a..b")),
        broken(&|b| b["ref"] = json!("refs/heads/-x")),
        broken(&|b| b["ref"] = json!("refs/notes/commits")),
        broken(&|b| b["ref"] = json!(7)),
        broken(&|b| b["after"] = json!("deadbeef")),
        broken(&|b| b["after"] = json!("--upload-pack=sh")),
        broken(&|b| b["before"] = json!("0".repeat(64))),
        broken(&|b| b["after"] = b["before"].clone()),
        broken(&|b| b["repository"] = Value::Null),
        broken(&|b| b["repository"]["full_name"] = json!("a/\nb")),
        broken(&|b| b["repository"]["clone_url"] = json!("file:///etc")),
        broken(&|b| b["repository"]["clone_url"] = json!("https://user:pw@host/a/b")),
        broken(&|b| *b = json!([])),
    ];
    insta::assert_snapshot!(lines.join("\n"));
    assert!(matches!(understood(Forge::Github, "push", b"\xff{}"), Err(Malformed::Json(_))));
    assert!(matches!(understood(Forge::Github, "push", b""), Err(Malformed::Json(_))));
    assert!(matches!(understood(Forge::Github, "push", b"payload="), Err(Malformed::Json(_))));
}

#[test]
fn a_pull_request_whose_repository_is_gone_or_other_is_from_a_fork() {
    let mut body = testdata("github-webhooks.json")["pull_request"][0].clone();
    let from_fork =
        |body: &Value| match understood(Forge::Github, "pull_request", body.to_string().as_bytes()) {
            Ok(Incoming::PullRequest(pull)) => pull.from_fork,
            other => panic!("{other:?}"),
        };
    assert!(!from_fork(&body));
    body["pull_request"]["head"]["repo"]["id"] = json!(1);
    assert!(from_fork(&body));
    body["pull_request"]["head"]["repo"] = Value::Null;
    assert!(from_fork(&body));
    body["pull_request"]["head"]["repo"] = json!({"id": "186853002"});
    assert!(from_fork(&body));
}

/// The form that GitLab's documentation shows, shortened.
fn gitlab_push() -> Value {
    json!({
        "object_kind": "push", "ref": "refs/heads/master", "user_username": "jsmith",
        "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
        "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
        "checkout_sha": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
        "project": {
            "id": 15, "path_with_namespace": "gr/sub/diaspora", "visibility_level": 0, "default_branch": "master",
            "git_http_url": "http://example.com/gr/sub/diaspora.git", "web_url": "http://example.com/gr/sub/diaspora",
        },
        "commits": [
            {"id": "b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327", "message": "Update [skip ci]"},
            {"id": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "message": "fixed readme"},
        ],
    })
}

#[test]
fn gitlab_pushes_tags_and_removals_are_understood() {
    let line = |event: &str, body: &Value| {
        summary(&understood(Forge::Gitlab, event, body.to_string().as_bytes()).expect("understood"))
    };
    let mut removed = gitlab_push();
    removed["after"] = json!("0".repeat(40));
    removed["checkout_sha"] = Value::Null;
    removed["commits"] = json!([]);
    let mut tag = gitlab_push();
    tag["ref"] = json!("refs/tags/v1");
    tag["before"] = json!("0".repeat(40));
    let lines = [
        line("Push Hook", &gitlab_push()),
        line("Push Hook", &removed),
        line("Tag Push Hook", &tag),
        line("Merge Request Hook", &json!({})),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    push gr/sub/diaspora#15 refs/heads/master 95790bf..da15608
    push gr/sub/diaspora#15 refs/heads/master 95790bf..-
    push gr/sub/diaspora#15 refs/tags/v1 -..da15608
    ignored: nothing to do for Merge Request Hook
    ");
}

proptest::proptest! {
    #[test]
    fn no_body_panics(body: Vec<u8>, event in "push|delete|pull_request|check_run|installation|Push Hook") {
        for forge in [Forge::Github, Forge::Gitea, Forge::Gitlab, Forge::Plain] {
            let _ = understood(forge, &event, &body);
        }
    }

    #[test]
    fn no_change_of_a_text_panics(pointer in "/(ref|before|after|repository/full_name|repository/clone_url)", text: String) {
        let mut body = example();
        if let Some(field) = body.pointer_mut(&pointer) {
            *field = json!(text);
        }
        let _ = understood(Forge::Github, "push", body.to_string().as_bytes());
    }
}
