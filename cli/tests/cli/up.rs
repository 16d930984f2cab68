//! `gitfaas up` with a local NATS: it comes up, ends in order, and survives being killed.
//! Needs Docker, because there is no service without a worker.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{gitfaas, stderr, stdout, until};

/// A first start looks at the images and makes what every job needs.
const PATIENCE: Duration = Duration::from_secs(120);

struct Up {
    child: Child,
    url: String,
}

impl Drop for Up {
    /// Also when a test fails, so that neither NATS nor containers stay behind.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(self.child.id(), "-TERM");
            let _ = self.child.wait();
        }
    }
}

fn up(dir: &Path) -> Up {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("up.log")).unwrap();
    let mut child = gitfaas(dir)
        .arg("up")
        .env("GITFAAS_LISTEN", "127.0.0.1:0")
        .env("GITFAAS_WORKER_SLOTS", "1")
        .env("GITFAAS_ADMIN_SECRET", "of-the-operator")
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = || std::fs::read_to_string(dir.join("up.log")).unwrap();
    let url = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}: {}", said())).to_owned();
    Up { child, url }
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The server writes its file anew when it starts, so it may be empty for a moment.
fn nats_pid(dir: &Path) -> Option<u32> {
    std::fs::read_to_string(dir.join("data/nats/nats.pid")).ok()?.trim().parse().ok()
}

fn is_running(pid: u32) -> bool {
    // A process that has ended and was not waited for has no command line any more.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn exit_code(up: &mut Up) -> Option<i32> {
    until(PATIENCE, || up.child.try_wait().unwrap()).code()
}

#[test]
fn it_comes_up_is_alone_survives_kill_9_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = up(dir.path());
    assert!(first.url.starts_with("http://127.0.0.1:"), "{}", first.url);
    let nats = nats_pid(dir.path()).unwrap();
    assert!(is_running(nats));
    let environment = String::from_utf8(std::fs::read(format!("/proc/{nats}/environ")).unwrap()).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("GITFAAS_"), "{environment:?}");
    assert!(!environment.contains("of-the-operator"), "{environment:?}");

    let second = gitfaas(dir.path()).arg("up").env("GITFAAS_LISTEN", "127.0.0.1:0").output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another `gitfaas up` is running on"), "{}", stderr(&second));

    let token = gitfaas(dir.path()).args(["token", "create", "--user", "a@b.c"]).output().unwrap();
    assert!(token.status.success(), "{}", stderr(&token));
    let list = |url: &str| {
        let output = gitfaas(dir.path())
            .args(["list", "--json"])
            .env("GITFAAS_URL", url)
            .env("GITFAAS_TOKEN", stdout(&token).trim())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(list(&first.url), "[]\n");

    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(is_running(nats), "NATS outlives an `up` that was killed");
    let mut third = up(dir.path());
    assert_eq!(nats_pid(dir.path()), Some(nats), "and is taken over by the next one");
    assert_eq!(list(&third.url), "[]\n");

    signal(third.child.id(), "-TERM");
    assert_eq!(exit_code(&mut third), Some(0));
    until(PATIENCE, || (!is_running(nats)).then_some(()));
}

#[test]
fn a_nats_that_dies_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = up(dir.path());
    let nats = nats_pid(dir.path()).unwrap();
    signal(nats, "-KILL");
    let next = until(PATIENCE, || nats_pid(dir.path()).filter(|pid| *pid != nats));
    signal(up.child.id(), "-TERM");
    assert_eq!(exit_code(&mut up), Some(0));
    assert!(!is_running(next));
}
