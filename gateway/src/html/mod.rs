//! What every page shares: its policy, its errors, and what a form must carry.

pub(crate) mod form;
pub(crate) mod on_page;
pub(crate) mod sign_in;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    error::ApiError,
    http::asked_at::own_host,
    login::{Login, LoginOption},
};

/// What a page of ours may load: our own files. They are named by their folder, because functions answer below the
/// same origin: `'self'` would let a page run what a function says.
fn policy() -> HeaderValue {
    let assets = own_host().map_or_else(|| "'self'".to_owned(), |host| format!("{host}/assets/"));
    let policy = format!(
        "default-src 'none'; script-src {assets}; style-src {assets}; img-src {assets}; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a host is a header's value")
}

/// A page could not be shown: asks for a token, or says what is wrong.
pub(crate) struct PageError {
    error: ApiError,
    next: String,
    offers: Vec<LoginOption>,
}

impl PageError {
    /// The page at `next`, or where one goes after signing in.
    pub(crate) fn at(login: &Login, next: impl Into<String>) -> impl FnOnce(ApiError) -> Self {
        let (next, offers) = (next.into(), login.options());
        move |error| Self { error, next, offers }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let asks = matches!(self.error, ApiError::Unauthorized(_));
        let (status, message) = self.error.into_page();
        if asks {
            return html(status, &LoginPage { next: &self.next, message: "", offers: &self.offers });
        }
        html(status, &ErrorPage { title: status.canonical_reason().unwrap_or("Error"), message: &message })
    }
}

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage<'a> {
    pub(crate) next: &'a str,
    pub(crate) message: &'a str,
    /// The ways to sign in besides an API token.
    pub(crate) offers: &'a [LoginOption],
}

#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage<'a> {
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
}

pub(crate) fn html(status: StatusCode, page: &impl Template) -> Response {
    let body = page.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page was not rendered");
        String::new()
    });
    let mut response = (status, Html(body)).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy());
    response
}
