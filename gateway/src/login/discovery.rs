//! What an OpenID Connect provider says of itself, and its keys, kept between sign-ins.
//!
//! A token that names an unknown key makes the keys be fetched anew, for providers change theirs; at
//! most once a minute, so that nobody makes us ask for every token he invents.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::http::{Away, Http};

/// A provider's description changes with its releases.
const DESCRIPTION_LIFE: Duration = Duration::from_secs(3600);
/// Keys are asked for no more often than this for the sake of unknown names.
const KEYS_PAUSE: Duration = Duration::from_secs(60);

/// `/.well-known/openid-configuration` (OpenID Connect Discovery, section 3): what we use of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Description {
    issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    #[serde(default)]
    pub(super) id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207: the answer in the browser names its issuer.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error(transparent)]
    Away(#[from] Away),
    #[error("{0}")]
    Unsound(String),
}

#[derive(Debug, Default)]
struct Known {
    description: Option<(Description, Instant)>,
    keys: Option<Vec<Jwk>>,
    /// When they were asked for because of an unknown name.
    refreshed: Option<Instant>,
}

/// A provider's description and keys.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: String,
    http: Http,
    known: Mutex<Known>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Discovery {
    pub(super) fn new(issuer: String, http: Http) -> Self {
        Self { issuer, http, known: Mutex::default() }
    }

    /// The provider's description, an hour old at most; an older one where the provider is away.
    pub(super) async fn description(&self) -> Result<Description, DiscoveryError> {
        let mut known = self.known.lock().await;
        if let Some((description, at)) = &known.description
            && at.elapsed() < DESCRIPTION_LIFE
        {
            return Ok(description.clone());
        }
        match self.fetch().await {
            Ok(description) => {
                known.description = Some((description.clone(), Instant::now()));
                Ok(description)
            }
            Err(error) => match &known.description {
                Some((description, _)) => Ok(description.clone()),
                None => Err(error),
            },
        }
    }

    async fn fetch(&self) -> Result<Description, DiscoveryError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let unsound = |why: String| DiscoveryError::Unsound(why);
        let address: Url = address.parse().map_err(|_| unsound("the issuer is no address".to_owned()))?;
        let found: Description = self.http.json(&address, None).await?;
        if found.issuer != self.issuer {
            let named = super::error::said(&found.issuer);
            return Err(unsound(format!("it calls itself {named}; GITFAAS_OIDC_ISSUER must be the same")));
        }
        let endpoints = [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri];
        let schemes = endpoints.into_iter().chain(&found.userinfo_endpoint).map(Url::scheme);
        for scheme in schemes {
            // What is protected does not lead to what is not.
            if scheme != "https" && (scheme != "http" || address.scheme() == "https") {
                return Err(unsound(format!("one of its endpoints is {scheme}")));
            }
        }
        Ok(found)
    }

    /// The keys as they are known; fetched when none are.
    pub(super) async fn keys(&self, of: &Description) -> Result<Vec<Jwk>, DiscoveryError> {
        let mut known = self.known.lock().await;
        match &known.keys {
            Some(keys) => Ok(keys.clone()),
            None => self.fetch_keys(of, &mut known).await,
        }
    }

    /// The keys for a token that names an unknown one: asked for anew, unless that was done within the
    /// last minute.
    pub(super) async fn newer_keys(&self, of: &Description) -> Result<Vec<Jwk>, DiscoveryError> {
        let mut known = self.known.lock().await;
        if let Some(keys) = &known.keys
            && known.refreshed.is_some_and(|at| at.elapsed() < KEYS_PAUSE)
        {
            return Ok(keys.clone());
        }
        known.refreshed = Some(Instant::now());
        self.fetch_keys(of, &mut known).await
    }

    async fn fetch_keys(&self, of: &Description, known: &mut Known) -> Result<Vec<Jwk>, DiscoveryError> {
        let set: KeySet = self.http.json(&of.jwks_uri, None).await?;
        // Kinds of keys that we do not know are none of ours to judge.
        let keys: Vec<Jwk> =
            set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        known.keys = Some(keys.clone());
        Ok(keys)
    }
}
