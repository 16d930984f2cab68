//! A sign-in in progress, kept in the browser that began it.
//!
//! All of it is sealed in a cookie that lives ten minutes: state, nonce, the PKCE verifier, and the return
//! path. So a callback must come from the browser that its state was issued to, any gateway can continue what
//! another began, and nothing is stored for attempts that are abandoned or refused. Only a state that led to
//! a sign-in is stored, create-only, which makes it single-use over all gateways.

use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use jobs::{UserId, accounts::token_hash};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    crypto::keys::equal,
    http::credentials::{SIGN_IN_COOKIE, cookie_name},
    login::{ProviderKind, SignIns, error::LoginError},
};

/// The cookie's sealing context.
const CONTEXT: &str = "login";
/// Time to sign in at a provider, with a second factor.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// A sign-in in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) provider: ProviderKind,
    pub(crate) state: String,
    pub(crate) nonce: String,
    /// The PKCE verifier.
    pub(crate) verifier: String,
    /// The return path; absent means that the token is shown.
    pub(crate) next: Option<String>,
    /// The user to whom the account is linked.
    pub(crate) link: Option<UserId>,
    /// By the gateway's clock.
    until: Timestamp,
}

/// `logins/state.<sha256(state)>`: a used state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UsedState {
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// 256 bits, in hex: they cannot be guessed, and fit into URLs and PKCE.
fn random_token() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

impl Attempt {
    pub(crate) fn new(provider: ProviderKind, next: Option<String>, link: Option<UserId>) -> Self {
        let until = Timestamp::now() + LIFETIME;
        let (state, nonce, verifier) = (random_token(), random_token(), random_token());
        Self { provider, state, nonce, verifier, next, link, until }
    }

    /// The `Set-Cookie` that stores it in the browser.
    pub(crate) fn cookie(&self, sign_ins: &SignIns) -> String {
        let text = serde_json::to_string(self).expect("plain fields are JSON");
        let sealed = sign_ins.keys.seal(CONTEXT, &text.parse().expect("JSON is not empty"));
        cookie(sign_ins, sealed, LIFETIME)
    }

    /// The attempt of this browser, if it has this `state` and has not expired.
    pub(crate) fn from_browser(
        sign_ins: &SignIns,
        headers: &HeaderMap,
        state: &str,
    ) -> Result<Self, LoginError> {
        let jar = CookieJar::from_headers(headers);
        let name = cookie_name(SIGN_IN_COOKIE, sign_ins.public_url.scheme() == "https");
        let sealed = jar.get(&name).ok_or(LoginError::UnknownAttempt)?;
        let text = sign_ins.keys.unseal(CONTEXT, sealed.value()).map_err(|_| LoginError::UnknownAttempt)?;
        let attempt: Self = serde_json::from_str(text.expose()).map_err(|_| LoginError::UnknownAttempt)?;
        let is_own = equal(attempt.state.as_bytes(), state.as_bytes());
        if is_own && attempt.until > Timestamp::now() { Ok(attempt) } else { Err(LoginError::UnknownAttempt) }
    }

    /// Refuses a used state, before the provider is asked anything.
    pub(crate) async fn check_unused(&self, sign_ins: &SignIns) -> Result<(), LoginError> {
        match sign_ins.login.states.get(&self.key()).await? {
            Some(_) => Err(LoginError::AlreadyUsed),
            None => Ok(()),
        }
    }

    fn key(&self) -> String {
        format!("state.{}", token_hash(&self.state))
    }

    /// Marks the state as used: of several callbacks with it, over all gateways, one succeeds.
    pub(crate) async fn use_up(&self, sign_ins: &SignIns) -> Result<(), LoginError> {
        match sign_ins.login.states.create(&self.key(), &UsedState { other: Map::new() }).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(LoginError::AlreadyUsed),
            Err(error) => Err(error.into()),
        }
    }
}

/// A `Set-Cookie` that deletes the attempt.
pub(crate) fn clear_cookie(sign_ins: &SignIns) -> String {
    cookie(sign_ins, String::new(), SignedDuration::ZERO)
}

/// `SameSite=Lax`: sent with the provider's redirect, not with another site's form.
fn cookie(sign_ins: &SignIns, value: String, life: SignedDuration) -> String {
    let with_tls = sign_ins.public_url.scheme() == "https";
    let cookie = Cookie::build((cookie_name(SIGN_IN_COOKIE, with_tls), value))
        // Over TLS no other host of the domain can set it, which takes this path.
        .path(if with_tls { "/" } else { "/oauth" })
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(with_tls)
        .to_string();
    format!("{cookie}; Max-Age={}", life.as_secs())
}
