//! Shared by the services: connecting to NATS, and binding listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::{Client, ConnectErrorKind};
use jobs::{connect::ConnectError, settings::Setting};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::nats::Nats;

/// Delay between attempts to connect to NATS.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Connects, and waits for NATS where it does not answer yet; `None` when told to stop meanwhile.
///
/// # Errors
/// NATS answers and is unusable, or refuses the credentials: waiting would not help.
pub(crate) async fn connect(
    nats: &Nats,
    program: &str,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Client>> {
    let settings = nats.settings(program);
    loop {
        let error = match stop.run_until_cancelled(jobs::connect::connect(&settings)).await {
            None => return Ok(None),
            Some(Ok(client)) => return Ok(Some(client)),
            Some(Err(error)) => error,
        };
        match &error {
            ConnectError::Connect(source) if !is_auth_error(source.kind()) => {
                tracing::warn!(error = %source, "nats connection failed; retrying");
            }
            ConnectError::Connect(_)
            | ConnectError::Address
            | ConnectError::Credentials { .. }
            | ConnectError::TooOld { .. }
            | ConnectError::NoJetStream => return Err(error.into()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(RETRY_DELAY)).await.is_none() {
            return Ok(None);
        }
    }
}

fn is_auth_error(kind: ConnectErrorKind) -> bool {
    matches!(kind, ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation)
}

/// Binds an address of the configuration.
pub(crate) async fn listen(address: SocketAddr, setting: &Setting) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}; {} names another address", setting.name))
}

/// The address under which this machine reaches a listener.
pub(crate) fn url(listener: &TcpListener) -> anyhow::Result<String> {
    Ok(format!("http://{}", reachable(listener.local_addr()?)))
}

/// "All addresses" is none that can be asked.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_the_loopback() {
        assert_eq!(reachable("0.0.0.0:3000".parse().unwrap()).to_string(), "127.0.0.1:3000");
        assert_eq!(reachable("10.0.0.1:3000".parse().unwrap()).to_string(), "10.0.0.1:3000");
    }
}
