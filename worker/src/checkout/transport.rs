//! HTTP for git: the address rule, no proxy of the environment, time-outs, certificates.

use std::{
    any::Any,
    io::Read as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gix::protocol::transport::client::blocking_io::http;
use hooks::address::{Allow, PublicOnly, literal_guard, may_send_credential};
use reqwest::{
    blocking::{Client, ClientBuilder},
    header::CONTENT_TYPE,
};

use super::{NotGit, Request};
use crate::objects::Deadline;

/// What servers are told who asks; some let through only what begins like git's own.
pub(super) const USER_AGENT: &str = "git/gitfaas";
/// How much of an answer is looked at that is none of git's, in bytes: the first line of a list of refs.
const BEGINNING_BYTES: usize = 512;

/// A forge that does not accept a connection in this time is out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A forge that is silent for this long has hung; gix does not look at its interrupt flag meanwhile.
const SILENCE: Duration = Duration::from_secs(20);

/// The options that gix's HTTP transport takes.
pub(super) fn options(
    allow: &Allow,
    ca_bundle: Option<&Path>,
    request: &Request,
) -> Result<Box<dyn Any>, String> {
    let configure = configure(allow, ca_bundle)?;
    let configure = move |builder| Ok(configure(builder));
    let backend =
        http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None };
    Ok(Box::new(http::Options {
        backend: Some(Arc::new(Mutex::new(backend))),
        user_agent: Some(USER_AGENT.to_owned()),
        extra_headers: in_clear(allow, request).into_iter().collect(),
        connect_timeout: Some(CONNECT_TIMEOUT),
        ..Default::default()
    }))
}

/// The header that shows a credential over http, where that may be: gix itself never does.
fn in_clear(allow: &Allow, request: &Request) -> Option<String> {
    let url = request.url.as_url();
    let credential = request.credential.as_ref().filter(|_| url.scheme() == "http")?;
    let plain = format!("{}:{}", credential.user, credential.token.expose());
    may_send_credential(url, allow).then(|| format!("Authorization: Basic {}", STANDARD.encode(plain)))
}

/// What holds for every connection: the address rule, no proxy, time-outs, certificates.
fn configure(
    allow: &Allow,
    ca_bundle: Option<&Path>,
) -> Result<impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static, String> {
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
    Ok(move |builder: ClientBuilder| {
        builder
            .no_proxy()
            .dns_resolver(Arc::new(PublicOnly::new(allow.clone())))
            .proxy(literal_guard(&allow))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(SILENCE)
            .tls_certs_merge(certificates.clone())
    })
}

/// What a server answers with that does not answer as git does, asked once more as nobody.
pub(super) fn what_is_there(
    allow: &Allow,
    ca_bundle: Option<&Path>,
    request: &Request,
    deadline: &Deadline,
) -> NotGit {
    let look = || -> Option<NotGit> {
        let client =
            configure(allow, ca_bundle).ok()?(Client::builder()).user_agent(USER_AGENT).build().ok()?;
        let url = format!("{}/info/refs?service=git-upload-pack", request.url.as_str());
        let mut answer = client.get(url).send().ok()?;
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/html") {
            return Some(NotGit::WebPage);
        }
        let mut beginning = [0; BEGINNING_BYTES];
        let mut len = 0;
        // One read at a time: a server that sends a byte now and then is not waited for to the end.
        while len < BEGINNING_BYTES && deadline.check().is_ok() {
            match answer.read(&mut beginning[len..]).ok()? {
                0 => break,
                read => len += read,
            }
        }
        let beginning = &beginning[..len];
        let text = String::from_utf8_lossy(beginning).to_lowercase();
        let is_page =
            text.trim_start().starts_with("<!doctype html") || text.trim_start().starts_with("<html");
        let is_list = text.split_once('\t').is_some_and(|(id, name)| {
            id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit()) && name.starts_with("refs/")
        });
        match (is_page, is_list || beginning.is_empty()) {
            (true, _) => Some(NotGit::WebPage),
            (false, true) => Some(NotGit::Dumb),
            (false, false) => None,
        }
    };
    look().unwrap_or(NotGit::Other)
}

/// Answers gix's question who we are: with the credential, at the clone URL's own host alone, once.
pub(super) fn credentials(
    allow: Allow,
    Request { url, credential, .. }: Request,
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
            // What was shown over http already and not taken is not shown again.
            let is_new = !(url.as_url().scheme() == "http" && may_send_credential(url.as_url(), &allow));
            let Some(credential) = credential.as_ref().filter(|_| same_host && is_new) else {
                return Ok(None);
            };
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
