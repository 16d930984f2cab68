//! `gitfaas delete`: the record, log and result of a job that is over.

use std::process::ExitCode;

use jobs::JobId;
use reqwest::Method;

use crate::{api::Api, exit::CommandResult};

pub(super) async fn delete(id: JobId) -> CommandResult {
    let api = Api::from_env()?;
    api.send(api.request(Method::DELETE, &["jobs", &id.to_string()]), "job").await?;
    Ok(ExitCode::SUCCESS)
}
