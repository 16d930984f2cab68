//! `gitfaas secret`: manages the secrets of a repository. A value comes from standard input, never from the
//! command line, which other users of the machine can see.

use std::{io::Read as _, process::ExitCode};

use anyhow::Context as _;
use jobs::api::{Page, Secret};
use reqwest::Method;
use serde::de::IgnoredAny;

use crate::{
    answer::Answer,
    api::Api,
    args::{SecretListArgs, SecretSetArgs},
    exit::CommandResult,
    fields::{listed_time, words},
    out::Stdout,
    table,
};

/// A gateway takes 48 KiB; input beyond that is not read.
const MAX_READ_BYTES: u64 = 1 << 20;

pub(super) async fn set(args: SecretSetArgs) -> CommandResult {
    let api = Api::from_env()?;
    let value = value()?;
    let path = ["repos", &args.repo, "secrets", &args.name];
    let mut request = api.request(Method::PUT, &path);
    if !args.events.is_empty() {
        request = request.query(&[("events", args.events.join(","))]);
    }
    api.json::<IgnoredAny>(request.body(value), "repository").await?;
    eprintln!("the secret {} is stored", crate::terminal::safe(&args.name));
    Ok(ExitCode::SUCCESS)
}

/// Standard input, less one newline at its end, which editors and `echo` add.
fn value() -> anyhow::Result<Vec<u8>> {
    let mut value = Vec::new();
    let read = std::io::stdin().lock().take(MAX_READ_BYTES).read_to_end(&mut value);
    read.context("cannot read the value from standard input")?;
    Ok(without_newline(value))
}

fn without_newline(mut value: Vec<u8>) -> Vec<u8> {
    if value.ends_with(b"\n") {
        value.pop();
        value.pop_if(|last| *last == b'\r');
    }
    value
}

pub(super) async fn list(args: SecretListArgs) -> CommandResult {
    let api = Api::from_env()?;
    let request = api.request(Method::GET, &["repos", &args.repo, "secrets"]);
    let items = api.json::<Page<Answer<Secret>>>(request, "repository").await?.items;
    let out = Stdout::new();
    if args.json.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(|secret| row(secret)).collect();
    out.line(&table::table(&["NAME", "EVENTS", "UPDATED"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

fn row(secret: &Secret) -> Vec<String> {
    vec![secret.name.clone(), words(&secret.events).unwrap_or_default(), listed_time(secret.updated_at)]
}

pub(super) async fn remove(repo: &str, name: &str) -> CommandResult {
    let api = Api::from_env()?;
    api.json::<IgnoredAny>(api.request(Method::DELETE, &["repos", repo, "secrets", name]), "secret").await?;
    eprintln!("removed");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    #[test_case("a" => "a")]
    #[test_case("a\n" => "a")]
    #[test_case("a\r\n" => "a" ; "from an editor elsewhere")]
    #[test_case("a\n\n" => "a\n" ; "one newline alone")]
    #[test_case("" => "" ; "nothing")]
    fn what_is_stored(input: &str) -> String {
        String::from_utf8(without_newline(input.into())).unwrap()
    }

    #[test]
    fn a_row_of_the_list() {
        let secret =
            json!({"name": "KEY", "events": ["push", "call"], "updated_at": "2026-01-02T03:04:05.6Z"});
        assert_eq!(
            row(&serde_json::from_value(secret).unwrap()),
            ["KEY", "push,call", "2026-01-02T03:04:05"]
        );
    }
}
