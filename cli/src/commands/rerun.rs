//! `gitfaas rerun`: a job's commit once more.

use std::process::ExitCode;

use jobs::api::Job;
use reqwest::Method;

use super::status;
use crate::{answer::Answer, api::Api, args::JobArgs, exit::CommandResult, out::Stdout};

pub(super) async fn rerun(args: JobArgs) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::POST, &["jobs", &args.id.to_string(), "rerun"]);
    let job: Answer<Job> = api.json(request, "job").await?;
    if args.json.json {
        status::show(&job, true)?;
    } else {
        Stdout::new().line(&job.id.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
