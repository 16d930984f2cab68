//! Starts and stops a gateway.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use async_nats::Client;
use axum::Router;
use jobs::{Ledger, streams};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{background, config::Config, http::connections, meta, routes, state::Gateway};

/// Delay between two tries to create the streams, while a cluster has no leader.
const STREAMS_PAUSE: Duration = Duration::from_secs(1);
/// A cluster without a leader for longer than this is not starting, but broken.
const STREAMS_PATIENCE: Duration = Duration::from_secs(120);
/// How long the gateway waits for the index before it is ready; lists may be complete only later.
const INDEX_PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway.
#[derive(Debug)]
pub struct Running {
    /// Its services.
    pub gateway: Gateway,
    tasks: TaskTracker,
}

impl Running {
    /// The HTTP side of it.
    pub fn app(&self) -> Router {
        routes::app(self.gateway.clone())
    }

    /// Waits until the background tasks have ended, after `stop` was cancelled.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// Creates the streams, opens ledger, keys and index, and starts the background tasks. `address` is where the
/// gateway will listen, for links when no public URL is configured.
///
/// # Errors
/// NATS is unreachable for too long; the master key is not this installation's ([`crate::KeyError`] in the
/// chain); the index's file is in use.
pub async fn open(
    config: Config,
    client: Client,
    address: SocketAddr,
    stop: CancellationToken,
) -> anyhow::Result<Running> {
    let js = jobs::connect::jetstream(&client);
    ensure(&js, &config.streams).await?;
    let ledger = Ledger::open(&client, STREAMS_PATIENCE).await.context("cannot open the ledger")?;
    let installation = meta::installation_id(&ledger).await.context("cannot read the installation's id")?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://localhost:{}/", address.port())).expect("a port makes a URL"),
    };
    let (gateway, reading) = Gateway::open(config, public_url, ledger, stop.clone()).await?;
    tracing::info!(installation, public_url = %gateway.public_url, "gateway opened");
    let mut caught_up = gateway.caught_up.clone();
    let tasks = background::start(&gateway, reading, &stop);
    let filled = caught_up.completed();
    if tokio::time::timeout(INDEX_PATIENCE, filled).await.is_err() {
        tracing::warn!("index still catching up, lists incomplete");
    }
    Ok(Running { gateway, tasks })
}

async fn ensure(js: &async_nats::jetstream::Context, settings: &streams::Settings) -> anyhow::Result<()> {
    let began = tokio::time::Instant::now();
    loop {
        let Err(error) = streams::ensure(js, settings).await else { return Ok(()) };
        let error = anyhow::Error::from(error);
        if began.elapsed() > STREAMS_PATIENCE {
            return Err(error.context("cannot make the streams"));
        }
        tracing::info!(error = format!("{error:#}"), "streams not ready");
        tokio::time::sleep(STREAMS_PAUSE).await;
    }
}

/// Serves until `stop`, then lets open requests finish for the configured grace. `ready` is called
/// once, with the real address, when requests are answered.
///
/// # Errors
/// Those of [`open`].
pub async fn serve(
    config: Config,
    client: Client,
    listener: TcpListener,
    ready: impl FnOnce(SocketAddr) + Send,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("cannot tell the address that is listened on")?;
    let grace = config.shutdown_grace;
    let Some(opened) = stop.run_until_cancelled(open(config, client, address, stop.clone())).await else {
        return Ok(());
    };
    let running = opened?;
    let connections = connections::Connections::new(&running.gateway.config.limits);
    let serving = connections::serve(listener, running.app(), connections, stop.clone());
    ready(address);
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = serving => {}
        () = overdue => tracing::warn!("shutdown grace over, dropping open requests"),
    }
    running.ended().await;
    Ok(())
}
