//! `gitfaas worker`: runs what waits.

use std::process::ExitCode;

use tokio::sync::oneshot;

use crate::{
    config::{self, merge_problems},
    exit::CommandResult,
    nats::Nats,
    serve, signals,
};

pub(super) async fn worker() -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let read = (::worker::Config::read(&config::var, &data_dir), Nats::read(&config::var, &data_dir));
    let (config, nats) = match read {
        (Ok(config), Ok(nats)) => (config, nats),
        (config, nats) => return Err(merge_problems(vec![config.err(), nats.err()]).into()),
    };
    let stop = signals::stop()?;
    let Some(client) = serve::connect(&nats, "worker", &stop).await? else { return Ok(ExitCode::SUCCESS) };
    // Its readiness is answered at /readyz and logged; nobody waits for it here.
    let (ready, _) = oneshot::channel();
    ::worker::serve(config, client, ready, stop).await?;
    Ok(ExitCode::SUCCESS)
}
