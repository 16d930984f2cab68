//! Where a browser asked us: the host, for the policy of pages, and whether over TLS, for the names of cookies.
//!
//! Pages name `/assets/` and not `'self'` as what they run, because functions answer below the same origin, and a
//! path in a policy needs the host before it (Content Security Policy 3, section 2.3.1). Without a scheme it is the
//! page's own.

use http::{Request, Uri, header, uri::Authority};

tokio::task_local! {
    /// Where the request being answered was sent to.
    pub(crate) static ASKED_AT: AskedAt;
}

/// Where a request was sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AskedAt {
    /// The host and port, if a policy can name it: by a name or an IPv4 address.
    host: Option<String>,
    with_tls: bool,
}

impl AskedAt {
    pub(crate) fn of<B>(request: &Request<B>, with_tls: bool) -> Self {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        // HTTP/2 has it in the request line.
        let authority = host.map(str::parse::<Authority>).and_then(Result::ok);
        let authority = authority.or_else(|| Uri::authority(request.uri()).cloned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        let host = authority.filter(|authority| authority.as_str().chars().all(is_plain));
        Self { host: host.map(|host| host.to_string()), with_tls }
    }
}

/// The host of the request that is being answered; `None` outside of one, and where it cannot be told.
pub(crate) fn own_host() -> Option<String> {
    ASKED_AT.try_with(|asked_at| asked_at.host.clone()).ok().flatten()
}

/// Whether the client of the request that is being answered uses TLS.
pub(crate) fn with_tls() -> bool {
    ASKED_AT.try_with(|asked_at| asked_at.with_tls).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("host:8080" => Some("host:8080".to_owned()))]
    #[test_case("127.0.0.1" => Some("127.0.0.1".to_owned()))]
    #[test_case("[::1]:80" => None ; "not in policies")]
    #[test_case("a;script-src *" => None ; "another rule")]
    #[test_case("user@host" => None)]
    fn host_of(host: &str) -> Option<String> {
        let request = Request::builder().header("host", host).body(()).unwrap();
        AskedAt::of(&request, true).host
    }
}
