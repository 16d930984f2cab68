//! `GET /oauth/callback`: a browser comes back from a provider.
//!
//! In this order: the state is this browser's own, it was never used, the provider said yes, the code
//! is exchanged, the person is believed and on the list, the state is used up, the user is let in. Whoever
//! is refused on the way leaves nothing in NATS: a count of the address, which limits how often it may try.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use crate::{
    api::sign_in::answer::{Failed, welcome},
    error::ApiError,
    extract::Query,
    http::{client_ip, credentials::session},
    login::{
        Which,
        attempt::{Attempt, forget},
        error::{LoginError, said},
        exchange::Proof,
        person::{Known, Vouches},
    },
    state::Gateway,
};

/// What the provider put into the address.
#[derive(Deserialize)]
pub(crate) struct Came {
    code: Option<String>,
    state: Option<String>,
    /// RFC 9207.
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /oauth/callback`
pub(crate) async fn callback(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    query: Result<Query<Came>, ApiError>,
) -> Response {
    let mut response = match came(&gateway, &headers, query).await {
        Ok(response) => response,
        Err(error) => Failed::of(&gateway, &headers, error).into_response(),
    };
    let cookie = HeaderValue::from_str(&forget(&gateway.sign_ins)).expect("a cookie of ours is a header");
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

async fn came(
    gateway: &Gateway,
    headers: &HeaderMap,
    query: Result<Query<Came>, ApiError>,
) -> Result<Response, LoginError> {
    let Query(came) = query?;
    gateway.login.chosen(None)?;
    let attempt = Attempt::of(&gateway.sign_ins, headers, came.state.as_deref().unwrap_or_default())?;
    gateway.limits.comes_back(client_ip::address())?;
    match came.who(gateway, headers, &attempt).await {
        Ok(known) => welcome(gateway, headers, known, attempt.next.as_deref()).await,
        // What is our own trouble says nothing about who came.
        Err(error @ LoginError::Inside(_)) => Err(error),
        Err(error) => {
            gateway.limits.came_in_vain(client_ip::address());
            Err(error)
        }
    }
}

impl Came {
    /// The user who came.
    async fn who(
        &self,
        gateway: &Gateway,
        headers: &HeaderMap,
        attempt: &Attempt,
    ) -> Result<Known, LoginError> {
        let login = &gateway.login;
        let (label, vouches) = match (attempt.provider, &login.oidc, &login.github) {
            (Which::Oidc, Some(oidc), _) => (oidc.label(), Vouches::ForAddresses),
            (Which::Github, _, Some(github)) => (github.label(), Vouches::ForItsOwn),
            (Which::Oidc | Which::Github, _, _) => return Err(LoginError::NotConfigured),
        };
        attempt.is_unused(&gateway.sign_ins).await?;
        if let Some(code) = &self.error {
            let description = said(self.error_description.as_deref().unwrap_or_default());
            return Err(LoginError::Refused { provider: label, code: said(code), description });
        }
        let Some(code) = self.code.as_deref().filter(|code| !code.is_empty()) else {
            return Err(LoginError::NoCode { provider: label });
        };
        let proof = Proof { state: &attempt.state, nonce: Some(&attempt.nonce), verifier: &attempt.verifier };
        let person = match (attempt.provider, &login.oidc, &login.github) {
            (Which::Oidc, Some(oidc), _) => oidc.person(code, self.iss.as_deref(), &proof).await?,
            (Which::Github, _, Some(github)) => {
                github.person(code, proof.verifier, &gateway.config.login.orgs()).await?
            }
            (Which::Oidc | Which::Github, _, _) => return Err(LoginError::NotConfigured),
        };
        // Who links an account begins a session with it too.
        let let_in = gateway.sign_ins.let_in(&person)?;
        gateway.limits.signs_in(&person.provider, &person.subject)?;
        attempt.use_up(&gateway.sign_ins).await?;
        let user = match attempt.link {
            Some(user) => {
                // The session must still be of the one who began.
                let session = session(headers).ok_or(LoginError::LinkWithoutSession)?;
                if gateway.access.bearer_of(&session).await?.user.id != user {
                    return Err(LoginError::LinkWithoutSession);
                }
                gateway.sign_ins.linked(&person, label, user).await?
            }
            None => gateway.sign_ins.signed_in(&person, vouches).await?,
        };
        Ok(Known { user, provider: person.provider, let_in })
    }
}
