//! `GET /oauth/authorize`: sends the browser to a provider.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::{
    api::sign_in::answer::Failed,
    error::ApiError,
    extract::Query,
    login::{attempt::Attempt, error::LoginError, return_path::return_path},
    state::Gateway,
};

/// Of the query.
#[derive(Deserialize)]
pub(crate) struct Wish {
    provider: Option<String>,
    /// Where to go afterwards, on this site.
    next: Option<String>,
    /// Once began to link an account; a link of somebody else's must not.
    link: Option<String>,
}

/// `GET /oauth/authorize`
pub(crate) async fn authorize(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    query: Result<Query<Wish>, ApiError>,
) -> Response {
    match begun(&gateway, query).await {
        Ok(response) => response,
        Err(error) => Failed::of(&gateway, &headers, error).into_response(),
    }
}

async fn begun(gateway: &Gateway, query: Result<Query<Wish>, ApiError>) -> Result<Response, LoginError> {
    let Query(wish) = query?;
    let login = &gateway.login;
    let which = login.choose_provider(wish.provider.as_deref())?;
    if wish.link.is_some() {
        let sentence = "an account is linked with the button on the page of your jobs".to_owned();
        return Err(ApiError::BadRequest(sentence).into());
    }
    let next = match wish.next.as_deref() {
        Some(next) => {
            let wrong = || ApiError::BadRequest("next: must be a path of this site".to_owned());
            Some(return_path(next).ok_or_else(wrong)?)
        }
        None => None,
    };
    let attempt = Attempt::new(which, next, None);
    let address = login.authorization_url(&attempt, &gateway.config.login).await?;
    let headers =
        [(header::LOCATION, address.to_string()), (header::SET_COOKIE, attempt.cookie(&gateway.sign_ins))];
    Ok((StatusCode::FOUND, headers).into_response())
}
