//! Pages around signing in, and the cookie that keeps it.

use askama::Template;
use axum::response::Response;
use axum_extra::extract::cookie::{Cookie, SameSite};
use http::StatusCode;
use jiff::SignedDuration;
use url::Url;

use crate::{
    html::{ErrorPage, html},
    http::credentials::session_cookie_name,
};

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage<'a> {
    email: &'a str,
    token: &'a str,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: &'a str,
}

#[derive(Template)]
#[template(path = "leaving.html")]
struct RedirectPage<'a> {
    host: &'a str,
    address: &'a str,
}

/// Where a device's code is answered.
#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct DevicePage<'a> {
    pub(crate) email: &'a str,
    pub(crate) code: String,
    pub(crate) form: String,
    pub(crate) message: &'a str,
}

/// A bearer token, for a person to copy.
pub(crate) fn signed_in(email: &str, token: &str) -> Response {
    html(StatusCode::OK, &SignedInPage { email, token })
}

/// Leads on to a provider.
pub(crate) fn leaving(host: &str, address: &str) -> Response {
    html(StatusCode::OK, &RedirectPage { host, address })
}

/// Why somebody is not signed in.
pub(crate) fn not_signed_in(status: StatusCode, message: &str) -> Response {
    html(status, &ErrorPage { title: "Not signed in", message })
}

/// A sentence that ends something well.
pub(crate) fn message_page(title: &str, message: &str) -> Response {
    html(StatusCode::OK, &MessagePage { title, message })
}

/// The page of a device's code.
pub(crate) fn device(status: StatusCode, page: &DevicePage<'_>) -> Response {
    html(status, page)
}

/// A cookie that no script reads and no other site's form sends; gone when the browser closes.
pub(crate) fn browser_cookie(public_url: &Url, value: &str) -> String {
    let with_tls = public_url.scheme() == "https";
    Cookie::build((session_cookie_name(with_tls), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(with_tls)
        .to_string()
}

/// The same for so long; for no time it is taken away.
pub(crate) fn cookie_of(public_url: &Url, value: &str, life: SignedDuration) -> String {
    format!("{}; Max-Age={}", browser_cookie(public_url, value), life.as_secs())
}
