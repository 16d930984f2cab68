//! A NATS server with the users and permissions of `deploy/nats.conf`.

use std::{path::Path, process::Command, sync::Mutex};

use super::{Nats, run, server};

/// Every user's password is its name.
const PASSWORDS: [(&str, &str); 5] = [
    ("NATS_PASSWORD_GATEWAY", "gateway"),
    ("NATS_PASSWORD_WORKER_1", "worker-1"),
    ("NATS_PASSWORD_WORKER_2", "worker-2"),
    ("NATS_PASSWORD_OBSERVER", "observer"),
    ("NATS_PASSWORD_ROUTES", "routes"),
];

impl Nats {
    /// As in a deployment, where each role has a user of its own. Addresses and the cluster are left out.
    pub(crate) fn with_permissions() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/nats.conf");
        let text = std::fs::read_to_string(file).unwrap();
        let (_, users) = text.split_once("\nauthorization {").expect("the file names users");
        let store = folder.path().join("store");
        let text = format!(
            "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: {:?}, max_file_store: 100GB }}\nauthorization {{{users}",
            store.to_str().unwrap()
        );
        let config = folder.path().join("nats.conf");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(server());
        command.arg("-c").arg(config).envs(PASSWORDS);
        let (process, port) = run(command);
        Self { process: Mutex::new(process), port, folder, user: Some("gateway") }
    }
}
