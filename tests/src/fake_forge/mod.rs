//! A fake forge: repositories over real git, commit statuses and check runs as GitHub takes them, a GitHub
//! App, and faults on demand.
//!
//! Every request is validated against GitHub's OpenAPI description and against the rules that the description
//! lacks, and is recorded for the test. A request that GitHub would reject fails the test in the end.

mod app;
mod app_deliveries;
mod checks;
mod gitlab;
mod kind;
mod limits;
mod openapi;
mod outage;
mod repositories;
mod server;
mod statuses;
mod token_rights;

use std::{net::SocketAddr, path::Path, sync::Arc, thread, time::Duration};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

pub use app::{ACCOUNT, APP_ID, Minted};
pub use checks::{CheckRun, CheckState};
pub use kind::Kind;
pub use outage::{Outage, Part};
pub use repositories::{Hook, number};
pub use statuses::Status;
pub use token_rights::Rights;

use crate::{
    delivery::Delivery,
    git_server::Fault,
    repository::{Commit, Repository},
    waiting::{STATUS, within},
};
use app_deliveries::Sent;
use outage::{Cut, Lines};
use server::{Requester, ServerState};

/// The token that a test's forge takes.
pub const TOKEN: &str = "ghp_operators_own_token_0123456789";
/// The owner of all repositories of tests.
pub const OWNER: &str = "acme";

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET` and so on.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Whatever credential came along.
    pub authorization: Option<String>,
}

/// A forge that serves until it is dropped.
#[derive(Debug)]
pub struct FakeForge {
    address: SocketAddr,
    state: Arc<ServerState>,
    dir: Option<tempfile::TempDir>,
    _serving: oneshot::Sender<Never>,
}

impl FakeForge {
    /// A forge in a temporary folder.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut forge = Self::serve(listener, dir.path(), Some(TOKEN.to_owned()));
        forge.dir = Some(dir);
        forge
    }

    /// The same below a path, as behind a server that has other pages too.
    pub async fn start_below(path: &str) -> Self {
        let forge = Self::start().await;
        forge.below(path);
        forge
    }

    /// A forge of the bare repositories `<owner>/<name>.git` under `repos`. Without a token it takes
    /// any that is not empty.
    pub fn serve(listener: TcpListener, repos: &Path, token: Option<String>) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(ServerState {
            repos: repos.to_owned(),
            token,
            tokens: Mutex::default(),
            limits: Mutex::default(),
            kind: Mutex::default(),
            root: Mutex::default(),
            seen: watch::Sender::default(),
            faults: Mutex::default(),
            statuses: watch::Sender::default(),
            checks: watch::Sender::default(),
            hooks: Mutex::default(),
            sent: Mutex::default(),
            installed: Mutex::default(),
            outages: Mutex::default(),
            complaints: Mutex::default(),
        });
        let app = Router::new().fallback({
            let state = Arc::clone(&state);
            move |ConnectInfo(cut): ConnectInfo<Cut>, request: Request| {
                let state = Arc::clone(&state);
                // A forge goes on with what it was asked, also when nobody waits for the answer any more.
                let answering = tokio::spawn(async move { state.answer(&cut, request).await });
                async move { answering.await.expect("the state answers") }
            }
        });
        let listener = listener.into_std().expect("a listener is the system's");
        let (serving, until) = oneshot::channel();
        thread::spawn(move || serve_on_this_thread(listener, app, until));
        Self { address, state, dir: None, _serving: serving }
    }

    /// Its address, that of the API too.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.state.root.lock())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on everything is below this path and nothing outside, for repositories that come later.
    pub fn below(&self, path: &str) {
        assert!(path.starts_with('/') && !path.ends_with('/'), "{path} is no path to be below");
        *self.state.root.lock() = path.to_owned();
    }

    /// A new, empty repository.
    pub async fn repository(&self, name: &str) -> Repository {
        Repository::create(&self.state.repos, name, format!("{}/{OWNER}/{name}.git", self.url())).await
    }

    /// From now on this repository misbehaves so.
    pub fn breaks(&self, repository: &Repository, fault: Fault) {
        self.state.faults.lock().insert(format!("{OWNER}/{}.git", repository.name), fault);
    }

    /// From now on it behaves again.
    pub fn mends(&self, repository: &Repository) {
        self.state.faults.lock().remove(&format!("{OWNER}/{}.git", repository.name));
    }

    /// The next posts of statuses are answered so, and not taken.
    pub fn refuses_statuses_with(&self, codes: &[u16]) {
        self.outages(codes.iter().map(|code| Outage::Answer(*code, Vec::new())));
    }

    /// The next posts of statuses and check runs meet these.
    pub fn outages(&self, outages: impl IntoIterator<Item = Outage>) {
        self.outages_at(Part::Posts, outages);
    }

    /// The next requests to this part meet these.
    pub fn outages_at(&self, part: Part, outages: impl IntoIterator<Item = Outage>) {
        self.state.outages.lock().entry(part).or_default().add(outages);
    }

    /// For so long every post of a status or check run meets one of these, in turn.
    pub fn is_down_for(&self, time: Duration, outages: &[Outage]) {
        self.state.outages.lock().entry(Part::Posts).or_default().last(time, outages);
    }

    /// Posts that met an outage so far.
    pub fn outages_met(&self) -> usize {
        self.outages_met_at(Part::Posts)
    }

    /// Requests to this part that met an outage so far.
    pub fn outages_met_at(&self, part: Part) -> usize {
        self.state.outages.lock().get(&part).map_or(0, |outages| outages.met)
    }

    /// What a gateway must be told to be the GitHub App here.
    pub fn app_settings(&self) -> [(&'static str, String); 2] {
        let dir = self.dir.as_ref().expect("a forge of a test has a folder").path();
        let key = dir.join("app.pem");
        app::write_key(&key);
        let key = key.to_str().expect("a temporary folder has a plain name").to_owned();
        let id = self.state.installed.lock().app_id.unwrap_or(APP_ID);
        [("GITFAAS_GITHUB_APP_ID", id.to_string()), ("GITFAAS_GITHUB_APP_KEY_FILE", key)]
    }

    /// The App has this id from now on.
    pub fn app_is(&self, id: u64) {
        self.state.installed.lock().app_id = Some(id);
    }

    /// The forge shows a repository of this name, of anybody's, with nothing in it that git could serve.
    pub fn shows(&self, full_name: &str) {
        std::fs::create_dir_all(self.state.repos.join(format!("{full_name}.git"))).expect("a folder");
    }

    /// A repository has this number, and not the one that its name makes.
    pub fn numbers(&self, full_name: &str, number: u64) {
        self.state.installed.lock().numbers.insert(full_name.to_owned(), number);
    }

    /// The App is installed on these repositories, by their full names.
    pub fn installs(&self, installation: u64, repositories: &[&str]) {
        let names = repositories.iter().map(|name| (*name).to_owned()).collect();
        self.state.installed.lock().installations.insert(installation, names);
    }

    /// Tokens that were minted so far end now.
    pub fn expires_tokens(&self) {
        self.state.expire_tokens();
    }

    /// Every token that was minted, oldest first.
    pub fn minted(&self) -> Vec<Minted> {
        self.state.installed.lock().minted.clone()
    }

    /// The App's webhook at `url` was sent this, and did not answer.
    pub fn failed_to_deliver(&self, url: &str, delivery: &Delivery) {
        self.state.sent.lock().push(Sent {
            url: url.to_owned(),
            guid: delivery.id.clone(),
            event: delivery.event.clone(),
            headers: delivery.headers(),
            body: delivery.body.clone(),
            tries: vec![(0, Timestamp::now())],
        });
    }

    /// The answers to every try of every delivery that was told of so, oldest first; 0: there was none.
    pub fn tries(&self) -> Vec<Vec<u16>> {
        let sent = self.state.sent.lock();
        sent.iter().map(|sent| sent.tries.iter().map(|(code, _)| *code).collect()).collect()
    }

    /// The webhooks that are there.
    pub fn hooks(&self) -> Vec<Hook> {
        self.state.hooks.lock().clone()
    }

    /// Everything that was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.borrow().clone()
    }

    /// The first request for this path, once it has come.
    pub async fn asked_for(&self, path: &str) -> Seen {
        let first = |all: &Vec<Seen>| all.iter().find(|seen| seen.path == path).cloned();
        let mut news = self.state.seen.subscribe();
        let came = news.wait_for(|all| first(all).is_some());
        let what = format!("a request for {path}");
        let all = within(STATUS, &what, came, async || self.seen()).await.expect("the forge lives");
        first(&all).expect("it was waited for")
    }

    /// What the forge was told about a commit so far, oldest first.
    pub fn statuses(&self, commit: &Commit) -> Vec<Status> {
        self.state.statuses.borrow().iter().filter(|status| status.sha == commit.sha).cloned().collect()
    }

    /// All statuses, as they come.
    pub fn watch(&self) -> watch::Receiver<Vec<Status>> {
        self.state.statuses.subscribe()
    }

    /// The commit's status, once it is final.
    pub async fn final_status(&self, commit: &Commit) -> Status {
        self.final_status_within(STATUS, commit).await
    }

    /// The commit's status, once it is final, which may take so long.
    pub async fn final_status_within(&self, time: Duration, commit: &Commit) -> Status {
        let newest = |all: &Vec<Status>| {
            let newest = all.iter().rfind(|status| status.sha == commit.sha);
            newest.filter(|status| status.is_final()).cloned()
        };
        let mut news = self.watch();
        let what = format!("the final status of {}", commit.sha);
        let came = news.wait_for(|all| newest(all).is_some());
        let all = within(time, &what, came, async || self.statuses(commit)).await.expect("the forge lives");
        newest(&all).expect("it was waited for")
    }

    /// The commit's newest check run, once it is completed.
    pub async fn completed(&self, commit: &Commit) -> CheckRun {
        self.completed_within(STATUS, commit).await
    }

    /// The commit's newest check run, once it is completed, which may take so long.
    pub async fn completed_within(&self, time: Duration, commit: &Commit) -> CheckRun {
        let of_commit = |all: &Vec<CheckRun>| all.iter().rfind(|run| run.sha == commit.sha).cloned();
        let mut news = self.watch_checks();
        let what = format!("the check run of {} to be completed", commit.sha);
        let came = news.wait_for(|all| of_commit(all).as_ref().is_some_and(CheckRun::is_completed));
        let state = async || of_commit(&self.state.checks.borrow());
        let all = within(time, &what, came, state).await.expect("the forge lives");
        of_commit(&all).expect("it was waited for")
    }

    /// All check runs, as they come and change.
    pub fn watch_checks(&self) -> watch::Receiver<Vec<CheckRun>> {
        self.state.checks.subscribe()
    }

    /// All check runs of a commit.
    pub fn check_runs(&self, commit: &Commit) -> Vec<CheckRun> {
        self.state.checks.borrow().iter().filter(|run| run.sha == commit.sha).cloned().collect()
    }
}

impl Drop for FakeForge {
    fn drop(&mut self) {
        let complaints = self.state.complaints.lock();
        assert!(complaints.is_empty() || thread::panicking(), "GitHub would not have: {complaints:#?}");
    }
}

/// Nothing is sent: the end of the sender is what is heard.
#[derive(Debug)]
enum Never {}

/// Serves until the forge is dropped. A thread of its own, because a test that ends waits for programs to
/// end without letting its runtime go on, and these still have something to tell the forge.
fn serve_on_this_thread(listener: std::net::TcpListener, app: Router, until: oneshot::Receiver<Never>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("it was tokio's");
        let serving = axum::serve(Lines(listener), app.into_make_service_with_connect_info::<Cut>());
        tokio::select! {
            _ = serving => {}
            _ = until => {}
        }
    });
}

/// An answer in the shape of GitHub's errors.
fn said(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message, "status": status.as_str(), "documentation_url": "https://docs.github.com/rest",
    });
    (status, Json(body)).into_response()
}
