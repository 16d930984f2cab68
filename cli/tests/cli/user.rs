//! `gitfaas user` against a real NATS.

use std::process::Output;

use jobs::{
    Label, Ledger, UserId,
    accounts::{OPERATOR, OwnerKind, User},
    audit::{Action, AuditEvent, By},
    streams,
    usage::Resource,
};

use crate::{
    common::{Nats, gitfaas, nats, stderr, stdout},
    token::ledger,
};

struct Installation {
    ledger: Ledger,
    nats: Nats,
    dir: tempfile::TempDir,
}

impl Installation {
    /// One with the user `ada@example.com`, made as operators do.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nats = nats(dir.path());
        let create = ["token", "create", "--user", "Ada@Example.com"];
        let made = gitfaas(dir.path()).env("GITFAAS_NATS_URL", &nats.url).args(create).output().unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
        let ledger = ledger(&nats.url).await;
        Self { dir, nats, ledger }
    }

    fn gitfaas(&self, args: &[&str]) -> Output {
        gitfaas(self.dir.path()).env("GITFAAS_NATS_URL", &self.nats.url).args(args).output().unwrap()
    }

    async fn ada(&self) -> User {
        self.ledger.accounts.find(OPERATOR, "ada@example.com").await.unwrap().unwrap().value
    }

    /// The newest entry of the audit log about users.
    async fn noted(&self) -> Option<AuditEvent> {
        let stream = self.ledger.js.get_stream(streams::AUDIT_ADMIN).await.unwrap();
        let subject = streams::audit_admin(&Action::UserChanged.word());
        let last = stream.get_last_raw_message_by_subject(&subject).await.ok()?;
        serde_json::from_slice(&last.payload).ok()
    }
}

fn labels(list: &[&str]) -> Vec<Label> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn labels_are_given_and_taken_back_and_each_change_is_noted() {
    let here = Installation::start().await;
    assert!(
        here.gitfaas(&["user", "set", "ada@example.com", "--labels", "gpu,inside,default"]).status.success()
    );
    let ada = here.ada().await;
    assert_eq!(ada.labels, labels(&["gpu", "inside"]));
    let noted = here.noted().await.unwrap();
    assert_eq!((noted.target, noted.by), (ada.id.to_string(), Some(By::Operator)));
    assert_eq!(noted.detail.as_deref(), Some("labels: default,gpu,inside"));

    let shown = here.gitfaas(&["user", "show", "ADA@example.com"]);
    let expected =
        format!("id      {}\nemail   Ada@Example.com\nadmin   no\nlabels  default,gpu,inside\n", ada.id);
    assert_eq!(stdout(&shown), expected, "{}", stderr(&shown));
    let json = here.gitfaas(&["user", "show", &ada.id.to_string(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["labels"], serde_json::json!(["gpu", "inside"]));

    assert!(here.gitfaas(&["as", "user", "set", "ada@example.com", "--labels", ""]).status.success());
    assert_eq!(here.ada().await.labels, labels(&[]));
    assert_eq!(here.noted().await.unwrap().detail.as_deref(), Some("labels: default"));
}

#[tokio::test]
async fn what_changes_nothing_is_not_noted_and_what_a_newer_program_added_stays() {
    let here = Installation::start().await;
    let newer = |entry: &jobs::bucket::Entry<User>| {
        let mut user = entry.value.clone();
        user.other.insert("invented_later".to_owned(), serde_json::json!({ "queue": 7 }));
        Some(user)
    };
    let id = here.ada().await.id;
    here.ledger.accounts.users.change(&id.to_string(), newer).await.unwrap().unwrap();
    assert!(here.gitfaas(&["user", "set", "ada@example.com", "--labels", "default"]).status.success());
    assert!(here.noted().await.is_none());
    assert!(here.gitfaas(&["user", "set", "ada@example.com", "--labels", "gpu"]).status.success());
    assert_eq!(here.ada().await.other["invented_later"], serde_json::json!({ "queue": 7 }));
}

#[tokio::test]
async fn what_is_not_exactly_one_user_or_no_label_is_a_sentence() {
    let here = Installation::start().await;
    let wrong = |args: &[&str], code: i32| {
        let output = here.gitfaas(&[&["user", "set"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        stderr(&output)
    };
    let nobody = wrong(&["bob@example.com", "--labels", "gpu"], 1);
    assert!(nobody.starts_with("error: there is no user bob@example.com"), "{nobody}");
    let stranger = UserId::new().to_string();
    assert!(wrong(&[&stranger, "--labels", "gpu"], 1).starts_with("error: there is no user"));
    let second = here.ledger.accounts.find_or_make("issuer", "1", "ADA@example.com", OwnerKind::User).await;
    let several = wrong(&["ada@example.com", "--labels", "gpu"], 1);
    assert!(several.starts_with("error: several users have the address ada@example.com"), "{several}");
    let second = second.unwrap().value.id.to_string();
    assert!(several.contains(&second), "{several}");
    assert!(here.gitfaas(&["user", "set", &second, "--labels", "gpu"]).status.success());
    assert_eq!(here.ada().await.labels, labels(&[]), "the other one was not given anything");

    assert!(wrong(&["ada@example.com"], 2).contains("--labels"));
    let bad = wrong(&["ada@example.com", "--labels", "gpu,a.b"], 2);
    assert!(bad.contains("\"a.b\": must be 1 to 48 letters"), "{bad}");
}

#[test]
fn without_nats_it_is_said_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path()).args(["user", "show", "ada@example.com"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("GITFAAS_NATS_URL: not set"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_limit_is_given_where_it_fits_and_taken_back() {
    let here = Installation::start().await;
    let set = |limit: &str| here.gitfaas(&["user", "set", "ada@example.com", "--limit", limit]);
    assert!(set("logs=100m").status.success());
    assert!(set("repos=500").status.success());
    let given = here.ada().await.limits;
    assert_eq!((given[&Resource::Logs], given[&Resource::Repos]), (100 << 20, 500));
    assert_eq!(here.noted().await.unwrap().detail.as_deref(), Some("limits: repos=500"));
    let shown = stdout(&here.gitfaas(&["user", "show", "ada@example.com"]));
    assert!(shown.ends_with("limit   repos=500\nlimit   logs=104857600\n"), "{shown}");
    for (limit, why) in [
        ("logs=50g", "more than GITFAAS_STORE_LOGS holds"),
        ("logs=0", "must be 2"),
        ("repos=0", "must be 1 at least"),
        ("jobs=5", "is none of queued, repos"),
    ] {
        let refused = set(limit);
        assert!(!refused.status.success() && stderr(&refused).contains(why), "{}", stderr(&refused));
    }
    assert_eq!(here.ada().await.limits, given, "what is refused changes nothing");
    assert!(set("logs=usual").status.success());
    assert!(!here.ada().await.limits.contains_key(&Resource::Logs));
}
