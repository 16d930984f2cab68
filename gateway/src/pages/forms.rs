//! Forms: a token comes in, a sign-in ends, a job is cancelled or run again; see `tokens.rs` for theirs.
//!
//! A browser sends the session's cookie with whatever another site makes it send; so every write
//! carries the session's word, which that site cannot know.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use jiff::SignedDuration;
use jobs::{
    Job,
    accounts::{Scope, TOKEN_PREFIX},
    audit::Action,
    bucket::Entry,
};
use serde::Deserialize;

use crate::{
    auth::caller::{Caller, session},
    error::ApiError,
    extract::Form,
    login::return_path::or_home,
    pages::{LoginPage, PageError, cookie_of, html, signing_in::browser_cookie},
    state::Gateway,
};

/// Of `POST /login`.
#[derive(Deserialize)]
pub(crate) struct Login {
    token: String,
    #[serde(default)]
    next: String,
}

/// `POST /login`
pub(crate) async fn login(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let (next, offers) = (or_home(&login.next), gateway.login.offers());
    if !is_from_here(&headers) {
        return html(
            StatusCode::FORBIDDEN,
            &LoginPage { next: &next, message: "This form was sent by another site.", offers: &offers },
        );
    }
    let token = login.token.trim();
    let known = match token.starts_with(TOKEN_PREFIX) {
        true => gateway.access.bearer_of(token).await,
        // A sign-in's cookie or token is none of this form's.
        false => Err(ApiError::Unauthorized("this is not an API token")),
    };
    match known {
        Ok(caller) => {
            gateway.audit.write(&caller, Action::TokenKept, caller.token).await;
            let cookie = browser_cookie(&gateway, token);
            ([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response()
        }
        Err(error) => {
            let (status, message) = error.into_page();
            html(status, &LoginPage { next: &next, message: &message, offers: &offers })
        }
    }
}

/// Whether the browser says that a page of ours sent this; old ones do not say.
fn is_from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// Of every form that changes something.
#[derive(Deserialize)]
pub(crate) struct Word {
    #[serde(default)]
    pub(super) form: String,
}

/// The session, if the form carries its word.
pub(crate) fn checked(gateway: &Gateway, headers: &HeaderMap, word: &str) -> Result<String, ApiError> {
    let session = session(headers).ok_or(ApiError::Unauthorized("sign in first"))?;
    if !is_from_here(headers) || !gateway.keys.is_form(&session, word) {
        return Err(ApiError::Forbidden("this form is not of your session; load the page again".to_owned()));
    }
    Ok(session)
}

/// `POST /logout`: a sign-in ends for every browser and program that has its cookie or a token of it;
/// an API token is only taken from the cookie.
pub(crate) async fn logout(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Form(word): Form<Word>,
) -> Result<Response, PageError> {
    let ended = async {
        let session = checked(&gateway, &headers, &word.form)?;
        if let Some(session) = gateway.login.sessions.of_cookie(&session).await? {
            gateway.login.sessions.end(session.id).await?;
            gateway.audit.write(session.user, Action::SignedOut, session.id).await;
            tracing::info!(user = %session.user, "signed out");
        }
        Ok(())
    };
    ended.await.map_err(PageError::at(&gateway, "/"))?;
    let gone = cookie_of(&gateway, "", SignedDuration::ZERO);
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/")).into_response())
}

async fn own_job(
    gateway: &Gateway,
    headers: &HeaderMap,
    word: &Word,
    id: &str,
) -> Result<(Caller, Entry<Job>), ApiError> {
    let session = checked(gateway, headers, &word.form)?;
    let caller = gateway.access.bearer_of(&session).await?;
    caller.needs(Scope::JobsWrite)?;
    let entry = gateway.access.own_job(&caller, id).await?;
    Ok((caller, entry))
}

/// `POST /jobs/{id}/cancel`
pub(crate) async fn cancel(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(word): Form<Word>,
) -> Result<Redirect, PageError> {
    let cancelled = async {
        let (caller, entry) = own_job(&gateway, &headers, &word, &id).await?;
        gateway.jobs.cancel_for(&caller, entry.value.id).await
    };
    let entry = cancelled.await.map_err(PageError::at(&gateway, or_home(&format!("/jobs/{id}"))))?;
    Ok(Redirect::to(&format!("/jobs/{}", entry.value.id)))
}

/// `POST /jobs/{id}/rerun`
pub(crate) async fn rerun(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(word): Form<Word>,
) -> Result<Redirect, PageError> {
    let again = async {
        let (caller, entry) = own_job(&gateway, &headers, &word, &id).await?;
        gateway.jobs.rerun_for(&caller, &entry).await
    };
    let entry = again.await.map_err(PageError::at(&gateway, or_home(&format!("/jobs/{id}"))))?;
    Ok(Redirect::to(&format!("/jobs/{}", entry.value.id)))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(None => true ; "an old browser")]
    #[test_case(Some("same-origin") => true)]
    #[test_case(Some("cross-site") => false)]
    #[test_case(Some("same-site") => false)]
    fn sent_from_here(site: Option<&str>) -> bool {
        let headers = site.map(|site| ("sec-fetch-site".parse().unwrap(), site.parse().unwrap()));
        is_from_here(&HeaderMap::from_iter(headers))
    }
}
