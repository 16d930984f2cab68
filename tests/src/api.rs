//! A client of `/api/v1` with a user's token.

use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{Event, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use http::{Method, StatusCode};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::waiting::{ASK_AGAIN, JOB, within};

/// No answer takes longer; `?wait` is bounded by the server.
const ANSWER: Duration = Duration::from_secs(120);

/// A job as the API shows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    pub id: String,
    pub state: String,
    pub cause: Option<String>,
    pub fault: Option<String>,
    pub message: Option<String>,
    pub exit_code: Option<i32>,
    pub repo: Option<String>,
    pub url: String,
    pub sha: Option<String>,
    pub name: Option<String>,
    pub args: Option<Vec<String>>,
    pub trigger: String,
    pub attempt: u32,
    pub worker: Option<String>,
    pub finished_at: Option<String>,
    pub prepared: Option<bool>,
    pub result: Option<String>,
    pub result_bytes: Option<u64>,
    pub omitted_bytes: Option<u64>,
    pub rerun_of: Option<String>,
}

impl Job {
    /// Whether the record will not change any more.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "finish" | "error")
    }

    /// How it ended, in one line: `error, exit: exit code 3`.
    pub fn end(&self) -> String {
        match (&self.cause, &self.message) {
            (Some(cause), Some(message)) => format!("{}, {cause}: {message}", self.state),
            (Some(cause), None) => format!("{}, {cause}", self.state),
            (None, _) => self.state.clone(),
        }
    }

    /// Its result, of a job that ended well.
    pub fn result(&self) -> &str {
        assert_eq!(self.end(), "finish", "{self:#?}");
        self.result.as_deref().unwrap_or_default()
    }
}

/// A client of the API.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    /// Where the gateway is, without a slash at the end.
    pub url: String,
    /// Its token.
    pub token: Option<String>,
}

impl Api {
    /// With a token, or without.
    pub fn new(url: &str, token: Option<String>) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.build().expect("a client without wishes");
        Self { http, url: url.trim_end_matches('/').to_owned(), token }
    }

    /// A client of the same gateway without a token.
    pub fn anybody(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// A client of the same gateway with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to any path.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; the server must answer.
    pub async fn send(&self, request: RequestBuilder) -> Response {
        let answer = request.timeout(ANSWER).send().await;
        answer.unwrap_or_else(|error| panic!("the gateway does not answer: {error:?}"))
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` of JSON
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// The JSON of an answer that must have this status.
    pub async fn json(answer: Response, status: StatusCode) -> Value {
        let (given, text) = (answer.status(), answer.text().await.expect("an answer has a body"));
        assert_eq!(given, status, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Submits a repository's default branch.
    pub async fn submit(&self, url: &str) -> Job {
        self.submit_as(&json!({ "repo": url })).await
    }

    /// Submits a call as it is written.
    pub async fn submit_as(&self, call: &Value) -> Job {
        let answer = self.post("/api/v1/jobs", call).await;
        job(Self::json(answer, StatusCode::ACCEPTED).await)
    }

    /// Submits, and waits for the end.
    pub async fn run(&self, url: &str) -> Job {
        self.run_as(&json!({ "repo": url })).await
    }

    /// Submits a call, and waits for the end.
    pub async fn run_as(&self, call: &Value) -> Job {
        let submitted = self.submit_as(call).await;
        self.finished(&submitted.id).await
    }

    /// The record as it is.
    pub async fn job(&self, id: &str) -> Job {
        job(Self::json(self.get(&format!("/api/v1/jobs/{id}")).await, StatusCode::OK).await)
    }

    /// The record once it is final.
    pub async fn finished(&self, id: &str) -> Job {
        self.finished_within(JOB, id).await
    }

    /// The record once it is final, which may take so long.
    pub async fn finished_within(&self, time: Duration, id: &str) -> Job {
        self.until(time, id, "its end", |job| job.is_final()).await
    }

    /// The record once the job runs.
    pub async fn working(&self, id: &str) -> Job {
        self.until(JOB, id, "its start", |job| job.state == "working" || job.is_final()).await
    }

    /// The record once it is as wished. Live events tell; a gateway that goes away is asked again.
    pub async fn until(&self, time: Duration, id: &str, what: &str, wished: impl Fn(&Job) -> bool) -> Job {
        let looking = async {
            loop {
                if let Some(events) = self.try_events(id, None).await {
                    let mut events = Box::pin(events);
                    while let Some(event) = events.next().await {
                        if event.event != "state" {
                            continue;
                        }
                        let now: Job = serde_json::from_str(&event.data).expect("a state is a job");
                        if wished(&now) {
                            return now;
                        }
                    }
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        let state = async || match self.request(Method::GET, &format!("/api/v1/jobs/{id}")).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => format!("{error:?}"),
        };
        within(time, &format!("job {id}: {what}"), looking, state).await
    }

    /// Waits until the program's log has this text, and returns the log so far.
    pub async fn says(&self, id: &str, text: &str) -> String {
        let mut log = String::new();
        let mut events = Box::pin(self.events(id, None).await);
        let hearing = async {
            while !log.contains(text) {
                let event = events.next().await;
                let event = event.unwrap_or_else(|| panic!("job {id} ended without saying {text:?}: {log}"));
                if event.event == "log" {
                    log.push_str(&text_of(&event));
                }
            }
        };
        within(JOB, &format!("job {id} to say {text:?}"), hearing, async || self.job(id).await).await;
        log
    }

    /// The live events, from the beginning or from behind an event.
    pub async fn events(&self, id: &str, last: Option<&str>) -> impl Stream<Item = Event> + use<> {
        let events = self.try_events(id, last).await;
        events.unwrap_or_else(|| panic!("there are no events of job {id}"))
    }

    async fn try_events(&self, id: &str, last: Option<&str>) -> Option<impl Stream<Item = Event> + use<>> {
        let mut request = self.request(Method::GET, &format!("/api/v1/jobs/{id}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        let events = answer.bytes_stream().eventsource();
        // A stream that breaks has ended.
        Some(
            events
                .take_while(|event| std::future::ready(event.is_ok()))
                .filter_map(|event| std::future::ready(event.ok())),
        )
    }

    /// The whole log.
    pub async fn log(&self, id: &str) -> String {
        let answer = self.get(&format!("/api/v1/jobs/{id}/log")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.expect("a log is text")
    }

    /// The exact bytes of the result.
    pub async fn result(&self, id: &str) -> Bytes {
        let answer = self.get(&format!("/api/v1/jobs/{id}/result")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.bytes().await.expect("a result has bytes")
    }

    /// Cancels a job.
    pub async fn cancel(&self, id: &str) -> Job {
        let answer = self.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).await;
        job(Self::json(answer, StatusCode::OK).await)
    }

    /// The newest jobs that the token's owner sees.
    pub async fn jobs(&self, query: &str) -> Vec<Job> {
        let list = Self::json(self.get(&format!("/api/v1/jobs{query}")).await, StatusCode::OK).await;
        serde_json::from_value(list["items"].clone()).expect("a list has jobs")
    }
}

/// A record from its JSON.
pub fn job(value: Value) -> Job {
    serde_json::from_value(value).expect("this is a job")
}

/// The text of a `log` event.
pub fn text_of(event: &Event) -> String {
    let value: Value = serde_json::from_str(&event.data).expect("a log event is JSON");
    value["text"].as_str().expect("a log event has text").to_owned()
}
