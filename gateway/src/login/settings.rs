//! Settings of sign-in: providers, and the accounts that may sign in.

use std::{fmt, str::FromStr};

use hooks::address::Allow;
use jobs::{
    Secret,
    sessions::AdmittedBy,
    settings::{
        GITFAAS_GITHUB_CLIENT_ID, GITFAAS_GITHUB_CLIENT_SECRET, GITFAAS_LOGIN_ALLOW, GITFAAS_OIDC_CLIENT_ID,
        GITFAAS_OIDC_CLIENT_SECRET, GITFAAS_OIDC_ISSUER, Reader, Setting,
    },
};
use url::{Host, Url};

/// Google's issuer, which is the default of `GITFAAS_OIDC_ISSUER` and has a name to show.
pub(crate) const GOOGLE: &str = "https://accounts.google.com";

/// The gateway's registration at a provider.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The public client id.
    pub client_id: String,
    /// The client secret, which authenticates the gateway to the provider.
    pub client_secret: Secret,
}

/// Accounts that may sign in: an entry of `GITFAAS_LOGIN_ALLOW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// `@example.com`: every address of this domain, not of those below it.
    Domain(String),
    /// `you@example.com`
    Address(String),
    /// `github:org/NAME`: active members of a GitHub organisation.
    GithubOrg(String),
}

/// Settings of sign-in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The issuer's address, byte for byte as its tokens name it.
    pub issuer: String,
    /// At the OpenID Connect provider; absent means that it is not offered.
    pub oidc: Option<Registration>,
    /// At GitHub, whose address comes from that of its API.
    pub github: Option<Registration>,
    /// Empty means every account at a provider.
    pub allow: Vec<Allowed>,
}

impl Settings {
    /// Reads the settings; `inside` has the internal hosts that may be reached besides public addresses.
    pub(crate) fn read(env: &mut Reader<'_>, inside: &Allow) -> Self {
        let issuer: String = env.value(GITFAAS_OIDC_ISSUER);
        if let Err(problem) = check_issuer(&issuer, inside) {
            env.problem(GITFAAS_OIDC_ISSUER, problem);
        }
        let oidc = registration(env, GITFAAS_OIDC_CLIENT_ID, GITFAAS_OIDC_CLIENT_SECRET);
        let github = registration(env, GITFAAS_GITHUB_CLIENT_ID, GITFAAS_GITHUB_CLIENT_SECRET);
        Self { issuer, oidc, github, allow: env.list(GITFAAS_LOGIN_ALLOW) }
    }

    /// The organisations whose members may sign in.
    pub(crate) fn orgs(&self) -> Vec<String> {
        let named = |allowed: &Allowed| match allowed {
            Allowed::GithubOrg(name) => Some(name.clone()),
            Allowed::Domain(_) | Allowed::Address(_) => None,
        };
        self.allow.iter().filter_map(named).collect()
    }
}

/// Tokens and keys must not be changed in transit, so plain http is for internal hosts.
fn check_issuer(issuer: &str, inside: &Allow) -> Result<(), &'static str> {
    let url = Url::parse(issuer).map_err(|_| "must be a URL")?;
    let is_inside = match url.host() {
        Some(Host::Domain(name)) => inside.covers_name(name),
        Some(Host::Ipv4(ip)) => inside.covers_ip(ip.into()),
        Some(Host::Ipv6(ip)) => inside.covers_ip(ip.into()),
        None => false,
    };
    match url.scheme() {
        _ if url.query().is_some() || url.fragment().is_some() => Err("must have neither query nor fragment"),
        "https" => Ok(()),
        "http" if is_inside => Ok(()),
        _ => Err("must begin with https:// (http:// only for a host in GITFAAS_CLONE_ALLOW)"),
    }
}

fn registration(
    env: &mut Reader<'_>,
    id: &'static Setting,
    secret: &'static Setting,
) -> Option<Registration> {
    match (env.optional(id), env.optional(secret)) {
        (Some(client_id), Some(client_secret)) => Some(Registration { client_id, client_secret }),
        (None, None) => None,
        (Some(_), None) => {
            env.problem(secret, format!("not set, but {} is", id.name));
            None
        }
        (None, Some(_)) => {
            env.problem(id, format!("not set, but {} is", secret.name));
            None
        }
    }
}

impl FromStr for Allowed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '/');
        if let Some(name) = text.strip_prefix("github:org/").filter(|name| plain(name)) {
            return Ok(Self::GithubOrg(name.to_lowercase()));
        }
        match text.split_once('@') {
            Some((name, domain)) if plain(domain) && !domain.contains('@') => Ok(match name {
                "" => Self::Domain(domain.to_lowercase()),
                _ => Self::Address(text.to_lowercase()),
            }),
            Some(_) | None => Err("must be @example.com, you@example.com or github:org/NAME"),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Address(address) => f.write_str(address),
            Self::GithubOrg(name) => write!(f, "github:org/{name}"),
        }
    }
}

impl Allowed {
    /// Whether this entry allows a sign-in.
    pub(crate) fn allows(&self, let_in: &AdmittedBy) -> bool {
        match (self, let_in) {
            (Self::GithubOrg(name), AdmittedBy::Org(org)) => name == org,
            (Self::Domain(_) | Self::Address(_), AdmittedBy::Address(email)) => self.covers(email),
            (Self::GithubOrg(_), AdmittedBy::Address(_))
            | (Self::Domain(_) | Self::Address(_), AdmittedBy::Org(_)) => false,
        }
    }

    /// Whether this entry allows a verified address.
    fn covers(&self, email: &str) -> bool {
        let email = email.to_lowercase();
        match self {
            Self::Domain(domain) => email.rsplit_once('@').is_some_and(|(_, host)| host == domain),
            Self::Address(address) => email == *address,
            Self::GithubOrg(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("@example.com", "a@example.com" => true)]
    #[test_case("@example.com", "A@Example.COM" => true ; "case")]
    #[test_case("@example.com", "a@b.example.com" => false ; "below it")]
    #[test_case("@example.com", "a@example.com@evil.example" => false ; "two ats")]
    #[test_case("@example.com", "a@evilexample.com" => false)]
    #[test_case("a@example.com", "a@example.com" => true ; "an address")]
    #[test_case("a@example.com", "b@example.com" => false ; "another address")]
    #[test_case("github:org/one", "a@one" => false ; "an organisation")]
    fn who_is_let_in(entry: &str, email: &str) -> bool {
        entry.parse::<Allowed>().unwrap().covers(email)
    }

    #[test_case("example.com")]
    #[test_case("github:org/")]
    #[test_case("github:one/two")]
    #[test_case("a@b@c")]
    #[test_case("@")]
    fn nonsense_is_no_entry(entry: &str) {
        assert!(entry.parse::<Allowed>().is_err());
    }

    #[test_case("https://accounts.google.com" => true)]
    #[test_case("http://accounts.google.com" => false)]
    #[test_case("http://127.0.0.1:9000/oidc" => true ; "inside")]
    #[test_case("https://a.example/?x" => false ; "a query")]
    #[test_case("accounts.google.com" => false ; "no URL")]
    fn issuers(issuer: &str) -> bool {
        check_issuer(issuer, &"127.0.0.1/32".parse().unwrap()).is_ok()
    }
}
