//! `gitfaas token create` against a real NATS.

use std::time::Duration;

use crate::common::{gitfaas, nats, stderr, stdout};
use jobs::{
    Ledger,
    accounts::{OPERATOR, token_hash, token_id},
    connect::NatsSettings,
};

async fn ledger(url: &str) -> Ledger {
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
