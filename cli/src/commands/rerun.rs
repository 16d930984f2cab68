//! `gitfaas rerun`: a job's commit once more.

use std::process::ExitCode;

use reqwest::Method;

use super::status;
use crate::{api::Api, args::JobArgs, exit::Done, out::Out, terminal};

pub(super) async fn rerun(args: JobArgs) -> Done {
    let api = Api::from_env()?;
    let request = api.request(Method::POST, &["jobs", &args.id.to_string(), "rerun"]);
    let job = api.json(request, "job").await?;
    if args.json.json {
        status::show(&job, true)?;
    } else {
        Out::new().line(&terminal::safe(job["id"].as_str().unwrap_or_default()))?;
    }
    Ok(ExitCode::SUCCESS)
}
