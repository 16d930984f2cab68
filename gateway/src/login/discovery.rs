//! The metadata and signing keys of an OpenID Connect provider, cached between sign-ins.
//!
//! A token that no cached key verifies makes the keys be fetched again, for providers rotate theirs, with or
//! without a new key id; at most once a minute, so that forged tokens do not cause requests.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::login::http::{Http, HttpError};

/// Metadata changes with a provider's releases. Its keys are cached for as long: a withdrawn one is accepted
/// until then.
const CACHE_TTL: Duration = Duration::from_secs(3600);
/// Between two fetches of keys that are caused by tokens that no cached key verifies.
const KEYS_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// `/.well-known/openid-configuration` (OpenID Connect Discovery, section 3): the fields in use.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProviderMetadata {
    issuer: String,
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    jwks_uri: Url,
    pub(crate) userinfo_endpoint: Option<Url>,
    #[serde(default)]
    pub(crate) id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub(crate) token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207: the authorization response names its issuer.
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0}")]
    Invalid(String),
}

#[derive(Debug, Default)]
struct Cache {
    metadata: Option<(ProviderMetadata, Instant)>,
    keys: Option<(Vec<Jwk>, Instant)>,
    /// When they were last fetched for a token that no cached key verified.
    refreshed: Option<Instant>,
}

impl Cache {
    /// The cached keys, unless they have expired.
    fn keys(&self, now: Instant) -> Option<Vec<Jwk>> {
        let fresh = self.keys.as_ref().filter(|(_, at)| now.duration_since(*at) < CACHE_TTL);
        fresh.map(|(keys, _)| keys.clone())
    }

    /// The cached keys, if they may not be fetched again yet.
    fn newest_keys(&self, now: Instant) -> Option<Vec<Jwk>> {
        let paused = self.refreshed.is_some_and(|at| now.duration_since(at) < KEYS_REFRESH_INTERVAL);
        self.keys(now).filter(|_| paused)
    }
}

/// A provider's metadata and keys.
#[derive(Debug)]
pub(crate) struct Discovery {
    issuer: String,
    http: Http,
    cache: Mutex<Cache>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Discovery {
    pub(crate) fn new(issuer: String, http: Http) -> Self {
        Self { issuer, http, cache: Mutex::default() }
    }

    /// The provider's metadata, an hour old at most; older while the provider is unavailable.
    pub(crate) async fn metadata(&self) -> Result<ProviderMetadata, DiscoveryError> {
        let mut cache = self.cache.lock().await;
        if let Some((metadata, at)) = &cache.metadata
            && at.elapsed() < CACHE_TTL
        {
            return Ok(metadata.clone());
        }
        match self.fetch().await {
            Ok(metadata) => {
                cache.metadata = Some((metadata.clone(), Instant::now()));
                Ok(metadata)
            }
            Err(error) => match &cache.metadata {
                Some((metadata, _)) => Ok(metadata.clone()),
                None => Err(error),
            },
        }
    }

    async fn fetch(&self) -> Result<ProviderMetadata, DiscoveryError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let invalid = |why: String| DiscoveryError::Invalid(why);
        let address: Url = address.parse().map_err(|_| invalid("the issuer is no address".to_owned()))?;
        let found: ProviderMetadata = self.http.json(&address, None).await?;
        if found.issuer != self.issuer {
            let named = super::error::printable(&found.issuer);
            return Err(invalid(format!("it calls itself {named}; GITFAAS_OIDC_ISSUER must be the same")));
        }
        let endpoints = [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri];
        let schemes = endpoints.into_iter().chain(&found.userinfo_endpoint).map(Url::scheme);
        for scheme in schemes {
            // An https issuer must not lead to http endpoints.
            if scheme != "https" && (scheme != "http" || address.scheme() == "https") {
                return Err(invalid(format!("one of its endpoints is {scheme}")));
            }
        }
        Ok(found)
    }

    /// The cached keys, an hour old at most; fetched when there are none.
    pub(crate) async fn keys(&self, of: &ProviderMetadata) -> Result<Vec<Jwk>, DiscoveryError> {
        let mut cache = self.cache.lock().await;
        match cache.keys(Instant::now()) {
            Some(keys) => Ok(keys),
            None => self.fetch_keys(of, &mut cache).await,
        }
    }

    /// The keys for a token that no cached key verifies: fetched again, unless that was done within the last
    /// minute.
    pub(crate) async fn newer_keys(&self, of: &ProviderMetadata) -> Result<Vec<Jwk>, DiscoveryError> {
        let mut cache = self.cache.lock().await;
        if let Some(keys) = cache.newest_keys(Instant::now()) {
            return Ok(keys);
        }
        cache.refreshed = Some(Instant::now());
        self.fetch_keys(of, &mut cache).await
    }

    async fn fetch_keys(&self, of: &ProviderMetadata, cache: &mut Cache) -> Result<Vec<Jwk>, DiscoveryError> {
        let set: KeySet = self.http.json(&of.jwks_uri, None).await?;
        // Keys of unknown types are ignored.
        let keys: Vec<Jwk> =
            set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        cache.keys = Some((keys.clone(), Instant::now()));
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
        let mut cache = Cache { keys: Some((Vec::new(), start)), ..Cache::default() };
        assert!(cache.keys(at(3599)).is_some());
        assert!(cache.keys(at(3600)).is_none());
        assert!(cache.newest_keys(at(1)).is_none());
        cache.refreshed = Some(at(1));
        assert!(cache.newest_keys(at(60)).is_some());
        assert!(cache.newest_keys(at(61)).is_none());
    }
}
