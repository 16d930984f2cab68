//! Signing in: with a real certified provider, with ones that lie, with GitHub's dialect, with a code.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod browser;
mod chromium;
mod device;
mod fake_provider;
mod github;
mod hostile;
mod invited;
mod limits;
mod provider;
mod real;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use support::Service;

/// The gateway's public address here: fixed, so that a provider can know it before it listens.
pub(crate) const PUBLIC: &str = "http://gitfaas.test";
/// Where providers send browsers back to.
pub(crate) const REDIRECT: &str = "http://gitfaas.test/oauth/callback";

/// A gateway with this issuer.
pub(crate) async fn service(issuer: &str, more: &[(&str, &str)]) -> Service {
    let mut variables = variables(issuer).to_vec();
    variables.extend(more);
    Service::with(&variables).await
}

/// The settings of such a gateway.
pub(crate) fn variables(issuer: &str) -> [(&str, &str); 5] {
    [
        ("GITFAAS_PUBLIC_URL", PUBLIC),
        ("GITFAAS_CLONE_ALLOW", "127.0.0.1"),
        ("GITFAAS_OIDC_ISSUER", issuer),
        ("GITFAAS_OIDC_CLIENT_ID", "gitfaas"),
        ("GITFAAS_OIDC_CLIENT_SECRET", "of-gitfaas"),
    ]
}
