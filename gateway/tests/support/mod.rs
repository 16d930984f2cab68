//! A gateway on a real NATS server, and the helpers of the tests.

#![expect(dead_code, reason = "each test file uses some of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

pub(crate) mod chromium;
pub(crate) mod described;
pub(crate) mod function;
pub(crate) mod git_server;
pub(crate) mod nats_permissions;

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::Client;
use described::RequestBuilder;
use gateway::Config;
use jobs::{
    Claim, Job, JobId, Ledger, LogSource, Outcome, Phase, Repo, Secret,
    accounts::{ALL_SCOPES, OPERATOR, OwnerKind},
    bucket::{Bucket, Entry},
    connect::{NatsSettings, connect},
    log::LogWriter,
    queue::FairScheduler,
    slot_limit::SlotLimit,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A test that waits longer than this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The secret of `/webhooks/github` here.
pub(crate) const GITHUB_SECRET: &str = "of-the-app";

/// A `nats-server` of its own, ended on drop.
pub(crate) struct Nats {
    process: Mutex<Child>,
    port: String,
    folder: TempDir,
    /// The NATS user of a gateway, where the server authenticates.
    user: Option<&'static str>,
}

impl Nats {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // -1: any port that is free.
        let (process, port) = launch(folder.path(), "-1");
        Self { process: Mutex::new(process), port, folder, user: None }
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_as(self.user).await
    }

    /// The client of this user, whose password is the name.
    pub(crate) async fn client_as(&self, user: Option<&str>) -> Client {
        let url = format!("nats://127.0.0.1:{}", self.port);
        let user = user.map(|user| (user.to_owned(), user.parse().unwrap()));
        let settings = NatsSettings { url, user, creds: None, ca_bundle: None, name: "test".to_owned() };
        connect(&settings).await.unwrap()
    }

    /// Dies, and comes back at the same port with what it had stored.
    pub(crate) fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        *process = launch(self.folder.path(), &self.port).0;
    }

    /// Stops answering, without closing a connection.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Answers again.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.lock().unwrap();
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Returns once the server says that it is ready, and where.
fn launch(folder: &Path, port: &str) -> (Child, String) {
    let mut command = Command::new(server());
    command.args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"]).arg(folder);
    run(command)
}

fn run(mut command: Command) -> (Child, String) {
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut found = None;
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            found = address.trim().rsplit(':').next().map(str::to_owned);
        }
        if line.contains("Server is ready") {
            break;
        }
    }
    // What it says from here on must be read, or it would block.
    std::thread::spawn(move || lines.for_each(drop));
    (process, found.expect("the server says where it listens"))
}

fn server() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(root.join("scripts/nats")).output().unwrap();
    assert!(output.status.success(), "scripts/nats: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A gateway that answers on a port of its own.
pub(crate) struct Service {
    pub(crate) nats: Arc<Nats>,
    pub(crate) ledger: Ledger,
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
    stop: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
    data_dir: Arc<TempDir>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these variables besides what every test has.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        Self::on(Arc::new(Nats::start()), Arc::new(tempfile::tempdir().unwrap()), variables).await
    }

    /// Another gateway of the same installation: the same NATS and the same master key.
    pub(crate) async fn another(&self) -> Self {
        self.another_with(&[]).await
    }

    /// The same with these variables.
    pub(crate) async fn another_with(&self, variables: &[(&str, &str)]) -> Self {
        let key = self.data_dir.path().join("master.key");
        let mut variables = variables.to_vec();
        variables.push(("GITFAAS_MASTER_KEY_FILE", key.to_str().unwrap()));
        Self::on(Arc::clone(&self.nats), Arc::new(tempfile::tempdir().unwrap()), &variables).await
    }

    /// Another gateway on the same NATS, with these variables.
    pub(crate) async fn beside(&self, variables: &[(&str, &str)]) -> Self {
        Self::on(Arc::clone(&self.nats), Arc::new(tempfile::tempdir().unwrap()), variables).await
    }

    /// Stops, and starts again on the same NATS and data directory.
    pub(crate) async fn restarted(self) -> Self {
        // A test's thread has a small stack, and in a debug build what is moved through each future lies on it.
        Box::pin(self.restarted_after(async {})).await
    }

    /// Stops, and starts again once `meanwhile` is over.
    pub(crate) async fn restarted_after(self, meanwhile: impl Future<Output = ()>) -> Self {
        let (nats, data_dir) = (Arc::clone(&self.nats), Arc::clone(&self.data_dir));
        self.stopped().await;
        meanwhile.await;
        Box::pin(Self::on(nats, data_dir, &[])).await
    }

    /// The key that this installation's others come from.
    pub(crate) fn master_key(&self) -> Vec<u8> {
        std::fs::read(self.data_dir.path().join("master.key")).unwrap()
    }

    pub(crate) async fn stopped(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn on(nats: Arc<Nats>, data_dir: Arc<TempDir>, variables: &[(&str, &str)]) -> Self {
        let mut table: HashMap<String, String> = HashMap::from([
            ("GITFAAS_GITHUB_WEBHOOK_SECRET".to_owned(), GITHUB_SECRET.to_owned()),
            ("GITFAAS_SHUTDOWN_GRACE".to_owned(), "2s".to_owned()),
        ]);
        table.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::read(&|name| table.get(name).cloned(), data_dir.path().to_owned()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let client = nats.client().await;
        let mut serving = tokio::spawn(gateway::serve(
            config,
            client.clone(),
            listener,
            |address| ready.send(address).unwrap(),
            stop.clone(),
        ));
        let address = tokio::select! {
            address = is_ready => address.unwrap(),
            ended = &mut serving => panic!("the gateway did not start: {:?}", ended.unwrap()),
        };
        let ledger = Ledger::open(&client, PATIENCE).await.unwrap();
        // Jobs that tests make themselves are signed as a gateway's are.
        let master = table.get("GITFAAS_MASTER_KEY_FILE").map(PathBuf::from);
        let master = master.unwrap_or_else(|| data_dir.path().join("master.key"));
        let key = gateway::record_key(&ledger, &master).await.unwrap();
        let ledger = ledger.signing(key);
        Self { nats, ledger, address, http: reqwest::Client::new(), stop, serving, data_dir }
    }

    /// A token of a user with this address.
    pub(crate) async fn user(&self, email: &str) -> String {
        let accounts = &self.ledger.accounts;
        let user = accounts.find_or_make(OPERATOR, email, email, OwnerKind::User).await.unwrap().value;
        let (_, text) = accounts.make_token(user.id, "test", &ALL_SCOPES, None).await.unwrap();
        text.expose().to_owned()
    }

    /// A token of an admin.
    pub(crate) async fn admin(&self) -> String {
        let token = self.user("admin@example.com").await;
        let accounts = &self.ledger.accounts;
        let user = accounts.find(OPERATOR, "admin@example.com").await.unwrap().unwrap().value;
        accounts.make_admin(user.id).await.unwrap();
        token
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        RequestBuilder::from(self.http.request(method, url).timeout(PATIENCE))
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> RequestBuilder {
        self.request(Method::GET, path).bearer_auth(token)
    }

    pub(crate) fn post(&self, path: &str, token: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).bearer_auth(token).json(body)
    }

    /// Submits a job and returns its id.
    pub(crate) async fn submit(&self, token: &str, url: &str) -> JobId {
        let job = self
            .post("/api/v1/jobs", token, &serde_json::json!({ "repo": url }))
            .answers(StatusCode::ACCEPTED)
            .await;
        job["id"].as_str().unwrap().parse().unwrap()
    }

    /// Claims the job as the worker `w1` would.
    pub(crate) async fn claim(&self, job: JobId) -> Claim {
        let picked = FairScheduler::default()
            .pick(&self.ledger, &"default".parse().unwrap(), 10, SlotLimit::Unlimited, |id| id == job)
            .await
            .unwrap()
            .next()
            .expect("the job waits");
        self.ledger.claim(&picked, &"w1".parse().unwrap()).await.unwrap().expect("nobody else claims")
    }

    /// A log of the claimed attempt.
    pub(crate) fn log(&self, claim: &Claim) -> LogWriter {
        LogWriter::start(self.ledger.js.clone(), claim.entry.value.spec.id, claim.entry.value.status.attempt)
    }

    /// Ends a claimed attempt well, with this output.
    pub(crate) async fn finish(&self, claim: Claim, output: &[u8]) {
        let job = &claim.entry.value;
        if output.len() > jobs::result::INLINE_BYTES {
            self.ledger.results.store(job.spec.id, job.status.attempt, output).await.unwrap();
        }
        let result = jobs::JobResult::of(output, 0);
        let notes = |mut job: Job| {
            job.status.result = Some(result.clone());
            job
        };
        self.ledger.finish(job.spec.id, job.status.attempt, &Outcome::Finished, &notes).await.unwrap();
        claim.lease.give_up().await;
    }

    /// Runs the job from claim to end, with this log and output.
    pub(crate) async fn run(&self, job: JobId, log: &str, output: &[u8]) {
        let claim = self.claim(job).await;
        let writer = self.log(&claim);
        writer.handle().write(Phase::Run, LogSource::Stdout, log.to_owned().into());
        assert!(writer.close(PATIENCE).await);
        self.finish(claim, output).await;
    }

    /// Sends a delivery to a hook, signed as GitHub does.
    pub(crate) fn deliver(
        &self,
        hook: &str,
        secret: &str,
        event: &str,
        id: &str,
        body: &str,
    ) -> RequestBuilder {
        let secret: Secret = secret.parse().unwrap();
        self.request(Method::POST, &format!("/webhooks/{hook}"))
            .header("x-github-event", event)
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", hooks::verify::sign(&secret, body.as_bytes()))
            .header("content-type", "application/json")
            .body(body.to_owned())
    }

    /// Registers a repository and returns its description, the secret in it.
    pub(crate) async fn register(&self, token: &str, wishes: Value) -> Value {
        self.post("/api/v1/repos", token, &wishes).answers(StatusCode::CREATED).await
    }

    /// What the ledger holds once the forge has said yes to a registration, where there is no forge to ask:
    /// it posts, for the repository of this number.
    pub(crate) async fn confirmed(&self, repo: &Value, number: u64) {
        let (id, url) = (repo["id"].as_str().unwrap(), repo["url"].as_str().unwrap());
        let yes = |now: &Entry<Repo>| {
            Some(Repo { posts: true, forge_id: Some(number), unproved: None, ..now.value.clone() })
        };
        self.ledger.repos.change(id, yes).await.unwrap();
        let path = url.parse::<hooks::CloneUrl>().unwrap().identity();
        let places = Bucket::<Value>::open(&self.ledger.js, jobs::streams::REPOS).await.unwrap();
        let at = format!("at.{}", hex::encode(Sha256::digest(path.as_bytes())));
        places.create(&at, &serde_json::json!({ "repo": id })).await.unwrap();
    }

    /// All jobs in the ledger.
    pub(crate) async fn all_jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for key in self.ledger.jobs.keys().await.unwrap() {
            jobs.push(self.ledger.jobs.get(&key).await.unwrap().unwrap().value);
        }
        jobs
    }
}

/// Asserts the status of an answer and reads its body.
pub(crate) trait Answered {
    async fn answers(self, status: StatusCode) -> Value;
    async fn says(self, status: StatusCode) -> String;
}

impl Answered for RequestBuilder {
    async fn answers(self, status: StatusCode) -> Value {
        let text = self.says(status).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    async fn says(self, status: StatusCode) -> String {
        let response = self.send().await.unwrap();
        let found = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(found, status, "{text}");
        text
    }
}

/// A push to `main` of a repository, as GitHub sends it.
pub(crate) fn push(url: &str, before: &str, after: &str) -> String {
    let name = url.trim_end_matches(".git").rsplit('/').take(2).collect::<Vec<_>>();
    serde_json::json!({
        "ref": "refs/heads/main",
        "before": before.repeat(40),
        "after": after.repeat(40),
        "repository": { "id": 7, "full_name": format!("{}/{}", name[1], name[0]), "clone_url": url, "default_branch": "main" },
        "head_commit": { "message": "work" },
        "pusher": { "name": "someone" },
    })
    .to_string()
}
