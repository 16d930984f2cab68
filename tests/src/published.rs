//! A client of the published API, written from its table alone: `GET` requests carry a JSON
//! body, errors are 401 with a message or 400 with an error.

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};

use crate::api::Api;

/// A client that knows only the published API.
#[derive(Debug, Clone)]
pub struct Published(pub Api);

impl Published {
    /// `POST /job/send-job`
    pub async fn send_job(&self, url: &str, name: Option<&str>) -> Response {
        let mut body = json!({ "URL": url });
        if let Some(name) = name {
            body["name"] = name.into();
        }
        self.ask(Method::POST, "/job/send-job", Some(body)).await
    }

    /// `GET /job/job-status/`
    pub async fn job_status(&self, id: &str) -> Response {
        self.ask(Method::GET, "/job/job-status/", Some(json!({ "jobID": id }))).await
    }

    /// `GET /job/result/`
    pub async fn result(&self, id: &str) -> Response {
        self.ask(Method::GET, "/job/result/", Some(json!({ "jobID": id }))).await
    }

    /// `GET /job/list-jobs`
    pub async fn list_jobs(&self) -> Response {
        self.ask(Method::GET, "/job/list-jobs", None).await
    }

    /// `GET /observer/stats`
    pub async fn stats(&self, secret: &str) -> Response {
        self.ask(Method::GET, "/observer/stats", Some(json!({ "secret": secret }))).await
    }

    /// Any of its endpoints.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.0.request(method, path);
        self.0
            .send(match body {
                Some(body) => request.json(&body),
                None => request,
            })
            .await
    }
}
