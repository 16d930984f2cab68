//! `gitfaas status`: one job.

use std::process::ExitCode;

use jobs::api::Job;

use crate::{answer::Answer, api::Api, args::JobArgs, exit::CommandResult, out::Stdout, record, table};

pub(super) async fn status(args: JobArgs) -> CommandResult {
    let job = Api::from_env()?.job(args.id).await?;
    show(&job, args.json.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a job as lines, or as it came.
pub(super) fn show(job: &Answer<Job>, as_json: bool) -> anyhow::Result<()> {
    let out = Stdout::new();
    if as_json {
        out.json(job)?;
    } else {
        out.line(&table::pairs(&record::lines(job)))?;
        if let Some(head) = record::input_head(job) {
            out.line(&head)?;
        }
    }
    Ok(())
}
