//! HTTP for git: the address rule, no proxy of the environment, time-outs, certificates.

use std::{
    any::Any,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use gix::protocol::transport::client::blocking_io::http;
use hooks::{
    address::{Allow, PublicOnly, literal_guard},
    forge::CloneUrl,
};

use super::Credential;

/// A forge that does not accept a connection in this time is out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A forge that is silent for this long has hung; gix does not look at its interrupt flag meanwhile.
const SILENCE: Duration = Duration::from_secs(20);

/// The options that gix's HTTP transport takes.
pub(super) fn options(allow: &Allow, ca_bundle: Option<&Path>) -> Result<Box<dyn Any>, String> {
    let certificates = match ca_bundle {
        None => Vec::new(),
        Some(path) => {
            let pem =
                std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    let allow = allow.clone();
    let configure = move |builder: reqwest::blocking::ClientBuilder| {
        Ok(builder
            .no_proxy()
            .dns_resolver(Arc::new(PublicOnly::new(allow.clone())))
            .proxy(literal_guard(&allow))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(SILENCE)
            .tls_certs_merge(certificates.clone()))
    };
    let backend =
        http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None };
    Ok(Box::new(http::Options {
        backend: Some(Arc::new(Mutex::new(backend))),
        user_agent: Some("git/gitfaas".to_owned()),
        connect_timeout: Some(CONNECT_TIMEOUT),
        ..Default::default()
    }))
}

/// Answers gix's question who we are: with the credential, at the clone URL's own host alone, once.
pub(super) fn credentials(
    url: CloneUrl,
    credential: Option<Credential>,
) -> impl FnMut(gix::credentials::helper::Action) -> Result<Option<gix::credentials::protocol::Outcome>, gix::Error>
{
    use gix::credentials::{helper::Action, protocol::Outcome};
    move |action| match action {
        Action::Get(context) => {
            let asked = context.url.as_ref().map(|url| url.to_string()).unwrap_or_default();
            let same_host = url::Url::parse(&asked).is_ok_and(|asked| {
                asked.scheme() == url.as_url().scheme()
                    && asked.host_str() == url.as_url().host_str()
                    && asked.port_or_known_default() == url.as_url().port_or_known_default()
            });
            let Some(credential) = credential.as_ref().filter(|_| same_host) else { return Ok(None) };
            let identity = gix::sec::identity::Account {
                username: credential.user.clone(),
                password: credential.token.expose().to_owned(),
                oauth_refresh_token: None,
            };
            Ok(Some(Outcome { identity, next: gix::credentials::helper::NextAction::from(context) }))
        }
        Action::Store(_) | Action::Erase(_) => Ok(None),
    }
}
