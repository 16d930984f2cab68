//! A sign-in under way, kept in the browser that began it.
//!
//! All of it lies sealed in a cookie that lives ten minutes: state, nonce, the secret half of PKCE, and
//! where to go. So whoever brings a state must bring the browser it was given to, any gateway can go
//! on where another began, and nothing is stored for who only looks or is refused. What is stored is that
//! a state let somebody in, create-only, which makes it single-use over all gateways.

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
    login::{SignIns, Which, error::LoginError},
};

/// The cookie.
const COOKIE: &str = "gitfaas_login";
/// What it is sealed for.
const PLACE: &str = "login";
/// Time for a person to sign in at a provider, with a second factor.
const LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A sign-in under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) provider: Which,
    pub(crate) state: String,
    pub(crate) nonce: String,
    /// The secret half of PKCE.
    pub(crate) verifier: String,
    /// Where to go afterwards; absent means that the token is shown.
    pub(crate) next: Option<String>,
    /// The user to whom the account is linked.
    pub(crate) link: Option<UserId>,
    /// By the gateway's clock.
    until: Timestamp,
}

/// `logins/state.<sha256(state)>`: it was used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UsedState {
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// 256 bits, in hex: nobody guesses them, and they fit into URLs and PKCE.
fn unguessable() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

impl Attempt {
    pub(crate) fn new(provider: Which, next: Option<String>, link: Option<UserId>) -> Self {
        let until = Timestamp::now() + LIFE;
        let (state, nonce, verifier) = (unguessable(), unguessable(), unguessable());
        Self { provider, state, nonce, verifier, next, link, until }
    }

    /// The `Set-Cookie` that gives it to the browser.
    pub(crate) fn cookie(&self, sign_ins: &SignIns) -> String {
        let text = serde_json::to_string(self).expect("plain fields are JSON");
        let sealed = sign_ins.keys.seal(PLACE, &text.parse().expect("JSON is not empty"));
        cookie(sign_ins, sealed, LIFE)
    }

    /// The attempt that this browser began, if `state` is its own and it is not too old.
    pub(crate) fn of(sign_ins: &SignIns, headers: &HeaderMap, state: &str) -> Result<Self, LoginError> {
        let jar = CookieJar::from_headers(headers);
        let sealed = jar.get(COOKIE).ok_or(LoginError::NotBegunHere)?;
        let text = sign_ins.keys.open_sealed(PLACE, sealed.value()).map_err(|_| LoginError::NotBegunHere)?;
        let attempt: Self = serde_json::from_str(text.expose()).map_err(|_| LoginError::NotBegunHere)?;
        let is_own = equal(attempt.state.as_bytes(), state.as_bytes());
        if is_own && attempt.until > Timestamp::now() { Ok(attempt) } else { Err(LoginError::NotBegunHere) }
    }

    /// Refuses a state that was used, before the provider is asked anything.
    pub(crate) async fn is_unused(&self, sign_ins: &SignIns) -> Result<(), LoginError> {
        match sign_ins.login.states.get(&self.key()).await? {
            Some(_) => Err(LoginError::Used),
            None => Ok(()),
        }
    }

    fn key(&self) -> String {
        format!("state.{}", token_hash(&self.state))
    }

    /// Uses the state up: of all who come with it, over all gateways, one gets past this.
    pub(crate) async fn use_up(&self, sign_ins: &SignIns) -> Result<(), LoginError> {
        match sign_ins.login.states.create(&self.key(), &UsedState { other: Map::new() }).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(LoginError::Used),
            Err(error) => Err(error.into()),
        }
    }
}

/// A `Set-Cookie` that takes the attempt from the browser.
pub(crate) fn forget(sign_ins: &SignIns) -> String {
    cookie(sign_ins, String::new(), SignedDuration::ZERO)
}

/// Lax: the provider's redirect brings it along, another site's form does not.
fn cookie(sign_ins: &SignIns, value: String, life: SignedDuration) -> String {
    let cookie = Cookie::build((COOKIE, value))
        .path("/oauth")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(sign_ins.public_url.scheme() == "https")
        .to_string();
    format!("{cookie}; Max-Age={}", life.as_secs())
}
