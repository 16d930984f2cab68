//! Sign-in with an OpenID Connect provider.

use oauth2::AuthType;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::login::{
    discovery::{Discovery, DiscoveryError, ProviderMetadata},
    error::{LoginError, check_address},
    exchange::{AuthorizationSecrets, Endpoints, Tokens},
    external_identity::ExternalIdentity,
    http::Http,
    id_token::{Claims, Expected, IdTokenError, is_true, verify},
    settings::{GOOGLE, Registration},
};

/// The requested scopes.
const SCOPES: [&str; 2] = ["openid", "email"];

/// The configured provider.
#[derive(Debug)]
pub(crate) struct Oidc {
    issuer: String,
    registration: Registration,
    redirect: Url,
    http: Http,
    discovery: Discovery,
}

/// OpenID Connect Core, section 5.3.2.
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    email: Option<String>,
    email_verified: Option<Value>,
}

impl Oidc {
    pub(crate) fn new(issuer: String, registration: Registration, redirect: Url, http: Http) -> Self {
        let discovery = Discovery::new(issuer.clone(), http.clone());
        Self { issuer, registration, redirect, http, discovery }
    }

    /// As sessions and identities name it.
    pub(crate) fn provider(&self) -> &str {
        &self.issuer
    }

    /// The display name: Google, or its host.
    pub(crate) fn label(&self) -> String {
        if self.issuer == GOOGLE {
            return "Google".to_owned();
        }
        let host = Url::parse(&self.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| self.issuer.clone())
    }

    fn discovery_error(&self, error: DiscoveryError) -> LoginError {
        let provider = self.label();
        match error {
            DiscoveryError::Http(source) => LoginError::Unavailable { provider, source },
            DiscoveryError::Invalid(why) => LoginError::Malformed { provider, why },
        }
    }

    async fn metadata(&self) -> Result<ProviderMetadata, LoginError> {
        self.discovery.metadata().await.map_err(|error| self.discovery_error(error))
    }

    fn endpoints<'a>(&'a self, metadata: &'a ProviderMetadata, label: &'a str) -> Endpoints<'a> {
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let offers = |name: &str| methods.iter().any(|method| method == name);
        // The standard's default where the provider does not say.
        let in_body = offers("client_secret_post") && !offers("client_secret_basic");
        Endpoints {
            provider: label,
            registration: &self.registration,
            authorize: &metadata.authorization_endpoint,
            token: &metadata.token_endpoint,
            auth: if in_body { AuthType::RequestBody } else { AuthType::BasicAuth },
            redirect: &self.redirect,
        }
    }

    /// The authorization URL.
    pub(crate) async fn authorization_url(
        &self,
        secrets: &AuthorizationSecrets<'_>,
    ) -> Result<Url, LoginError> {
        let metadata = self.metadata().await?;
        Ok(self.endpoints(&metadata, &self.label()).authorization_url(secrets, &SCOPES))
    }

    /// The account that signed in with this code. `iss` is the issuer that the response names.
    pub(crate) async fn identity(
        &self,
        code: &str,
        iss: Option<&str>,
        secrets: &AuthorizationSecrets<'_>,
    ) -> Result<ExternalIdentity, LoginError> {
        let provider = self.label();
        let metadata = self.metadata().await?;
        let names_us = match iss {
            Some(iss) => iss == self.issuer,
            None => !metadata.authorization_response_iss_parameter_supported,
        };
        if !names_us {
            return Err(LoginError::AnotherIssuer { provider });
        }
        let endpoints = self.endpoints(&metadata, &provider);
        let tokens = endpoints.exchange(&self.http, code, secrets.verifier).await?;
        let claims = self.verified_claims(&metadata, &tokens, secrets.nonce.unwrap_or_default()).await?;
        let email = self.email(&metadata, &tokens, &claims).await?;
        let email = email.ok_or_else(|| LoginError::Unverified { provider: provider.clone() })?;
        let email = check_address(email, &provider)?;
        Ok(ExternalIdentity { provider: self.issuer.clone(), subject: claims.sub, email, orgs: Vec::new() })
    }

    async fn verified_claims(
        &self,
        metadata: &ProviderMetadata,
        tokens: &Tokens,
        nonce: &str,
    ) -> Result<Claims, LoginError> {
        let refused = |source| LoginError::Token { provider: self.label(), source };
        let token = tokens.id_token.as_deref().ok_or_else(|| refused(IdTokenError::None))?;
        let expected = Expected {
            issuer: &self.issuer,
            client_id: &self.registration.client_id,
            nonce,
            algorithms: &metadata.id_token_signing_alg_values_supported,
        };
        let keys = self.discovery.keys(metadata).await.map_err(|error| self.discovery_error(error))?;
        match verify(token, &keys, &expected) {
            // A provider may also publish another key under an old id, or without one.
            Err(IdTokenError::UnknownKey | IdTokenError::Signature) => {
                let newer = self.discovery.newer_keys(metadata).await;
                let keys = newer.map_err(|error| self.discovery_error(error))?;
                verify(token, &keys, &expected).map_err(refused)
            }
            done => done.map_err(refused),
        }
    }

    /// The verified address: of the token, or where it has none, of the provider's `userinfo`.
    async fn email(
        &self,
        metadata: &ProviderMetadata,
        tokens: &Tokens,
        claims: &Claims,
    ) -> Result<Option<String>, LoginError> {
        if let Some(email) = &claims.email {
            return Ok(claims.email_is_verified().then(|| email.clone()));
        }
        let Some(address) = &metadata.userinfo_endpoint else { return Ok(None) };
        let provider = self.label();
        let unavailable = |source| LoginError::Unavailable { provider: self.label(), source };
        let info: UserInfo =
            self.http.json(address, Some(tokens.access.expose())).await.map_err(unavailable)?;
        // Another subject's answer must not be used: section 5.3.2.
        if info.sub != claims.sub {
            let why = "its userinfo is somebody else's".to_owned();
            return Err(LoginError::Malformed { provider, why });
        }
        let verified = is_true(info.email_verified.as_ref());
        Ok(info.email.filter(|_| verified))
    }
}
