//! Addresses of functions: `/f/{function}[@{version}][/{path…}]`, and `/f/{function}/-/calls/{id}.{mac}` for an
//! answer that is fetched later.

use jobs::JobId;
use percent_encoding::percent_decode_str;

/// What all addresses of functions begin with.
pub(crate) const PREFIX: &str = "/f/";
/// What stands between a function and the answer of one of its calls. A function's own path may begin with it only
/// where a version is named.
const ANSWERS: &str = "/-/calls/";

/// What a path under [`PREFIX`] asks for. Texts are as they came unless they say otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// The function, decoded.
    pub(crate) function: String,
    pub(crate) asks_for: Asked<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A call.
    Call {
        /// A commit, alias, tag or branch, decoded, `~` made a slash; `None` is the default.
        version: Option<String>,
        /// CGI's `SCRIPT_NAME`: the part up to the function's own path.
        script_name: &'a str,
        /// The function's own path: empty, or beginning with a slash.
        path: &'a str,
    },
    /// The answer of a call that was made before, with the proof that the caller was given its address.
    Answer { job: JobId, mac: &'a str },
}

/// A path that is no address of a function.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of a function: /f/<function>[@<version>][/<path>]")]
pub(crate) struct NotAnAddress;

impl<'a> Address<'a> {
    /// Reads the path of a request, not decoded.
    pub(crate) fn of(path: &'a str) -> Result<Self, NotAnAddress> {
        let rest = path.strip_prefix(PREFIX).ok_or(NotAnAddress)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (name, own) = rest.split_at(end);
        let name = percent_decode_str(name).decode_utf8().map_err(|_| NotAnAddress)?;
        let (function, version) = match name.split_once('@') {
            Some((function, version)) => (function, Some(version.replace('~', "/"))),
            None => (name.as_ref(), None),
        };
        if function.is_empty() || version.as_deref() == Some("") {
            return Err(NotAnAddress);
        }
        let function = function.to_owned();
        if let (None, Some(answer)) = (&version, own.strip_prefix(ANSWERS)) {
            let (job, mac) = answer.split_once('.').ok_or(NotAnAddress)?;
            let job = job.parse().map_err(|_| NotAnAddress)?;
            return Ok(Self { function, asks_for: Asked::Answer { job, mac } });
        }
        let script_name = &path[..PREFIX.len() + end];
        Ok(Self { function, asks_for: Asked::Call { version, script_name, path: own } })
    }
}

/// The address of a call's answer.
pub(crate) fn answer_path(function: &str, job: JobId, mac: &str) -> String {
    format!("{PREFIX}{function}{ANSWERS}{job}.{mac}")
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("/f/pi" => Some(("pi".into(), None, "/f/pi", "")))]
    #[test_case("/f/pi/" => Some(("pi".into(), None, "/f/pi", "/")) ; "a slash")]
    #[test_case("/f/pi/a//../b%2F" => Some(("pi".into(), None, "/f/pi", "/a//../b%2F")) ; "a path as it came")]
    #[test_case("/f/pi@v1.2/a" => Some(("pi".into(), Some("v1.2".into()), "/f/pi@v1.2", "/a")))]
    #[test_case("/f/pi@feature~x" => Some(("pi".into(), Some("feature/x".into()), "/f/pi@feature~x", "")) ; "a slash in a branch")]
    #[test_case("/f/p%69%40v1" => Some(("pi".into(), Some("v1".into()), "/f/p%69%40v1", "")) ; "decoded once")]
    #[test_case("/f/pi%2540v1" => Some(("pi%40v1".into(), None, "/f/pi%2540v1", "")) ; "and not twice")]
    #[test_case("/f/pi@v1/-/calls/x" => Some(("pi".into(), Some("v1".into()), "/f/pi@v1", "/-/calls/x")) ; "own path of a version")]
    #[test_case("/f/" => None ; "no function")]
    #[test_case("/f/@v1" => None ; "a version of nothing")]
    #[test_case("/f/pi@" => None ; "an empty version")]
    #[test_case("/f/%ff" => None ; "not UTF-8")]
    #[test_case("/f/pi/-/calls/x" => None ; "an answer of no job")]
    fn a_call(path: &str) -> Option<(String, Option<String>, &str, &str)> {
        let Address { function, asks_for } = Address::of(path).ok()?;
        match asks_for {
            Asked::Call { version, script_name, path } => Some((function, version, script_name, path)),
            Asked::Answer { .. } => panic!("a call"),
        }
    }

    #[test]
    fn an_answer_is_read_as_it_is_written() {
        let job = JobId::new();
        let path = answer_path("pi", job, "a.b");
        let expected = Address { function: "pi".to_owned(), asks_for: Asked::Answer { job, mac: "a.b" } };
        assert_eq!(Address::of(&path), Ok(expected));
    }
}
