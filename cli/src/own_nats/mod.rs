//! The NATS that `up` runs when it is given none.
//!
//! Three rules: address and password are written (mode 600) before the server starts, so that it is
//! never out of reach of the next `up`; the password is in files only, never in a command line; a
//! server that an earlier `up` left behind is taken over, not started twice.

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
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it answers.
const START_PAUSE: Duration = Duration::from_millis(50);
/// A port that was free may be taken the moment after; then another one is tried.
const TRIES: usize = 3;
/// Before a server that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A running server of ours.
#[derive(Debug)]
pub(crate) struct OwnNats {
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

impl OwnNats {
    /// Takes over the server of an earlier `up`, or starts one.
    pub(crate) async fn start(data_dir: &Path, docker: &DockerSettings) -> anyhow::Result<Self> {
        let program = process::find();
        if let Some(address) = Address::read(data_dir)?
            && let Some(server) = Self::left_behind(&address, data_dir, docker).await?
        {
            tracing::info!(url = address.url, "took over the NATS of an earlier `gitfaas up`");
            return Ok(Self { address, server, data_dir: data_dir.to_owned() });
        }
        let mut last = None;
        for _ in 0..TRIES {
            let address = Address::renewed(data_dir)?;
            address.write(data_dir).context("cannot write nats.json")?;
            let mut server = match &program {
                Some(program) => Server::Process(Process::start(program, &address, data_dir)?),
                None => Server::Container(Container::start(docker, &address, data_dir).await?),
            };
            match answers_in_time(&address, &mut server).await {
                Ok(()) => {
                    tracing::info!(url = address.url, "started NATS");
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
    async fn left_behind(
        address: &Address,
        data_dir: &Path,
        docker: &DockerSettings,
    ) -> anyhow::Result<Option<Server>> {
        if !answers(address).await.unwrap_or(false) {
            return Ok(None);
        }
        if let Some(process) = Process::left_behind(data_dir) {
            return Ok(Some(Server::Process(process)));
        }
        let container = Container::left_behind(docker, data_dir).await;
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
        Nats::Own(self.address.clone())
    }

    /// Starts the server again when it ends by itself; ends it at `stop`. The address stays.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.server.ended()).await.is_some() {
            tracing::error!("NATS has ended by itself; starting it again");
            if stop.run_until_cancelled(tokio::time::sleep(RESTART_PAUSE)).await.is_none() {
                return;
            }
            if let Err(error) = self.server.start_again(&self.address, &self.data_dir).await {
                tracing::error!("NATS cannot be started: {error:#}");
            }
        }
        self.server.stop().await;
    }
}

impl Server {
    async fn ended(&mut self) {
        match self {
            Self::Process(process) => process.ended().await,
            Self::Container(container) => container.ended().await,
        }
    }

    async fn start_again(&mut self, address: &Address, data_dir: &Path) -> anyhow::Result<()> {
        match self {
            Self::Process(process) => {
                let program = process::find().context("there is no nats-server in PATH any more")?;
                *process = Process::start(&program, address, data_dir)?;
                Ok(())
            }
            Self::Container(container) => container.start_again().await,
        }
    }

    async fn stop(&mut self) {
        match self {
            Self::Process(process) => process.stop().await,
            Self::Container(container) => container.stop().await,
        }
    }
}

async fn answers_in_time(address: &Address, server: &mut Server) -> anyhow::Result<()> {
    let asking = async {
        loop {
            if answers(address).await? {
                return Ok(());
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    };
    tokio::select! {
        answered = tokio::time::timeout(START_PATIENCE, asking) => answered.context("it does not answer")?,
        () = server.ended() => anyhow::bail!("it ended at once; what it said is in nats/nats.log of the data directory"),
    }
}

/// Whether our server answers there: the name it gives itself tells it from a stranger that lets
/// everybody in.
///
/// # Errors
/// It answers, and is of no use.
async fn answers(address: &Address) -> Result<bool, ConnectError> {
    let settings = Nats::Own(address.clone()).settings("up");
    match jobs::connect::connect(&settings).await {
        Ok(client) => Ok(client.server_info().server_name == address.server_name),
        Err(ConnectError::Connect(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
