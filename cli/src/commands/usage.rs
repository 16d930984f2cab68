//! `gitfaas usage`: an owner's usage of each limit, and what frees it.

use std::process::ExitCode;

use jobs::api::{AtLimit, Page, Unit, Usage};
use reqwest::Method;

use crate::{answer::Answer, api::Api, args::UsageArgs, exit::CommandResult, out::Stdout, table};

/// The columns of the list.
const HEAD: [&str; 5] = ["WHAT", "USED", "LIMIT", "FULL", "AT THE LIMIT"];

pub(super) async fn usage(args: UsageArgs) -> CommandResult {
    let api = Api::from_env()?;
    let mut request = api.request(Method::GET, &["usage"]);
    if let Some(user) = &args.user {
        request = request.query(&[("user", user)]);
    }
    let items = api.json::<Page<Answer<Usage>>>(request, "user").await?.items;
    let out = Stdout::new();
    if args.json.json {
        out.json(&items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = items.iter().map(|item| row(item)).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

fn row(item: &Usage) -> Vec<String> {
    let shown = |amount: u64| match item.unit.known() {
        Some(Unit::Bytes) => size(amount),
        Some(Unit::Pieces) | None => amount.to_string(),
    };
    let at_limit = match item.at_limit.known() {
        Some(AtLimit::OldestGo) => "the oldest go".to_owned(),
        Some(AtLimit::Refused) | None => format!("refused: {}", item.freed_by),
    };
    let full = format!("{} %", item.used.saturating_mul(100) / item.limit.max(1));
    vec![item.resource.word(), shown(item.used), shown(item.limit), full, at_limit]
}

/// Bytes with a unit, to three digits.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, word)) => {
            let tenths = bytes / (unit / 10).max(1);
            format!("{}.{} {word}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_the_list() {
        let items = [
            json!({"resource": "repos", "used": 3, "limit": 200, "unit": "pieces", "at_limit": "refused",
                   "freed_by": "remove a repository"}),
            json!({"resource": "logs", "used": 120_795_955, "limit": 120_795_955, "unit": "bytes",
                   "at_limit": "oldest_go", "freed_by": "the oldest jobs go by themselves"}),
            json!({"resource": "results", "used": 512, "limit": 1536, "unit": "bytes", "at_limit": "oldest_go",
                   "freed_by": "the oldest jobs go by themselves"}),
        ];
        let rows: Vec<Vec<String>> =
            items.into_iter().map(|item| row(&serde_json::from_value(item).unwrap())).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        WHAT     USED       LIMIT      FULL   AT THE LIMIT
        repos    3          200        1 %    refused: remove a repository
        logs     115.2 MiB  115.2 MiB  100 %  the oldest go
        results  512 B      1.5 KiB    33 %   the oldest go
        ");
    }
}
