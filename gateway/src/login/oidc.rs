//! An OpenID Connect provider: from a browser's visit to a person that it vouches for.

use oauth2::AuthType;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::login::{
    discovery::{Description, Discovery, DiscoveryError},
    error::{LoginError, address},
    exchange::{Endpoints, Proof, Tokens},
    http::Http,
    id_token::{Claims, Expected, Refusal, is_true, verify},
    person::Person,
    settings::{GOOGLE, Registration},
};

/// What we ask to be told.
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

    /// What people call it: Google, or its host.
    pub(crate) fn label(&self) -> String {
        if self.issuer == GOOGLE {
            return "Google".to_owned();
        }
        let host = Url::parse(&self.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| self.issuer.clone())
    }

    fn failed(&self, error: DiscoveryError) -> LoginError {
        let provider = self.label();
        match error {
            DiscoveryError::Away(source) => LoginError::Away { provider, source },
            DiscoveryError::Unsound(why) => LoginError::Malformed { provider, why },
        }
    }

    async fn description(&self) -> Result<Description, LoginError> {
        self.discovery.description().await.map_err(|error| self.failed(error))
    }

    fn endpoints<'a>(&'a self, description: &'a Description, label: &'a str) -> Endpoints<'a> {
        let methods = &description.token_endpoint_auth_methods_supported;
        let offers = |name: &str| methods.iter().any(|method| method == name);
        // The standard's default where the provider does not say.
        let in_body = offers("client_secret_post") && !offers("client_secret_basic");
        Endpoints {
            provider: label,
            registration: &self.registration,
            authorize: &description.authorization_endpoint,
            token: &description.token_endpoint,
            auth: if in_body { AuthType::RequestBody } else { AuthType::BasicAuth },
            redirect: &self.redirect,
        }
    }

    /// Where the browser is sent.
    pub(crate) async fn address(&self, proof: &Proof<'_>) -> Result<Url, LoginError> {
        let description = self.description().await?;
        Ok(self.endpoints(&description, &self.label()).address(proof, &SCOPES))
    }

    /// The person that came back with this code. `iss` is the answer's own word of who gave it.
    pub(crate) async fn person(
        &self,
        code: &str,
        iss: Option<&str>,
        proof: &Proof<'_>,
    ) -> Result<Person, LoginError> {
        let provider = self.label();
        let description = self.description().await?;
        let names_us = match iss {
            Some(iss) => iss == self.issuer,
            None => !description.authorization_response_iss_parameter_supported,
        };
        if !names_us {
            return Err(LoginError::AnotherIssuer { provider });
        }
        let endpoints = self.endpoints(&description, &provider);
        let tokens = endpoints.exchange(&self.http, code, proof.verifier).await?;
        let claims = self.believed(&description, &tokens, proof.nonce.unwrap_or_default()).await?;
        let email = self.email(&description, &tokens, &claims).await?;
        let email = email.ok_or_else(|| LoginError::Unverified { provider: provider.clone() })?;
        let email = address(email, &provider)?;
        Ok(Person { provider: self.issuer.clone(), subject: claims.sub, email, orgs: Vec::new() })
    }

    async fn believed(
        &self,
        description: &Description,
        tokens: &Tokens,
        nonce: &str,
    ) -> Result<Claims, LoginError> {
        let refused = |source| LoginError::Token { provider: self.label(), source };
        let token = tokens.id_token.as_deref().ok_or_else(|| refused(Refusal::None))?;
        let expected = Expected {
            issuer: &self.issuer,
            client_id: &self.registration.client_id,
            nonce,
            algorithms: &description.id_token_signing_alg_values_supported,
        };
        let keys = self.discovery.keys(description).await.map_err(|error| self.failed(error))?;
        match verify(token, &keys, &expected) {
            // A provider may also put another key under an old name, or name none.
            Err(Refusal::UnknownKey | Refusal::Signature) => {
                let newer = self.discovery.newer_keys(description).await;
                let keys = newer.map_err(|error| self.failed(error))?;
                verify(token, &keys, &expected).map_err(refused)
            }
            done => done.map_err(refused),
        }
    }

    /// The verified address: of the token, or where it names none, of the provider's `userinfo`.
    async fn email(
        &self,
        description: &Description,
        tokens: &Tokens,
        claims: &Claims,
    ) -> Result<Option<String>, LoginError> {
        if let Some(email) = &claims.email {
            return Ok(claims.email_is_verified().then(|| email.clone()));
        }
        let Some(address) = &description.userinfo_endpoint else { return Ok(None) };
        let provider = self.label();
        let away = |source| LoginError::Away { provider: self.label(), source };
        let info: UserInfo = self.http.json(address, Some(tokens.access.expose())).await.map_err(away)?;
        // Another subject's answer must not be used: section 5.3.2.
        if info.sub != claims.sub {
            let why = "its userinfo is somebody else's".to_owned();
            return Err(LoginError::Malformed { provider, why });
        }
        let verified = is_true(info.email_verified.as_ref());
        Ok(info.email.filter(|_| verified))
    }
}
