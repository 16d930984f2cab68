//! `gitfaas repo`: repositories whose pushes are run.

use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::{
    api::Api,
    args::{JsonArgs, RepoAddArgs},
    exit::Done,
    out::Out,
    table, terminal,
};

pub(super) async fn add(args: RepoAddArgs) -> Done {
    let api = Api::from_env()?;
    let body = registration(&args)?;
    let repo = api.json(api.request(Method::POST, &["repos"]).json(&body), "repository").await?;
    let out = Out::new();
    if args.json.json {
        out.json(&repo)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |name: &str| terminal::safe(repo[name].as_str().unwrap_or_default()).into_owned();
    let shown = [("id", text("id")), ("webhook URL", text("webhook_url")), ("secret", text("secret"))];
    out.line(&table::pairs(&shown))?;
    Ok(ExitCode::SUCCESS)
}

/// What is said of the repository; what was not given is left to the gateway.
fn registration(args: &RepoAddArgs) -> anyhow::Result<Map<String, Value>> {
    let mut body = Map::from_iter([("url".to_owned(), args.url.clone().into())]);
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("branches", (!args.branches.is_empty()).then(|| args.branches.clone().into()));
    put("paths", (!args.paths.is_empty()).then(|| args.paths.clone().into()));
    put("forge", args.forge.clone().map(Value::from));
    put("name", args.name.clone().map(Value::from));
    if let Some(path) = &args.token_file {
        let token = std::fs::read_to_string(path);
        let token = token.with_context(|| format!("cannot read {}", path.display()))?;
        put("token", Some(token.trim().into()));
    }
    Ok(body)
}

pub(super) async fn list(args: JsonArgs) -> Done {
    let api = Api::from_env()?;
    let repos = api.json(api.request(Method::GET, &["repos"]), "list").await?;
    let items = repos["items"].as_array().cloned().unwrap_or_default();
    let out = Out::new();
    if args.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let words = |value: &Value| {
        let words: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        words.join(",")
    };
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|repo| {
            let text = |name: &str| repo[name].as_str().unwrap_or_default().to_owned();
            vec![text("id"), text("url"), text("forge"), words(&repo["branches"]), text("name")]
        })
        .collect();
    out.line(&table::table(&["ID", "URL", "FORGE", "BRANCHES", "NAME"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn remove(id: &str) -> Done {
    let api = Api::from_env()?;
    api.send(api.request(Method::DELETE, &["repos", id]), "repository").await?;
    eprintln!("removed; its jobs stay, and its webhook can be deleted at the forge");
    Ok(ExitCode::SUCCESS)
}
