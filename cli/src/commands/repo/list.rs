//! `gitfaas repo list`: the repositories that the caller sees, and what is wrong with them.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use super::view;
use crate::{
    api::Api,
    args::JsonArgs,
    exit::Done,
    fields::{line, list as words, text},
    out::Out,
    table,
};

/// The columns of the list.
const HEAD: [&str; 6] = ["ID", "URL", "FORGE", "BRANCHES", "NAME", "STATUSES"];

pub(crate) async fn list(args: JsonArgs) -> Done {
    let api = Api::from_env()?;
    let repos = api.json(api.request(Method::GET, &["repos"]), "list").await?;
    let items = repos["items"].as_array().cloned().unwrap_or_default();
    let out = Out::new();
    if args.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    for sentence in items.iter().flat_map(problems) {
        out.line(&sentence)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(repo: &Value) -> Vec<String> {
    let field = |name: &str| text(repo, name).unwrap_or_default().to_owned();
    let branches = words(repo, "branches").unwrap_or_default();
    vec![field("id"), field("url"), field("forge"), branches, field("name"), view::statuses(repo)]
}

/// What is wrong with a repository, below the table.
fn problems(repo: &Value) -> Vec<String> {
    let id = line(text(repo, "id").unwrap_or_default());
    view::problems(repo).into_iter().map(|problem| format!("{id}: {problem}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_the_list_and_what_stands_below() {
        let repos = [
            json!({"id": "01a20c69", "url": "https://example.com/r.git", "forge": "gitea", "name": "r",
                   "branches": ["main", "!wip/*"], "posts": true}),
            json!({"id": "01a20c68", "url": "https://example.com/s.git", "forge": "github", "branches": [],
                   "posts": false, "posts_reason": "the token may not push there", "problems": [
                       {"about": "status", "message": "the forge refuses statuses: 403",
                        "since": "2026-01-02T03:04:05.678Z", "fix": "give a token that may push"},
                       {"about": "signature", "message": "deliveries are not believed"}]}),
            json!({"id": "01a20c67", "url": "https://example.com/t.git", "forge": "gitlab", "role": "viewer"}),
        ];
        let rows: Vec<Vec<String>> = repos.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ID        URL                        FORGE   BRANCHES     NAME  STATUSES
        01a20c69  https://example.com/r.git  gitea   main,!wip/*  r     posted
        01a20c68  https://example.com/s.git  github                     no: the token may not push there
        01a20c67  https://example.com/t.git  gitlab
        ");
        let below: Vec<String> = repos.iter().flat_map(problems).collect();
        insta::assert_snapshot!(below.join("\n"), @r"
        01a20c68: the forge refuses statuses: 403 (since 2026-01-02T03:04:05Z); give a token that may push
        01a20c68: deliveries are not believed
        ");
    }
}
