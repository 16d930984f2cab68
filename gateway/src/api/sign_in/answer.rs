//! What a sign-in yields: a page for people, a bearer token for programs; or a sentence why not.

use axum::{
    Json,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use jobs::{
    Secret,
    accounts::ALL_SCOPES,
    api::SignedIn,
    audit::Action,
    sessions::{BROWSER_LIFE, Holder, NewSession, PROGRAM_LIFE, Session},
};

use crate::{
    auth::bearer_tokens,
    error::{ApiError, Published},
    html::sign_in,
    login::{error::LoginError, external_identity::SignedInUser},
    state::Gateway,
};

/// What the client would like to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerKind {
    /// A user, in a browser.
    Page,
    Json,
    /// A program of the published interface.
    Text,
}

fn answer_kind(headers: &HeaderMap) -> AnswerKind {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let wants = |kind: &str| {
        accept
            .split(',')
            .any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind))
    };
    if wants("text/html") {
        AnswerKind::Page
    } else if wants("application/json") {
        AnswerKind::Json
    } else {
        AnswerKind::Text
    }
}

/// A bearer token and what renews it.
pub(crate) fn token_response(gateway: &Gateway, session: &Session, refresh_token: &Secret) -> SignedIn {
    let (token, expires_in) = gateway.login.bearer_tokens.sign(session);
    SignedIn { token, refresh_token: refresh_token.expose().to_owned(), expires_in }
}

/// Begins a session and answers with it.
pub(crate) async fn start_session(
    gateway: &Gateway,
    headers: &HeaderMap,
    known: SignedInUser,
    next: Option<&str>,
) -> Result<Response, LoginError> {
    let reads = answer_kind(headers);
    let (holder, life) = match reads {
        AnswerKind::Page => (Holder::Browser, BROWSER_LIFE),
        AnswerKind::Json => (Holder::Program, PROGRAM_LIFE),
        // Nothing renews it, so it ends with its one token.
        AnswerKind::Text => (Holder::Program, bearer_tokens::LIFETIME),
    };
    let SignedInUser { user, provider, let_in } = known;
    let new = NewSession {
        user: user.id,
        holder,
        scopes: ALL_SCOPES.to_vec(),
        provider: &provider,
        let_in: Some(let_in),
        life,
        until: None,
        made_by: Vec::new(),
    };
    let (session, held) = gateway.login.sessions.begin(new).await?;
    gateway.audit.write(user.id, Action::SignedIn, &provider).await;
    tracing::info!(user = %user.id, provider, ?holder, "signed in");
    Ok(match reads {
        AnswerKind::Page => {
            let cookie = sign_in::cookie_of(&gateway.public_url, held.expose(), BROWSER_LIFE);
            let page = match next {
                Some(next) => Redirect::to(next).into_response(),
                None => sign_in::signed_in(&user.email, &gateway.login.bearer_tokens.sign(&session).0),
            };
            ([(header::SET_COOKIE, cookie)], page).into_response()
        }
        AnswerKind::Json => Json(token_response(gateway, &session, &held)).into_response(),
        AnswerKind::Text => gateway.login.bearer_tokens.sign(&session).0.into_response(),
    })
}

/// A sign-in that did not work, as its client can read it.
pub(crate) enum FailedSignIn {
    Page(StatusCode, String),
    Json(ApiError),
}

impl FailedSignIn {
    pub(crate) fn of(gateway: &Gateway, headers: &HeaderMap, error: LoginError) -> Self {
        let error: ApiError = error.into();
        // Programs of the published interface know the answer of a service without login as JSON.
        match answer_kind(headers) {
            AnswerKind::Page if !gateway.login.options().is_empty() => {
                let (status, sentence) = error.into_page();
                Self::Page(status, sentence)
            }
            AnswerKind::Page | AnswerKind::Json | AnswerKind::Text => Self::Json(error),
        }
    }
}

impl IntoResponse for FailedSignIn {
    fn into_response(self) -> Response {
        match self {
            Self::Page(status, sentence) => sign_in::not_signed_in(status, &sentence),
            Self::Json(error) => Published(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" => AnswerKind::Page ; "a browser")]
    #[test_case("application/json" => AnswerKind::Json)]
    #[test_case("Application/JSON; charset=utf-8" => AnswerKind::Json ; "case and parameters")]
    #[test_case("*/*" => AnswerKind::Text ; "curl")]
    #[test_case("" => AnswerKind::Text ; "nothing")]
    fn what_a_client_reads(accept: &str) -> AnswerKind {
        answer_kind(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]))
    }
}
