//! `gitfaas replay`: processes a delivery again, which makes new jobs.

use std::process::ExitCode;

use reqwest::Method;

use super::deliveries;
use crate::{api::Api, args::ReplayArgs, exit::CommandResult};

pub(super) async fn replay(args: ReplayArgs) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::POST, &["deliveries", &args.id, "replay"]);
    deliveries::show(&api.json(request, "delivery").await?, &args.json)?;
    Ok(ExitCode::SUCCESS)
}
