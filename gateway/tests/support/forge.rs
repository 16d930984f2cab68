//! A git server that has whatever refs a test wants, and a second gateway that looks at them when told.

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
pub(crate) struct Forge {
    url: String,
    state: Arc<Mutex<Refs>>,
}

#[derive(Default)]
struct Refs {
    refs: BTreeMap<String, String>,
    down: bool,
}

impl Forge {
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
    pub(crate) fn has(&self, reference: &str, digit: &str) {
        self.state.lock().unwrap().refs.insert(reference.to_owned(), digit.repeat(40));
    }

    pub(crate) fn lacks(&self, reference: &str) {
        self.state.lock().unwrap().refs.remove(reference);
    }

    /// Answers 500 from here on, or not any more.
    pub(crate) fn breaks(&self) {
        self.state.lock().unwrap().down = true;
    }

    pub(crate) fn works(&self) {
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
    /// Another gateway of the same installation that does not listen, to be told when to look.
    pub(crate) async fn onlooker(&self) -> Onlooker {
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
        Onlooker { running, _stop: stop.drop_guard(), _data_dir: data_dir }
    }
}

/// See [`super::Service::onlooker`].
pub(crate) struct Onlooker {
    running: Running,
    _stop: tokio_util::sync::DropGuard,
    _data_dir: tempfile::TempDir,
}

impl Onlooker {
    /// Looks at every repository once: those looked at, those out of reach, and the pushes made up for.
    pub(crate) async fn looks(&self) -> (usize, usize, usize) {
        let summary = self.running.gateway.poll_refs().await.unwrap();
        (summary.polled, summary.unreachable, summary.synthetic_pushes)
    }
}
