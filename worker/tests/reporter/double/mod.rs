//! What a poster talks to: a gateway that grants, and a forge that keeps what it was told and can
//! be made to fail. The forge is a real server; the gateway answers on the real subject.

#![expect(clippy::unwrap_used, reason = "a helper of tests, where a panic is the message")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use futures_util::StreamExt as _;
use jobs::{
    Ledger,
    grants::{GrantReply, StatusGrant},
    streams,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the forge does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What it should.
    Well,
    /// Takes it, and its answer is lost.
    TakesAndFails,
    /// Does not take it, with this code and these seconds in `retry-after`.
    Refuses(u16, Option<u64>),
}

/// One write that the forge took.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) sha: String,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
struct Kept {
    writes: Vec<Write>,
    /// Of every request, taken or not.
    arrived: Vec<(String, Instant)>,
    in_flight: HashMap<String, usize>,
    most_in_flight: usize,
    runs: Vec<Value>,
    next: Vec<Answer>,
    always: Option<Answer>,
}

/// A forge.
#[derive(Debug, Clone)]
pub(crate) struct Forge {
    kept: Arc<Mutex<Kept>>,
    changed: watch::Sender<u64>,
    gate: Arc<Semaphore>,
    pub(crate) url: String,
}

impl Forge {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let forge = Self { kept: Arc::default(), changed: watch::channel(0).0, gate, url };
        let app = Router::new()
            .route("/repos/o/n/statuses/{sha}", post(status))
            .route("/repos/o/n/check-runs", post(make_run))
            .route("/repos/o/n/check-runs/{id}", patch(change_run))
            .route("/repos/o/n/commits/{sha}/check-runs", get(list_runs))
            .with_state(forge.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        forge
    }

    /// The next requests are answered like this, one each.
    pub(crate) fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.kept.lock().unwrap().next = answers.into_iter().collect();
    }

    /// All requests are answered like this.
    pub(crate) fn always(&self, answer: Answer) {
        self.kept.lock().unwrap().always = Some(answer);
    }

    /// Requests arrive and get no further, until as many as this are let through.
    pub(crate) fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS - self.gate.available_permits());
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        self.kept.lock().unwrap().writes.clone()
    }

    pub(crate) fn arrived(&self, sha: &str) -> Vec<Instant> {
        let kept = self.kept.lock().unwrap();
        kept.arrived.iter().filter(|(of, _)| of == sha).map(|(_, at)| *at).collect()
    }

    pub(crate) fn runs(&self) -> Vec<Value> {
        self.kept.lock().unwrap().runs.clone()
    }

    /// Requests about one commit that were there at the same time, at most.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.kept.lock().unwrap().most_in_flight
    }

    /// The states of a commit, in order.
    pub(crate) fn states(&self, sha: &str) -> Vec<String> {
        let writes = self.writes();
        let of = writes.iter().filter(|write| write.sha == sha);
        of.map(|write| write.body["state"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for what the forge is told or asked.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !holds(self) {
                changed.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "the forge has {:?}, runs {:?}", self.writes(), self.runs());
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Takes a request through the gate and does `take` unless it is to be refused.
    async fn request(&self, sha: &str, take: impl FnOnce(&mut Kept) -> Response) -> Response {
        let answer = {
            let mut kept = self.kept.lock().unwrap();
            kept.arrived.push((sha.to_owned(), Instant::now()));
            let in_flight = kept.in_flight.entry(sha.to_owned()).or_default();
            *in_flight += 1;
            let now = *in_flight;
            kept.most_in_flight = kept.most_in_flight.max(now);
            let first = if kept.next.is_empty() { None } else { Some(kept.next.remove(0)) };
            first.or_else(|| kept.always.clone()).unwrap_or(Answer::Well)
        };
        self.tell();
        drop(self.gate.acquire().await.unwrap());
        let response = {
            let mut kept = self.kept.lock().unwrap();
            *kept.in_flight.get_mut(sha).unwrap() -= 1;
            match answer {
                Answer::Well => take(&mut kept),
                Answer::TakesAndFails => {
                    take(&mut kept);
                    StatusCode::BAD_GATEWAY.into_response()
                }
                Answer::Refuses(code, after) => {
                    let mut headers = HeaderMap::new();
                    if let Some(after) = after {
                        headers.insert("retry-after", after.into());
                    }
                    (StatusCode::from_u16(code).unwrap(), headers).into_response()
                }
            }
        };
        self.tell();
        response
    }
}

async fn status(State(forge): State<Forge>, Path(sha): Path<String>, Json(body): Json<Value>) -> Response {
    let write = Write { sha: sha.clone(), body };
    let take = |kept: &mut Kept| {
        kept.writes.push(write);
        StatusCode::CREATED.into_response()
    };
    forge.request(&sha, take).await
}

async fn make_run(State(forge): State<Forge>, Json(mut run): Json<Value>) -> Response {
    let sha = run["head_sha"].as_str().unwrap().to_owned();
    let take = |kept: &mut Kept| {
        run["id"] = (kept.runs.len() + 1).into();
        run["all_annotations"] = json!([]);
        kept.runs.push(run);
        let made = kept.runs.last_mut().unwrap();
        add_annotations(made);
        (StatusCode::CREATED, Json(json!({"id": made["id"]}))).into_response()
    };
    forge.request(&sha, take).await
}

async fn change_run(State(forge): State<Forge>, Path(id): Path<usize>, Json(body): Json<Value>) -> Response {
    let sha = forge.runs()[id - 1]["head_sha"].as_str().unwrap().to_owned();
    let take = |kept: &mut Kept| {
        let run = &mut kept.runs[id - 1];
        for (name, value) in body.as_object().unwrap() {
            run[name] = value.clone();
        }
        add_annotations(run);
        Json(json!({"id": id})).into_response()
    };
    forge.request(&sha, take).await
}

/// Annotations are added to those that are there, and only counted in answers.
fn add_annotations(run: &mut Value) {
    let new = run["output"]["annotations"].take();
    let new = new.as_array().cloned().unwrap_or_default();
    assert!(new.len() <= 50, "{} annotations in one request", new.len());
    run["all_annotations"].as_array_mut().unwrap().extend(new);
}

async fn list_runs(State(forge): State<Forge>, Path(sha): Path<String>) -> Response {
    let take = |kept: &mut Kept| {
        let of_sha: Vec<Value> = kept
            .runs
            .iter()
            .filter(|run| run["head_sha"] == sha.as_str())
            .map(|run| {
                let count = run["all_annotations"].as_array().unwrap().len();
                json!({
                    "id": run["id"],
                    "status": run["status"],
                    "external_id": run["external_id"],
                    "output": {"annotations_count": count},
                })
            })
            .collect();
        Json(json!({"total_count": of_sha.len(), "check_runs": of_sha})).into_response()
    };
    forge.request(&sha, take).await
}

/// Answers `worker`'s requests for grants.
pub(crate) async fn gateway(ledger: &Ledger, worker: &str, grant: StatusGrant) {
    let subject = streams::grants(&worker.parse().unwrap());
    let mut requests = ledger.client.subscribe(subject).await.unwrap();
    let client = ledger.client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = serde_json::to_vec(&GrantReply::Status(grant.clone())).unwrap();
            client.publish(request.reply.unwrap(), reply.into()).await.unwrap();
        }
    });
}
