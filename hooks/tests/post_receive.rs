//! The `post-receive` hook in a real bare repository, pushed to with real git, against a real server.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hooks::Forge;
use hooks::incoming::{Incoming, Push, delivery_id, event, parse};
use hooks::verify::verify_headers;
use jobs::Secret;

/// A secret that a careless shell would trip over.
const SECRET: &str = "it's a \"secret\" $HOME `id` \\n %s é";

/// What the gateway received, and what it is told to answer next (else 202).
#[derive(Clone, Default)]
struct Gateway {
    received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<(StatusCode, &'static str)>>>,
}

async fn take(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    gateway.received.lock().expect("not poisoned").push((headers, body));
    let accepted = r#"{"delivery":"d","verdict":"accepted","jobs":["01938f6e-0000-7000-8000-000000000001"]}"#;
    let answer = gateway.answers.lock().expect("not poisoned").pop_front();
    let (status, text) = answer.unwrap_or((StatusCode::ACCEPTED, accepted));
    (status, text.to_owned())
}

/// A gateway, a bare repository with the hook, and a clone to push from.
struct Site {
    gateway: Gateway,
    secret: String,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        Self::with_secret(SECRET).await
    }

    async fn with_secret(secret: &str) -> Self {
        let gateway = Gateway::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/webhooks/x", listener.local_addr().expect("bound"));
        let app = axum::Router::new().fallback(take).with_state(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let site =
            Self { gateway, secret: secret.to_owned(), folder: tempfile::tempdir().expect("a folder") };
        git(site.folder.path(), &["init", "-q", "--bare", "-b", "main", "hub.git"]);
        git(site.folder.path(), &["init", "-q", "-b", "main", "work"]);
        let hook = site.hub().join("hooks/post-receive");
        std::fs::create_dir_all(hook.parent().expect("inside the repository")).expect("a folder");
        std::fs::write(&hook, hooks::POST_RECEIVE).expect("written");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let clone_url = "https://git.example/team/hello.git";
        for (key, value) in
            [("url", url.as_str()), ("secret", secret), ("cloneurl", clone_url), ("backoff", "0")]
        {
            git(&site.hub(), &["config", &format!("gitfaas.{key}"), value]);
        }
        git(&site.work(), &["remote", "add", "origin", "../hub.git"]);
        site
    }

    fn hub(&self) -> PathBuf {
        self.folder.path().join("hub.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn answer(&self, status: u16, text: &'static str) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.gateway.answers.lock().expect("not poisoned").push_back((status, text));
    }

    /// Commits with a message and returns the commit's id.
    fn commit(&self, message: &[u8]) -> String {
        let file = self.folder.path().join("message");
        std::fs::write(&file, message).expect("written");
        let file = file.to_str().expect("a path");
        git(
            &self.work(),
            &["commit", "-q", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-F", file],
        );
        git(&self.work(), &["rev-parse", "HEAD"])
    }

    /// Commits a message that `git commit` would turn into UTF-8.
    fn commit_raw(&self, message: &[u8]) {
        self.commit(b"x");
        let mut object = git(&self.work(), &["cat-file", "commit", "HEAD"]).into_bytes();
        object.truncate(object.len() - 1);
        object.extend_from_slice(message);
        let file = self.folder.path().join("object");
        std::fs::write(&file, object).expect("written");
        let sha = git(&self.work(), &["hash-object", "-t", "commit", "-w", file.to_str().expect("a path")]);
        git(&self.work(), &["reset", "-q", "--hard", &sha]);
    }

    /// Pushes, and returns what the hook said. The push must succeed, whatever became of the delivery.
    fn push(&self, refs: &[&str]) -> String {
        let mut arguments = vec!["push", "-q", "origin"];
        arguments.extend(refs);
        said(git_all(&self.work(), &arguments).1)
    }

    /// What came in since the last time, each verified and understood.
    fn received(&self) -> Vec<Push> {
        let secret: Secret = self.secret.parse().expect("not empty");
        let received = std::mem::take(&mut *self.gateway.received.lock().expect("not poisoned"));
        let understood = received.iter().map(|(headers, body)| {
            let verified = verify_headers(Forge::Plain, &secret, headers, body).expect("signed");
            assert!(delivery_id(Forge::Plain, headers).is_some_and(|id| id.len() == 36));
            let event = event(Forge::Plain, headers).expect("an event");
            match parse(Forge::Plain, event, &verified).expect("understood") {
                Incoming::Push(push) => push,
                other => panic!("not a push: {other:?}"),
            }
        });
        understood.collect()
    }

    fn received_one(&self) -> Push {
        let mut received = self.received();
        assert_eq!(received.len(), 1);
        received.remove(0)
    }
}

/// The hook's own lines of what git prints.
fn said(output: String) -> String {
    let lines = output.lines().filter_map(|line| line.strip_prefix("remote: ")).map(str::trim_end);
    lines.filter(|line| line.starts_with("gitfaas:")).collect::<Vec<_>>().join("\n")
}

fn git_all(folder: &Path, arguments: &[impl AsRef<std::ffi::OsStr>]) -> (String, String) {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=dev", "-c", "user.email=dev@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("REMOTE_USER", "Zoë \"dev\"")
        .output()
        .expect("git is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    git_all(folder, arguments).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_made_moved_forced_and_removed() {
    let site = Site::new().await;
    let first = site.commit(b"first");
    assert_eq!(
        site.push(&["main"]),
        "gitfaas: refs/heads/main accepted, job 01938f6e-0000-7000-8000-000000000001"
    );
    let made = site.received_one();
    assert_eq!(made.reference.branch(), Some("main"));
    assert_eq!(
        (made.before, made.after.expect("made").to_string(), made.forced),
        (None, first.clone(), false)
    );
    assert_eq!(made.head_message.as_deref(), Some("first"));
    assert_eq!(made.pusher.as_deref(), Some("Zoë \"dev\""));
    assert_eq!(made.repository.full_name, "team/hello");
    assert_eq!(made.repository.clone_url.as_str(), "https://git.example/team/hello.git");
    assert_eq!(made.repository.default_branch.as_deref(), Some("main"));

    let second = site.commit(b"second [skip ci]");
    site.push(&["main"]);
    let moved = site.received_one();
    assert_eq!(moved.before.as_ref().map(ToString::to_string), Some(first.clone()));
    assert!(!moved.forced && moved.asks_to_skip());

    git(&site.work(), &["reset", "-q", "--hard", &first]);
    site.commit(b"other");
    site.push(&["-f", "main"]);
    let forced = site.received_one();
    assert!(forced.forced && forced.before.is_some_and(|before| before.as_str() == second));

    git(&site.work(), &["branch", "gone"]);
    site.push(&["gone"]);
    site.received_one();
    site.push(&["--delete", "gone"]);
    let removed = site.received_one();
    assert!(removed.is_deletion() && removed.before.is_some() && removed.head_message.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_both_kinds_are_told_with_what_they_point_to() {
    let site = Site::new().await;
    let commit = site.commit(b"release");
    git(&site.work(), &["tag", "light"]);
    git(&site.work(), &["tag", "-a", "-m", "words", "heavy"]);
    git(&site.work(), &["tag", "blob", &git(&site.work(), &["hash-object", "-w", "/dev/null"])]);
    site.push(&["light"]);
    let light = site.received_one();
    assert_eq!((light.reference.tag(), light.after.map(String::from)), (Some("light"), Some(commit)));
    site.push(&["heavy"]);
    let heavy = site.received_one();
    assert_eq!(
        heavy.after.map(String::from),
        Some(git(&site.work(), &["rev-parse", "heavy"])),
        "the tag object"
    );
    assert_eq!(heavy.head_message.as_deref(), Some("release"), "the commit's message");
    site.push(&["blob"]);
    assert_eq!(site.received_one().head_message, None, "no commit at all");
    site.push(&["--delete", "heavy"]);
    assert!(site.received_one().is_deletion());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_refs_of_one_push_are_several_deliveries() {
    let site = Site::new().await;
    site.commit(b"one");
    git(&site.work(), &["branch", "b"]);
    git(&site.work(), &["tag", "t"]);
    assert_eq!(site.push(&["main", "b", "t"]).lines().count(), 3);
    let ids: Vec<_> = site
        .gateway
        .received
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|(headers, _)| headers["x-github-delivery"].clone())
        .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let mut refs: Vec<String> = site.received().iter().map(|push| push.reference.to_string()).collect();
    refs.sort();
    assert_eq!(refs, ["refs/heads/b", "refs/heads/main", "refs/tags/t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_characters_arrive_as_they_are() {
    let site = Site::new().await;
    let message =
        "quote \" back\\slash \\n 100% %s $(id) `id` 'x'\n\ttab \u{1}\u{1f}\u{7f} é 日本 \u{1F980}\n";
    site.commit(message.as_bytes());
    for branch in ["a\"b'c", "$(id)", "`id`", "näme-日本-\u{1F980}", "100%s;x&y|z", "feature/a-b"] {
        git(&site.work(), &["branch", branch]);
        assert!(site.push(&[&format!("refs/heads/{branch}")]).contains("accepted"), "{branch}");
        let push = site.received_one();
        assert_eq!(push.reference.branch(), Some(branch));
        assert_eq!(push.head_message.as_deref(), Some(message));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_utf8_is_replaced_as_rust_would() {
    let site = Site::new().await;
    let messages: [&[u8]; 8] = [
        b"\xff\xfe",
        b"a\xc3",
        b"\xc3(",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf0\x9f\xa6x",
        b"\xc0\xaf\xf5",
        b"\xf4\x90\x80\x80",
    ];
    for message in messages {
        site.commit_raw(message);
        site.push(&["-f", "main"]);
        let replaced = String::from_utf8_lossy(message).into_owned();
        assert_eq!(site.received_one().head_message, Some(replaced));
    }
    let branch = std::ffi::OsStr::from_bytes(b"refs/heads/main:refs/heads/caf\xe9");
    git_all(&site.work(), &[std::ffi::OsStr::new("push"), "-q".as_ref(), "origin".as_ref(), branch]);
    assert_eq!(site.received_one().reference.branch(), Some("caf\u{fffd}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_megabyte_is_cut_and_still_sent() {
    let site = Site::new().await;
    site.commit("é".repeat(500_000).as_bytes());
    site.push(&["main"]);
    assert!(site.received_one().head_message.is_some_and(|message| message.starts_with("éé")));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_every_length_sign_right_from_a_file_too() {
    for length in [1, 63, 64, 65, 200] {
        let secret = "k".repeat(length);
        let site = Site::with_secret(&secret).await;
        site.commit(b"x");
        site.push(&["main"]);
        site.received_one();
        let file = site.folder.path().join("secret");
        std::fs::write(&file, format!("{secret}\n")).expect("written");
        git(&site.hub(), &["config", "--unset", "gitfaas.secret"]);
        git(&site.hub(), &["config", "gitfaas.secretfile", file.to_str().expect("a path")]);
        site.commit(b"y");
        site.push(&["main"]);
        site.received_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_gateway_is_tried_again_with_the_same_delivery() {
    let site = Site::new().await;
    site.answer(503, "");
    site.answer(500, "<html>");
    site.answer(429, "");
    site.commit(b"x");
    assert!(site.push(&["main"]).contains("accepted"));
    let received = site.gateway.received.lock().expect("not poisoned").clone();
    assert_eq!(received.len(), 4);
    assert!(received.windows(2).all(|pair| pair[0].0["x-github-delivery"] == pair[1].0["x-github-delivery"]));
    assert!(received.windows(2).all(|pair| pair[0].1 == pair[1].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_is_told_in_one_line_and_the_push_succeeds() {
    let site = Site::new().await;
    site.answer(202, r#"{"delivery":"d","verdict":"duplicate","jobs":["a","b"]}"#);
    site.answer(200, r#"{"delivery":"d", "verdict": "ignored", "reason": "branch not registered"}"#);
    site.answer(401, r#"{"message":"no"}"#);
    site.answer(403, r#"{"delivery":"d","verdict":"refused","reason":"names another repository"}"#);
    for _ in 0..4 {
        site.answer(502, "\u{1b}[31m<html>");
    }
    let mut lines = Vec::new();
    for message in ["a", "b", "c", "d", "e"] {
        site.commit(message.as_bytes());
        let line = site.push(&["main"]);
        lines.push(line.split_once("http://").map_or(line.clone(), |(before, after)| {
            format!("{before}URL {}", after.split_once(' ').expect("more words").1)
        }));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    gitfaas: refs/heads/main duplicate, job a,b
    gitfaas: refs/heads/main ignored: branch not registered
    gitfaas: refs/heads/main not delivered: URL answered 401
    gitfaas: refs/heads/main not delivered: URL answered 403: names another repository
    gitfaas: refs/heads/main not delivered: URL answered 502
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_out_of_reach_and_a_missing_setting_do_not_fail_the_push() {
    let site = Site::new().await;
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    git(&site.hub(), &["config", "gitfaas.url", &format!("http://127.0.0.1:{port}/")]);
    site.commit(b"a");
    assert!(site.push(&["main"]).starts_with("gitfaas: refs/heads/main not delivered: curl: (7)"));
    git(&site.hub(), &["config", "--unset", "gitfaas.secret"]);
    site.commit(b"b");
    assert_eq!(
        site.push(&["main"]),
        "gitfaas: not told: gitfaas.secret or gitfaas.secretfile must be configured"
    );
    git(&site.hub(), &["config", "--unset", "gitfaas.url"]);
    site.commit(b"c");
    assert_eq!(
        site.push(&["main"]),
        "gitfaas: not told: gitfaas.url and gitfaas.cloneurl must be configured"
    );
    assert!(site.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_shells_sign_and_quote_alike() {
    for shell in ["/bin/bash", "/bin/dash", "/bin/ksh", "/bin/mksh", "/bin/busybox sh"] {
        if !Path::new(shell.split(' ').next().expect("a path")).exists() {
            continue;
        }
        let site = Site::new().await;
        let hook = site.hub().join("hooks/post-receive");
        let script = hooks::POST_RECEIVE.replacen("#!/bin/sh", &format!("#!{shell}"), 1);
        std::fs::write(&hook, script).expect("written");
        site.commit(b"quote \" back\\slash \x01 \xc3\xa9");
        site.push(&["main"]);
        let message = site.received_one().head_message;
        assert_eq!(message.as_deref(), Some("quote \" back\\slash \u{1} é"), "{shell}");
    }
}

/// Every program that the hook starts is replaced by one that notes its arguments first.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_never_an_argument_of_a_program() {
    let site = Site::with_secret("hunter2hunter2").await;
    let bin = site.folder.path().join("bin");
    let notes = site.folder.path().join("arguments");
    std::fs::create_dir(&bin).expect("a folder");
    let system = |name: &str| {
        ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
    };
    for name in [
        "git", "openssl", "curl", "sed", "od", "tr", "head", "cat", "printf", "mv", "wc", "mktemp", "rm",
        "sleep",
    ] {
        let real = system(name).expect("installed");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >>'{}'\nexec {} \"$@\"\n",
            notes.display(),
            real.display()
        );
        std::fs::write(bin.join(name), script).expect("written");
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let hook = site.hub().join("hooks/post-receive");
    let text = std::fs::read_to_string(&hook).expect("read");
    let noting = text.replacen("set -u\n", &format!("set -u\nPATH={}:$PATH\n", bin.display()), 1);
    std::fs::write(&hook, noting).expect("written");
    site.commit(b"x");
    site.push(&["main"]);
    site.received_one();
    let notes = std::fs::read_to_string(notes).expect("noted");
    assert!(notes.contains("openssl dgst") && notes.contains("curl "));
    assert!(!notes.contains("hunter2") && !notes.contains("68756e74657232"), "{notes}");
}
