//! Forms: a token comes in, a job is cancelled or run again.
//!
//! A browser sends the session's cookie with whatever another site makes it send; so every write
//! carries the session's word, which that site cannot know.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use http::{HeaderMap, StatusCode, header};
use jobs::{Job, JobId, accounts::Scope, bucket::Entry};
use serde::Deserialize;

use super::{LoginPage, PageError, html};
use crate::{
    auth::{SESSION, session},
    error::ApiError,
    gateway::Gateway,
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
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let next = path(&login.next);
    if !is_from_here(&headers) {
        return html(
            StatusCode::FORBIDDEN,
            &LoginPage { next: &next, message: "This form was sent by another site." },
        );
    }
    match gateway.bearer_of(login.token.trim()).await {
        Ok(_) => {
            let cookie = cookie(&gateway, login.token.trim().to_owned());
            ([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response()
        }
        Err(error) => {
            let (status, message) = error.into_page();
            html(status, &LoginPage { next: &next, message: &message })
        }
    }
}

/// A cookie that no script reads and no other site's form sends.
fn cookie(gateway: &Gateway, value: String) -> String {
    Cookie::build((SESSION, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(gateway.public_url.scheme() == "https")
        .to_string()
}

/// Whether the browser says that a page of ours sent this; old ones do not say.
fn is_from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// Where to go afterwards: the first page or a job's, and nowhere else.
fn path(next: &str) -> String {
    let job = next.strip_prefix("/jobs/").and_then(|id| id.parse::<JobId>().ok());
    job.map_or_else(|| "/".to_owned(), |id| format!("/jobs/{id}"))
}

/// Of every form that changes something.
#[derive(Deserialize)]
pub(crate) struct Word {
    #[serde(default)]
    form: String,
}

/// The session, if the form carries its word.
fn checked(gateway: &Gateway, headers: &HeaderMap, word: &Word) -> Result<String, ApiError> {
    let session = session(headers).ok_or(ApiError::Unauthorized("sign in first"))?;
    if !is_from_here(headers) || !gateway.keys.is_form(&session, &word.form) {
        return Err(ApiError::Forbidden("this form is not of your session; load the page again".to_owned()));
    }
    Ok(session)
}

/// `POST /logout`
pub(crate) async fn logout(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Form(word): Form<Word>,
) -> Result<Response, PageError> {
    checked(&gateway, &headers, &word).map_err(PageError::at("/"))?;
    let gone = format!("{}; Max-Age=0", cookie(&gateway, String::new()));
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/")).into_response())
}

async fn own_job(
    gateway: &Gateway,
    headers: &HeaderMap,
    word: &Word,
    id: &str,
) -> Result<Entry<Job>, ApiError> {
    let session = checked(gateway, headers, word)?;
    let caller = gateway.bearer_of(&session).await?;
    caller.needs(Scope::JobsWrite)?;
    gateway.own_job(&caller, id).await
}

/// `POST /jobs/{id}/cancel`
pub(crate) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(word): Form<Word>,
) -> Result<Redirect, PageError> {
    let cancelled = async {
        let entry = own_job(&gateway, &headers, &word, &id).await?;
        gateway.cancel(entry.value.id).await
    };
    let entry = cancelled.await.map_err(PageError::at(path(&format!("/jobs/{id}"))))?;
    Ok(Redirect::to(&format!("/jobs/{}", entry.value.id)))
}

/// `POST /jobs/{id}/rerun`
pub(crate) async fn rerun(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(word): Form<Word>,
) -> Result<Redirect, PageError> {
    let again = async {
        let entry = own_job(&gateway, &headers, &word, &id).await?;
        gateway.rerun(&entry.value).await
    };
    let entry = again.await.map_err(PageError::at(path(&format!("/jobs/{id}"))))?;
    Ok(Redirect::to(&format!("/jobs/{}", entry.value.id)))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("/jobs/0197a000-0000-7000-8000-000000000001" => "/jobs/0197a000-0000-7000-8000-000000000001")]
    #[test_case("//evil.example" => "/" ; "another host")]
    #[test_case("/\\evil.example" => "/" ; "backslash")]
    #[test_case("https://evil.example" => "/" ; "a URL")]
    #[test_case("" => "/" ; "nothing")]
    fn where_to_go(next: &str) -> String {
        path(next)
    }

    #[test_case(None => true ; "an old browser")]
    #[test_case(Some("same-origin") => true)]
    #[test_case(Some("cross-site") => false)]
    #[test_case(Some("same-site") => false)]
    fn sent_from_here(site: Option<&str>) -> bool {
        let headers = site.map(|site| ("sec-fetch-site".parse().unwrap(), site.parse().unwrap()));
        is_from_here(&HeaderMap::from_iter(headers))
    }
}
