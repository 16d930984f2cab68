//! `gitfaas list`: your jobs, newest first.

use std::process::ExitCode;

use jobs::api::{Job, Page};

use crate::{
    answer::Answer, api::Api, args::ListArgs, exit::CommandResult, fields::listed_time, out::Stdout,
    pages::List, record, table,
};

pub(super) async fn list(args: ListArgs) -> CommandResult {
    let jobs = fetch(&Api::from_env()?, &args).await?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&jobs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job)).collect();
    out.line(&table::table(&["ID", "STATE", "SOURCE", "NAME", "CREATED", "RUN"], &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(api: &Api, args: &ListArgs) -> anyhow::Result<Vec<Answer<Job>>> {
    let filters = [("state", args.state.as_deref()), ("repo", args.repo.as_deref())];
    let list = List { path: "jobs", filters: &filters, limit: args.limit, what: "repository" };
    let pages: Vec<Page<Answer<Job>>> = list.fetch(api).await?;
    Ok(pages.into_iter().flat_map(|page| page.items).collect())
}

fn row(job: &Job) -> Vec<String> {
    let created = job.created_at.map(listed_time).unwrap_or_default();
    let run = job.timings_ms.run.map(record::seconds).unwrap_or_default();
    let name = job.name.clone().unwrap_or_default();
    vec![job.id.to_string(), record::state(job), record::source(job), name, created, run]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples;

    #[test]
    fn a_row_of_the_list() {
        let jobs = [
            json!({"id": "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10", "state": "finish", "url": "https://example.com/r.git", "name": "nightly",
                   "created_at": "2026-01-02T03:04:05.678Z", "timings_ms": {"run": 61_005}}),
            json!({"id": "0198c9f3-5c1e-7b4f-9d0a-3a1c5a7f2b10", "state": "error", "cause": "timeout", "url": "https://example.com/r.git",
                   "ref": "main", "created_at": "2026-01-02T03:04:05Z", "timings_ms": {}}),
        ];
        let rows: Vec<Vec<String>> = jobs.into_iter().map(|job| row(&samples::job(job))).collect();
        insta::assert_snapshot!(table::table(&["ID", "STATE", "SOURCE", "NAME", "CREATED", "RUN"], &rows, false), @r"
        ID                                    STATE            SOURCE                          NAME     CREATED              RUN
        0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10  finish           https://example.com/r.git       nightly  2026-01-02T03:04:05  61.005 s
        0198c9f3-5c1e-7b4f-9d0a-3a1c5a7f2b10  error (timeout)  https://example.com/r.git@main           2026-01-02T03:04:05
        ");
    }
}
