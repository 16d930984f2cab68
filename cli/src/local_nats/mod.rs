//! The local NATS that `up` runs when no external one is configured.
//!
//! Three rules: address and password are written (mode 600) before the server starts, so that it is
//! never out of reach of the next `up`; the password is in files only, never in a command line; a
//! server that an earlier `up` started and that still runs is used again, not started twice.

mod address;
mod container;
mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jobs::connect::ConnectError;
use tokio_util::sync::CancellationToken;

pub(crate) use address::Address;
use container::Container;
use process::Process;

use crate::{docker::DockerSettings, nats::Nats};

/// A server that starts answers within this time even when it has gigabytes to look through.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a starting server is polled.
const START_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A port that was free may be taken the moment after; then another one is tried.
const MAX_START_ATTEMPTS: usize = 3;
/// Before a server that exited by itself is started again.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// A running server of ours.
#[derive(Debug)]
pub(crate) struct LocalNats {
    address: Address,
    server: Server,
    data_dir: PathBuf,
}

/// What runs it.
#[derive(Debug)]
enum Server {
    Process(Process),
    Container(Container),
}

impl LocalNats {
    /// Reattaches to the server of an earlier `up`, or starts one.
    pub(crate) async fn start(data_dir: &Path, docker: &DockerSettings) -> anyhow::Result<Self> {
        let program = process::find();
        if let Some(address) = Address::read(data_dir)?
            && let Some(server) = Self::reattach(&address, data_dir, docker).await?
        {
            tracing::info!(url = address.url, "reattached to a running nats-server");
            return Ok(Self { address, server, data_dir: data_dir.to_owned() });
        }
        let mut last = None;
        for _ in 0..MAX_START_ATTEMPTS {
            let address = Address::renewed(data_dir)?;
            address.write(data_dir).context("cannot write nats.json")?;
            let mut server = match &program {
                Some(program) => Server::Process(Process::start(program, &address, data_dir)?),
                None => Server::Container(Container::start(docker, &address, data_dir).await?),
            };
            match wait_until_reachable(&address, &mut server).await {
                Ok(()) => {
                    tracing::info!(url = address.url, "nats-server started");
                    return Ok(Self { address, server, data_dir: data_dir.to_owned() });
                }
                Err(error) => {
                    server.stop().await;
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("it did not start")).context("cannot start NATS"))
    }

    /// The server that answers at an address with its password and name.
    ///
    /// # Errors
    /// It is ours, and not to be found: a second one on the same store would damage it.
    async fn reattach(
        address: &Address,
        data_dir: &Path,
        docker: &DockerSettings,
    ) -> anyhow::Result<Option<Server>> {
        if !is_reachable(address).await.unwrap_or(false) {
            return Ok(None);
        }
        if let Some(process) = Process::reattach(data_dir) {
            return Ok(Some(Server::Process(process)));
        }
        let container = Container::reattach(docker, data_dir).await;
        let container = container.with_context(|| {
            format!(
                "an earlier NATS still answers at {}, but its process cannot be found: end it",
                address.url
            )
        })?;
        Ok(Some(Server::Container(container)))
    }

    /// Which NATS this is.
    pub(crate) fn nats(&self) -> Nats {
        Nats::Local(self.address.clone())
    }

    /// Starts the server again when it ends by itself; ends it at `stop`. The address stays.
    pub(crate) async fn supervise(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.server.exited()).await.is_some() {
            tracing::error!("nats-server exited; restarting it");
            if stop.run_until_cancelled(tokio::time::sleep(RESTART_DELAY)).await.is_none() {
                return;
            }
            if let Err(error) = self.server.restart(&self.address, &self.data_dir).await {
                tracing::error!(error = format!("{error:#}"), "nats-server restart failed");
            }
        }
        self.server.stop().await;
    }
}

impl Server {
    async fn exited(&mut self) {
        match self {
            Self::Process(process) => process.exited().await,
            Self::Container(container) => container.exited().await,
        }
    }

    async fn restart(&mut self, address: &Address, data_dir: &Path) -> anyhow::Result<()> {
        match self {
            Self::Process(process) => {
                let program = process::find().context("there is no nats-server in PATH any more")?;
                *process = Process::start(&program, address, data_dir)?;
                Ok(())
            }
            Self::Container(container) => container.restart().await,
        }
    }

    async fn stop(&mut self) {
        match self {
            Self::Process(process) => process.stop().await,
            Self::Container(container) => container.stop().await,
        }
    }
}

async fn wait_until_reachable(address: &Address, server: &mut Server) -> anyhow::Result<()> {
    let asking = async {
        loop {
            if is_reachable(address).await? {
                return Ok(());
            }
            tokio::time::sleep(START_POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        answered = tokio::time::timeout(START_TIMEOUT, asking) => answered.context("it does not answer")?,
        () = server.exited() => anyhow::bail!("it exited at once; what it said is in nats/nats.log of the data directory"),
    }
}

/// Whether our server answers there: the name it gives itself tells it from a stranger that lets
/// everybody in.
///
/// # Errors
/// It answers, and is of no use.
async fn is_reachable(address: &Address) -> Result<bool, ConnectError> {
    let settings = Nats::Local(address.clone()).settings("up");
    match jobs::connect::connect(&settings).await {
        Ok(client) => Ok(client.server_info().server_name == address.server_name),
        Err(ConnectError::Connect(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
