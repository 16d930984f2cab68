//! The variables that a program finds a request in: RFC 3875, section 4.1, with `REQUEST_URI` and `HTTPS`, which
//! servers set besides.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::{Request, RequestError, headers};

/// The longest that all variables of a request may be together, in bytes, each counted as `NAME=value` with a NUL
/// after it: as long as a browser's longest headers, and a fraction of what Linux takes.
pub const MAX_VARIABLES_BYTES: usize = 64 * 1024;
/// Gateways speak no other version to their clients.
const SERVER_PROTOCOL: &str = "HTTP/1.1";
/// Without a version, which is nobody's business but the operator's.
const SERVER_SOFTWARE: &str = "gitfaas";
/// Headers that have a variable of their own.
const META: [&str; 2] = ["content-type", "content-length"];

/// The variables of a request, those of its headers last and by name. `own_cookies` are the names of the gateway's
/// cookies, which the program is not told.
///
/// `PATH_INFO` is decoded once and is data: `..`, `//` and an escaped slash stay what they are, and whoever makes a
/// path of it must look at it first. `CONTENT_TYPE`, `CONTENT_LENGTH`, `REMOTE_USER` and `HTTPS` are absent where
/// there is nothing to say.
///
/// # Errors
/// A value is not UTF-8 or holds a NUL, or all of them are longer than [`MAX_VARIABLES_BYTES`].
pub fn variables(request: &Request, own_cookies: &[&str]) -> Result<Vec<(String, String)>, RequestError> {
    let path_info = percent_decode_str(&request.path).decode_utf8();
    let path_info = path_info.map_err(|_| RequestError::NotUtf8 { what: "PATH_INFO".to_owned() })?;
    let query = request.query.as_deref();
    let uri_query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let always = [
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        ("SERVER_SOFTWARE", SERVER_SOFTWARE.to_owned()),
        ("SERVER_PROTOCOL", SERVER_PROTOCOL.to_owned()),
        ("SERVER_NAME", request.server_name.clone()),
        ("SERVER_PORT", request.server_port.to_string()),
        ("REQUEST_METHOD", request.method.clone()),
        ("REQUEST_URI", format!("{}{}{uri_query}", request.script_name, request.path)),
        ("SCRIPT_NAME", request.script_name.clone()),
        ("PATH_INFO", path_info.into_owned()),
        ("QUERY_STRING", query.unwrap_or_default().to_owned()),
        ("REMOTE_ADDR", request.remote_addr.to_string()),
    ];
    let sometimes = [
        ("REMOTE_USER", request.remote_user.clone()),
        ("CONTENT_TYPE", request.content_type.clone()),
        ("CONTENT_LENGTH", request.content_length.map(|bytes| bytes.to_string())),
        ("HTTPS", request.is_https.then(|| "on".to_owned())),
    ];
    let given = sometimes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut variables: Vec<(String, String)> =
        always.into_iter().chain(given).map(|(name, value)| (name.to_owned(), value)).collect();
    variables.extend(of_headers(headers::for_program(request, own_cookies)));

    if let Some((what, _)) = variables.iter().find(|(_, value)| value.contains('\0')) {
        return Err(RequestError::Nul { what: what.clone() });
    }
    let bytes = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if bytes > MAX_VARIABLES_BYTES { Err(RequestError::TooLong { bytes }) } else { Ok(variables) }
}

/// `HTTP_*`. Lines of one name are one value (RFC 9110, section 5.3; cookies: RFC 6265, section 5.4).
fn of_headers(headers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        if META.iter().any(|meta| name.eq_ignore_ascii_case(meta)) {
            continue;
        }
        let joint = if name.eq_ignore_ascii_case("cookie") { "; " } else { ", " };
        let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        variables
            .entry(variable)
            .and_modify(|joined| joined.extend([joint, &value]))
            .or_insert_with(|| value.clone());
    }
    variables
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    const OWN: [&str; 1] = ["__Host-session"];

    fn request() -> Request {
        Request {
            method: "GET".to_owned(),
            path: String::new(),
            query: None,
            script_name: "/f/pi@v1".to_owned(),
            headers: Vec::new(),
            content_type: None,
            content_length: None,
            server_name: "faas.example.com".to_owned(),
            server_port: 443,
            is_https: true,
            remote_addr: Ipv4Addr::new(192, 0, 2, 7).into(),
            remote_user: None,
            keep_authorization: false,
        }
    }

    fn with_headers(headers: &[(&str, &str)]) -> Request {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Request { headers: headers.iter().map(owned).collect(), ..request() }
    }

    fn shown(request: &Request) -> String {
        let variables = variables(request, &OWN).unwrap();
        variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    fn value(request: &Request, wanted: &str) -> Option<String> {
        let found = variables(request, &OWN).unwrap().into_iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value)
    }

    #[test]
    fn a_request_with_everything() {
        let headers = [
            ("host", "faas.example.com"),
            ("accept", "text/html"),
            ("content-type", "application/json"),
            ("content-length", "3"),
            ("accept", "*/*;q=0.1"),
            ("ce-id", "7"),
            ("cookie", "a=1"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("cookie", "__Host-session=secret; b=2"),
            ("authorization", "Bearer secret"),
        ];
        let request = Request {
            method: "POST".to_owned(),
            path: "/a%20b/../c".to_owned(),
            query: Some("d=%20&e".to_owned()),
            content_type: Some("application/json".to_owned()),
            content_length: Some(3),
            remote_user: Some("ada@example.com".to_owned()),
            ..with_headers(&headers)
        };
        insta::assert_snapshot!(shown(&request), @"
        GATEWAY_INTERFACE=CGI/1.1
        SERVER_SOFTWARE=gitfaas
        SERVER_PROTOCOL=HTTP/1.1
        SERVER_NAME=faas.example.com
        SERVER_PORT=443
        REQUEST_METHOD=POST
        REQUEST_URI=/f/pi@v1/a%20b/../c?d=%20&e
        SCRIPT_NAME=/f/pi@v1
        PATH_INFO=/a b/../c
        QUERY_STRING=d=%20&e
        REMOTE_ADDR=192.0.2.7
        REMOTE_USER=ada@example.com
        CONTENT_TYPE=application/json
        CONTENT_LENGTH=3
        HTTPS=on
        HTTP_ACCEPT=text/html, */*;q=0.1
        HTTP_CE_ID=7
        HTTP_COOKIE=a=1; b=2
        HTTP_HOST=faas.example.com
        ");
    }

    #[test]
    fn a_request_with_nothing() {
        let request = Request { script_name: String::new(), is_https: false, ..request() };
        insta::assert_snapshot!(shown(&request), @"
        GATEWAY_INTERFACE=CGI/1.1
        SERVER_SOFTWARE=gitfaas
        SERVER_PROTOCOL=HTTP/1.1
        SERVER_NAME=faas.example.com
        SERVER_PORT=443
        REQUEST_METHOD=GET
        REQUEST_URI=
        SCRIPT_NAME=
        PATH_INFO=
        QUERY_STRING=
        REMOTE_ADDR=192.0.2.7
        ");
    }

    #[test_case("" => "" ; "nothing")]
    #[test_case("/" => "/" ; "a slash")]
    #[test_case("/a%2520b" => "/a%20b" ; "decoded once")]
    #[test_case("/a%2Fb" => "/a/b" ; "an escaped slash")]
    #[test_case("/a//b/" => "/a//b/" ; "two slashes")]
    #[test_case("/../../etc/passwd" => "/../../etc/passwd" ; "two dots")]
    #[test_case("/%2e%2e/a" => "/../a" ; "escaped dots")]
    #[test_case("/a+b" => "/a+b" ; "a plus is no space")]
    #[test_case("/%zz%4" => "/%zz%4" ; "no escapes")]
    #[test_case("/%C3%A9%0A" => "/é\n" ; "text of any kind")]
    fn path_info(path: &str) -> String {
        let request = Request { path: path.to_owned(), ..request() };
        assert_eq!(value(&request, "REQUEST_URI"), Some(format!("/f/pi@v1{path}")));
        value(&request, "PATH_INFO").unwrap()
    }

    #[test_case("/a%00b" => "PATH_INFO holds a NUL character" ; "NUL")]
    #[test_case("/%ff" => "PATH_INFO is not UTF-8" ; "not UTF-8")]
    #[test_case("/%C3" => "PATH_INFO is not UTF-8" ; "half a character")]
    fn paths_that_are_refused(path: &str) -> String {
        let error = variables(&Request { path: path.to_owned(), ..request() }, &OWN).unwrap_err();
        assert_eq!(error.status(), 400);
        error.to_string()
    }

    #[test_case("Proxy")]
    #[test_case("PROXY")]
    #[test_case("proxy")]
    fn no_header_becomes_the_programs_proxy(name: &str) {
        let request = with_headers(&[(name, "http://evil.example")]);
        assert_eq!(value(&request, "HTTP_PROXY"), None);
    }

    #[test_case("X_A" ; "an underscore")]
    #[test_case("x.a")]
    #[test_case("x a")]
    #[test_case("é")]
    #[test_case("" ; "nothing")]
    fn names_that_could_be_taken_for_others_are_dropped(name: &str) {
        assert!(!shown(&with_headers(&[(name, "1")])).contains("HTTP_"));
    }

    #[test_case(&[("X-A", "1"), ("x-b", "2"), ("x-a", "3")], "HTTP_X_A" => Some("1, 3".to_owned()) ; "in their order")]
    #[test_case(&[("Cookie", "a=1"), ("cookie", "b=2")], "HTTP_COOKIE" => Some("a=1; b=2".to_owned()) ; "cookies")]
    #[test_case(&[("Cookie", "__Host-session=1")], "HTTP_COOKIE" => None ; "no cookie of ours")]
    #[test_case(&[("Content-Type", "a/b")], "HTTP_CONTENT_TYPE" => None ; "the type has its own")]
    #[test_case(&[("Content-Length", "1")], "HTTP_CONTENT_LENGTH" => None ; "the length has its own")]
    #[test_case(&[("Transfer-Encoding", "chunked")], "HTTP_TRANSFER_ENCODING" => None ; "of one connection")]
    #[test_case(&[("X-Empty", "")], "HTTP_X_EMPTY" => Some(String::new()) ; "an empty one")]
    #[test_case(&[("Authorization", "Basic x")], "HTTP_AUTHORIZATION" => None ; "authorization")]
    fn headers(headers: &[(&str, &str)], variable: &str) -> Option<String> {
        value(&with_headers(headers), variable)
    }

    #[test]
    fn authorization_is_told_where_the_request_says_so() {
        let request = Request { keep_authorization: true, ..with_headers(&[("authorization", "Basic x")]) };
        assert_eq!(value(&request, "HTTP_AUTHORIZATION").as_deref(), Some("Basic x"));
    }

    #[test]
    fn what_is_too_long_is_refused_to_the_byte() {
        let length = |request: &Request| -> usize { shown(request).lines().map(|line| line.len() + 1).sum() };
        let room = MAX_VARIABLES_BYTES - length(&with_headers(&[("a", "")]));
        let fits = "x".repeat(room);
        assert_eq!(length(&with_headers(&[("a", &fits)])), MAX_VARIABLES_BYTES);
        let error = variables(&with_headers(&[("a", &format!("{fits}x"))]), &OWN).unwrap_err();
        assert_eq!((error.status(), error), (431, RequestError::TooLong { bytes: MAX_VARIABLES_BYTES + 1 }));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_makes_variables_that_a_process_can_be_given(
            path in ".{0,40}",
            query in proptest::option::of(".{0,40}"),
            headers in proptest::collection::vec(("[A-Za-z_-]{0,8}|Proxy|Cookie|Connection|.{0,6}", ".{0,20}"), 0..12),
            script_name in ".{0,10}",
        ) {
            let request = Request { path, query, headers, script_name, ..request() };
            match variables(&request, &OWN) {
                Ok(variables) => {
                    let mut names: Vec<&String> = variables.iter().map(|(name, _)| name).collect();
                    for (name, value) in &variables {
                        prop_assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'));
                        prop_assert!(!value.contains('\0'));
                        prop_assert_ne!(name, "HTTP_PROXY");
                    }
                    names.sort();
                    names.dedup();
                    prop_assert_eq!(names.len(), variables.len());
                    let stripped = super::variables(&request.stripped(&OWN), &[]);
                    prop_assert_eq!(stripped, Ok(variables));
                }
                Err(error) => prop_assert_eq!(error.status(), 400),
            }
        }
    }
}
