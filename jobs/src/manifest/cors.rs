//! Cross-origin resource sharing: which pages of other origins may call a function from a browser.
//!
//! The answers are those of the Fetch standard, section "HTTP CORS protocol". What a preflight is told does not
//! depend on what it asks for but for its origin, so that a browser may keep it for every method and header.
//! Nothing here protects the function: a browser holds the page back, and other programs ask nobody.

use serde::{Deserialize, Serialize};

/// Stands for every origin, method or header, where no credentials are sent.
pub(super) const ANY: &str = "*";
/// The longest that a browser may keep the answer to a preflight, in seconds: Firefox keeps none longer.
pub const MAX_AGE_S: u32 = 86_400;

/// A header of an answer.
pub type Header = (&'static str, String);

/// Which pages of other origins may call a function; the names are those of AWS Lambda's function URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins as browsers send them, `https://example.com` or `https://example.com:8443`, or `*`.
    pub allow_origins: Vec<String>,
    /// Methods that a page may use, or `*`; the parser puts those of the function here where none are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    /// Headers that a page may send besides those that every page may, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Headers of the answer that a page may read besides those that every page may, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Whether a page may send cookies and HTTP authentication, and read what comes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// For how many seconds a browser may keep the answer to a preflight, [`MAX_AGE_S`] at most; absent leaves it
    /// to the browser.
    #[serde(default, rename = "maxAge", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(nullable = false))]
    pub max_age_s: Option<u32>,
}

/// Whether a request is a preflight: `origin` is its header `Origin`, `wanted_method` is
/// `Access-Control-Request-Method`.
pub fn is_preflight(method: &str, origin: Option<&str>, wanted_method: Option<&str>) -> bool {
    method == "OPTIONS" && origin.is_some() && wanted_method.is_some()
}

impl Cors {
    /// The headers of the answer to a preflight of a page of this origin; a page of another origin than the
    /// listed ones is told nothing.
    pub fn preflight(&self, origin: &str) -> Vec<Header> {
        let mut headers = self.of_origin(Some(origin));
        if self.shared_with(origin).is_some() {
            let lists = [
                ("Access-Control-Allow-Methods", &self.allow_methods),
                ("Access-Control-Allow-Headers", &self.allow_headers),
            ];
            headers.extend(lists.into_iter().filter_map(|(name, list)| joined(name, list)));
            headers.extend(self.max_age_s.map(|s| ("Access-Control-Max-Age", s.to_string())));
        }
        headers
    }

    /// The headers of every other answer, also of a failure, to a request with this `Origin`.
    pub fn answer(&self, origin: Option<&str>) -> Vec<Header> {
        let mut headers = self.of_origin(origin);
        if origin.is_some_and(|origin| self.shared_with(origin).is_some()) {
            headers.extend(joined("Access-Control-Expose-Headers", &self.expose_headers));
        }
        headers
    }

    /// `Vary` stands also where there is no origin, or a cache would give that answer to a page.
    fn of_origin(&self, origin: Option<&str>) -> Vec<Header> {
        let mut headers = vec![("Vary", "Origin".to_owned())];
        if let Some(shared_with) = origin.and_then(|origin| self.shared_with(origin)) {
            headers.push(("Access-Control-Allow-Origin", shared_with.to_owned()));
            if self.allow_credentials {
                headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
            }
        }
        headers
    }

    /// The value of `Access-Control-Allow-Origin`. Origins are compared byte for byte, as browsers do it.
    fn shared_with<'a>(&self, origin: &'a str) -> Option<&'a str> {
        let lists = |wanted: &str| self.allow_origins.iter().any(|listed| listed == wanted);
        match (lists(ANY), self.allow_credentials) {
            (true, false) => Some(ANY),
            (true, true) | (false, _) => lists(origin).then_some(origin),
        }
    }
}

fn joined(name: &'static str, list: &[String]) -> Option<Header> {
    (!list.is_empty()).then(|| (name, list.join(", ")))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const PAGE: &str = "https://example.com";

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn listed() -> Cors {
        Cors {
            allow_origins: list(&[PAGE, "http://localhost:5173"]),
            allow_methods: list(&["GET", "PUT"]),
            allow_headers: list(&["content-type", "authorization"]),
            expose_headers: list(&["gitfaas-job"]),
            allow_credentials: true,
            max_age_s: Some(600),
        }
    }

    fn any() -> Cors {
        Cors { allow_origins: list(&["*"]), allow_headers: list(&["*"]), ..Cors::default() }
    }

    fn shown(headers: &[Header]) -> String {
        headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    #[test]
    fn a_preflight_of_a_listed_origin_is_told_all_that_it_may() {
        insta::assert_snapshot!(shown(&listed().preflight(PAGE)), @r"
        Vary: Origin
        Access-Control-Allow-Origin: https://example.com
        Access-Control-Allow-Credentials: true
        Access-Control-Allow-Methods: GET, PUT
        Access-Control-Allow-Headers: content-type, authorization
        Access-Control-Max-Age: 600
        ");
        insta::assert_snapshot!(shown(&any().preflight(PAGE)), @r"
        Vary: Origin
        Access-Control-Allow-Origin: *
        Access-Control-Allow-Headers: *
        ");
    }

    #[test]
    fn an_answer_says_which_origin_may_read_it() {
        insta::assert_snapshot!(shown(&listed().answer(Some("http://localhost:5173"))), @r"
        Vary: Origin
        Access-Control-Allow-Origin: http://localhost:5173
        Access-Control-Allow-Credentials: true
        Access-Control-Expose-Headers: gitfaas-job
        ");
        insta::assert_snapshot!(shown(&any().answer(Some("null"))), @r"
        Vary: Origin
        Access-Control-Allow-Origin: *
        ");
    }

    #[test_case("https://example.com.evil.net" ; "a longer host")]
    #[test_case("http://example.com" ; "another scheme")]
    #[test_case("https://example.com:443" ; "a port")]
    #[test_case("https://EXAMPLE.com" ; "another case")]
    #[test_case("null" ; "no origin of its own")]
    #[test_case("" ; "nothing")]
    fn a_page_of_another_origin_is_told_nothing(origin: &str) {
        assert_eq!(shown(&listed().preflight(origin)), "Vary: Origin\n");
        assert_eq!(shown(&listed().answer(Some(origin))), "Vary: Origin\n");
    }

    #[test]
    fn a_request_without_an_origin_gets_an_answer_that_no_cache_gives_to_a_page() {
        assert_eq!(shown(&listed().answer(None)), "Vary: Origin\n");
        assert_eq!(shown(&any().answer(None)), "Vary: Origin\n");
    }

    #[test]
    fn any_origin_is_never_joined_with_credentials() {
        let both = Cors { allow_credentials: true, ..any() };
        assert_eq!(shown(&both.preflight(PAGE)), "Vary: Origin\n", "the parser refuses it; so does this");
    }

    #[test_case("OPTIONS", Some(PAGE), Some("PUT") => true)]
    #[test_case("OPTIONS", None, Some("PUT") => false ; "without an origin")]
    #[test_case("OPTIONS", Some(PAGE), None => false ; "OPTIONS of the function's own")]
    #[test_case("PUT", Some(PAGE), Some("PUT") => false ; "the request itself")]
    fn preflights(method: &str, origin: Option<&str>, wanted: Option<&str>) -> bool {
        is_preflight(method, origin, wanted)
    }
}
