//! `gitfaas alias`: names of versions of a function, moved by hand.

use std::process::ExitCode;

use anyhow::bail;
use jobs::api::{Alias, AliasMove, AliasVersion, Page, SetAlias};
use reqwest::Method;
use serde::de::IgnoredAny;

use crate::{
    answer::Answer,
    api::Api,
    args::{AliasListArgs, AliasSetArgs},
    exit::CommandResult,
    fields::listed_time,
    out::Stdout,
    table, terminal,
};

/// The columns of the list.
const HEAD: [&str; 4] = ["ALIAS", "VERSION", "FOLLOWS", "MOVED"];
/// The columns of the moves of an alias.
const MOVES: [&str; 4] = ["WHEN", "BY", "FROM", "TO"];

pub(super) async fn set(args: AliasSetArgs) -> CommandResult {
    let api = Api::from_env()?;
    let body = SetAlias { version: args.version, follow: args.follow };
    let request = api.request(Method::PUT, &["repos", &args.function, "aliases", &args.alias]).json(&body);
    told(&api.json::<Alias>(request, "function").await?)
}

pub(super) async fn rollback(function: &str, alias: &str) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::POST, &["repos", function, "aliases", alias, "rollback"]);
    told(&api.json::<Alias>(request, "alias").await?)
}

/// Says what an alias stands for now.
fn told(alias: &Alias) -> CommandResult {
    Stdout::new().line(&terminal::safe(&sentence(alias)))?;
    Ok(ExitCode::SUCCESS)
}

fn sentence(alias: &Alias) -> String {
    let sha = alias.sha.as_ref().map_or("nothing", |sha| sha.as_str());
    match &alias.follow {
        Some(branch) => format!("{} follows {branch}, now {sha}", alias.name),
        None => format!("{} is {sha}", alias.name),
    }
}

pub(super) async fn list(args: AliasListArgs) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::GET, &["repos", &args.function, "aliases"]);
    let mut items = api.json::<Page<Answer<Alias>>>(request, "function").await?.items;
    if let Some(name) = &args.alias {
        items.retain(|alias| alias.name == *name);
        if items.is_empty() {
            bail!("there is no such alias");
        }
    }
    let out = Stdout::new();
    if args.json.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (head, rows): (_, Vec<Vec<String>>) = match args.alias {
        Some(_) => (MOVES, items.iter().flat_map(|alias| alias.history.iter().map(moved)).collect()),
        None => (HEAD, items.iter().map(|alias| row(alias)).collect()),
    };
    out.line(&table::table(&head, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

fn row(alias: &Alias) -> Vec<String> {
    vec![
        alias.name.clone(),
        alias.sha.as_ref().map(ToString::to_string).unwrap_or_default(),
        alias.follow.clone().unwrap_or_default(),
        alias.history.first().map(|last| listed_time(last.at)).unwrap_or_default(),
    ]
}

fn moved(one: &AliasMove) -> Vec<String> {
    vec![
        listed_time(one.at),
        one.email.clone().unwrap_or_else(|| one.by.to_string()),
        one.from.as_ref().map(version).unwrap_or_default(),
        version(&one.to),
    ]
}

fn version(version: &AliasVersion) -> String {
    match (&version.sha, &version.follow) {
        (Some(sha), _) => sha.to_string(),
        (None, Some(branch)) => format!("follow {branch}"),
        (None, None) => String::new(),
    }
}

pub(super) async fn remove(function: &str, alias: &str) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::DELETE, &["repos", function, "aliases", alias]);
    api.json::<IgnoredAny>(request, "alias").await?;
    eprintln!("removed");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn aliases() -> Vec<Alias> {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let by = "01a20c67-cee4-71df-9c2a-6c034687e69b";
        serde_json::from_value(json!([
            {"name": "live", "sha": b, "history": [
                {"at": "2026-01-03T00:00:00Z", "by": by, "from": {"follow": "main"}, "to": {"sha": b}, "kind": "rollback"},
                {"at": "2026-01-02T00:00:00Z", "by": by, "email": "a@example.com", "from": {"sha": a}, "to": {"follow": "main"}, "kind": "set"},
                {"at": "2026-01-01T00:00:00Z", "by": by, "email": "a@example.com", "to": {"sha": a}, "kind": "set"},
            ]},
            {"name": "next", "follow": "main", "history": []},
        ]))
        .unwrap()
    }

    #[test]
    fn aliases_and_moves_as_tables() {
        let aliases = aliases();
        let rows: Vec<_> = aliases.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ALIAS  VERSION                                   FOLLOWS  MOVED
        live   bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb           2026-01-03T00:00:00
        next                                             main
        ");
        let rows: Vec<_> = aliases[0].history.iter().map(moved).collect();
        insta::assert_snapshot!(table::table(&MOVES, &rows, false), @r"
        WHEN                 BY                                    FROM                                      TO
        2026-01-03T00:00:00  01a20c67-cee4-71df-9c2a-6c034687e69b  follow main                               bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
        2026-01-02T00:00:00  a@example.com                         aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  follow main
        2026-01-01T00:00:00  a@example.com                                                                   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        ");
    }

    #[test]
    fn what_an_alias_is_now() {
        let sentences: Vec<String> = aliases().iter().map(sentence).collect();
        assert_eq!(
            sentences,
            [format!("live is {}", "b".repeat(40)), "next follows main, now nothing".to_owned()]
        );
    }
}
