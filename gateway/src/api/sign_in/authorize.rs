//! `GET /oauth/authorize`: sends the browser to a provider.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use jobs::api::published;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{responses::SignIn, sign_in::answer::FailedSignIn},
    error::ApiError,
    extract::Query,
    login::{attempt::Attempt, error::LoginError, return_path::return_path},
    state::Gateway,
};

/// Of the query.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuthorizeParams {
    /// `oidc` or `github`; the first configured one without it.
    provider: Option<String>,
    /// Where to go afterwards: a path of this site.
    next: Option<String>,
    // Once began to link an account; a link of somebody else's must not.
    #[param(ignore)]
    link: Option<String>,
}

/// Begin to sign in.
#[utoipa::path(
    get, path = "/oauth/authorize", tag = "published", operation_id = "authorize",
    params(AuthorizeParams),
    responses(
        (status = 302, description = "To the identity provider.", headers(("Location" = String, description = "The provider."), ("Set-Cookie" = String, description = "What the provider is to send back."))),
        SignIn,
        (status = 400, description = "No such provider, or not a path of this site.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 502, description = "The provider cannot be reached.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 503, description = "Login is not configured, or nothing can be stored or read at the moment.", content((published::Error = "application/json"), (String = "text/html"))),
    ),
)]
pub(crate) async fn authorize(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    query: Result<Query<AuthorizeParams>, ApiError>,
) -> Response {
    match begin(&gateway, query).await {
        Ok(response) => response,
        Err(error) => FailedSignIn::of(&gateway, &headers, error).into_response(),
    }
}

async fn begin(
    gateway: &Gateway,
    query: Result<Query<AuthorizeParams>, ApiError>,
) -> Result<Response, LoginError> {
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
