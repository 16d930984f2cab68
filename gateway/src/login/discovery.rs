//! What an OpenID Connect provider says of itself, and its keys, kept between sign-ins.
//!
//! A token that no known key proves makes the keys be fetched anew, for providers change theirs, with or
//! without a new name; at most once a minute, so that nobody makes us ask for every token he invents.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::login::http::{Away, Http};

/// A provider's description changes with its releases. Its keys are believed for as long: one that it
/// withdrew is not known to be gone before.
const LIFE: Duration = Duration::from_secs(3600);
/// Keys are asked for no more often than this for the sake of tokens that they do not prove.
const KEYS_PAUSE: Duration = Duration::from_secs(60);

/// `/.well-known/openid-configuration` (OpenID Connect Discovery, section 3): what we use of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Description {
    issuer: String,
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    jwks_uri: Url,
    pub(crate) userinfo_endpoint: Option<Url>,
    #[serde(default)]
    pub(crate) id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub(crate) token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207: the answer in the browser names its issuer.
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error(transparent)]
    Away(#[from] Away),
    #[error("{0}")]
    Unsound(String),
}

#[derive(Debug, Default)]
struct Known {
    description: Option<(Description, Instant)>,
    keys: Option<(Vec<Jwk>, Instant)>,
    /// When they were asked for because of a token that they did not prove.
    refreshed: Option<Instant>,
}

impl Known {
    /// The keys, while they are believed.
    fn keys(&self, now: Instant) -> Option<Vec<Jwk>> {
        let fresh = self.keys.as_ref().filter(|(_, at)| now.duration_since(*at) < LIFE);
        fresh.map(|(keys, _)| keys.clone())
    }

    /// The keys that must do, because newer ones were asked for a moment ago.
    fn newest_keys(&self, now: Instant) -> Option<Vec<Jwk>> {
        let paused = self.refreshed.is_some_and(|at| now.duration_since(at) < KEYS_PAUSE);
        self.keys(now).filter(|_| paused)
    }
}

/// A provider's description and keys.
#[derive(Debug)]
pub(crate) struct Discovery {
    issuer: String,
    http: Http,
    known: Mutex<Known>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Discovery {
    pub(crate) fn new(issuer: String, http: Http) -> Self {
        Self { issuer, http, known: Mutex::default() }
    }

    /// The provider's description, an hour old at most; an older one where the provider is away.
    pub(crate) async fn description(&self) -> Result<Description, DiscoveryError> {
        let mut known = self.known.lock().await;
        if let Some((description, at)) = &known.description
            && at.elapsed() < LIFE
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

    /// The keys as they are known, an hour old at most; fetched when none are.
    pub(crate) async fn keys(&self, of: &Description) -> Result<Vec<Jwk>, DiscoveryError> {
        let mut known = self.known.lock().await;
        match known.keys(Instant::now()) {
            Some(keys) => Ok(keys),
            None => self.fetch_keys(of, &mut known).await,
        }
    }

    /// The keys for a token that the known ones do not prove: asked for anew, unless that was done
    /// within the last minute.
    pub(crate) async fn newer_keys(&self, of: &Description) -> Result<Vec<Jwk>, DiscoveryError> {
        let mut known = self.known.lock().await;
        if let Some(keys) = known.newest_keys(Instant::now()) {
            return Ok(keys);
        }
        known.refreshed = Some(Instant::now());
        self.fetch_keys(of, &mut known).await
    }

    async fn fetch_keys(&self, of: &Description, known: &mut Known) -> Result<Vec<Jwk>, DiscoveryError> {
        let set: KeySet = self.http.json(&of.jwks_uri, None).await?;
        // Kinds of keys that we do not know are none of ours to judge.
        let keys: Vec<Jwk> =
            set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        known.keys = Some((keys.clone(), Instant::now()));
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_believed_for_an_hour_and_newer_ones_asked_for_once_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut known = Known { keys: Some((Vec::new(), start)), ..Known::default() };
        assert!(known.keys(at(3599)).is_some());
        assert!(known.keys(at(3600)).is_none());
        assert!(known.newest_keys(at(1)).is_none());
        known.refreshed = Some(at(1));
        assert!(known.newest_keys(at(60)).is_some());
        assert!(known.newest_keys(at(61)).is_none());
    }
}
