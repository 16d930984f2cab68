//! The answer of a call, made of standard output as the manifest says, and the status where there is none.
//!
//! A gateway and `gitfaas run --http` answer alike because both answer by this.

use super::{CgiResponse, ResponseError, response};
use crate::{
    Cause, Fault, Timings,
    manifest::{Http, ResponseFormat},
};

/// Headers that every answer under an address shared by functions has, failures as well: whatever is opened there runs
/// nothing, belongs to no origin and is taken for what it says it is.
pub const CONFINING_HEADERS: [(&str, &str); 2] =
    [("content-security-policy", "sandbox; default-src 'none'"), ("x-content-type-options", "nosniff")];
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
const CONTENT_TYPE: &str = "content-type";
/// A type that browsers do nothing with.
const BYTES: &str = "application/octet-stream";

/// What a program that ended well answers. A body has a type: its own, the manifest's, else one that a browser does
/// nothing with.
///
/// # Errors
/// The manifest says that the answer begins with headers, and it does not.
pub fn answer(stdout: &[u8], http: &Http) -> Result<CgiResponse, ResponseError> {
    match http.response {
        ResponseFormat::Raw => {
            let headers = vec![(CONTENT_TYPE.to_owned(), content_type(http, stdout))];
            Ok(CgiResponse { status: 200, headers, body: 0..stdout.len() })
        }
        ResponseFormat::Cgi => {
            let mut answer = response(stdout)?;
            let is_typed = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
            if !answer.body.is_empty() && !is_typed {
                let content_type = content_type(http, &stdout[answer.body.clone()]);
                answer.headers.push((CONTENT_TYPE.to_owned(), content_type));
            }
            Ok(answer)
        }
    }
}

fn content_type(http: &Http, body: &[u8]) -> String {
    let usual = match std::str::from_utf8(body) {
        Ok(_) => "text/plain; charset=utf-8",
        Err(_) => BYTES,
    };
    http.content_type.clone().unwrap_or_else(|| usual.to_owned())
}

/// The headers of an answer that may be passed on under an address that functions share.
pub fn confined(headers: Vec<(String, String)>) -> impl Iterator<Item = (String, String)> {
    let passed_on = headers.into_iter().filter(|(name, _)| {
        let lower = name.to_ascii_lowercase();
        !DROPPED.contains(&lower.as_str()) && !lower.starts_with(OWN_HEADERS)
    });
    passed_on.map(|(name, value)| {
        let is_taken_apart = name.eq_ignore_ascii_case(CONTENT_TYPE) && is_taken_apart(&value);
        let value = if is_taken_apart { BYTES.to_owned() } else { value };
        (name, value)
    })
}

/// Whether browsers take a body of this type apart. Anywhere in it: of types in a list they take one.
fn is_taken_apart(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    TAKEN_APART.iter().any(|kind| lower.contains(kind))
}

/// The status that a failure is told with.
///
/// What the function did is a bad gateway's, as for a web server in front of it; what the service did is 503, and may
/// be tried again.
pub fn status_of(cause: Cause, fault: Fault) -> u16 {
    match (fault, cause) {
        (_, Cause::Refused) => 429,
        (Fault::Service | Fault::Nobody, _) => 503,
        (Fault::Function, Cause::Timeout) => 504,
        (
            Fault::Function,
            Cause::Skipped
            | Cause::Exit
            | Cause::Memory
            | Cause::Disk
            | Cause::Processes
            | Cause::Output
            | Cause::Manifest
            | Cause::Checkout
            | Cause::Prepare
            | Cause::Cancelled
            | Cause::Superseded
            | Cause::Lost,
        ) => 502,
    }
}

/// The value of `Server-Timing` (W3C): the parts of a call that took time, in milliseconds.
pub fn server_timing(timings: &Timings) -> Option<String> {
    let Timings { queued, checkout, prepare, run } = timings;
    let parts = [("queue", queued), ("checkout", checkout), ("prepare", prepare), ("run", run)];
    let known = parts.into_iter().filter_map(|(name, ms)| ms.map(|ms| format!("{name};dur={ms}")));
    let text = known.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("multipart/x-mixed-replace;boundary=x" => "application/octet-stream")]
    #[test_case("Multipart/Mixed ; boundary=x" => "application/octet-stream")]
    #[test_case("text/plain, multipart/byteranges" => "application/octet-stream" ; "in a list")]
    #[test_case("multipart/form-data; boundary=x" => "multipart/form-data; boundary=x")]
    fn a_type_that_browsers_take_apart(said: &str) -> String {
        confined(vec![("Content-Type".to_owned(), said.to_owned())]).next().unwrap().1
    }

    fn shown(answer: CgiResponse) -> String {
        let mut text = answer.status.to_string();
        for (name, value) in confined(answer.headers) {
            text.push_str(&format!(" | {name}: {value}"));
        }
        text
    }

    fn raw(content_type: Option<&str>) -> Http {
        Http { content_type: content_type.map(str::to_owned), ..Http::default() }
    }

    #[test_case(b"x", None => "200 | content-type: text/plain; charset=utf-8" ; "text")]
    #[test_case(b"\xff", None => "200 | content-type: application/octet-stream" ; "bytes")]
    #[test_case(b"", None => "200 | content-type: text/plain; charset=utf-8" ; "nothing")]
    #[test_case(b"\xff", Some("text/html") => "200 | content-type: text/html" ; "what the manifest says")]
    fn raw_answers(stdout: &[u8], content_type: Option<&str>) -> String {
        let answer = answer(stdout, &raw(content_type)).unwrap();
        assert_eq!(answer.body, 0..stdout.len());
        shown(answer)
    }

    #[test_case("Status: 404 Not Found\nContent-Type: text/html\n\n<b>" => "404 | Content-Type: text/html")]
    #[test_case("X-A: 1\n\nx" => "200 | X-A: 1 | content-type: text/plain; charset=utf-8" ; "a body without a type")]
    #[test_case("Location: /x\n\n" => "302 | Location: /x" ; "no body, no type")]
    #[test_case("Set-Cookie: a=1\nGitfaas-Job: 1\nX-A: 1\n\n" => "200 | X-A: 1" ; "what holds for the whole origin")]
    fn answers_with_headers(stdout: &str) -> String {
        let http = Http { response: ResponseFormat::Cgi, ..Http::default() };
        shown(answer(stdout.as_bytes(), &http).unwrap())
    }

    #[test]
    fn every_header_that_holds_for_the_whole_origin_is_dropped_in_any_case() {
        for name in DROPPED {
            let headers = vec![(name.to_owned(), "x".to_owned()), (name.to_uppercase(), "x".to_owned())];
            assert_eq!(confined(headers).count(), 0, "{name}");
        }
    }

    #[test_case(Cause::Exit, Fault::Function => 502)]
    #[test_case(Cause::Memory, Fault::Function => 502)]
    #[test_case(Cause::Disk, Fault::Function => 502)]
    #[test_case(Cause::Processes, Fault::Function => 502)]
    #[test_case(Cause::Output, Fault::Function => 502)]
    #[test_case(Cause::Manifest, Fault::Function => 502)]
    #[test_case(Cause::Prepare, Fault::Function => 502)]
    #[test_case(Cause::Prepare, Fault::Service => 503 ; "a registry is away")]
    #[test_case(Cause::Timeout, Fault::Function => 504)]
    #[test_case(Cause::Refused, Fault::Nobody => 429)]
    #[test_case(Cause::Lost, Fault::Service => 503)]
    #[test_case(Cause::Cancelled, Fault::Nobody => 503)]
    fn statuses_of_failures(cause: Cause, fault: Fault) -> u16 {
        status_of(cause, fault)
    }

    #[test]
    fn timings_that_are_known_are_told() {
        let timings = Timings { queued: Some(3), run: Some(12), ..Timings::default() };
        assert_eq!(server_timing(&timings).unwrap(), "queue;dur=3, run;dur=12");
        assert_eq!(server_timing(&Timings::default()), None);
    }
}
