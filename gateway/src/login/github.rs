//! Sign-in with GitHub's OAuth, which is not OpenID Connect: the account is read from its API.

use http::StatusCode;
use oauth2::AuthType;
use serde::Deserialize;
use url::Url;

use crate::login::{
    error::{LoginError, check_address},
    exchange::{AuthorizationSecrets, Endpoints},
    external_identity::ExternalIdentity,
    http::{Http, HttpError},
    settings::Registration,
};

/// GitHub, or a GitHub Enterprise server.
#[derive(Debug)]
pub(crate) struct Github {
    /// Its host, and port where it has one: the provider's name in identities.
    authority: String,
    registration: Registration,
    authorize: Url,
    token: Url,
    api: Url,
    redirect: Url,
    http: Http,
}

/// `GET /user`: names are reassigned, the number is permanent.
#[derive(Deserialize)]
struct Account {
    id: u64,
}

/// An entry of `GET /user/emails`.
#[derive(Deserialize)]
struct Address {
    email: String,
    #[serde(default)]
    primary: bool,
    #[serde(default)]
    verified: bool,
}

/// `GET /user/memberships/orgs/{org}`
#[derive(Deserialize)]
struct Membership {
    state: String,
}

impl Github {
    /// `api` ends in a slash; the web pages are at its host without a leading `api.`.
    pub(crate) fn new(
        api: &Url,
        authority: String,
        registration: Registration,
        redirect: Url,
        http: Http,
    ) -> Self {
        let page = |name: &str| {
            let address = format!("{}://{authority}/login/oauth/{name}", api.scheme());
            Url::parse(&address).expect("a host makes a URL")
        };
        let (authorize, token) = (page("authorize"), page("access_token"));
        Self { authority, registration, authorize, token, api: api.clone(), redirect, http }
    }

    /// As sessions and identities name it.
    pub(crate) fn provider(&self) -> &str {
        &self.authority
    }

    /// The display name.
    pub(crate) fn label(&self) -> String {
        if self.authority == "github.com" { "GitHub".to_owned() } else { self.authority.clone() }
    }

    fn endpoints<'a>(&'a self, label: &'a str) -> Endpoints<'a> {
        Endpoints {
            provider: label,
            registration: &self.registration,
            authorize: &self.authorize,
            token: &self.token,
            auth: AuthType::RequestBody,
            redirect: &self.redirect,
        }
    }

    /// The authorization URL; memberships are requested only where the list of allowed accounts needs them.
    pub(crate) fn authorization_url(&self, secrets: &AuthorizationSecrets<'_>, asks_orgs: bool) -> Url {
        let scopes: &[&str] =
            if asks_orgs { &["read:user", "user:email", "read:org"] } else { &["read:user", "user:email"] };
        self.endpoints(&self.label()).authorization_url(secrets, scopes)
    }

    /// The account that signed in with this code, and which of `orgs` it is an active member of.
    pub(crate) async fn identity(
        &self,
        code: &str,
        verifier: &str,
        orgs: &[String],
    ) -> Result<ExternalIdentity, LoginError> {
        let provider = self.label();
        let unavailable = |source| LoginError::Unavailable { provider: self.label(), source };
        let tokens = self.endpoints(&provider).exchange(&self.http, code, verifier).await?;
        let access = tokens.access.expose();
        let account: Account =
            self.http.json(&self.at(&["user"]), Some(access)).await.map_err(unavailable)?;
        let addresses: Vec<Address> =
            self.http.json(&self.at(&["user", "emails"]), Some(access)).await.map_err(unavailable)?;
        let primary = addresses.into_iter().find(|address| address.primary && address.verified);
        let primary = primary.ok_or_else(|| LoginError::Unverified { provider: provider.clone() })?;
        let email = check_address(primary.email, &provider)?;
        let mut member_of = Vec::new();
        for org in orgs {
            let address = self.at(&["user", "memberships", "orgs", org]);
            match self.http.json::<Membership>(&address, Some(access)).await {
                Ok(membership) if membership.state == "active" => member_of.push(org.clone()),
                Ok(_) => {}
                // No member, no such organisation, or one whose members are hidden from us.
                Err(HttpError::Status { status: StatusCode::NOT_FOUND | StatusCode::FORBIDDEN, .. }) => {}
                Err(error) => return Err(unavailable(error)),
            }
        }
        let subject = account.id.to_string();
        Ok(ExternalIdentity { provider: self.authority.clone(), subject, email, orgs: member_of })
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}
