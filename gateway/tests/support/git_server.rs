//! A git server with the refs of a test, and a second gateway that polls them on demand.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use gateway::Running;
use tokio_util::sync::CancellationToken;

/// Answers `/info/refs` as version 0 of git's protocol does, for every path.
pub(crate) struct GitServer {
    url: String,
    state: Arc<Mutex<Refs>>,
}

#[derive(Default)]
struct Refs {
    refs: BTreeMap<String, String>,
    down: bool,
}

impl GitServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Refs::default()));
        let app = Router::new().fallback(advertise).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    /// A ref points to the commit of this digit from here on.
    pub(crate) fn set_ref(&self, reference: &str, digit: &str) {
        self.state.lock().unwrap().refs.insert(reference.to_owned(), digit.repeat(40));
    }

    pub(crate) fn remove_ref(&self, reference: &str) {
        self.state.lock().unwrap().refs.remove(reference);
    }

    /// Answers 500 from here on, or not any more.
    pub(crate) fn fail(&self) {
        self.state.lock().unwrap().down = true;
    }

    pub(crate) fn recover(&self) {
        self.state.lock().unwrap().down = false;
    }
}

async fn advertise(State(state): State<Arc<Mutex<Refs>>>) -> Response {
    let state = state.lock().unwrap();
    if state.down {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut text = "001e# service=git-upload-pack\n0000".to_owned();
    for (reference, id) in &state.refs {
        let line = format!("{id} {reference}\0agent=test\n");
        write!(text, "{:04x}{line}", line.len() + 4).unwrap();
    }
    text.push_str("0000");
    ([(header::CONTENT_TYPE, "application/x-git-upload-pack-advertisement")], text).into_response()
}

impl super::Service {
    /// Another gateway of the same installation that does not listen, and polls on demand.
    pub(crate) async fn ref_poller(&self) -> RefPoller {
        let key = self.data_dir.path().join("master.key");
        let data_dir = tempfile::tempdir().unwrap();
        let table =
            [("GITFAAS_MASTER_KEY_FILE", key.to_str().unwrap()), ("GITFAAS_CLONE_ALLOW", "127.0.0.1")];
        let var =
            |name: &str| table.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let config = gateway::Config::read(&var, data_dir.path().to_owned()).unwrap();
        let stop = CancellationToken::new();
        let running =
            gateway::open(config, self.nats.client().await, self.address, stop.clone()).await.unwrap();
        RefPoller { running, _stop: stop.drop_guard(), _data_dir: data_dir }
    }
}

/// See [`super::Service::ref_poller`].
pub(crate) struct RefPoller {
    running: Running,
    _stop: tokio_util::sync::DropGuard,
    _data_dir: tempfile::TempDir,
}

impl RefPoller {
    /// Polls every repository once: how many were polled, were unreachable, and got a synthetic push.
    pub(crate) async fn poll(&self) -> (usize, usize, usize) {
        let summary = self.running.gateway.poll_refs().await.unwrap();
        (summary.polled, summary.unreachable, summary.synthetic_pushes)
    }
}
