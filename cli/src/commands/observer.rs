//! `gitfaas observer`: statistics and metrics.

use std::process::ExitCode;

use jobs::settings::GITFAAS_OBSERVER_LISTEN;

use crate::{
    config::{self, merge_problems},
    exit::CommandResult,
    nats::Nats,
    serve, signals,
};

pub(super) async fn observer() -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let read = (::observer::Config::read(&config::var), Nats::read(&config::var, &data_dir));
    let (config, nats) = match read {
        (Ok(config), Ok(nats)) => (config, nats),
        (config, nats) => return Err(merge_problems(vec![config.err(), nats.err()]).into()),
    };
    let stop = signals::stop()?;
    let listener = serve::listen(config.listen, GITFAAS_OBSERVER_LISTEN).await?;
    let Some(client) = serve::connect(&nats, "observer", &stop).await? else { return Ok(ExitCode::SUCCESS) };
    ::observer::serve(config, client, Some(listener), stop).await?;
    Ok(ExitCode::SUCCESS)
}
