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
    eprintln!("{}", webhook(&repo["webhook"]));
    Ok(ExitCode::SUCCESS)
}

/// What became of the webhook at the forge, and what is left to be done.
fn webhook(told: &Value) -> String {
    match (told.as_str(), told["error"].as_str()) {
        (Some("created"), _) => "the webhook was made at the forge".to_owned(),
        (Some("exists"), _) => "the webhook was at the forge already; it has this secret now".to_owned(),
        (Some("removed"), _) => "the webhook was removed at the forge".to_owned(),
        (_, Some(why)) => {
            format!(
                "the webhook was not made at the forge: {}\nenter URL and secret there",
                terminal::safe(why)
            )
        }
        (Some(_) | None, None) => "enter URL and secret as a webhook at the forge".to_owned(),
    }
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
    put("events", (!args.events.is_empty()).then(|| args.events.clone().into()));
    put("forks", args.forks.clone().map(Value::from));
    put("forge", args.forge.clone().map(Value::from));
    put("name", args.name.clone().map(Value::from));
    if let Some(token) = token(args)? {
        put("token", Some(token.trim().into()));
    }
    put("webhook", args.no_webhook.then_some(Value::Bool(false)));
    Ok(body)
}

/// The token comes from a file or from standard input, never from the command line, which others see.
fn token(args: &RepoAddArgs) -> anyhow::Result<Option<String>> {
    if args.token_stdin {
        let token = std::io::read_to_string(std::io::stdin());
        return token.context("cannot read the token from standard input").map(Some);
    }
    let Some(path) = &args.token_file else { return Ok(None) };
    let token = std::fs::read_to_string(path);
    token.with_context(|| format!("cannot read {}", path.display())).map(Some)
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
    let answer = api.json(api.request(Method::DELETE, &["repos", id]), "repository").await?;
    let told = &answer["webhook"];
    eprintln!(
        "removed; its jobs stay, and {}",
        match (told.as_str(), told["error"].as_str()) {
            (Some("removed"), _) => "its webhook is gone from the forge".to_owned(),
            (_, Some(why)) => format!("its webhook is still at the forge: {}", terminal::safe(why)),
            (Some(_) | None, None) => "its webhook can be deleted at the forge".to_owned(),
        }
    );
    Ok(ExitCode::SUCCESS)
}
