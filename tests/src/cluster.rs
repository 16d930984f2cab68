//! The service as separate processes on one NATS, so that one of them can be stopped or killed.

use std::{net::TcpListener, ops::Deref, path::Path, process::Command};

use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt as _;
use tempfile::TempDir;

use crate::{
    api::Api,
    config,
    docker::Containers,
    docker_semaphore::{self, DockerPermit},
    fake_forge::FakeForge,
    function::Function,
    ledger::Address,
    program::Program,
    repository::Repository,
    service::{gitfaas, register, remove, settings, token},
    waiting::{ASK_AGAIN, START, within},
};

/// A NATS, a gateway, an observer and two workers with one slot each.
///
/// Fields go in this order: NATS outlives those who need it, the forge and the folder all of them.
#[derive(Debug)]
pub struct Cluster {
    workers: Vec<(String, Option<Program>)>,
    gateway: Option<Program>,
    _observer: Program,
    _nats: Program,
    admin: Api,
    /// Where repositories are, and statuses go.
    pub forge: FakeForge,
    /// What it has on the Docker daemon.
    pub containers: Containers,
    settings: Vec<(String, String)>,
    rest: Rest,
    address: Address,
}

#[derive(Debug)]
struct Rest {
    dir: TempDir,
    containers: Option<Containers>,
    _permit: DockerPermit,
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(containers) = self.containers.take() {
            remove(containers);
        }
    }
}

impl Deref for Cluster {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.admin
    }
}

impl Cluster {
    /// Everything, ready.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with settings of its own.
    pub async fn start_with(wishes: &[(&str, &str)]) -> Self {
        let permit = docker_semaphore::acquire().await;
        let forge = FakeForge::start().await;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut rest = Rest { dir, containers: None, _permit: permit };
        let path = rest.dir.path();
        let address = address();
        let nats = nats(path, &address).await;

        let url = address.url_with_credentials();
        let mut settings =
            settings(&forge, &path.join("gateway"), &[&[("GITFAAS_NATS_URL", &*url)], wishes].concat());
        let gateway = Program::start("gateway", gitfaas(&["gateway"], &settings), path);
        let url = gateway.ready().await;
        settings.push(("GITFAAS_LISTEN".to_owned(), url.trim_start_matches("http://").to_owned()));
        settings.push(("GITFAAS_WORKER_SLOTS".to_owned(), "1".to_owned()));
        let observer =
            Program::start("observer", gitfaas(&["observer"], &own(&settings, path, "observer")), path);
        let admin = Api::new(&url, Some(token(&settings, "admin@example.com", &["--admin"])));
        let containers = Containers::of(&address.installation().await).await;
        rest.containers = Some(containers.clone());
        let names = ["one".to_owned(), "two".to_owned()];
        let workers = names.map(|name| {
            let mut settings = own(&settings, path, &name);
            settings.push(("GITFAAS_WORKER_NAME".to_owned(), name.clone()));
            let worker = Program::start(&name, gitfaas(&["worker"], &settings), path);
            (name, Some(worker))
        });
        present(&address, &workers).await;
        Self {
            workers: workers.into(),
            gateway: Some(gateway),
            _observer: observer,
            _nats: nats,
            admin,
            forge,
            containers,
            settings,
            rest,
            address,
        }
    }

    /// Its NATS.
    pub fn nats(&self) -> &Address {
        &self.address
    }

    /// The worker of this name, which runs no more afterwards.
    pub fn take_worker(&mut self, name: &str) -> Program {
        let worker = self.workers.iter_mut().find(|(known, _)| known == name);
        worker.and_then(|(_, worker)| worker.take()).unwrap_or_else(|| panic!("no worker {name} runs"))
    }

    /// The gateway, which runs no more afterwards.
    pub fn take_gateway(&mut self) -> Program {
        self.gateway.take().expect("a gateway runs")
    }

    /// A gateway at the old one's address, with its data directory.
    pub async fn start_gateway(&mut self) {
        let gateway = Program::start("gateway", gitfaas(&["gateway"], &self.settings), self.rest.dir.path());
        assert_eq!(gateway.ready().await, self.admin.url);
        self.gateway = Some(gateway);
    }

    /// A plain user.
    pub fn user(&self, email: &str) -> Api {
        Api::new(&self.admin.url, Some(token(&self.settings, email, &[])))
    }

    /// A repository on the forge with one commit, not registered: its address.
    pub async fn function(&self, name: &str, function: Function) -> String {
        let repository = self.forge.repository(name).await;
        repository.push(function).await;
        repository.url
    }

    /// A repository on the forge that the admin has registered, with our hook.
    pub async fn registered(&self, name: &str) -> Repository {
        let repository = self.forge.repository(name).await;
        let registration = register(&self.admin, &repository.url).await;
        repository.hooked(registration).await
    }
}

/// The settings with a data directory of one's own.
fn own(settings: &[(String, String)], dir: &Path, name: &str) -> Vec<(String, String)> {
    let data_dir = dir.join(name).to_str().expect("a temporary folder has a plain name").to_owned();
    [settings, &[("GITFAAS_DATA_DIR".to_owned(), data_dir)]].concat()
}

fn address() -> Address {
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let password = format!("p{}", uuid::Uuid::now_v7().simple());
    Address { url: format!("nats://{free}"), user: "tests".to_owned(), password }
}

/// A NATS that answers.
async fn nats(dir: &Path, address: &Address) -> Program {
    let (file, store) = (dir.join("nats.conf"), dir.join("nats"));
    let text = format!(
        "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: {:?}, max_file_store: 100GB }}\n\
         authorization {{ user: {:?}, password: {:?} }}\n",
        address.port(),
        store.display().to_string(),
        address.user,
        address.password,
    );
    std::fs::write(&file, text).expect("a file can be written");
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(&file).env("PATH", config::path());
    let nats = Program::start("nats", command, dir);
    let answering = async {
        let host = address.url.trim_start_matches("nats://");
        while tokio::net::TcpStream::connect(host).await.is_err() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    within(START, "NATS to answer", answering, async || nats.tail()).await;
    nats
}

/// Waits until all workers have told that they are there.
async fn present(address: &Address, workers: &[(String, Option<Program>)]) {
    let bucket = address.jetstream().await.get_key_value("workers").await.expect("gateways make the buckets");
    let mut missing: Vec<&str> = workers.iter().map(|(name, _)| name.as_str()).collect();
    let mut entries = bucket.watch_with_history(">").await.expect("a bucket can be watched");
    let coming = async {
        while !missing.is_empty() {
            let entry = entries.next().await.expect("NATS stays").expect("NATS answers");
            if entry.operation == Operation::Put {
                missing.retain(|name| *name != entry.key);
            }
        }
    };
    let tails = async || {
        workers.iter().filter_map(|(_, worker)| worker.as_ref().map(Program::tail)).collect::<Vec<_>>()
    };
    within(START, "both workers to be present", coming, tails).await;
}
