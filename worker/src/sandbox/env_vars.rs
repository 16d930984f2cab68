//! The environment variables of every program, besides its own.

use super::spec::CA_BUNDLE;
use crate::runner::Runner;

/// Where the relay listens, on the loopback interface that it shares with the slot's containers.
const PROXY: &str = "http://127.0.0.1:3128";

/// Where common programs look for their proxy.
const PROXY_NAMES: [&str; 6] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// Where common programs look for their certificates.
const CA_NAMES: [&str; 7] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
];

/// Whether programs are told about certificates besides their image's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    OfImage,
    Bundle,
}

/// The whole environment; what comes later overrides what came before.
pub(crate) fn variables(
    runner: &Runner,
    certificates: Certificates,
    own: &[(String, String)],
) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut env = vec![pair("HOME", "/tmp"), pair("PATH", &runner.path), pair("LANG", "C.UTF-8")];
    env.extend(PROXY_NAMES.map(|name| pair(name, PROXY)));
    env.extend(["NO_PROXY", "no_proxy"].map(|name| pair(name, "localhost,127.0.0.1,::1")));
    match certificates {
        Certificates::OfImage => {}
        Certificates::Bundle => env.extend(CA_NAMES.map(|name| pair(name, CA_BUNDLE))),
    }
    env.extend(runner.env.iter().cloned());
    env.extend(own.iter().cloned());
    env
}
