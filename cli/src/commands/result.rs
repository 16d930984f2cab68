//! `gitfaas result`: what a job printed, exact to the byte.

use std::process::ExitCode;

use crate::{api::Api, args::ResultArgs, exit::CommandResult, out::Stdout, record};

pub(super) async fn result(args: ResultArgs) -> CommandResult {
    let api = Api::from_env()?;
    let job = api.job(args.id).await?;
    if job.result_bytes.is_some() {
        Stdout::new().untrusted(&api.result(args.id).await?)?;
    } else if !record::is_over(&job) {
        anyhow::bail!("the job is {}: it has no result yet", record::state(&job));
    } else {
        anyhow::bail!("there is no result: {}", record::sentence(&job));
    }
    Ok(ExitCode::SUCCESS)
}
