//! The authorization code flow (RFC 6749 with PKCE, RFC 7636): the authorization URL, and the exchange of the
//! code for tokens.

use jobs::Secret;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse as _, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::login::{
    error::{LoginError, printable},
    http::Http,
    settings::Registration,
};

/// The token response's field of OpenID Connect.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Extra {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

impl ExtraTokenFields for Extra {}

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<Extra, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// A provider's two endpoints, and our registration there.
pub(crate) struct Endpoints<'a> {
    /// The provider's display name.
    pub(crate) provider: &'a str,
    pub(crate) registration: &'a Registration,
    pub(crate) authorize: &'a Url,
    pub(crate) token: &'a Url,
    pub(crate) auth: AuthType,
    /// The gateway's callback, the only one that the provider redirects to.
    pub(crate) redirect: &'a Url,
}

/// The token response.
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) id_token: Option<String>,
}

/// The secrets of one attempt, which only the browser's cookie keeps.
pub(crate) struct AuthorizationSecrets<'a> {
    pub(crate) state: &'a str,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) verifier: &'a str,
}

impl Endpoints<'_> {
    fn client(&self) -> Client {
        let id = ClientId::new(self.registration.client_id.clone());
        oauth2::Client::new(id)
            .set_client_secret(ClientSecret::new(self.registration.client_secret.expose().to_owned()))
            .set_auth_type(self.auth.clone())
            .set_auth_uri(AuthUrl::from_url(self.authorize.clone()))
            .set_token_uri(TokenUrl::from_url(self.token.clone()))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect.clone()))
    }

    /// The URL that the browser is redirected to.
    pub(crate) fn authorization_url(&self, secrets: &AuthorizationSecrets<'_>, scopes: &[&str]) -> Url {
        let client = self.client();
        let verifier = PkceCodeVerifier::new(secrets.verifier.to_owned());
        let state = secrets.state.to_owned();
        let mut request = client
            .authorize_url(|| CsrfToken::new(state))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(scopes.iter().map(|scope| Scope::new((*scope).to_owned())));
        if let Some(nonce) = secrets.nonce {
            request = request.add_extra_param("nonce", nonce.to_owned());
        }
        request.url().0
    }

    /// Exchanges the code for tokens.
    pub(crate) async fn exchange(
        &self,
        http: &Http,
        code: &str,
        verifier: &str,
    ) -> Result<Tokens, LoginError> {
        // Owned, so that its future is the same for every lifetime.
        let http = http.clone();
        let send = move |request| {
            let http = http.clone();
            async move { http.exchange(request).await }
        };
        let answer = self
            .client()
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .request_async(&send)
            .await;
        let provider = || self.provider.to_owned();
        let malformed = |why: String| LoginError::Malformed { provider: provider(), why };
        let answer = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(error) => LoginError::Refused {
                provider: provider(),
                code: printable(error.error().as_ref()),
                description: printable(error.error_description().map_or("", String::as_str)),
            },
            RequestTokenError::Request(source) => LoginError::Unavailable { provider: provider(), source },
            RequestTokenError::Parse(error, _) => malformed(error.path().to_string()),
            RequestTokenError::Other(why) => malformed(why),
        })?;
        let access = answer.access_token().secret().parse();
        let access = access.map_err(|_| malformed("an empty access token".to_owned()))?;
        Ok(Tokens { access, id_token: answer.extra_fields().id_token.clone() })
    }
}
