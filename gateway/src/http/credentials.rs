//! The credential of a request: in its `Authorization` header, or in the session cookie.

use axum_extra::extract::CookieJar;
use http::{HeaderMap, header};

use crate::http::asked_at;

/// The cookie with a session, or an API token, for pages.
const SESSION_COOKIE: &str = "gitfaas_session";
/// The cookie with an attempt to sign in with a provider.
pub(crate) const SIGN_IN_COOKIE: &str = "gitfaas_login";
/// What begins the name of a cookie that no other host of the domain can set (RFC 6265bis, section 4.1.3.2): a function
/// may have such a host. Browsers keep it only over TLS.
const HOST_PREFIX: &str = "__Host-";

/// The name of a cookie of ours, which must then have the path `/` and no domain.
pub(crate) fn cookie_name(name: &str, with_tls: bool) -> String {
    let prefix = if with_tls { HOST_PREFIX } else { "" };
    format!("{prefix}{name}")
}

/// The names of all cookies of ours, whether or not they came over TLS: nobody else is told them.
pub(crate) fn own_cookie_names() -> Vec<String> {
    let names = [SESSION_COOKIE, SIGN_IN_COOKIE];
    names.iter().flat_map(|name| [false, true].map(|with_tls| cookie_name(name, with_tls))).collect()
}

/// The name of the cookie with a session.
pub(crate) fn session_cookie_name(with_tls: bool) -> String {
    cookie_name(SESSION_COOKIE, with_tls)
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The token in the session cookie.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<String> {
    let name = session_cookie_name(asked_at::with_tls());
    CookieJar::from_headers(headers).get(&name).map(|cookie| cookie.value().to_owned())
}

/// The token of a request, from the header or the cookie.
pub(crate) fn presented_token(headers: &HeaderMap) -> Option<String> {
    match headers.contains_key(header::AUTHORIZATION) {
        // An unreadable header is an invalid token, not a missing one.
        true => Some(bearer_token(headers).unwrap_or_default().to_owned()),
        false => session_cookie(headers),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(&["Bearer gft_a_b"] => Some("gft_a_b".to_owned()))]
    #[test_case(&["bearer  gft_a_b "] => Some("gft_a_b".to_owned()) ; "case and spaces")]
    #[test_case(&["Basic gft_a_b"] => None ; "another scheme")]
    #[test_case(&["gft_a_b"] => None ; "no scheme")]
    #[test_case(&["Bearer a", "Bearer b"] => None ; "two headers")]
    fn tokens_of_headers(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        bearer_token(&headers).map(str::to_owned)
    }
}
