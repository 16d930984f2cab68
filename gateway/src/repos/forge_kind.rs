//! Determines the kind of forge of a registration, and whether a token may be sent there.

use hooks::{CloneUrl, Forge, address::may_send_credential, forge_api::Detected};
use jobs::Repo;
use url::Url;

use crate::{
    auth::identity::Identity,
    error::ApiError,
    repos::{Registrations, forge_webhook::FORGE_TIMEOUT},
};

/// What a request says of its forge.
pub(crate) struct ForgeHint<'a> {
    pub(crate) forge: Option<Forge>,
    pub(crate) api_url: Option<&'a str>,
    /// Whether a token is given: then the forge of an unknown host is detected.
    pub(crate) with_token: bool,
}

/// The forge of a registration; an unknown kind counts as a plain git server.
pub(crate) fn forge_of(repo: &Repo) -> Forge {
    repo.forge.get().copied().unwrap_or(Forge::Plain)
}

impl Registrations {
    /// The kind of forge of a repository, and the URL of its API if it cannot be derived. Only an admin may
    /// declare another host to be GitHub, because the operator's credential is sent there then.
    pub(crate) async fn forge_for(
        &self,
        caller: &Identity,
        url: &CloneUrl,
        hint: ForgeHint<'_>,
    ) -> Result<(Forge, Option<Url>), ApiError> {
        let is_githubs = url.authority() == self.github.authority();
        let given = hint.api_url.map(|api| api_url(url, api)).transpose()?;
        if hint.with_token && !may_send_credential(url.as_url(), &self.clone_allow) {
            return Err(ApiError::BadRequest(
                "token: it would be sent over http, where everybody on the way can read it, and neither clones nor \
                 statuses would work; register the https URL, or have the operator name the host in \
                 GITFAAS_CLONE_ALLOW"
                    .to_owned(),
            ));
        }
        let forge = match hint.forge {
            Some(Forge::Github) if !is_githubs && !caller.is_admin() => {
                return Err(ApiError::Forbidden(
                    "only an admin may say that another host is GitHub's".to_owned(),
                ));
            }
            Some(forge) => forge,
            None if is_githubs => Forge::Github,
            None => match (url.host(), hint.with_token) {
                ("gitlab.com", _) => Forge::Gitlab,
                ("codeberg.org" | "gitea.com", _) => Forge::Gitea,
                (_, false) => Forge::Plain,
                (host, true) => match tokio::time::timeout(FORGE_TIMEOUT, self.forges.detect(url)).await {
                    Ok(Some(Detected { forge, api })) => {
                        tracing::info!(host, %forge, %api, "forge detected");
                        return Ok((forge, given.or(Some(api))));
                    }
                    Ok(None) | Err(_) => {
                        return Err(ApiError::BadRequest(format!(
                            "forge: {host} does not say which forge it is; say github, gitea, gitlab or plain"
                        )));
                    }
                },
            },
        };
        Ok((forge, given))
    }
}

/// Parses the URL of an API, which the token is sent to: on the clone URL's own host.
fn api_url(url: &CloneUrl, text: &str) -> Result<Url, ApiError> {
    let wrong = |why: &str| ApiError::BadRequest(format!("api_url: {why}"));
    let mut api: Url = text.trim().parse().map_err(|_| wrong("not a URL"))?;
    let same_host = api.host_str() == url.as_url().host_str()
        && api.port_or_known_default() == url.as_url().port_or_known_default()
        && api.scheme() == url.as_url().scheme();
    if !same_host {
        return Err(wrong("it must be on the repository's own host"));
    }
    if !api.username().is_empty()
        || api.password().is_some()
        || api.query().is_some()
        || api.fragment().is_some()
    {
        return Err(wrong("a user, a query or a fragment has no place there"));
    }
    if !api.path().ends_with('/') {
        api.set_path(&format!("{}/", api.path()));
    }
    // Any other path may be a file of a user, which would answer in the forge's place.
    if !url.may_have_api_at(&api) {
        return Err(wrong(
            "it must be api/v1, api/v3 or api/v4 at the host's root, or in a folder of the URL",
        ));
    }
    Ok(api)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("https://host/git/api/v1" => Ok("https://host/git/api/v1/".to_owned()) ; "below a path")]
    #[test_case("https://other/api/v1" => Err("api_url: it must be on the repository's own host".to_owned()))]
    #[test_case("http://host/api/v1" => Err("api_url: it must be on the repository's own host".to_owned()) ; "in clear")]
    #[test_case("https://u@host/api/v1" => Err("api_url: a user, a query or a fragment has no place there".to_owned()) ; "a user")]
    #[test_case("api" => Err("api_url: not a URL".to_owned()) ; "no address")]
    #[test_case("https://host/x/y/raw/api/v1" => Err("api_url: it must be api/v1, api/v3 or api/v4 at the host's root, or in a folder of the URL".to_owned()) ; "a user's file")]
    fn where_an_api_may_be(text: &str) -> Result<String, String> {
        let url = "https://host/git/a/b".parse().unwrap();
        api_url(&url, text).map(String::from).map_err(|error| error.to_string())
    }
}
