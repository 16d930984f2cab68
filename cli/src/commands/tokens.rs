//! `gitfaas token new`, `list` and `revoke`: manages the caller's own API tokens, over REST.

use std::process::ExitCode;

use jobs::TokenId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::Api,
    args::{JsonArgs, TokenNewArgs},
    exit::Done,
    out::Out,
    table,
};

/// The columns of the list.
const HEAD: [&str; 6] = ["ID", "NAME", "SCOPES", "MADE", "EXPIRES", "LAST USED"];

pub(super) async fn new(args: TokenNewArgs) -> Done {
    let api = Api::from_env()?;
    let mut wish = json!({ "name": args.name });
    if !args.scopes.is_empty() {
        wish["scopes"] = json!(args.scopes);
    }
    if let Some(expires_in) = args.expires_in {
        wish["expires_in"] = json!(expires_in);
    }
    let made = api.json(api.request(Method::POST, &["tokens"]).json(&wish), "token").await?;
    let out = Out::new();
    if args.json.json {
        out.json(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = made["token"].as_str().ok_or_else(|| anyhow::anyhow!("{} is not a gitfaas", api.url()))?;
    out.untrusted(format!("{text}\n").as_bytes())?;
    eprintln!("its id is {}; it is shown this once", crate::terminal::safe(field(&made, "id")));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(args: JsonArgs) -> Done {
    let api = Api::from_env()?;
    let tokens = api.json(api.request(Method::GET, &["tokens"]), "token").await?;
    let items = tokens["items"].as_array().cloned().unwrap_or_default();
    let out = Out::new();
    if args.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn revoke(id: TokenId) -> Done {
    let api = Api::from_env()?;
    api.json(api.request(Method::DELETE, &["tokens", &id.to_string()]), "token").await?;
    eprintln!("revoked");
    Ok(ExitCode::SUCCESS)
}

fn field<'a>(token: &'a Value, name: &str) -> &'a str {
    token[name].as_str().unwrap_or_default()
}

fn row(token: &Value) -> Vec<String> {
    let scopes: Vec<&str> =
        token["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // To the second: nobody reads the rest in a list.
    let time = |name: &str| {
        let time = token[name].as_str().unwrap_or("never");
        time.split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned()
    };
    vec![
        field(token, "id").to_owned(),
        field(token, "name").to_owned(),
        scopes.join(","),
        time("created_at"),
        time("expires_at"),
        time("last_used_at"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_list() {
        let tokens = [
            json!({"id": "01a20c67", "name": "ci", "scopes": ["jobs:read", "jobs:write"],
                   "created_at": "2026-01-02T03:04:05.678Z", "expires_at": "2026-04-02T03:04:05.678Z",
                   "last_used_at": "2026-01-03T03:04:05Z"}),
            json!({"id": "01a20c68", "name": "command line", "scopes": ["repos"],
                   "created_at": "2026-01-02T03:04:05Z"}),
        ];
        let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ID        NAME          SCOPES                MADE                 EXPIRES              LAST USED
        01a20c67  ci            jobs:read,jobs:write  2026-01-02T03:04:05  2026-04-02T03:04:05  2026-01-03T03:04:05
        01a20c68  command line  repos                 2026-01-02T03:04:05  never                never
        ");
    }
}
