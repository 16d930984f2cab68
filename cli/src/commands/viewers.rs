//! `gitfaas repo viewers`: sets the viewers of a repository.

use std::process::ExitCode;

use jobs::{
    UserId,
    api::{Repo, RepoRequest},
};
use reqwest::Method;

use crate::{api::Api, args::ViewersArgs, exit::CommandResult, out::Stdout, table};

pub(super) async fn viewers(args: ViewersArgs) -> CommandResult {
    let api = Api::from_env()?;
    let change = RepoRequest { viewers: Some(args.viewers), ..RepoRequest::default() };
    let request = api.request(Method::PATCH, &["repos", &args.repo]).json(&change);
    let viewers = api.json::<Repo>(request, "repository").await?.viewers.into_iter();
    let id = |id: Option<UserId>| id.map(|id| id.to_string()).unwrap_or_default();
    let rows: Vec<Vec<String>> =
        viewers.map(|viewer| vec![id(viewer.id), viewer.email.unwrap_or_default()]).collect();
    let out = Stdout::new();
    out.line(&table::table(&["ID", "EMAIL"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}
