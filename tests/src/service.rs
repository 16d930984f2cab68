//! The whole service in one process, `gitfaas up`, with everything of its own.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    api::Api,
    config,
    docker::Containers,
    docker_semaphore::{self, DockerPermit},
    fake_forge::{self, FakeForge},
    function::Function,
    ledger::Address,
    program::Program,
    published::Published,
    repository::{Registration, Repository},
};

/// The secret of `/webhooks/github`.
pub const WEBHOOK_SECRET: &str = "It's a Secret to Everybody";
/// The secret of `/observer/stats`.
pub const ADMIN_SECRET: &str = "observers only";

/// A running service. It is its own admin: what an [`Api`] can, it can.
///
/// Fields go in this order: the program ends before its forge and its folder go.
#[derive(Debug)]
pub struct Service {
    up: Option<Program>,
    admin: Api,
    /// Where repositories are, and statuses go.
    pub forge: FakeForge,
    /// What it has on the Docker daemon.
    pub containers: Containers,
    settings: Vec<(String, String)>,
    rest: Rest,
}

/// What goes last.
#[derive(Debug)]
struct Rest {
    dir: TempDir,
    containers: Option<Containers>,
    _permit: DockerPermit,
}

impl Deref for Service {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.admin
    }
}

impl Service {
    /// A service with the usual settings.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A service with settings of its own.
    pub async fn start_with(wishes: &[(&str, &str)]) -> Self {
        Self::start_on(FakeForge::start().await, wishes).await
    }

    /// A service that is a GitHub App on this forge, and has no token of its own there.
    pub async fn start_as_app(forge: FakeForge, wishes: &[(&str, &str)]) -> Self {
        let app = forge.app_settings();
        let app = app.iter().map(|(name, value)| (*name, value.as_str()));
        let wishes: Vec<_> =
            app.chain([("GITFAAS_GITHUB_TOKEN", "")]).chain(wishes.iter().copied()).collect();
        Self::start_on(forge, &wishes).await
    }

    /// A service with this forge and settings of its own.
    pub async fn start_on(forge: FakeForge, wishes: &[(&str, &str)]) -> Self {
        let permit = docker_semaphore::acquire().await;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let settings = settings(&forge, &dir.path().join("data"), wishes);
        let mut rest = Rest { dir, containers: None, _permit: permit };
        let up = Program::start("up", gitfaas(&["up"], &settings), rest.dir.path());
        let url = up.ready().await;
        let token = token(&settings, "admin@example.com", &["--admin"]);
        let containers = Containers::of(&Address::read(&rest.data_dir()).installation().await).await;
        rest.containers = Some(containers.clone());
        Self { up: Some(up), admin: Api::new(&url, Some(token)), forge, containers, settings, rest }
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.rest.data_dir()
    }

    /// Its NATS.
    pub fn nats(&self) -> Address {
        Address::read(&self.data_dir())
    }

    /// The process.
    pub fn up(&self) -> &Program {
        self.up.as_ref().expect("it runs between two restarts")
    }

    /// Starts it again after its end, at the same address.
    pub async fn start_again(&mut self) {
        self.up = None;
        let listen = self.admin.url.trim_start_matches("http://").to_owned();
        self.settings.push(("GITFAAS_LISTEN".to_owned(), listen));
        let up = Program::start("up", gitfaas(&["up"], &self.settings), self.rest.dir.path());
        assert_eq!(up.ready().await, self.admin.url);
        self.up = Some(up);
    }

    /// Kills its NATS, as a crash would.
    pub fn kill_nats(&self) {
        end_nats_left_in(&self.data_dir());
    }

    /// A plain user.
    pub fn user(&self, email: &str) -> Api {
        Api::new(&self.admin.url, Some(token(&self.settings, email, &[])))
    }

    /// A client of the published interface.
    pub fn published(&self) -> Published {
        Published(self.admin.clone())
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

    /// The command line as the operator or a user would use it: what it printed.
    pub async fn gitfaas(&self, arguments: &[&str]) -> std::process::Output {
        self.gitfaas_with(arguments, &[]).await
    }

    /// The same with settings of its own.
    pub async fn gitfaas_with(&self, arguments: &[&str], wishes: &[(&str, &str)]) -> std::process::Output {
        let mut settings = self.settings.clone();
        settings.extend(wishes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        settings.push(("GITFAAS_URL".to_owned(), self.admin.url.clone()));
        settings.extend(self.admin.token.clone().map(|token| ("GITFAAS_TOKEN".to_owned(), token)));
        let command = gitfaas(arguments, &settings);
        tokio::process::Command::from(command).output().await.expect("gitfaas can be started")
    }
}

impl Rest {
    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        end_nats_left_in(&self.data_dir());
        if let Some(containers) = self.containers.take() {
            // `gitfaas run` is an installation of its own.
            if let Ok(local) = std::fs::read_to_string(self.data_dir().join("run/instance")) {
                remove(containers.instead(local.trim()));
            }
            remove(containers);
        }
    }
}

/// Registers a repository with a client's token.
pub async fn register(api: &Api, url: &str) -> Registration {
    let answer = api.post("/api/v1/repos", &json!({ "url": url })).await;
    let made = Api::json(answer, http::StatusCode::CREATED).await;
    serde_json::from_value(made).expect("a registration has id, webhook and secret")
}

/// The usual settings, and the wishes over them.
pub(crate) fn settings(forge: &FakeForge, data_dir: &Path, wishes: &[(&str, &str)]) -> Vec<(String, String)> {
    let usual = [
        ("GITFAAS_DATA_DIR", data_dir.to_str().expect("a temporary folder has a plain name")),
        ("GITFAAS_LISTEN", "127.0.0.1:0"),
        ("GITFAAS_OBSERVER_LISTEN", "127.0.0.1:0"),
        ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32"),
        ("GITFAAS_GITHUB_API_URL", &forge.url()),
        ("GITFAAS_GITHUB_TOKEN", fake_forge::TOKEN),
        ("GITFAAS_GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("GITFAAS_ADMIN_SECRET", ADMIN_SECRET),
        ("GITFAAS_WORKER_SLOTS", "2"),
        ("GITFAAS_SHUTDOWN_GRACE", "1s"),
    ];
    let all = usual.iter().chain(wishes);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The program with these settings and nothing else that is ours.
pub(crate) fn gitfaas(arguments: &[&str], settings: &[(String, String)]) -> Command {
    let mut command = Command::new(config::built("gitfaas"));
    command.args(arguments).env_clear().envs(config::environment());
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// A new token, made as an operator does it.
pub(crate) fn token(settings: &[(String, String)], email: &str, more: &[&str]) -> String {
    let arguments = [&["token", "create", "--user", email], more].concat();
    let output = gitfaas(&arguments, settings).output().expect("gitfaas can be started");
    assert!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
}

/// Removes containers and volumes from a place where nothing can be awaited.
pub(crate) fn remove(containers: Containers) {
    let removing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .expect("a runtime")
            .block_on(async { Containers::of(containers.instance()).await.remove_all().await });
    });
    let _ = removing.join();
}

/// Ends the NATS of an `up` that was killed: only the process that has this folder's configuration.
fn end_nats_left_in(data_dir: &Path) {
    let id = std::fs::read_to_string(data_dir.join("nats/nats.pid")).unwrap_or_default();
    let Ok(id) = id.trim().parse::<i32>() else { return };
    let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&command).contains(&*data_dir.to_string_lossy())
        && let Some(pid) = rustix::process::Pid::from_raw(id)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
