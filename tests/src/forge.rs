//! A forge: repositories over real git, commit statuses as GitHub takes them, and faults on demand.
//!
//! It believes nothing: a request for a status is held against GitHub's own description and against
//! the rules that the description lacks, and everything that was asked is kept for the test to see.

mod statuses;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, extract::Request, response::Response};
use http::header;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use statuses::Status;

use crate::{
    gitserver::{self, Fault},
    repository::{Commit, Repository},
    waiting::{STATUS, within},
};

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

/// What a forge knows, shared with its server.
#[derive(Debug)]
struct Desk {
    repos: PathBuf,
    token: Option<String>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<HashMap<String, Fault>>,
    statuses: watch::Sender<Vec<Status>>,
    /// Answers to the next posts of statuses, instead of taking them.
    failures: Mutex<Vec<u16>>,
}

/// A forge that serves until it is dropped.
#[derive(Debug)]
pub struct Forge {
    address: SocketAddr,
    desk: Arc<Desk>,
    serving: JoinHandle<()>,
    dir: Option<tempfile::TempDir>,
}

impl Forge {
    /// A forge in a temporary folder.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut forge = Self::serve(listener, dir.path(), Some(TOKEN.to_owned()));
        forge.dir = Some(dir);
        forge
    }

    /// A forge of the bare repositories `<owner>/<name>.git` under `repos`. Without a token it takes
    /// any that is not empty.
    pub fn serve(listener: TcpListener, repos: &Path, token: Option<String>) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let desk = Arc::new(Desk {
            repos: repos.to_owned(),
            token,
            seen: Mutex::default(),
            faults: Mutex::default(),
            statuses: watch::Sender::default(),
            failures: Mutex::default(),
        });
        let answering = Arc::clone(&desk);
        let app = Router::new().fallback(move |request: Request| {
            let desk = Arc::clone(&answering);
            async move { desk.answer(request).await }
        });
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { address, desk, serving, dir: None }
    }

    /// Its address, that of the API too.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new, empty repository.
    pub async fn repository(&self, name: &str) -> Repository {
        Repository::create(&self.desk.repos, name, format!("{}/{OWNER}/{name}.git", self.url())).await
    }

    /// From now on this repository misbehaves so.
    pub fn breaks(&self, repository: &Repository, fault: Fault) {
        lock(&self.desk.faults).insert(format!("{OWNER}/{}.git", repository.name), fault);
    }

    /// From now on it behaves again.
    pub fn mends(&self, repository: &Repository) {
        lock(&self.desk.faults).remove(&format!("{OWNER}/{}.git", repository.name));
    }

    /// The next posts of statuses are answered so, and not taken.
    pub fn refuses_statuses_with(&self, codes: &[u16]) {
        lock(&self.desk.failures).extend(codes);
    }

    /// Everything that was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.desk.seen).clone()
    }

    /// What the forge was told about a commit so far, oldest first.
    pub fn statuses(&self, commit: &Commit) -> Vec<Status> {
        self.desk.statuses.borrow().iter().filter(|status| status.sha == commit.sha).cloned().collect()
    }

    /// All statuses, as they come.
    pub fn watch(&self) -> watch::Receiver<Vec<Status>> {
        self.desk.statuses.subscribe()
    }

    /// The commit's status, once it is final.
    pub async fn final_status(&self, commit: &Commit) -> Status {
        let newest = |all: &Vec<Status>| {
            let newest = all.iter().rfind(|status| status.sha == commit.sha);
            newest.filter(|status| status.state != "pending").cloned()
        };
        let mut news = self.watch();
        let what = format!("the final status of {}", commit.sha);
        let came = news.wait_for(|all| newest(all).is_some());
        let all = within(STATUS, &what, came, async || self.statuses(commit)).await.expect("the forge lives");
        newest(&all).expect("it was waited for")
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Desk {
    async fn answer(&self, request: Request) -> Response {
        let authorization = request.headers().get(header::AUTHORIZATION);
        lock(&self.seen).push(Seen {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            authorization: authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        });
        if let Some(place) = statuses::Place::of(request.uri().path()) {
            return self.status(place, request).await;
        }
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let fault = lock(&self.faults)
            .iter()
            .find(|(repo, _)| path.starts_with(*repo))
            .map(|(_, fault)| fault.clone());
        gitserver::serve(&self.repos, fault.as_ref(), request).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
