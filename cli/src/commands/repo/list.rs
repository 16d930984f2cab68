//! `gitfaas repo list`: the repositories that the caller sees, and what is wrong with them.

use std::process::ExitCode;

use jobs::api::{Page, ShownRepo};
use reqwest::Method;

use super::view;
use crate::{
    answer::Answer, api::Api, args::JsonArgs, exit::CommandResult, fields::list as words, out::Stdout, table,
};

/// The columns of the list.
const HEAD: [&str; 7] = ["ID", "FUNCTION", "URL", "FORGE", "BRANCHES", "NAME", "STATUSES"];

pub(crate) async fn list(args: JsonArgs) -> CommandResult {
    let api = Api::from_env()?;
    let items =
        api.json::<Page<Answer<ShownRepo>>>(api.request(Method::GET, &["repos"]), "list").await?.items;
    let out = Stdout::new();
    if args.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(|repo| row(repo)).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    for sentence in items.iter().flat_map(|repo| problems(repo)) {
        out.line(&sentence)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(repo: &ShownRepo) -> Vec<String> {
    match repo {
        ShownRepo::Owned(repo) => vec![
            repo.id.to_string(),
            repo.function.clone().unwrap_or_default(),
            repo.url.clone(),
            repo.forge.word(),
            words(&repo.branches).unwrap_or_default(),
            repo.name.clone().unwrap_or_default(),
            view::statuses(repo),
        ],
        ShownRepo::Viewed(repo) => vec![
            repo.id.to_string(),
            repo.function.clone().unwrap_or_default(),
            repo.url.clone(),
            repo.forge.word(),
            String::new(),
            repo.name.clone().unwrap_or_default(),
            String::new(),
        ],
    }
}

/// What is wrong with a repository, below the table; viewers are not told.
fn problems(repo: &ShownRepo) -> Vec<String> {
    match repo {
        ShownRepo::Owned(repo) => {
            view::problems(repo).into_iter().map(|problem| format!("{}: {problem}", repo.id)).collect()
        }
        ShownRepo::Viewed(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples;

    #[test]
    fn rows_of_the_list_and_what_stands_below() {
        let owned = [
            json!({"id": "01a20c69-cee4-71df-9c2a-6c034687e69b", "url": "https://example.com/r.git", "forge": "gitea", "name": "r", "function": "r",
                   "branches": ["main", "!wip/*"], "posts": true}),
            json!({"id": "01a20c68-cee4-71df-9c2a-6c034687e69b", "url": "https://example.com/s.git", "forge": "github", "branches": [],
                   "posts": false, "posts_reason": "the token may not push there", "problems": [
                       {"about": "status", "message": "the forge refuses statuses: 403",
                        "since": "2026-01-02T03:04:05.678Z", "fix": "give a token that may push"},
                       {"about": "signature", "message": "deliveries are not believed", "since": "2026-01-02T03:04:05Z",
                        "fix": "enter the secret again"}]}),
        ];
        let viewed = json!({"id": "01a20c67-cee4-71df-9c2a-6c034687e69b", "url": "https://example.com/t.git",
                            "forge": "gitlab", "role": "viewer"});
        let owned = owned.into_iter().map(samples::repo);
        let repos: Vec<ShownRepo> = owned.chain([serde_json::from_value(viewed).unwrap()]).collect();
        let rows: Vec<Vec<String>> = repos.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ID                                    FUNCTION  URL                        FORGE   BRANCHES     NAME  STATUSES
        01a20c69-cee4-71df-9c2a-6c034687e69b  r         https://example.com/r.git  gitea   main,!wip/*  r     posted
        01a20c68-cee4-71df-9c2a-6c034687e69b            https://example.com/s.git  github                     no: the token may not push there
        01a20c67-cee4-71df-9c2a-6c034687e69b            https://example.com/t.git  gitlab
        ");
        let below: Vec<String> = repos.iter().flat_map(problems).collect();
        insta::assert_snapshot!(below.join("\n"), @r"
        01a20c68-cee4-71df-9c2a-6c034687e69b: the forge refuses statuses: 403 (since 2026-01-02T03:04:05Z); give a token that may push
        01a20c68-cee4-71df-9c2a-6c034687e69b: deliveries are not believed (since 2026-01-02T03:04:05Z); enter the secret again
        ");
    }
}
