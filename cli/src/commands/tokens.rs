//! `gitfaas token new`, `list` and `revoke`: manages the caller's own API tokens, over REST.

use std::process::ExitCode;

use jiff::Timestamp;
use jobs::{
    TokenId,
    accounts::Scope,
    api::{NewToken, Page, Token},
};
use reqwest::Method;
use serde::de::IgnoredAny;

use crate::{
    answer::Answer,
    api::Api,
    args::{JsonArgs, TokenNewArgs},
    exit::CommandResult,
    fields::{listed_time, read, words},
    out::Stdout,
    table,
};

/// The columns of the list.
const HEAD: [&str; 6] = ["ID", "NAME", "SCOPES", "MADE", "EXPIRES", "LAST USED"];

pub(super) async fn new(args: TokenNewArgs) -> CommandResult {
    let api = Api::from_env()?;
    let scopes = args.may.scopes.iter().map(|scope| read(scope)).collect::<Result<Vec<Scope>, _>>()?;
    let scopes = (!scopes.is_empty()).then_some(scopes);
    let functions = (!args.may.functions.is_empty()).then_some(args.may.functions);
    let new = NewToken { name: args.name, scopes, functions, expires_in: args.expires_in };
    let made: Answer<Token> = api.json(api.request(Method::POST, &["tokens"]).json(&new), "token").await?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = made.token.as_ref().ok_or_else(|| anyhow::anyhow!("{} is not a gitfaas", api.url()))?;
    out.untrusted(format!("{text}\n").as_bytes())?;
    eprintln!("its id is {}; it is shown this once", made.id);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(args: JsonArgs) -> CommandResult {
    let api = Api::from_env()?;
    let items = api.json::<Page<Answer<Token>>>(api.request(Method::GET, &["tokens"]), "token").await?.items;
    let out = Stdout::new();
    if args.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(|token| row(token)).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn revoke(id: TokenId) -> CommandResult {
    let api = Api::from_env()?;
    api.json::<IgnoredAny>(api.request(Method::DELETE, &["tokens", &id.to_string()]), "token").await?;
    eprintln!("revoked");
    Ok(ExitCode::SUCCESS)
}

/// Its scopes, and the repositories that it is bound to: how many, where they are several.
fn rights(token: &Token) -> String {
    let scopes = words(&token.scopes).unwrap_or_default();
    match token.functions.as_deref() {
        None | Some([]) => scopes,
        Some([id]) => format!("{scopes} of {id}"),
        Some(several) => format!("{scopes} of {} functions", several.len()),
    }
}

fn row(token: &Token) -> Vec<String> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), listed_time);
    vec![
        token.id.to_string(),
        token.name.clone(),
        rights(token),
        listed_time(token.created_at),
        time(token.expires_at),
        time(token.last_used_at),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_the_list() {
        let tokens = [
            json!({"id": "01a20c67-cee4-71df-9c2a-6c034687e69b", "name": "ci", "scopes": ["jobs:read", "jobs:write"],
                   "created_at": "2026-01-02T03:04:05.678Z", "expires_at": "2026-04-02T03:04:05.678Z",
                   "last_used_at": "2026-01-03T03:04:05Z"}),
            json!({"id": "01a20c69-cee4-71df-9c2a-6c034687e69b", "name": "shop", "scopes": ["invoke"],
                   "functions": ["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10", "0198c9f5-5c1e-7b4f-9d0a-3a1c5a7f2b10"],
                   "created_at": "2026-01-02T03:04:05Z"}),
            json!({"id": "01a20c68-cee4-71df-9c2a-6c034687e69b", "name": "command line", "scopes": ["repos"],
                   "created_at": "2026-01-02T03:04:05Z"}),
        ];
        let rows: Vec<Vec<String>> =
            tokens.into_iter().map(|token| row(&serde_json::from_value(token).unwrap())).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ID                                    NAME          SCOPES                 MADE                 EXPIRES              LAST USED
        01a20c67-cee4-71df-9c2a-6c034687e69b  ci            jobs:read,jobs:write   2026-01-02T03:04:05  2026-04-02T03:04:05  2026-01-03T03:04:05
        01a20c69-cee4-71df-9c2a-6c034687e69b  shop          invoke of 2 functions  2026-01-02T03:04:05  never                never
        01a20c68-cee4-71df-9c2a-6c034687e69b  command line  repos                  2026-01-02T03:04:05  never                never
        ");
    }
}
