//! The contents of NATS, as an operator sees them.

use std::{collections::BTreeMap, path::Path};

use async_nats::{ConnectOptions, jetstream};
use futures_util::TryStreamExt as _;
use serde::Deserialize;

/// What workers and observers write by themselves.
const ALWAYS_MOVING: &[&str] = &["KV_workers", "KV_locks", "KV_OBSERVER", "LEASES"];

/// Where a NATS is and how to get in; also what `up` writes to `nats.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    pub url: String,
    pub user: String,
    pub password: String,
}

impl Address {
    /// What `up` left in its data directory.
    pub fn read(data_dir: &Path) -> Self {
        let text = std::fs::read(data_dir.join("nats.json")).expect("up writes nats.json before it is ready");
        serde_json::from_slice(&text).expect("nats.json has an address")
    }

    /// With the credentials in it.
    pub fn url_with_credentials(&self) -> String {
        self.url.replacen("://", &format!("://{}:{}@", self.user, self.password), 1)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address has a port")
    }

    /// JetStream there.
    pub async fn jetstream(&self) -> jetstream::Context {
        let options = ConnectOptions::with_user_and_password(self.user.clone(), self.password.clone());
        jetstream::new(options.connect(&self.url).await.expect("NATS lets the operator in"))
    }

    /// The id of the installation.
    pub async fn installation(&self) -> String {
        let meta = self.jetstream().await.get_key_value("meta").await.expect("gateways make the buckets");
        let entry = meta.get("installation").await.expect("NATS answers").expect("gateways write it first");
        let value: serde_json::Value = serde_json::from_slice(&entry).expect("it is JSON");
        value["id"].as_str().expect("it has an id").to_owned()
    }

    /// How many messages lie in a stream; of a bucket, how many keys.
    pub async fn messages(&self, stream: &str) -> u64 {
        let stream = self.jetstream().await.get_stream(stream).await.expect("gateways make the streams");
        stream.cached_info().state.messages
    }

    /// How many messages each stream has taken since it was made, without those that move by
    /// themselves: equal before and after means that nothing was written.
    pub async fn written(&self) -> BTreeMap<String, u64> {
        let js = self.jetstream().await;
        let streams: Vec<_> = js.streams().try_collect().await.expect("NATS lists streams");
        let mut written: BTreeMap<_, _> =
            streams.into_iter().map(|info| (info.config.name, info.state.last_sequence)).collect();
        written.retain(|name, _| !ALWAYS_MOVING.contains(&name.as_str()));
        written
    }
}
