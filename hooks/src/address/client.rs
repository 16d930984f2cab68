//! An HTTP client that connects to permitted addresses only.
//!
//! The parts are public as well, because the blocking client inside gix is configured by the worker:
//! `builder.no_proxy().dns_resolver(Arc::new(PublicOnly::new(…))).proxy(literal_guard(…))`. gix puts
//! its own redirect policy over ours; the guard sees every hop all the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Proxy};
use url::Host;

use super::{AddressError, Allow, check_host, check_url, resolve};

/// Redirects followed at most; git and browsers are content with fewer than ten.
const MAX_REDIRECTS: usize = 5;

/// Below this name (RFC 6761 keeps `.invalid` free) a refused literal address is "proxied" to nowhere.
const REFUSED_SUFFIX: &str = ".refused.invalid";

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub read: Duration,
    /// For the request as a whole.
    pub whole: Duration,
}

impl Default for Timeouts {
    /// A forge's API answers within a second or not at all; a page of it is small.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            whole: Duration::from_secs(30),
        }
    }
}

/// Why no client could be made: always the operator's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of extra certificates cannot be read.
    #[error("cannot read certificates from {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of extra certificates is not PEM, or holds no certificate.
    #[error("no PEM certificate in {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The TLS part refused to start.
    #[error("cannot make an HTTP client")]
    Build(#[source] reqwest::Error),
}

/// A client that reaches public addresses and what `allow` adds; see [`builder`].
pub fn client(allow: &Allow, ca: Option<&Path>, timeouts: Timeouts) -> Result<reqwest::Client, ClientError> {
    builder(allow, ca, timeouts)?.build().map_err(ClientError::Build)
}

/// A client in the making that reaches public addresses and what `allow` adds, on every redirect too.
///
/// It uses no proxy, whatever the environment says: behind one, no address could be checked. Change what
/// you like but resolver and proxy.
///
/// `ca` is a PEM file that is trusted besides the system's certificates.
pub fn builder(
    allow: &Allow,
    ca: Option<&Path>,
    timeouts: Timeouts,
) -> Result<reqwest::ClientBuilder, ClientError> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(PublicOnly::new(allow.clone()))
        .proxy(literal_guard(allow))
        .redirect(redirects(allow))
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.read)
        .timeout(timeouts.whole)
        .user_agent("gitfaas");
    let Some(path) = ca else { return Ok(builder) };
    let pem =
        std::fs::read(path).map_err(|source| ClientError::Unreadable { path: path.to_owned(), source })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(ClientError::NoCertificate { path: path.to_owned() });
    }
    Ok(builder.tls_certs_merge(certificates))
}

/// A resolver for reqwest that answers with permitted addresses only.
#[derive(Debug, Clone)]
pub struct PublicOnly {
    allow: Arc<Allow>,
}

impl PublicOnly {
    /// Public addresses, and what `allow` adds.
    pub fn new(allow: Allow) -> Self {
        Self { allow: Arc::new(allow) }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.allow);
        Box::pin(async move {
            if let Some(host) = name.as_str().strip_suffix(REFUSED_SUFFIX) {
                return Err(refusal(host, &allow).into());
            }
            // Port 0: reqwest puts in the URL's.
            let found: Vec<SocketAddr> = resolve(name.as_str(), 0, &allow).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Stops literal addresses, which never reach a resolver; a name that is denied is the resolver's.
///
/// reqwest asks its proxy rule about every URL it is about to connect to, and a refused one is sent to a
/// name that [`PublicOnly`] refuses.
pub fn literal_guard(allow: &Allow) -> Proxy {
    let allow = allow.clone();
    Proxy::custom(move |url| {
        let refused = check_url(url, &allow).err()?;
        let is_name = matches!(url.host(), Some(Host::Domain(_)));
        (!is_name || !matches!(refused, AddressError::Denied { .. })).then(|| {
            let label = match url.host() {
                Some(Host::Ipv4(ip)) => format!("v4-{:x}", ip.to_bits()),
                Some(Host::Ipv6(ip)) => format!("v6-{:x}", ip.to_bits()),
                Some(Host::Domain(_)) | None => "host".to_owned(),
            };
            format!("http://{label}{REFUSED_SUFFIX}")
        })
    })
}

/// Why the address that [`literal_guard`] put into a label is refused.
fn refusal(label: &str, allow: &Allow) -> AddressError {
    let host = unlabelled(label);
    check_host(&host, allow).err().unwrap_or(AddressError::NotPublic { host })
}

/// The address that [`literal_guard`] put into a label, in its usual notation.
fn unlabelled(label: &str) -> String {
    let ip: Option<IpAddr> = match label.split_once('-') {
        Some(("v4", bits)) => u32::from_str_radix(bits, 16).ok().map(|bits| Ipv4Addr::from_bits(bits).into()),
        Some(("v6", bits)) => {
            u128::from_str_radix(bits, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
        }
        _ => None,
    };
    ip.map_or_else(|| "the host".to_owned(), |ip| ip.to_string())
}

/// Follows a few redirects, each checked like the first request, and none from https to plain http.
pub fn redirects(allow: &Allow) -> Policy {
    let allow = allow.clone();
    Policy::custom(move |attempt| {
        let downgrade = attempt.url().scheme() != "https"
            && attempt.previous().last().is_some_and(|last| last.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error("too many redirects");
        }
        if downgrade {
            return attempt.error("redirected from https to an unprotected address");
        }
        match check_url(attempt.url(), &allow) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::OwnAddresses;
    use super::*;
    use test_case::test_case;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    /// The sentence at the bottom of a chain of causes.
    fn cause(error: &dyn std::error::Error) -> String {
        error.source().map_or_else(|| error.to_string(), cause)
    }

    #[test_case("http://127.0.0.1:PORT/" => "127.0.0.1 has no public address"; "literal")]
    #[test_case("http://0x7f.1:PORT/" => "127.0.0.1 has no public address"; "hexadecimal")]
    #[test_case("http://2130706433:PORT/" => "127.0.0.1 has no public address"; "one number")]
    #[test_case("http://[::1]:PORT/" => "::1 has no public address"; "v6")]
    #[test_case("https://[::ffff:7f00:1]:PORT/" => "::ffff:127.0.0.1 has no public address"; "mapped, https")]
    #[test_case("http://localhost:PORT/" => "localhost has no public address"; "by name")]
    #[tokio::test]
    async fn this_machine_is_never_asked(url: &str) -> String {
        let server = MockServer::start().await;
        Mock::given(path("/")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
        let url = url.replace("PORT", &server.address().port().to_string());
        let client = client(&Allow::none(), None, Timeouts::default()).unwrap();
        cause(&client.get(url).send().await.unwrap_err())
    }

    #[tokio::test]
    async fn an_exception_lets_through_and_a_redirect_does_not_widen_it() {
        let server = MockServer::start().await;
        let onward = |to: String| ResponseTemplate::new(302).insert_header("location", to);
        let port = server.address().port();
        Mock::given(path("/fine")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
        Mock::given(path("/here")).respond_with(onward("/fine".into())).mount(&server).await;
        Mock::given(path("/v6"))
            .respond_with(onward(format!("http://[::1]:{port}/fine")))
            .mount(&server)
            .await;
        Mock::given(path("/name"))
            .respond_with(onward("http://169.254.169.254/".into()))
            .mount(&server)
            .await;
        Mock::given(path("/loop")).respond_with(onward("/loop".into())).mount(&server).await;
        let client = client(&"127.0.0.1".parse().unwrap(), None, Timeouts::default()).unwrap();
        let get = async |path: &str| client.get(format!("{}{path}", server.uri())).send().await;

        assert_eq!(get("/fine").await.unwrap().status(), 204);
        assert_eq!(get("/here").await.unwrap().status(), 204);
        assert_eq!(cause(&get("/v6").await.unwrap_err()), "[::1] has no public address");
        assert_eq!(cause(&get("/name").await.unwrap_err()), "169.254.169.254 has no public address");
        assert_eq!(cause(&get("/loop").await.unwrap_err()), "too many redirects");
    }

    #[tokio::test]
    async fn what_is_denied_is_never_asked_by_address_name_or_redirect() {
        let server = MockServer::start().await;
        let port = server.address().port();
        let onward =
            ResponseTemplate::new(302).insert_header("location", format!("http://localhost:{port}/"));
        Mock::given(path("/onward")).respond_with(onward).expect(1).mount(&server).await;
        Mock::given(path("/")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
        let own = OwnAddresses::given([]);
        let by = |deny: &str| {
            let allow = "localhost,127.0.0.0/8,::1".parse::<Allow>().unwrap();
            client(&allow.guarded(&deny.parse().unwrap(), &own), None, Timeouts::default()).unwrap()
        };
        let get = async |deny: &str, url: String| cause(&by(deny).get(url).send().await.unwrap_err());
        let denied = |host: &str| format!("{host} is denied by the operator of this service");

        let literal = format!("http://127.0.0.1:{port}/");
        assert_eq!(get("127.0.0.1", literal).await, denied("127.0.0.1"));
        assert_eq!(get("localhost", format!("http://localhost:{port}/")).await, denied("localhost"));
        let behind = get("127.0.0.0/8,::1", format!("http://localhost:{port}/")).await;
        assert_eq!(behind, denied("localhost"), "by its addresses");
        assert_eq!(get("localhost", format!("{}/onward", server.uri())).await, denied("localhost"));
    }

    #[tokio::test]
    async fn a_redirect_policy_of_somebody_else_does_not_get_around_the_guard() {
        let server = MockServer::start().await;
        let port = server.address().port();
        let onward = ResponseTemplate::new(302).insert_header("location", format!("http://[::1]:{port}/"));
        Mock::given(path("/")).respond_with(onward).mount(&server).await;
        let builder = builder(&"127.0.0.1".parse().unwrap(), None, Timeouts::default()).unwrap();
        let client = builder.redirect(Policy::limited(50)).build().unwrap();
        let refused = client.get(server.uri()).send().await.unwrap_err();
        assert_eq!(cause(&refused), "::1 has no public address");
    }

    #[test]
    fn certificates_that_cannot_be_used_are_named() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let none = client(&Allow::none(), Some(empty.path()), Timeouts::default());
        assert!(matches!(none, Err(ClientError::NoCertificate { .. })));
        let missing = client(&Allow::none(), Some(Path::new("/nonexistent.pem")), Timeouts::default());
        assert!(matches!(missing, Err(ClientError::Unreadable { .. })));
    }
}
