//! The observer against a real NATS: its numbers are those of the records, also after a restart.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use jobs::{JobSpec, Ledger, UserId, connect::NatsSettings, streams};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A nats-server of this test's own, gone with it.
struct Nats {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nats_server() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/nats");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

async fn nats() -> Nats {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(nats_server())
        .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
        .arg(dir.path().join("store"))
        .arg("--ports_file_dir")
        .arg(dir.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports = dir.path().join(format!("nats-server_{}.ports", child.id()));
    let url = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<Value>(&text) {
                return ports["nats"][0].as_str().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    });
    Nats { url: url.await.unwrap(), child, _dir: dir }
}

async fn client(nats: &Nats) -> async_nats::Client {
    let settings = NatsSettings {
        url: nats.url.clone(),
        user: None,
        creds: None,
        ca_bundle: None,
        name: "test".to_owned(),
    };
    jobs::connect::connect(&settings).await.unwrap()
}

/// The published statistics, once they say so many requests.
async fn statistics(ledger: &Ledger, requests: u64) -> Value {
    let mut watch = ledger.observer.watch(0).await.unwrap();
    let found = async {
        while let Some(entry) = watch.next().await {
            let entry = entry.unwrap();
            let value: Value = serde_json::from_slice(&entry.value).unwrap();
            if entry.key == "now" && value["requests"] == requests {
                return value;
            }
        }
        panic!("the watch ended")
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap()
}

#[tokio::test]
async fn what_it_publishes_is_what_the_ledger_holds_also_after_a_restart() {
    let nats = nats().await;
    let client = client(&nats).await;
    let js = jobs::connect::jetstream(&client);
    streams::ensure(&js, &streams::Settings::default()).await.unwrap();
    let ledger = Ledger::open(&client, Duration::from_secs(5)).await.unwrap();
    let submit = || ledger.submit(JobSpec::call(UserId::new(), "https://example.com/r.git"));
    let observe = || {
        let stop = CancellationToken::new();
        let config = observer::Config::read(&|_| Some("127.0.0.1:0".to_owned())).unwrap();
        (tokio::spawn(observer::serve(config, client.clone(), None, stop.clone())), stop)
    };

    for _ in 0..3 {
        submit().await.unwrap();
    }
    let (first, stop) = observe();
    assert_eq!(statistics(&ledger, 3).await["completed"], 0);
    let refused = submit().await.unwrap();
    ledger
        .end(refused.value.spec.id, &jobs::Outcome::wished(jobs::Cause::Cancelled, "cancelled"))
        .await
        .unwrap();
    assert_eq!(statistics(&ledger, 4).await["completed"], 0);
    stop.cancel();
    first.await.unwrap().unwrap();

    submit().await.unwrap();
    let (second, stop) = observe();
    let after = statistics(&ledger, 5).await;
    assert!(after["averageRequests"].as_f64().unwrap() > 0.0);
    assert_eq!(after["averageTime"], 0.0);
    stop.cancel();
    second.await.unwrap().unwrap();

    let keys = ledger.observer.keys().await.unwrap();
    assert!(keys.iter().any(|key| key.parse::<i64>().is_ok()), "{keys:?}");
}

#[tokio::test]
async fn what_could_not_be_published_is_published_soon_after() {
    let nats = nats().await;
    let client = client(&nats).await;
    let js = jobs::connect::jetstream(&client);
    let settings = streams::Settings::default();
    streams::ensure(&js, &settings).await.unwrap();
    let ledger = Ledger::open(&client, Duration::from_secs(5)).await.unwrap();
    let stop = CancellationToken::new();
    let config = observer::Config::read(&|_| Some("127.0.0.1:0".to_owned())).unwrap();
    let observing = tokio::spawn(observer::serve(config, client.clone(), None, stop.clone()));
    statistics(&ledger, 0).await;

    js.delete_stream(format!("KV_{}", streams::OBSERVER)).await.unwrap();
    let mut refused = client.subscribe(format!("$KV.{}.now", streams::OBSERVER)).await.unwrap();
    client.flush().await.unwrap();
    ledger.submit(JobSpec::call(UserId::new(), "https://example.com/r.git")).await.unwrap();
    let with_the_job = async {
        loop {
            let message = refused.next().await.unwrap();
            let value: Value = serde_json::from_slice(&message.payload).unwrap();
            if value["requests"] == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), with_the_job).await.unwrap();
    streams::ensure(&js, &settings).await.unwrap();
    assert_eq!(statistics(&ledger, 1).await["completed"], 0);
    stop.cancel();
    observing.await.unwrap().unwrap();
}
