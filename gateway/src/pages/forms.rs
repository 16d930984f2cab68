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
use jobs::{accounts::TOKEN_PREFIX, audit::Action};
use serde::Deserialize;

use crate::{
    auth::rights::{AnyScope, JobsWrite, with_scope},
    error::ApiError,
    extract::Form,
    html::{
        LoginPage, PageError,
        form::{CsrfForm, FormCaller, checked, is_same_origin},
        html,
        sign_in::{browser_cookie, cookie_of},
    },
    login::return_path::or_home,
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
    let (next, offers) = (or_home(&login.next), gateway.login.options());
    if !is_same_origin(&headers) {
        return html(
            StatusCode::FORBIDDEN,
            &LoginPage { next: &next, message: "This form was sent by another site.", offers: &offers },
        );
    }
    let token = login.token.trim();
    let known = match token.starts_with(TOKEN_PREFIX) {
        true => gateway.access.authenticate(token).await.and_then(with_scope::<AnyScope>),
        // A sign-in's cookie or token is none of this form's.
        false => Err(ApiError::Unauthorized("this is not an API token")),
    };
    match known {
        Ok(caller) => {
            gateway.audit.write(&caller, Action::TokenKept, caller.token).await;
            let cookie = browser_cookie(&gateway.public_url, token);
            ([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response()
        }
        Err(error) => {
            let (status, message) = error.into_page();
            html(status, &LoginPage { next: &next, message: &message, offers: &offers })
        }
    }
}

/// `POST /logout`: a sign-in ends for every browser and program that has its cookie or a token of it;
/// an API token is only taken from the cookie.
pub(crate) async fn logout(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Form(word): Form<CsrfForm>,
) -> Result<Response, PageError> {
    let ended = async {
        let session = checked(&gateway.keys, &headers, &word.form)?;
        if let Some(session) = gateway.login.sessions.of_cookie(&session).await? {
            gateway.login.sessions.end(session.id).await?;
            gateway.audit.write(session.user, Action::SignedOut, session.id).await;
            tracing::info!(user = %session.user, "signed out");
        }
        Ok(())
    };
    ended.await.map_err(PageError::at(&gateway.login, "/"))?;
    let gone = cookie_of(&gateway.public_url, "", SignedDuration::ZERO);
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/")).into_response())
}

/// `POST /jobs/{id}/cancel`
pub(crate) async fn cancel(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    form: FormCaller<JobsWrite, CsrfForm>,
) -> Result<Redirect, PageError> {
    let cancelled = async {
        let entry = gateway.access.owned_job(&form, &id).await?;
        gateway.jobs.cancel_for(&form, entry.value.spec.id).await
    };
    let entry = cancelled.await.map_err(PageError::at(&gateway.login, or_home(&format!("/jobs/{id}"))))?;
    Ok(Redirect::to(&format!("/jobs/{}", entry.value.spec.id)))
}

/// `POST /jobs/{id}/rerun`
pub(crate) async fn rerun(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    form: FormCaller<JobsWrite, CsrfForm>,
) -> Result<Redirect, PageError> {
    let again = async {
        let entry = gateway.access.owned_job(&form, &id).await?;
        gateway.jobs.rerun_for(&form, &entry).await
    };
    let entry = again.await.map_err(PageError::at(&gateway.login, or_home(&format!("/jobs/{id}"))))?;
    Ok(Redirect::to(&format!("/jobs/{}", entry.value.spec.id)))
}
