//! A sandbox of its own for one test, with one slot, and what can be asked of it.

#![expect(clippy::unwrap_used, reason = "a helper of tests, where a panic is the message")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hooks::address::Allow;
use jobs::{JobId, LogSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use worker::environments::Environment;
use worker::runner::{Inputs, Runner};
use worker::sandbox::{
    CacheScope, Chunk, End, Expiry, JobTag, Limits, Network, PrepareError, PrepareRequest, Prepared, Program,
    Sandbox, SandboxConfig, SandboxError, StartGate,
};
use worker::source::Tree;

/// How many tests may use the daemon at once.
static TURNS: std::sync::LazyLock<Arc<Semaphore>> = std::sync::LazyLock::new(|| Arc::new(Semaphore::new(2)));

pub(crate) struct House {
    sandbox: Sandbox,
    config: SandboxConfig,
    dir: tempfile::TempDir,
    _sweeper: Sweeper,
    _turn: OwnedSemaphorePermit,
}

/// Removes what a failed test leaves: nobody else will, since its installation is never seen again.
struct Sweeper(String);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = r#"docker ps -aq --filter "$0" | xargs -r docker rm -f; docker volume ls -q --filter "$0" | xargs -r docker volume rm"#;
            let _ = std::process::Command::new("sh").args(["-c", script, &self.0]).output();
        }
    }
}

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) ours: Vec<u8>,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
    pub(crate) fn notes(&self) -> String {
        String::from_utf8_lossy(&self.ours).into_owned()
    }
}

/// Small ones, so that nothing takes long.
pub(crate) fn limits() -> Limits {
    Limits {
        time: Duration::from_secs(20),
        memory_bytes: 128 << 20,
        disk_bytes: 32 << 20,
        cpu_millis: 1000,
        output_bytes: 4 << 20,
        network: Network::Egress,
    }
}

/// Those of a manifest that names none.
pub(crate) fn usual() -> Limits {
    Limits { memory_bytes: 512 << 20, disk_bytes: 512 << 20, ..limits() }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::build(Allow::none(), None, Allow::none()).await
    }

    /// One whose programs may reach these addresses besides public ones.
    pub(crate) async fn allowing(list: &str) -> Self {
        Self::build(list.parse().unwrap(), None, Allow::none()).await
    }

    /// One whose programs trust these certificates besides their image's.
    pub(crate) async fn trusting(bundle: &[u8]) -> Self {
        Self::build(Allow::none(), Some(bundle), Allow::none()).await
    }

    /// One whose *prepare* reaches registries as the operator of this machine says.
    #[expect(
        clippy::disallowed_methods,
        reason = "what the network needs is told to the service the same way"
    )]
    pub(crate) async fn with_registries() -> Self {
        let bundle = std::env::var("GITFAAS_CA_BUNDLE").ok().map(|path| std::fs::read(path).unwrap());
        let allow = std::env::var("GITFAAS_PREPARE_ALLOW").unwrap_or_default().parse().unwrap();
        Self::build(Allow::none(), bundle.as_deref(), allow).await
    }

    async fn build(run_allow: Allow, ca: Option<&[u8]>, prepare_allow: Allow) -> Self {
        let turn = TURNS.clone().acquire_owned().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca_bundle = ca.map(|ca| {
            let path = dir.path().join("ca.pem");
            std::fs::write(&path, ca).unwrap();
            path
        });
        let config = SandboxConfig {
            docker_host: None,
            runtime: None,
            instance: format!("test-{}", JobId::new()),
            worker: "w".to_owned(),
            data_dir: dir.path().to_owned(),
            proxy_volume: None,
            slots: 1,
            image_prefix: "gitfaas".to_owned(),
            runner_images: None,
            ca_bundle,
            prepare_allow,
            run_allow,
            prepare_hosts: Vec::new(),
            prepare_timeout: Duration::from_secs(60),
            prepare_memory_bytes: 512 << 20,
            prepare_disk_bytes: 256 << 20,
            max_output_bytes: 1 << 20,
            disk: worker::disk_quota::DiskQuota::new(1 << 30),
        };
        let sweeper = Sweeper(format!("label=gitfaas.instance={}", config.instance));
        let sandbox = Sandbox::start(config.clone()).await.unwrap();
        assert!(sandbox.runner("python").is_some(), "missing images: {:?}", sandbox.missing());
        Self { sandbox, config, dir, _sweeper: sweeper, _turn: turn }
    }

    fn runner(&self) -> Arc<Runner> {
        self.sandbox.runner("python").unwrap().clone()
    }

    pub(crate) fn image(&self) -> &str {
        &self.sandbox.runner("python").unwrap().image
    }

    pub(crate) async fn python(&self, script: &str, args: &[&str], limits: Limits) -> Outcome {
        self.run(script, args, limits, CancellationToken::new()).await.unwrap()
    }

    pub(crate) async fn python_in(&self, script: &str, environment: Option<Environment>) -> Outcome {
        let program = Program { environment, ..self.program(script, &[], limits()) };
        self.start(program, CancellationToken::new(), |_| async {}).await.unwrap()
    }

    pub(crate) async fn run(
        &self,
        script: &str,
        args: &[&str],
        limits: Limits,
        stop: CancellationToken,
    ) -> Result<Outcome, SandboxError> {
        self.start(self.program(script, args, limits), stop, |_| async {}).await
    }

    /// Calls `then` with the container's name at the first output.
    pub(crate) async fn watch<F: Future<Output = ()>>(
        &self,
        script: &str,
        limits: Limits,
        stop: CancellationToken,
        then: impl Fn(String) -> F,
    ) -> Outcome {
        self.start(self.program(script, &[], limits), stop, then).await.unwrap()
    }

    fn program(&self, script: &str, args: &[&str], limits: Limits) -> Program {
        let mut argv = vec!["/opt/gitfaas/run".to_owned(), "main.py".to_owned()];
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        Program {
            runner: self.runner(),
            argv,
            env: vec![("GREETING".to_owned(), "hello".to_owned())],
            tree: tree("main.py", script.as_bytes()),
            input: Bytes::new(),
            environment: None,
            limits,
        }
    }

    /// Runs a program that may begin once the gate is passed.
    pub(crate) async fn gated(&self, script: &str, gate: &StartGate<'_>) -> Outcome {
        let program = self.program(script, &[], limits());
        self.start_gated(program, CancellationToken::new(), |_| async {}, Some(gate)).await.unwrap()
    }

    async fn start<F: Future<Output = ()>>(
        &self,
        program: Program,
        stop: CancellationToken,
        then: impl Fn(String) -> F,
    ) -> Result<Outcome, SandboxError> {
        self.start_gated(program, stop, then, None).await
    }

    async fn start_gated<F: Future<Output = ()>>(
        &self,
        program: Program,
        stop: CancellationToken,
        then: impl Fn(String) -> F,
        gate: Option<&StartGate<'_>>,
    ) -> Result<Outcome, SandboxError> {
        let tag = JobTag { job: JobId::new(), attempt: 1 };
        let (sender, mut output) = mpsc::channel(16);
        let slot = self.sandbox.slot(0);
        let running = slot.run(&tag, program, sender, stop, gate);
        let reading = async {
            let (mut stdout, mut stderr, mut ours) = (Vec::new(), Vec::new(), Vec::new());
            let mut is_first = true;
            while let Some(Chunk { source, bytes, .. }) = output.recv().await {
                match source {
                    LogSource::Stdout => stdout.extend(bytes),
                    LogSource::Stderr => stderr.extend(bytes),
                    LogSource::Gitfaas => ours.extend(bytes),
                }
                if std::mem::take(&mut is_first) {
                    then(format!("gitfaas-{}-1", tag.job)).await;
                }
            }
            (stdout, stderr, ours)
        };
        let (end, (stdout, stderr, ours)) = tokio::join!(running, reading);
        Ok(Outcome { end: end?, stdout, stderr, ours })
    }

    pub(crate) fn prepare_request(
        &self,
        requirements: &str,
        cache_scope: &str,
        expiry: Expiry,
    ) -> PrepareRequest {
        PrepareRequest {
            runner: self.runner(),
            inputs: tree("requirements.txt", requirements.as_bytes()),
            env: vec![("GITFAAS_REQUIREMENTS_FILE".to_owned(), "requirements.txt".to_owned())],
            cache_scope: CacheScope::new("a", cache_scope.to_owned()),
            expiry,
        }
    }

    /// Prepares these files in a language, and tells what was said if it did not work.
    pub(crate) async fn prepare_files(&self, language: &str, files: &[(&str, &str)]) -> Environment {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        let request = PrepareRequest {
            runner: self.sandbox.runner(language).unwrap().clone(),
            inputs: Tree::from_tar(Bytes::from(tar.into_inner().unwrap())),
            ..self.prepare_request("", "main", Expiry::Daily)
        };
        let (prepared, log) = self.prepare(request).await;
        prepared.unwrap_or_else(|error| panic!("{language}: {error}: {log}")).environment
    }

    pub(crate) async fn prepare(&self, request: PrepareRequest) -> (Result<Prepared, PrepareError>, String) {
        let tag = JobTag { job: JobId::new(), attempt: 1 };
        let (sender, mut output) = mpsc::channel(16);
        let slot = self.sandbox.slot(0);
        let preparing = slot.prepare(&tag, request, sender, CancellationToken::new());
        let reading = async {
            let mut log = Vec::new();
            while let Some(chunk) = output.recv().await {
                log.extend(chunk.bytes);
            }
            String::from_utf8_lossy(&log).into_owned()
        };
        tokio::join!(preparing, reading)
    }

    pub(crate) async fn wait_until_warm(&self) {
        warm(&self.sandbox).await;
    }

    /// Prepares and runs the sample of a language, as its `runner.toml` says.
    pub(crate) async fn hello(&self, language: &str) -> Outcome {
        let runner = self.sandbox.runner(language).unwrap().clone();
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../runner-images")
            .join(language)
            .join("hello");
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all("", sample).unwrap();
        let tree = Tree::from_tar(Bytes::from(tar.into_inner().unwrap()));
        let mut environment = None;
        if runner.prepare.as_ref().is_some_and(|prepare| prepare.inputs == Inputs::Tree) {
            let inputs = tree.clone();
            let (env, cache_scope) = (Vec::new(), CacheScope::new("a", "main".to_owned()));
            let request =
                PrepareRequest { runner: runner.clone(), inputs, env, cache_scope, expiry: Expiry::Never };
            let (prepared, log) = self.prepare(request).await;
            environment = Some(prepared.unwrap_or_else(|error| panic!("{error}: {log}")).environment);
        }
        let mut argv = Runner::fill_in(&runner.run, |field| (field == "mainFile").then_some("main.py"));
        argv.push("a b".to_owned());
        let program = Program {
            runner,
            argv,
            env: Vec::new(),
            tree,
            input: Bytes::new(),
            environment,
            limits: usual(),
        };
        self.start(program, CancellationToken::new(), |_| async {}).await.unwrap()
    }

    pub(crate) fn instance(&self) -> &str {
        &self.config.instance
    }

    /// Reaps with one answer about attempts and one about all other workers.
    pub(crate) async fn reap(&self, is_over: impl Fn(JobId) -> bool, unseen: Option<Duration>) {
        let is_over = |job, _| std::future::ready(is_over(job));
        self.sandbox.reap(is_over, |_| unseen).await.unwrap();
    }

    /// Another worker of the same installation.
    pub(crate) async fn neighbour(&self) -> (Sandbox, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().to_owned();
        let config = SandboxConfig { worker: "neighbour".to_owned(), data_dir, ..self.config.clone() };
        let neighbour = Sandbox::start(config).await.unwrap();
        warm(&neighbour).await;
        (neighbour, dir)
    }

    /// Containers and volumes of this installation.
    pub(crate) async fn things(&self) -> Vec<String> {
        self.list(&format!("label=gitfaas.instance={}", self.config.instance)).await
    }

    /// Those of one of its workers.
    pub(crate) async fn things_of(&self, worker: &str) -> Vec<String> {
        let mut things = Vec::new();
        let of_worker = self.list(&format!("label=gitfaas.worker={worker}")).await;
        for thing in self.things().await {
            if of_worker.contains(&thing) {
                things.push(thing);
            }
        }
        things
    }

    async fn list(&self, filter: &str) -> Vec<String> {
        let containers = docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            filter,
            "--format",
            "container {{.ID}} {{.Names}}",
        ])
        .await;
        let volumes = docker(&["volume", "ls", "--filter", filter, "--format", "volume {{.Name}}"]).await;
        containers.lines().chain(volumes.lines()).map(str::to_owned).collect()
    }

    /// Another process in the place of one that was killed: nothing is removed before it starts.
    pub(crate) async fn crash_and_start_again(self) -> Self {
        let Self { sandbox, config, dir, _sweeper, _turn } = self;
        std::mem::forget(sandbox);
        let sandbox = Sandbox::start(config.clone()).await.unwrap();
        Self { sandbox, config, dir, _sweeper, _turn }
    }

    /// Stops, and looks whether anything but prepared environments is left; removes these.
    pub(crate) async fn leave(self) {
        self.sandbox.clone().stop().await;
        let left = self.things().await;
        let is_cache = |thing: &String| thing.starts_with("volume gitfaas-cache-");
        assert!(left.iter().all(is_cache), "{left:?}");
        let volumes: Vec<_> = left.iter().filter_map(|thing| thing.strip_prefix("volume ")).collect();
        if !volumes.is_empty() {
            docker(&[&["volume", "rm"], volumes.as_slice()].concat()).await;
        }
        drop(self.dir);
    }
}

/// Until every usual kind of container waits.
async fn warm(sandbox: &Sandbox) {
    while sandbox.waiting() < sandbox.runners().len() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tree(path: &str, content: &[u8]) -> Tree {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).unwrap();
    Tree::from_tar(Bytes::from(tar.into_inner().unwrap()))
}

/// Removes everything that has a label.
pub(crate) async fn sweep(filter: &str) {
    sweep_containers(filter).await;
    let volumes = docker(&["volume", "ls", "-q", "--filter", filter]).await;
    remove(&["volume", "rm"], &volumes).await;
}

/// Removes all containers that have a label.
pub(crate) async fn sweep_containers(filter: &str) {
    let containers = docker(&["ps", "-aq", "--filter", filter]).await;
    remove(&["rm", "-f"], &containers).await;
}

async fn remove(command: &[&str], found: &str) {
    let found: Vec<_> = found.split_whitespace().collect();
    if !found.is_empty() {
        docker(&[command, &found].concat()).await;
    }
}

/// Docker's own client, as an eye that is not ours.
pub(crate) async fn docker(args: &[&str]) -> String {
    let output = tokio::process::Command::new("docker").args(args).output().await.unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Something on loopback of this machine that a program should not reach unless it is allowed.
pub(crate) async fn http_server() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nserved")
                .await;
        }
    });
    (port, serving)
}
