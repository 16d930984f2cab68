//! `gitfaas secret`: manages the secrets of a repository. A value comes from standard input, never from the
//! command line, which other users of the machine can see.

use std::{io::Read as _, process::ExitCode};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::{
    api::Api,
    args::{SecretListArgs, SecretSetArgs},
    exit::Done,
    out::Out,
    table,
};

/// A gateway takes 48 KiB; input beyond that is not read.
const MAX_READ_BYTES: u64 = 1 << 20;

pub(super) async fn set(args: SecretSetArgs) -> Done {
    let api = Api::from_env()?;
    let value = value()?;
    let path = ["repos", &args.repo, "secrets", &args.name];
    let mut request = api.request(Method::PUT, &path);
    if !args.events.is_empty() {
        request = request.query(&[("events", args.events.join(","))]);
    }
    api.json(request.body(value), "repository").await?;
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

pub(super) async fn list(args: SecretListArgs) -> Done {
    let api = Api::from_env()?;
    let secrets = api.json(api.request(Method::GET, &["repos", &args.repo, "secrets"]), "repository").await?;
    let items = secrets["items"].as_array().cloned().unwrap_or_default();
    let out = Out::new();
    if args.json.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    out.line(&table::table(&["NAME", "EVENTS", "UPDATED"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

fn row(secret: &Value) -> Vec<String> {
    let text = |name: &str| secret[name].as_str().unwrap_or_default().to_owned();
    let events: Vec<&str> =
        secret["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // To the second: nobody reads the rest in a list.
    let updated = text("updated_at").split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned();
    vec![text("name"), events.join(","), updated]
}

pub(super) async fn remove(repo: &str, name: &str) -> Done {
    let api = Api::from_env()?;
    api.json(api.request(Method::DELETE, &["repos", repo, "secrets", name]), "secret").await?;
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
        assert_eq!(row(&secret), ["KEY", "push,call", "2026-01-02T03:04:05"]);
    }
}
