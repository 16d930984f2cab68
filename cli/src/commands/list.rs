//! `gitfaas list`: your jobs, newest first.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, args::ListArgs, exit::Done, out::Out, record, table};

/// What a gateway gives at once; further pages follow its cursor.
const PAGE: usize = 100;

pub(super) async fn list(args: ListArgs) -> Done {
    let jobs = fetch(&Api::from_env()?, &args).await?;
    let out = Out::new();
    if args.json.json {
        out.json(&jobs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    out.line(&table::table(&["ID", "STATE", "SOURCE", "NAME", "CREATED", "RUN"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(api: &Api, args: &ListArgs) -> anyhow::Result<Vec<Value>> {
    let mut jobs = Vec::new();
    let mut cursor: Option<String> = None;
    while jobs.len() < args.limit {
        let mut query = vec![("limit", (args.limit - jobs.len()).min(PAGE).to_string())];
        let given = [("state", &args.state), ("repo", &args.repo), ("cursor", &cursor)];
        query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let page = api.json(api.request(Method::GET, &["jobs"]).query(&query), "repository").await?;
        jobs.extend(page["items"].as_array().cloned().unwrap_or_default());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(jobs)
}

fn row(job: &Value) -> Vec<String> {
    let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
    // To the second: nobody reads the rest in a list.
    let created = text("created_at").split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned();
    let run = record::seconds(&job["timings_ms"]["run"]).unwrap_or_default();
    vec![text("id"), record::state(job), record::source(job), text("name"), created, run]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_of_the_list() {
        let jobs = [
            json!({"id": "0198c9f4", "state": "finish", "url": "https://example.com/r.git", "name": "nightly",
                   "created_at": "2026-01-02T03:04:05.678Z", "timings_ms": {"run": 61_005}}),
            json!({"id": "0198c9f3", "state": "error", "cause": "timeout", "url": "https://example.com/r.git",
                   "ref": "main", "created_at": "2026-01-02T03:04:05Z", "timings_ms": {}}),
        ];
        let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&["ID", "STATE", "SOURCE", "NAME", "CREATED", "RUN"], &rows, false), @r"
        ID        STATE            SOURCE                          NAME     CREATED              RUN
        0198c9f4  finish           https://example.com/r.git       nightly  2026-01-02T03:04:05  61.005 s
        0198c9f3  error (timeout)  https://example.com/r.git@main           2026-01-02T03:04:05
        ");
    }
}
