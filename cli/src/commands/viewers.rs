//! `gitfaas repo viewers`: sets the viewers of a repository.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{api::Api, args::ViewersArgs, exit::Done, out::Out, table};

pub(super) async fn viewers(args: ViewersArgs) -> Done {
    let api = Api::from_env()?;
    let wish = json!({ "viewers": args.viewers });
    let request = api.request(Method::PATCH, &["repos", &args.repo]).json(&wish);
    let repo = api.json(request, "repository").await?;
    let viewers = repo["viewers"].as_array().cloned().unwrap_or_default();
    let text = |viewer: &Value, name: &str| viewer[name].as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> =
        viewers.iter().map(|viewer| vec![text(viewer, "id"), text(viewer, "email")]).collect();
    let out = Out::new();
    out.line(&table::table(&["ID", "EMAIL"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}
