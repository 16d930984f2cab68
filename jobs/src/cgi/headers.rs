//! Which headers of a request a program is told, and which of an answer are passed on.

use super::Request;

/// Headers that belong to one connection and are never passed on: RFC 9110, section 7.6.1, and those that
/// RFC 2616, section 13.5.1, named before.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// As the variable `HTTP_PROXY` it would be taken for the program's proxy (httpoxy, CVE-2016-5385).
const HTTPOXY: &str = "proxy";

/// The headers among these that are passed on: none of one connection alone, whether HTTP says so or
/// `Connection` does.
pub(super) fn end_to_end(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let named: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_passed_on = |name: &str| {
        let name = name.to_ascii_lowercase();
        !HOP_BY_HOP.contains(&name.as_str()) && !named.contains(&name)
    };
    headers.into_iter().filter(|(name, _)| is_passed_on(name)).collect()
}

/// The headers of a request that its program is told, in their order. A name outside `[A-Za-z0-9-]` is not told:
/// `X_A` and `X-A` would be one variable.
pub(super) fn for_program(request: &Request, own_cookies: &[&str]) -> Vec<(String, String)> {
    let told = |name: &str| {
        let has_variable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_withheld = name.eq_ignore_ascii_case(HTTPOXY)
            || (name.eq_ignore_ascii_case("authorization") && !request.keep_authorization);
        has_variable && !is_withheld
    };
    let mut headers = Vec::new();
    for (name, value) in end_to_end(request.headers.clone()) {
        let value = match name.eq_ignore_ascii_case("cookie") {
            true => without_cookies(value, own_cookies),
            false => Some(value),
        };
        if let Some(value) = value.filter(|_| told(&name)) {
            headers.push((name, value));
        }
    }
    headers
}

/// A header `Cookie` without cookies of these names; `None` where none is left. Names are compared with case.
fn without_cookies(header: String, names: &[&str]) -> Option<String> {
    let pairs: Vec<&str> = header.split(';').map(str::trim).collect();
    let is_kept = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name.trim_end());
        !names.contains(&name)
    };
    let kept: Vec<&str> = pairs.iter().copied().filter(is_kept).collect();
    if kept.len() == pairs.len() {
        return Some(header);
    }
    (!kept.is_empty()).then(|| kept.join("; "))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test]
    fn what_belongs_to_one_connection_is_not_passed_on() {
        let names = ["Connection", "X-Mine", "TE", "upgrade", "X-Other", "Keep-Alive"];
        let headers = names.map(|name| (name.to_owned(), "close, x-mine".to_owned())).into_iter().collect();
        assert_eq!(end_to_end(headers), [("X-Other".to_owned(), "close, x-mine".to_owned())]);
    }

    #[test_case("a=1; b=2" => Some("a=1; b=2".to_owned()) ; "none of ours")]
    #[test_case("a=1;b=2 ; " => Some("a=1;b=2 ; ".to_owned()) ; "none of ours, as it came")]
    #[test_case("a=1; __Host-session=x; b=2" => Some("a=1; b=2".to_owned()) ; "one of ours")]
    #[test_case("__Host-session=x" => None ; "nothing else")]
    #[test_case("__Host-session =x;a=1" => Some("a=1".to_owned()) ; "a space before the sign")]
    #[test_case("__Host-session" => None ; "a name alone")]
    #[test_case("__host-session=x" => Some("__host-session=x".to_owned()) ; "another case is another cookie")]
    #[test_case("a=__Host-session=x" => Some("a=__Host-session=x".to_owned()) ; "the name as a value")]
    #[test_case("__Host-form=1; __Host-session=x" => None ; "all of them ours")]
    fn cookies(header: &str) -> Option<String> {
        without_cookies(header.to_owned(), &["__Host-session", "__Host-form"])
    }
}
