//! Which hosts a phase may reach.

use std::fmt;
use std::net::SocketAddr;

use hooks::address::{self, Allow};

/// Mail: what an abusive program would send most.
const SMTP_PORT: u16 = 25;

/// The only port of *prepare*.
const HTTPS_PORT: u16 = 443;

/// What one phase of one job may reach.
#[derive(Debug, Clone)]
pub enum Policy {
    /// *Prepare*: HTTPS to public hosts; only to those that match, if there are patterns.
    Packages {
        /// Host patterns, `*.example.org` for everything below; empty: any.
        hosts: Vec<String>,
        /// Reachable besides public addresses, on any port and by plain HTTP too.
        allow: Allow,
    },
    /// *Run*: public hosts.
    Public {
        /// Reachable besides public addresses.
        allow: Allow,
    },
    /// Nothing.
    DenyAll,
}

/// The kind of proxy request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// A tunnel; its bytes are not inspected.
    Connect,
    /// A plain HTTP request.
    Http,
}

/// Why a request is refused. It is shown to the program and in the job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    target: String,
    why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused: {}", self.target, self.why)
    }
}

impl Policy {
    /// Resolves a host and authorizes its addresses; never returns an empty list.
    pub(crate) async fn authorize(
        &self,
        way: RequestKind,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let refused = |why: &str| Refusal { target: format!("{host}:{port}"), why: why.to_owned() };
        let allow = match self {
            Self::DenyAll => return Err(refused("the manifest says that this program has no network")),
            _ if port == SMTP_PORT => return Err(refused("mail is not sent from here")),
            Self::Public { allow } => allow,
            Self::Packages { hosts, allow } => {
                if !hosts.is_empty() && !hosts.iter().any(|pattern| matches(pattern, host)) {
                    return Err(refused("not one of the hosts that packages may come from"));
                }
                allow
            }
        };
        let found = address::resolve(host, port, allow).await.map_err(|error| refused(&error.to_string()))?;
        let is_packages = matches!(self, Self::Packages { .. });
        let https = way == RequestKind::Connect && port == HTTPS_PORT;
        // The operator's own mirror may be a plain one.
        let excepted = allow.covers_name(host) || found.iter().all(|at| allow.covers_ip(at.ip()));
        if is_packages && !https && !excepted {
            return Err(refused("while preparing only HTTPS is possible"));
        }
        Ok(found)
    }
}

/// `*.example.org` is everything below example.org, not itself; anything else is the host itself.
fn matches(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hooks::address::OwnAddresses;
    use test_case::test_case;

    #[test_case("packages.example", "Packages.Example." => true)]
    #[test_case("packages.example", "evilpackages.example" => false)]
    #[test_case("*.files.example", "files.files.example" => true)]
    #[test_case("*.files.example", "files.example" => false)]
    #[test_case("*.files.example", "evilfiles.example" => false)]
    fn host_patterns(pattern: &str, host: &str) -> bool {
        matches(pattern, host)
    }

    #[test_case("127.0.0.1", 80; "loopback")]
    #[test_case("169.254.169.254", 80; "metadata")]
    #[test_case("::ffff:10.0.0.1", 443; "mapped")]
    #[test_case("[::1]", 443; "loopback of six")]
    #[test_case("localhost", 443; "a name that resolves to loopback")]
    #[test_case("2130706433", 80; "an odd way to write it")]
    #[test_case("93.184.215.14", 25; "mail")]
    #[tokio::test]
    async fn is_never_reachable(host: &str, port: u16) {
        for way in [RequestKind::Connect, RequestKind::Http] {
            let public = Policy::Public { allow: Allow::none() };
            public.authorize(way, host, port).await.unwrap_err();
            let packages = Policy::Packages { hosts: Vec::new(), allow: Allow::none() };
            packages.authorize(way, host, port).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn prepare_speaks_https_only_but_for_the_operators_own() {
        let packages = Policy::Packages { hosts: Vec::new(), allow: "127.0.0.1".parse().unwrap() };
        packages.authorize(RequestKind::Http, "93.184.215.14", 80).await.unwrap_err();
        packages.authorize(RequestKind::Connect, "93.184.215.14", 22).await.unwrap_err();
        packages.authorize(RequestKind::Connect, "93.184.215.14", 443).await.unwrap();
        packages.authorize(RequestKind::Http, "127.0.0.1", 3141).await.unwrap();
    }

    #[test_case("11.22.33.44", "" => false; "the worker's own public address")]
    #[test_case("64:ff9b::11.22.33.44", "" => false; "the same through a translator")]
    #[test_case("11.22.33.44", "11.22.33.44" => true; "by exception")]
    #[test_case("11.22.33.45", "" => true; "a neighbour")]
    #[test_case("11.99.0.1", "" => false; "denied")]
    #[test_case("11.99.0.1", "11.0.0.0/8" => false; "denied and allowed")]
    #[test_case("files.example", "files.example" => false; "a denied name, allowed")]
    #[tokio::test]
    async fn may_be_reached_while_preparing_and_running(host: &str, allow: &str) -> bool {
        let deny = "11.99.0.0/16,*.example".parse().unwrap();
        let own = OwnAddresses::given(["11.22.33.44".parse().unwrap()]);
        let allow = allow.parse::<Allow>().unwrap().guarded(&deny, &own);
        let packages = Policy::Packages { hosts: vec![host.to_owned()], allow: allow.clone() };
        let preparing = packages.authorize(RequestKind::Connect, host, 443).await.is_ok();
        let running = Policy::Public { allow }.authorize(RequestKind::Connect, host, 443).await.is_ok();
        assert_eq!(preparing, running);
        running
    }

    #[tokio::test]
    async fn a_refusal_reads_as_a_sentence() {
        let nobody = Policy::DenyAll.authorize(RequestKind::Connect, "example.org", 443).await.unwrap_err();
        insta::assert_snapshot!(nobody, @"example.org:443 refused: the manifest says that this program has no network");
        let public = Policy::Public { allow: Allow::none() };
        let private = public.authorize(RequestKind::Connect, "10.0.0.1", 443).await.unwrap_err();
        insta::assert_snapshot!(private, @"10.0.0.1:443 refused: 10.0.0.1 has no public address");
    }
}
