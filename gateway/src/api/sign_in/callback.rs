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
use jobs::api::{SignedIn, published};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{
        responses::SignIn,
        sign_in::answer::{FailedSignIn, start_session},
    },
    error::ApiError,
    extract::Query,
    http::{client_ip, credentials::session_cookie},
    login::{
        ProviderKind,
        attempt::{Attempt, clear_cookie},
        error::{LoginError, printable},
        exchange::AuthorizationSecrets,
        external_identity::{AddressTrust, SignedInUser},
    },
    state::Gateway,
};

/// What the provider put into the address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackParams {
    /// From the provider.
    code: Option<String>,
    /// Ours, from the provider; good once, in the browser it was given to.
    state: Option<String>,
    /// The provider's issuer (RFC 9207).
    iss: Option<String>,
    /// Why the provider refused.
    error: Option<String>,
    /// The same in words.
    error_description: Option<String>,
}

/// End of signing in.
#[utoipa::path(
    get, path = "/oauth/callback", tag = "published", operation_id = "callback",
    params(CallbackParams),
    responses(
        (status = 200, description = "The bearer token, good for an hour: a page with a session cookie for `text/html`, with a refresh token for `application/json`, else the bare token.", content((String = "text/html"), (SignedIn = "application/json"), (String = "text/plain"))),
        (status = 303, description = "To the path that was asked for, with a session cookie.", headers(("Location" = String, description = "The path."), ("Set-Cookie" = String, description = "The session."))),
        SignIn,
        (status = 400, description = "Not begun in this browser, used before, refused by the provider, or not believed.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 401, description = "The session that wanted to link an account has ended.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 403, description = "No verified address, or not a user who may sign in.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 409, description = "The account is linked to another user.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 429, description = "Too many sign-ins of this address or account.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 502, description = "The provider cannot be reached or understood.", content((published::Error = "application/json"), (String = "text/html"))),
        (status = 503, description = "Login is not configured, or nothing can be stored or read at the moment.", content((published::Error = "application/json"), (String = "text/html"))),
    ),
)]
pub(crate) async fn callback(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    query: Result<Query<CallbackParams>, ApiError>,
) -> Response {
    let mut response = match complete(&gateway, &headers, query).await {
        Ok(response) => response,
        Err(error) => FailedSignIn::of(&gateway, &headers, error).into_response(),
    };
    let cookie =
        HeaderValue::from_str(&clear_cookie(&gateway.sign_ins)).expect("a cookie of ours is a header");
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

async fn complete(
    gateway: &Gateway,
    headers: &HeaderMap,
    query: Result<Query<CallbackParams>, ApiError>,
) -> Result<Response, LoginError> {
    let Query(came) = query?;
    gateway.login.choose_provider(None)?;
    let attempt =
        Attempt::from_browser(&gateway.sign_ins, headers, came.state.as_deref().unwrap_or_default())?;
    gateway.limits.check_callback(client_ip::address())?;
    match came.identify(gateway, headers, &attempt).await {
        Ok(known) => start_session(gateway, headers, known, attempt.next.as_deref()).await,
        // What is our own trouble says nothing about who came.
        Err(error @ LoginError::Api(_)) => Err(error),
        Err(error) => {
            gateway.limits.record_refused_callback(client_ip::address());
            Err(error)
        }
    }
}

impl CallbackParams {
    /// The user who came.
    async fn identify(
        &self,
        gateway: &Gateway,
        headers: &HeaderMap,
        attempt: &Attempt,
    ) -> Result<SignedInUser, LoginError> {
        let login = &gateway.login;
        let (label, trust) = match (attempt.provider, &login.oidc, &login.github) {
            (ProviderKind::Oidc, Some(oidc), _) => (oidc.label(), AddressTrust::Trusted),
            (ProviderKind::Github, _, Some(github)) => (github.label(), AddressTrust::Untrusted),
            (ProviderKind::Oidc | ProviderKind::Github, _, _) => return Err(LoginError::NotConfigured),
        };
        attempt.check_unused(&gateway.sign_ins).await?;
        if let Some(code) = &self.error {
            let description = printable(self.error_description.as_deref().unwrap_or_default());
            return Err(LoginError::Refused { provider: label, code: printable(code), description });
        }
        let Some(code) = self.code.as_deref().filter(|code| !code.is_empty()) else {
            return Err(LoginError::NoCode { provider: label });
        };
        let secrets = AuthorizationSecrets {
            state: &attempt.state,
            nonce: Some(&attempt.nonce),
            verifier: &attempt.verifier,
        };
        let identity = match (attempt.provider, &login.oidc, &login.github) {
            (ProviderKind::Oidc, Some(oidc), _) => oidc.identity(code, self.iss.as_deref(), &secrets).await?,
            (ProviderKind::Github, _, Some(github)) => {
                github.identity(code, secrets.verifier, &gateway.config.login.orgs()).await?
            }
            (ProviderKind::Oidc | ProviderKind::Github, _, _) => return Err(LoginError::NotConfigured),
        };
        // Who links an account begins a session with it too.
        let let_in = gateway.sign_ins.admission(&identity)?;
        gateway.limits.check_sign_in(&identity.provider, &identity.subject)?;
        attempt.use_up(&gateway.sign_ins).await?;
        let user = match attempt.link {
            Some(user) => {
                // The session must still be of the one who began.
                let session = session_cookie(headers).ok_or(LoginError::LinkWithoutSession)?;
                if gateway.access.authenticate(&session).await?.user.id != user {
                    return Err(LoginError::LinkWithoutSession);
                }
                gateway.sign_ins.link_account(&identity, label, user).await?
            }
            None => gateway.sign_ins.sign_in(&identity, trust).await?,
        };
        Ok(SignedInUser { user, provider: identity.provider, let_in })
    }
}
