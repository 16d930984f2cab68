//! `http` of the manifest: how a function is called over HTTP, and how it answers.
//!
//! It is stored with the version that was built from the manifest, under the names of the manifest, so that a
//! gateway answers preflights and refuses methods without reading the commit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Cors;

/// The methods of a function that names none.
pub const USUAL_METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// For how long a caller is kept waiting unless the manifest says otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// The longest that a caller is kept waiting, in seconds: proxies give up on silent connections.
pub const MAX_WAIT_S: u32 = 300;
/// The longest `http` as JSON, in bytes: it lies in a job's record, which stays under 32 KiB.
pub const MAX_HTTP_BYTES: usize = 4096;

/// How a function is called over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// Methods that it takes; empty means [`USUAL_METHODS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What its standard output is.
    #[serde(default, skip_serializing_if = "ResponseFormat::is_raw")]
    pub response: ResponseFormat,
    /// The media type of an answer that names none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(nullable = false))]
    pub content_type: Option<String>,
    /// For how many seconds a caller is kept waiting, [`MAX_WAIT_S`] at most; absent means [`DEFAULT_WAIT`].
    #[serde(default, rename = "wait", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(nullable = false))]
    pub wait_s: Option<u32>,
    /// Whether a call whose program may have begun is run again after a fault of ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// Which pages of other origins may call it; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(nullable = false))]
    pub cors: Option<Cors>,
}

/// What a function's standard output is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ResponseFormat {
    /// The body of an answer with status 200.
    #[default]
    Raw,
    /// Header lines, a blank line and the body ([`crate::cgi::response`]).
    Cgi,
}

impl ResponseFormat {
    /// Whether it is the default.
    fn is_raw(&self) -> bool {
        match self {
            Self::Raw => true,
            Self::Cgi => false,
        }
    }
}

impl Http {
    /// The methods that it takes, as a list of the manifest or [`USUAL_METHODS`].
    pub fn methods(&self) -> Vec<&str> {
        match self.methods.as_slice() {
            [] => USUAL_METHODS.to_vec(),
            listed => listed.iter().map(String::as_str).collect(),
        }
    }

    /// Whether it takes this method. Methods are compared with case (RFC 9110, section 9.1); HEAD is GET without
    /// the body, so it comes with GET.
    pub fn allows(&self, method: &str) -> bool {
        let methods = self.methods();
        methods.contains(&method) || (method == "HEAD" && methods.contains(&"GET"))
    }

    /// The value of `Allow`, which goes with status 405.
    pub fn allow_header(&self) -> String {
        let mut methods = self.methods();
        if self.allows("HEAD") && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }

    /// For how long a caller is kept waiting who says nothing of it.
    pub fn wait(&self) -> Duration {
        self.wait_s.map_or(DEFAULT_WAIT, |s| Duration::from_secs(s.into()))
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn taking(methods: &[&str]) -> Http {
        Http { methods: methods.iter().map(|&method| method.to_owned()).collect(), ..Http::default() }
    }

    #[test_case(&[], "PATCH" => true ; "a usual one")]
    #[test_case(&[], "OPTIONS" => false ; "no usual one")]
    #[test_case(&[], "get" => false ; "another case")]
    #[test_case(&["POST"], "POST" => true ; "the one listed")]
    #[test_case(&["POST"], "GET" => false ; "one that is not listed")]
    #[test_case(&["GET"], "HEAD" => true ; "HEAD with GET")]
    #[test_case(&["POST"], "HEAD" => false ; "HEAD without GET")]
    #[test_case(&["PROPFIND"], "PROPFIND" => true ; "one of an extension")]
    fn methods(listed: &[&str], method: &str) -> bool {
        taking(listed).allows(method)
    }

    #[test_case(&[] => "GET, HEAD, POST, PUT, PATCH, DELETE")]
    #[test_case(&["POST"] => "POST")]
    #[test_case(&["GET", "PROPFIND"] => "GET, PROPFIND, HEAD")]
    fn the_header_allow(listed: &[&str]) -> String {
        taking(listed).allow_header()
    }

    #[test]
    fn it_is_stored_as_the_manifest_says_it_and_what_is_not_said_is_left_out() {
        let text = |http: &Http| serde_json::to_string(http).unwrap();
        assert_eq!(text(&Http::default()), "{}");
        let http = Http {
            methods: vec!["POST".to_owned()],
            response: ResponseFormat::Cgi,
            content_type: Some("text/html".to_owned()),
            wait_s: Some(0),
            retry: true,
            cors: Some(Cors { allow_origins: vec!["*".to_owned()], max_age_s: Some(60), ..Cors::default() }),
        };
        insta::assert_snapshot!(text(&http), @r#"{"methods":["POST"],"response":"cgi","contentType":"text/html","wait":0,"retry":true,"cors":{"allowOrigins":["*"],"maxAge":60}}"#);
        assert_eq!(serde_json::from_str::<Http>(&text(&http)).unwrap(), http);
        assert_eq!((Http::default().wait(), http.wait()), (DEFAULT_WAIT, Duration::ZERO));
    }
}
