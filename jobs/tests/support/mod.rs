//! A real nats-server for one test: own directory, free port, ended with the test.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jobs::{
    Ledger,
    connect::{NatsSettings, connect, jetstream},
    streams::{self, Settings},
};

/// A server that takes longer than this to start is not coming.
const START: Duration = Duration::from_secs(20);

pub(crate) struct Nats {
    server: Option<Child>,
    /// Empty before its first start.
    url: String,
    dir: tempfile::TempDir,
}

impl Nats {
    pub(crate) fn start() -> Self {
        let mut nats = Self { server: None, url: String::new(), dir: tempfile::tempdir().unwrap() };
        nats.start_again();
        nats
    }

    /// Starts it where it was, on what it has stored.
    pub(crate) fn start_again(&mut self) {
        let port = if self.url.is_empty() { "-1" } else { self.url.rsplit(':').next().unwrap() };
        let server = Command::new(program())
            .args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"])
            .arg(self.dir.path().join("store"))
            .arg("--ports_file_dir")
            .arg(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts; scripts/nats makes it available");
        self.server = Some(server);
        if self.url.is_empty() {
            self.url = address(self.dir.path());
        }
    }

    /// Kills it, as a crash would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// A ledger with all its streams.
    pub(crate) async fn ledger(&self) -> Ledger {
        let settings = NatsSettings {
            url: self.url.clone(),
            user: None,
            creds: None,
            ca_bundle: None,
            name: "test".to_owned(),
        };
        let client = connect(&settings).await.unwrap();
        streams::ensure(&jetstream(&client), &Settings::default()).await.unwrap();
        Ledger::open(&client, START).await.unwrap()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server that `scripts/nats` brought, else the one in PATH.
fn program() -> PathBuf {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local/bin/nats-server");
    if local.exists() { local } else { PathBuf::from("nats-server") }
}

/// The server writes its ports to a file once it listens.
fn address(dir: &Path) -> String {
    let begun = Instant::now();
    loop {
        let ports = std::fs::read_dir(dir)
            .unwrap()
            .filter_map(Result::ok)
            .find(|entry| entry.path().extension().is_some_and(|e| e == "ports"));
        if let Some(ports) = ports
            && let Ok(text) = std::fs::read_to_string(ports.path())
            && let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
            && let Some(url) = json["nats"][0].as_str()
        {
            return url.to_owned();
        }
        assert!(begun.elapsed() < START, "nats-server did not start");
        std::thread::yield_now();
    }
}
