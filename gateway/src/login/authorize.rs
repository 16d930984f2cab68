//! `GET /oauth/authorize`: sends the browser to a provider.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::{
    Which, answer::Failed, attempt::Attempt, error::LoginError, exchange::Proof, return_path::return_path,
};
use crate::{auth::session, body::Query, error::ApiError, gateway::Gateway};

/// Of the query.
#[derive(Deserialize)]
pub(crate) struct Wish {
    provider: Option<String>,
    /// Where to go afterwards, on this site.
    next: Option<String>,
    /// `1`: adds an account to the user who is signed in.
    link: Option<String>,
}

/// `GET /oauth/authorize`
pub(crate) async fn authorize(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    query: Result<Query<Wish>, ApiError>,
) -> Response {
    match begun(&gateway, &headers, query).await {
        Ok(response) => response,
        Err(error) => Failed::of(&gateway, &headers, error).into_response(),
    }
}

async fn begun(
    gateway: &Gateway,
    headers: &HeaderMap,
    query: Result<Query<Wish>, ApiError>,
) -> Result<Response, LoginError> {
    let Query(wish) = query?;
    let login = &gateway.login;
    let which = login.chosen(wish.provider.as_deref())?;
    let link = match wish.link.as_deref() {
        Some("1") => {
            let session = session(headers).ok_or(LoginError::LinkWithoutSession)?;
            Some(gateway.bearer_of(&session).await?.user.id)
        }
        Some(_) => return Err(ApiError::BadRequest("link: must be 1".to_owned()).into()),
        None => None,
    };
    let next = match wish.next.as_deref() {
        Some(next) => {
            let wrong = || ApiError::BadRequest("next: must be a path of this site".to_owned());
            Some(return_path(next).ok_or_else(wrong)?)
        }
        // Who links looks at a page already.
        None => link.map(|_| "/".to_owned()),
    };
    let attempt = Attempt::new(which, next, link);
    let mut proof = Proof { state: &attempt.state, nonce: None, verifier: &attempt.verifier };
    let address = match (which, &login.oidc, &login.github) {
        (Which::Oidc, Some(oidc), _) => {
            proof.nonce = Some(&attempt.nonce);
            oidc.address(&proof).await?
        }
        (Which::Github, _, Some(github)) => github.address(&proof, !gateway.config.login.orgs().is_empty()),
        (Which::Oidc | Which::Github, _, _) => return Err(LoginError::NotConfigured),
    };
    let headers = [(header::LOCATION, address.to_string()), (header::SET_COOKIE, attempt.cookie(gateway))];
    Ok((StatusCode::FOUND, headers).into_response())
}
