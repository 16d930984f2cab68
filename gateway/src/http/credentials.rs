//! The credential of a request: in its `Authorization` header, or in the session cookie.

use axum_extra::extract::CookieJar;
use http::{HeaderMap, header};

/// The cookie with a session, or an API token, for pages.
pub(crate) const SESSION_COOKIE: &str = "gitfaas_session";

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
    CookieJar::from_headers(headers).get(SESSION_COOKIE).map(|cookie| cookie.value().to_owned())
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
