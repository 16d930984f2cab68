//! `gitfaas repo show`: one repository.

use std::process::ExitCode;

use jobs::api::ShownRepo;
use reqwest::Method;

use super::view;
use crate::{answer::Answer, api::Api, args::RepoShowArgs, exit::CommandResult, out::Stdout, table};

pub(crate) async fn show(args: RepoShowArgs) -> CommandResult {
    let api = Api::from_env()?;
    let repo: Answer<ShownRepo> =
        api.json(api.request(Method::GET, &["repos", &args.id]), "repository").await?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&repo)?;
    } else {
        out.line(&table::pairs(&view::lines(&repo)))?;
    }
    Ok(ExitCode::SUCCESS)
}
