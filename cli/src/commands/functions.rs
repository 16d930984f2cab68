//! `gitfaas functions`: lists what the user may call.

use std::process::ExitCode;

use jobs::api::{Function, Page};
use reqwest::Method;

use crate::{answer::Answer, api::Api, args::JsonArgs, exit::CommandResult, out::Stdout, table};

/// The columns of the list.
const HEAD: [&str; 3] = ["NAME", "URL", "ROLE"];

pub(super) async fn functions(args: JsonArgs) -> CommandResult {
    let api = Api::from_env()?;
    let items =
        api.json::<Page<Answer<Function>>>(api.request(Method::GET, &["functions"]), "function").await?.items;
    let out = Stdout::new();
    if args.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(|function| row(function)).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

fn row(function: &Function) -> Vec<String> {
    vec![function.name.clone(), function.url.clone(), function.role.word()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_of_the_list() {
        let function = json!({"name": "pi", "repo": "01a20c67-cee4-71df-9c2a-6c034687e69b", "url": "https://example.com/pi.git", "role": "owner"});
        assert_eq!(
            row(&serde_json::from_value(function).unwrap()),
            ["pi", "https://example.com/pi.git", "owner"]
        );
    }
}
