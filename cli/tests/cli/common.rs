//! Runs the binary, and a nats-server for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `gitfaas` with an environment of its own and a data directory below `dir`.
pub(crate) fn gitfaas(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitfaas"));
    command.env_clear().env("GITFAAS_DATA_DIR", dir.join("data")).env("PATH", path()).stdin(Stdio::null());
    command.env("XDG_CONFIG_HOME", dir.join("config"));
    command
}

/// The folder of the nats-server, and the system's.
fn path() -> String {
    format!("{}:/usr/local/bin:/usr/bin:/bin", nats_server().parent().unwrap().display())
}

pub(crate) fn nats_server() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/nats");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A nats-server of one test, gone with it.
pub(crate) struct Nats {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn nats(dir: &Path) -> Nats {
    let child = Command::new(nats_server())
        .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
        .arg(dir.join("store"))
        .arg("--ports_file_dir")
        .arg(dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports = dir.join(format!("nats-server_{}.ports", child.id()));
    let read = || {
        let ports: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&ports).ok()?).ok()?;
        Some(ports["nats"][0].as_str()?.to_owned())
    };
    Nats { url: until(Duration::from_secs(20), read), child }
}

/// Polls until there is a value, or panics after the timeout.
pub(crate) fn until<T>(timeout: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(began.elapsed() < timeout, "no value after {timeout:?}");
        std::thread::yield_now();
    }
}
