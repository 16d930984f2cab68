//! `gitfaas token create` against a real NATS; the other commands of `token` against a mock gateway.

use std::{process::Output, time::Duration};

use crate::common::{gitfaas, nats, stderr, stdout};
use jobs::{
    Ledger, Repo, RepoId, UserId,
    accounts::{OPERATOR, Scope, token_hash, token_id},
    connect::NatsSettings,
};
use serde_json::json;
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ID: &str = "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10";

pub(crate) async fn ledger(url: &str) -> Ledger {
    let settings = NatsSettings {
        url: url.to_owned(),
        user: None,
        creds: None,
        ca_bundle: None,
        name: "test".to_owned(),
    };
    let client = jobs::connect::connect(&settings).await.unwrap();
    Ledger::open(&client, Duration::from_secs(5)).await.unwrap()
}

#[tokio::test]
async fn a_token_alone_is_printed_and_only_its_hash_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let nats = nats(dir.path());
    let create = |more: &[&str]| {
        let output = gitfaas(dir.path())
            .env("GITFAAS_NATS_URL", &nats.url)
            .args(["token", "create", "--user", "You@Example.com"])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };

    let first = create(&["--admin", "--expires", "90d"]);
    let second = create(&[]);

    let token = first.strip_suffix('\n').unwrap();
    assert!(token.starts_with("gft_") && !token.contains(char::is_whitespace), "{token:?}");
    let ledger = ledger(&nats.url).await;
    let user = ledger.accounts.find(OPERATOR, "you@example.com").await.unwrap().unwrap().value;
    assert!(user.admin, "admin stays admin");
    let id = token_id(token).unwrap().to_string();
    let stored = ledger.accounts.tokens.get(&id).await.unwrap().unwrap().value;
    assert_eq!((stored.user, stored.hash), (user.id, token_hash(token)));
    assert!(stored.expires_at.is_some());
    let id = token_id(second.trim()).unwrap().to_string();
    let stored = ledger.accounts.tokens.get(&id).await.unwrap().unwrap().value;
    assert_eq!((stored.user, stored.expires_at), (user.id, None), "the same person, without an end");
}

#[tokio::test]
async fn the_operator_binds_a_token_to_functions_that_its_user_may_call() {
    let dir = tempfile::tempdir().unwrap();
    let nats = nats(dir.path());
    let create = |more: &[&str]| {
        let mut command = gitfaas(dir.path());
        command.env("GITFAAS_NATS_URL", &nats.url).args(["token", "create", "--user", "you@example.com"]);
        command.args(more).output().unwrap()
    };
    let stored = async |output: Output| {
        assert!(output.status.success(), "{}", stderr(&output));
        let id = token_id(stdout(&output).trim()).unwrap().to_string();
        ledger(&nats.url).await.accounts.tokens.get(&id).await.unwrap().unwrap().value
    };
    let narrow = stored(create(&["--scope", "invoke", "--scope", "jobs:read"])).await;
    assert_eq!((narrow.scopes, narrow.functions), (vec![Scope::Invoke, Scope::JobsRead], None));

    let repo = |id: RepoId, owner: UserId| -> Repo {
        let stored = json!({"id": id, "owner": owner, "url": "https://example.com/r", "forge": "plain",
                            "events": ["push"], "sealed_secret": ""});
        serde_json::from_value(stored).unwrap()
    };
    let (own, others) = (RepoId::new(), RepoId::new());
    let repos = ledger(&nats.url).await.repos;
    repos.create(&own.to_string(), &repo(own, narrow.user)).await.unwrap();
    repos.create(&others.to_string(), &repo(others, UserId::new())).await.unwrap();
    let bound = stored(create(&["--function", &own.to_string()])).await;
    assert_eq!((bound.scopes, bound.functions), (vec![Scope::Invoke], Some(vec![own])));

    let refused = [
        (vec!["--function", "nonsense"], "error: --function nonsense: "),
        (vec!["--scope", "jobs:read", "--function"], "error: --function: a token that is bound to functions"),
        (vec!["--function"], "the user neither owns nor views such a repository"),
    ];
    let ids = [None, Some(own.to_string()), Some(others.to_string())];
    for ((mut args, said), id) in refused.into_iter().zip(&ids) {
        args.extend(id.as_deref());
        let output = create(&args);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said) && output.stdout.is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn what_up_left_is_used_and_a_server_that_is_gone_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let left = r#"{"url": "nats://127.0.0.1:1", "user": "gitfaas", "password": "pw", "server_name": "s", "port": 1}"#;
    std::fs::write(data.join("nats.json"), left).unwrap();
    let create = || gitfaas(dir.path()).args(["token", "create", "--user", "a@b"]).output().unwrap();

    let open_to_all = create();
    assert_eq!(open_to_all.status.code(), Some(64));
    assert!(stderr(&open_to_all).contains("others may read it"), "{}", stderr(&open_to_all));

    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(data.join("nats.json"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let gone = create();
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).starts_with("error: cannot connect to NATS"), "{}", stderr(&gone));
}

/// Runs a command of `token` that talks to `server`.
async fn token(server: &MockServer, args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = gitfaas(dir.path());
    command.env("GITFAAS_URL", server.uri()).env("GITFAAS_TOKEN", "gft_test").arg("token").args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_further_token_is_asked_for_with_ones_own_and_printed_alone() {
    let server = MockServer::start().await;
    let made = json!({"id": ID, "name": "ci", "scopes": ["jobs:read"], "created_at": "2026-01-02T03:04:05Z",
                      "token": "gft_new"});
    let wishes = [
        json!({"name": "ci", "scopes": ["jobs:read", "jobs:write"], "expires_in": "90d"}),
        json!({"name": "command line"}),
        json!({"name": "shop", "functions": [ID], "scopes": ["invoke"]}),
    ];
    for wish in &wishes {
        Mock::given(method("POST"))
            .and(path("/api/v1/tokens"))
            .and(header("authorization", "Bearer gft_test"))
            .and(body_json(wish))
            .respond_with(ResponseTemplate::new(201).set_body_json(&made))
            .expect(1)
            .mount(&server)
            .await;
    }
    let scopes = ["--scope", "jobs:read", "--scope", "jobs:write"];
    let args = [&["new", "--name", "ci", "--expires-in", "90d"][..], &scopes].concat();
    let new = token(&server, &args).await;
    assert!(new.status.success(), "{}", stderr(&new));
    assert_eq!(stdout(&new), "gft_new\n");
    assert_eq!(stderr(&new), format!("its id is {ID}; it is shown this once\n"));
    let plain = token(&server, &["new", "--json"]).await;
    let shown: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!(shown, made);
    let bound = token(&server, &["new", "--name", "shop", "--scope", "invoke", "--function", ID]).await;
    assert!(bound.status.success(), "{}", stderr(&bound));
}

#[tokio::test]
async fn tokens_are_listed_and_revoked() {
    let server = MockServer::start().await;
    let ci = json!({"id": ID, "name": "ci", "scopes": ["jobs:read"], "created_at": "2026-01-02T03:04:05Z"});
    Mock::given(method("GET"))
        .and(path("/api/v1/tokens"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"items": [ci]})))
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path(format!("/api/v1/tokens/{ID}")))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    let list = token(&server, &["list"]).await;
    let line = stdout(&list).lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(line, format!("{ID} ci jobs:read 2026-01-02T03:04:05 never never"));
    let json = token(&server, &["list", "--json"]).await;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap(), json!([ci]));
    let revoked = token(&server, &["revoke", ID]).await;
    assert_eq!((revoked.status.code(), stderr(&revoked)), (Some(0), "revoked\n".to_owned()));
}

#[tokio::test]
async fn what_is_refused_about_tokens_is_a_sentence_and_what_is_wrong_is_never_sent() {
    let server = MockServer::start().await;
    let longer = "expires_in: longer than the token that asks is good for";
    let refused = json!({"error": {"code": "bad_request", "message": longer}});
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(400).set_body_json(refused))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE")).respond_with(ResponseTemplate::new(404)).expect(1).mount(&server).await;
    let new = token(&server, &["new", "--expires-in", "90d"]).await;
    assert_eq!((new.status.code(), stderr(&new)), (Some(1), format!("error: {longer} (400 Bad Request)\n")));
    let gone = token(&server, &["revoke", ID]).await;
    let said = "error: there is no such token (or it is not yours)\n";
    assert_eq!((gone.status.code(), stderr(&gone).as_str()), (Some(1), said));
    for wrong in [
        &["new", "--scope", "everything"][..],
        &["new", "--expires-in", "soon"],
        &["revoke", "gft_0_0"],
        &["revoke"],
    ] {
        let output = token(&server, wrong).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}
