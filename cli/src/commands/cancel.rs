//! `gitfaas cancel`: ends a job of yours.

use std::process::ExitCode;

use jobs::api::Job;
use reqwest::Method;

use super::status;
use crate::{answer::Answer, api::Api, args::JobArgs, exit::CommandResult, record, terminal};

pub(super) async fn cancel(args: JobArgs) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::POST, &["jobs", &args.id.to_string(), "cancel"]);
    let job: Answer<Job> = api.json(request, "job").await?;
    if args.json.json {
        status::show(&job, true)?;
    } else {
        eprintln!("{}", terminal::safe(&record::sentence(&job)));
    }
    Ok(ExitCode::SUCCESS)
}
