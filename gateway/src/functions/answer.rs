//! The answer of a call, made of its job: standard output as the manifest says, or why there is none.
//!
//! Answers stand under the gateway's own host, so no page of ours may be reached by what a function says: they are
//! sandboxed, never guessed at by browsers, and what would set something for the whole origin is dropped.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jobs::{
    Job, State, Timings,
    bucket::Entry,
    cgi,
    manifest::{Http, ResponseFormat},
};

use crate::{
    functions::{Functions, problem::CallError},
    http::layers::OfFunction,
};

/// What runs nothing and belongs to no origin, wherever it is opened.
const POLICY: &str = "sandbox; default-src 'none'";
/// The job of a call.
pub(super) const GITFAAS_JOB: HeaderName = HeaderName::from_static("gitfaas-job");
/// The commit that answered.
const GITFAAS_COMMIT: HeaderName = HeaderName::from_static("gitfaas-commit");
/// How long the parts of a call took (Server Timing, W3C).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Headers of a function's that would hold for the gateway's whole origin: cookies, stored data, workers, password
/// prompts under its name, reports of every page's errors with their addresses, what browsers send to it, how it is
/// reached, sessions that are renewed below its path, dictionaries for other answers. What proxies in front of the
/// gateway take for an order: to send a file or another address instead, or to look for includes. And those that the
/// gateway says itself.
const DROPPED: [&str; 22] = [
    "accept-ch",
    "alt-svc",
    "clear-site-data",
    "content-security-policy",
    "nel",
    "public-key-pins",
    "report-to",
    "reporting-endpoints",
    "sec-session-registration",
    "secure-session-registration",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "set-login",
    "strict-transport-security",
    "surrogate-control",
    "use-as-dictionary",
    "www-authenticate",
    "x-accel-redirect",
    "x-content-type-options",
    "x-reproxy-url",
    "x-sendfile",
];
/// Types that browsers take apart: Firefox obeys `Set-Cookie` among the headers of each part
/// (`nsMultiMixedConv.cpp`).
const TAKEN_APART: [&str; 3] = ["multipart/byteranges", "multipart/mixed", "multipart/x-mixed-replace"];
/// What begins the headers that the gateway says of a call.
const OWN_HEADERS: &str = "gitfaas-";

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
        let mut response = match http.response {
            ResponseFormat::Raw => raw(output, http),
            ResponseFormat::Cgi => match cgi::response(&output) {
                Ok(answer) => of_cgi(&answer, &output, http),
                Err(error) => return Err(CallError::BadOutput(Box::new(entry), error.to_string())),
            },
        };
        response.extensions_mut().insert(OfFunction);
        Ok(response)
    }
}

/// Standard output as it is.
fn raw(output: Bytes, http: &Http) -> Response {
    let content_type = content_type(http, &output);
    let mut response = Response::new(Body::from(output));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Standard output that begins with headers.
fn of_cgi(answer: &cgi::CgiResponse, output: &Bytes, http: &Http) -> Response {
    let body = output.slice(answer.body.clone());
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let lower = name.to_ascii_lowercase();
        if DROPPED.contains(&lower.as_str()) || lower.starts_with(OWN_HEADERS) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(lower), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if !body.is_empty() {
        headers.entry(header::CONTENT_TYPE).or_insert_with(|| content_type(http, &body));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, body).into_response();
    // Bytes bring a type of their own.
    response.headers_mut().remove(header::CONTENT_TYPE);
    response.headers_mut().extend(headers);
    response
}

/// The manifest's type, else one that a browser does nothing with.
fn content_type(http: &Http, body: &Bytes) -> HeaderValue {
    let said = http.content_type.as_ref().and_then(|said| HeaderValue::try_from(said).ok());
    said.unwrap_or_else(|| {
        HeaderValue::from_static(match std::str::from_utf8(body) {
            Ok(_) => "text/plain; charset=utf-8",
            Err(_) => "application/octet-stream",
        })
    })
}

/// Adds what every answer of a call says of it, failures as well.
pub(super) fn describe(response: &mut Response, job: &Job) {
    let headers = response.headers_mut();
    headers.insert(GITFAAS_JOB, value(job.spec.id));
    if let Some(sha) = &job.spec.sha {
        headers.insert(GITFAAS_COMMIT, value(sha));
    }
    if let Some(timing) = server_timing(&job.status.timings_ms) {
        headers.insert(SERVER_TIMING, value(timing));
    }
}

/// Closes what an answer could do under the gateway's host.
pub(super) fn isolate(response: &mut Response) {
    let headers = response.headers_mut();
    let said = headers.get(header::CONTENT_TYPE).and_then(|said| said.to_str().ok());
    // Anywhere in it: of types in a list browsers take one.
    let is_taken_apart = said.is_some_and(|said| {
        let said = said.to_ascii_lowercase();
        TAKEN_APART.iter().any(|kind| said.contains(kind))
    });
    if is_taken_apart {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Ids and digits are what a header may hold.
fn value(text: impl ToString) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or(HeaderValue::from_static(""))
}

fn server_timing(timings: &Timings) -> Option<String> {
    let Timings { queued, checkout, prepare, run } = timings;
    let parts = [("queue", queued), ("checkout", checkout), ("prepare", prepare), ("run", run)];
    let known = parts.into_iter().filter_map(|(name, ms)| ms.map(|ms| format!("{name};dur={ms}")));
    let text = known.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(response: &Response) -> Vec<String> {
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<String> = response.headers().iter().map(line).collect();
        lines.sort();
        lines.insert(0, response.status().as_u16().to_string());
        lines
    }

    fn cgi(output: &'static str) -> Response {
        let output = Bytes::from_static(output.as_bytes());
        of_cgi(&cgi::response(&output).unwrap(), &output, &Http::default())
    }

    #[test]
    fn standard_output_is_text_or_bytes_unless_the_manifest_says() {
        let said = Http { content_type: Some("text/html".to_owned()), ..Http::default() };
        let shown_of = |output: &'static [u8], http: &Http| shown(&raw(Bytes::from_static(output), http));
        assert_eq!(shown_of(b"x", &Http::default()), ["200", "content-type: text/plain; charset=utf-8"]);
        assert_eq!(shown_of(b"\xff", &Http::default()), ["200", "content-type: application/octet-stream"]);
        assert_eq!(shown_of(b"\xff", &said), ["200", "content-type: text/html"]);
    }

    #[test]
    fn headers_that_a_program_writes_are_passed_on() {
        let response = cgi("Status: 404 Not Found\nContent-Type: text/html\nX-A: 1\nX-A: 2\n\n<b>");
        assert_eq!(shown(&response), ["404", "content-type: text/html", "x-a: 1", "x-a: 2"]);
        assert_eq!(shown(&cgi("Location: /x\n\n")), ["302", "location: /x"]);
        assert_eq!(shown(&cgi("X-A: 1\n\nx")), ["200", "content-type: text/plain; charset=utf-8", "x-a: 1"]);
    }

    #[test]
    fn what_holds_for_the_whole_origin_is_dropped() {
        let mut output = String::new();
        for name in DROPPED.iter().chain(&["Gitfaas-Job", "Set-Cookie"]) {
            output.push_str(&format!("{name}: x\n"));
        }
        output.push_str("Cache-Control: max-age=60\n\nx");
        let output = Bytes::from(output);
        let mut response = of_cgi(&cgi::response(&output).unwrap(), &output, &Http::default());
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

    #[test]
    fn an_answer_is_not_taken_apart_by_browsers() {
        let type_of = |said: &str| {
            let output = Bytes::from(format!("Content-Type: {said}\n\n--x"));
            let mut response = of_cgi(&cgi::response(&output).unwrap(), &output, &Http::default());
            isolate(&mut response);
            response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        for said in [
            "multipart/x-mixed-replace;boundary=x",
            "Multipart/Mixed ; boundary=x",
            "text/plain, multipart/byteranges",
        ] {
            assert_eq!(type_of(said), "application/octet-stream", "{said}");
        }
        assert_eq!(type_of("multipart/form-data; boundary=x"), "multipart/form-data; boundary=x");
    }

    #[test]
    fn timings_that_are_known_are_told() {
        let timings = Timings { queued: Some(3), run: Some(12), ..Timings::default() };
        assert_eq!(server_timing(&timings).unwrap(), "queue;dur=3, run;dur=12");
        assert_eq!(server_timing(&Timings::default()), None);
    }
}
