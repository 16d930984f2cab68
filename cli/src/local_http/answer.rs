//! The answer of a run: what the program wrote, or why there is nothing, as `application/problem+json` (RFC 9457).

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jobs::{
    Cause, Fault, Outcome,
    api::{CallProblem, PROBLEM_JSON},
    cgi,
    manifest::{self, Http},
};
use worker::local::LocalEnd;

/// The run that answered.
const GITFAAS_JOB: HeaderName = HeaderName::from_static("gitfaas-job");
/// How long its parts took (Server Timing, W3C).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// `Retry-After` in seconds, where too many requests wait.
const RETRY_AFTER_S: u64 = 1;

/// Why there is no answer of the program's.
#[derive(Debug)]
pub(super) struct Failure {
    problem: Box<CallProblem>,
    /// The value of `Allow`, where it is the method.
    allow: Option<String>,
}

/// The sentence of a failure, which the log repeats.
#[derive(Debug, Clone)]
pub(super) struct Detail(pub(super) String);

impl Failure {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let problem = CallProblem {
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            cause: None,
            fault: None,
            job: None,
            may_have_run: false,
        };
        Self { problem: Box::new(problem), allow: None }
    }

    /// The function does not take the method.
    pub(super) fn of_method(http: &Http) -> Self {
        let allow = http.allow_header();
        let failure = Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("the function takes {allow}"));
        Self { allow: Some(allow), ..failure }
    }

    /// What ended otherwise than with an answer; good ends are none of the function's as well.
    pub(super) fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed { cause, fault, message } => Self::of(cause, fault, message),
            Outcome::Skipped { why } => Self::of(Cause::Skipped, Fault::Nobody, why),
            Outcome::Finished | Outcome::Built => {
                Self::of(Cause::Skipped, Fault::Nobody, "the function was not run".to_owned())
            }
        }
    }

    fn of(cause: Cause, fault: Fault, detail: String) -> Self {
        let status = StatusCode::from_u16(cgi::status_of(cause, fault)).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut failure = Self::new(status, detail);
        failure.problem.cause = Some(cause.into());
        failure.problem.fault = Some(fault.into());
        failure
    }

    fn of_run(mut self, end: &LocalEnd) -> Self {
        self.problem.job = Some(end.job);
        self
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.problem.status
    }

    pub(super) fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = (status, Json(&self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response.extensions_mut().insert(Detail(self.problem.detail));
        response
    }
}

/// The answer of a run that is over.
pub(super) fn of_end(end: &LocalEnd, http: &Http) -> Result<Response, Failure> {
    match &end.outcome {
        Outcome::Finished => {}
        Outcome::Built | Outcome::Skipped { .. } | Outcome::Failed { .. } => {
            return Err(Failure::of_outcome(end.outcome.clone()).of_run(end));
        }
    }
    let bad_output = |why: String| Failure::of(Cause::Output, Fault::Function, why).of_run(end);
    let output = end.result.as_ref();
    if let Some(output) = output.filter(|output| output.omitted_bytes > 0) {
        let bytes = output.bytes.len() as u64 + output.omitted_bytes;
        return Err(bad_output(format!("the answer has {bytes} bytes, more than an answer may have")));
    }
    let output = output.map_or(&[][..], |output| &output.bytes);
    let answer = cgi::answer(output, http).map_err(|error| bad_output(error.to_string()))?;
    let mut response = Response::new(Body::from(output[answer.body].to_vec()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in cgi::confined(answer.headers) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// Adds what every answer of a run says of it, failures as well.
pub(super) fn describe(response: &mut Response, end: &LocalEnd) {
    let timing = cgi::server_timing(&end.timings_ms);
    let told = [(GITFAAS_JOB, Some(end.job.to_string())), (SERVER_TIMING, timing)];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Answers stand here as they do in a service, so that a page that needs more is no surprise there.
pub(super) fn confine(response: &mut Response) {
    for (name, value) in cgi::CONFINING_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

/// Adds headers of Cross-Origin Resource Sharing; `Vary` beside the function's own.
pub(super) fn share(response: &mut Response, cors: Vec<manifest::Header>) {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in cors {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            continue;
        };
        match name == header::VARY {
            true => headers.append(name, value),
            false => headers.insert(name, value).is_some(),
        };
    }
}
