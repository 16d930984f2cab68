//! The answer of a call, made of its job: standard output as the manifest says, or why there is none.
//!
//! Answers stand under the gateway's own host, so no page of ours may be reached by what a function says: they are
//! sandboxed, never guessed at by browsers, and what would set something for the whole origin is dropped.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use jobs::{Job, State, bucket::Entry, cgi, manifest::Http};

use crate::{
    functions::{Functions, problem::CallError},
    http::layers::OfFunction,
};

/// The job of a call.
pub(super) const GITFAAS_JOB: HeaderName = HeaderName::from_static("gitfaas-job");
/// The commit that answered.
const GITFAAS_COMMIT: HeaderName = HeaderName::from_static("gitfaas-commit");
/// How long the parts of a call took (Server Timing, W3C).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

impl Functions {
    /// The answer of a call whose job is over.
    pub(super) async fn answer(&self, entry: Entry<Job>, http: &Http) -> Result<Response, CallError> {
        let status = &entry.value.status;
        match status.state {
            State::Finish if status.cause.is_none() => {}
            State::Finish | State::Error | State::Pending | State::Working => {
                return Err(CallError::Failed(Box::new(entry)));
            }
        }
        let output = match &status.result {
            Some(result) if result.omitted_bytes > 0 => {
                let bytes = result.bytes + result.omitted_bytes;
                let sentence = format!("the answer has {bytes} bytes, more than an answer may have");
                return Err(CallError::BadOutput(Box::new(entry), sentence));
            }
            Some(result) => self.ledger.results.fetch(entry.value.spec.id, status.attempt, result).await?,
            None => Bytes::new(),
        };
        match cgi::answer(&output, http) {
            Ok(answer) => {
                let mut response = of_program(answer, &output);
                response.extensions_mut().insert(OfFunction);
                Ok(response)
            }
            Err(error) => Err(CallError::BadOutput(Box::new(entry), error.to_string())),
        }
    }
}

/// What a program says, less what would hold for the whole origin.
fn of_program(answer: cgi::CgiResponse, output: &Bytes) -> Response {
    let mut response = Response::new(Body::from(output.slice(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in cgi::confined(answer.headers) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Adds what every answer of a call says of it, failures as well.
pub(super) fn describe(response: &mut Response, job: &Job) {
    let headers = response.headers_mut();
    headers.insert(GITFAAS_JOB, value(job.spec.id));
    if let Some(sha) = &job.spec.sha {
        headers.insert(GITFAAS_COMMIT, value(sha));
    }
    if let Some(timing) = cgi::server_timing(&job.status.timings_ms) {
        headers.insert(SERVER_TIMING, value(timing));
    }
}

/// Closes what an answer could do under the gateway's host.
pub(super) fn isolate(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in cgi::CONFINING_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Ids and digits are what a header may hold.
fn value(text: impl ToString) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use jobs::manifest::ResponseFormat;

    use super::*;

    fn shown(response: &Response) -> Vec<String> {
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<String> = response.headers().iter().map(line).collect();
        lines.sort();
        lines.insert(0, response.status().as_u16().to_string());
        lines
    }

    fn answered(output: &'static str) -> Response {
        let output = Bytes::from_static(output.as_bytes());
        let http = Http { response: ResponseFormat::Cgi, ..Http::default() };
        of_program(cgi::answer(&output, &http).unwrap(), &output)
    }

    #[test]
    fn headers_that_a_program_writes_are_passed_on() {
        let response = answered("Status: 404 Not Found\nContent-Type: text/html\nX-A: 1\nX-A: 2\n\n<b>");
        assert_eq!(shown(&response), ["404", "content-type: text/html", "x-a: 1", "x-a: 2"]);
        assert_eq!(shown(&answered("Location: /x\n\n")), ["302", "location: /x"]);
    }

    #[test]
    fn what_holds_for_the_whole_origin_is_dropped() {
        let output = "Gitfaas-Job: x\nSet-Cookie: x\nContent-Security-Policy: x\nX-Content-Type-Options: x\n\
                      Cache-Control: max-age=60\n\nx";
        let mut response = answered(output);
        isolate(&mut response);
        let expected = [
            "200",
            "cache-control: max-age=60",
            "content-security-policy: sandbox; default-src 'none'",
            "content-type: text/plain; charset=utf-8",
            "x-content-type-options: nosniff",
        ];
        assert_eq!(shown(&response), expected);
    }
}
