//! `gitfaas gateway`: REST, webhooks and pages.

use std::process::ExitCode;

use jobs::settings::GITFAAS_LISTEN;

use crate::{
    config::{self, merge_problems},
    exit::CommandResult,
    nats::Nats,
    out::Stdout,
    serve, signals,
};

pub(super) async fn gateway() -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let read = (::gateway::Config::read(&config::var, data_dir.clone()), Nats::read(&config::var, &data_dir));
    let (config, nats) = match read {
        (Ok(config), Ok(nats)) => (config, nats),
        (config, nats) => return Err(merge_problems(vec![config.err(), nats.err()]).into()),
    };
    let stop = signals::stop()?;
    let listener = serve::listen(config.listen, GITFAAS_LISTEN).await?;
    let url = serve::url(&listener)?;
    let Some(client) = serve::connect(&nats, "gateway", &stop).await? else { return Ok(ExitCode::SUCCESS) };
    let announce = move |_| {
        // A closed standard output does not stop the gateway.
        let _ = Stdout::new().line(&format!("ready {url}"));
    };
    ::gateway::serve(config, client, listener, announce, stop).await?;
    Ok(ExitCode::SUCCESS)
}
