//! Why a call has no answer of the function's, as `application/problem+json` (RFC 9457). Never 200 for a failure.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jobs::{
    Cause, Fault, Job,
    api::{CallProblem, PROBLEM_JSON},
    bucket::Entry,
    cgi,
};

use crate::{error::ApiError, functions::refusal::Refusal};

/// `Retry-After` in seconds, where a queue is full: most calls are over then.
const RETRY_AFTER_S: u64 = 5;

/// Why a call has no answer of the function's.
#[derive(Debug)]
pub(crate) enum CallError {
    /// As for any other request.
    Api(ApiError),
    /// No green push of the function has made this version.
    NotBuilt,
    /// The caller may not call it, or not now.
    Refused(Refusal),
    /// More headers, path and query than a program can be told.
    HeadersTooLarge(String),
    /// The function does not take this method; what it takes.
    Method(String),
    /// A WebSocket, or another protocol.
    Upgrade,
    /// The call's job failed.
    Failed(Box<Entry<Job>>),
    /// The program ended well and its output is no answer; why.
    BadOutput(Box<Entry<Job>>, String),
}

impl CallError {
    /// The job of the call, where one was made.
    pub(super) fn job(&self) -> Option<&Job> {
        match self {
            Self::Failed(entry) | Self::BadOutput(entry, _) => Some(&entry.value),
            Self::Api(_)
            | Self::NotBuilt
            | Self::Refused(_)
            | Self::HeadersTooLarge(_)
            | Self::Method(_)
            | Self::Upgrade => None,
        }
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Api(error) => Self::Api(error),
            refused => Self::Refused(refused),
        }
    }
}

impl<E: Into<ApiError>> From<E> for CallError {
    fn from(error: E) -> Self {
        Self::Api(error.into())
    }
}

fn problem(status: StatusCode, detail: impl Into<String>) -> CallProblem {
    CallProblem {
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
        cause: None,
        fault: None,
        job: None,
        may_have_run: false,
    }
}

fn of_job(entry: &Entry<Job>, cause: Cause, fault: Fault, detail: String) -> CallProblem {
    let job = &entry.value;
    let status = StatusCode::from_u16(cgi::status_of(cause, fault)).unwrap_or(StatusCode::BAD_GATEWAY);
    CallProblem {
        cause: Some(cause.into()),
        fault: Some(fault.into()),
        job: Some(job.spec.id),
        may_have_run: job.status.may_have_run(),
        ..problem(status, detail)
    }
}

impl IntoResponse for CallError {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Api(error) => return of_api_error(error),
            Self::NotBuilt => problem(
                StatusCode::NOT_FOUND,
                "not built: a version is what a push of a branch or tag of the repository built green",
            ),
            Self::Refused(refusal) => return of_refusal(refusal),
            Self::HeadersTooLarge(why) => problem(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why),
            Self::Method(allow) => {
                let mut response =
                    answer(&problem(StatusCode::METHOD_NOT_ALLOWED, format!("the function takes {allow}")));
                if let Ok(allow) = HeaderValue::try_from(allow) {
                    response.headers_mut().insert(header::ALLOW, allow);
                }
                return response;
            }
            Self::Upgrade => problem(
                StatusCode::UPGRADE_REQUIRED,
                "functions answer HTTP/1.1 and HTTP/2 requests, no other protocol",
            ),
            Self::Failed(entry) => {
                let status = &entry.value.status;
                let (cause, fault) =
                    (status.cause.unwrap_or(Cause::Lost), status.fault.unwrap_or(Fault::Service));
                of_job(&entry, cause, fault, status.message.clone().unwrap_or_default())
            }
            Self::BadOutput(entry, why) => of_job(&entry, Cause::Output, Fault::Function, why),
        };
        answer(&problem)
    }
}

/// The same error in this shape, with the headers that belong to it.
fn of_api_error(error: ApiError) -> Response {
    let detail = error.to_string();
    let response = error.into_response();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut told = answer(&problem(parts.status, detail));
    told.headers_mut().extend(parts.headers);
    told
}

/// Why a call is not made. A signed call that was made before has a good end, of which nothing is shown.
fn of_refusal(refusal: Refusal) -> Response {
    let status = refusal.status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_success() {
        return status.into_response();
    }
    let mut response = answer(&problem(status, refusal.to_string()));
    if let Some(seconds) = refusal.retry_after_s() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn answer(problem: &CallProblem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
    }
    response
}
