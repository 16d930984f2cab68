//! `gitfaas deliveries`: what forges sent, and what was decided about it.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, args::DeliveriesArgs, exit::Done, out::Out, table};

/// What a gateway gives at once; further pages follow its cursor.
const PAGE: usize = 100;
/// The columns of the list.
const HEAD: [&str; 6] = ["ID", "RECEIVED", "EVENT", "REF", "VERDICT", "JOBS"];

pub(super) async fn deliveries(args: DeliveriesArgs) -> Done {
    let deliveries = fetch(&Api::from_env()?, &args).await?;
    let out = Out::new();
    if args.json.json {
        out.json(&deliveries)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = deliveries.iter().map(row).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(api: &Api, args: &DeliveriesArgs) -> anyhow::Result<Vec<Value>> {
    let mut deliveries = Vec::new();
    let mut cursor: Option<String> = None;
    while deliveries.len() < args.limit {
        let mut query = vec![("limit", (args.limit - deliveries.len()).min(PAGE).to_string())];
        let given = [("repo", &args.repo), ("cursor", &cursor)];
        query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let page = api.json(api.request(Method::GET, &["deliveries"]).query(&query), "repository").await?;
        deliveries.extend(page["items"].as_array().cloned().unwrap_or_default());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(deliveries)
}

fn row(delivery: &Value) -> Vec<String> {
    let text = |name: &str| delivery[name].as_str().unwrap_or_default().to_owned();
    // To the second: nobody reads the rest in a list.
    let received = text("received_at").split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned();
    vec![text("id"), received, text("event"), about(delivery), verdict(delivery), jobs(delivery)]
}

/// The ref and, of what waits, the commit that an approval must name.
fn about(delivery: &Value) -> String {
    let reference = delivery["ref"].as_str().unwrap_or_default();
    match delivery["sha"].as_str().filter(|_| delivery["verdict"] == "held") {
        Some(sha) => format!("{reference}@{sha}"),
        None => reference.to_owned(),
    }
}

/// `accepted`, or `ignored: the branch is filtered`.
fn verdict(delivery: &Value) -> String {
    let verdict = delivery["verdict"].as_str().unwrap_or("being taken");
    match delivery["reason"].as_str() {
        Some(reason) => format!("{verdict}: {reason}"),
        None if delivery["made_up"] == true => format!("{verdict}, made up for"),
        None => verdict.to_owned(),
    }
}

fn jobs(delivery: &Value) -> String {
    let jobs: Vec<&str> =
        delivery["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    jobs.join(",")
}

/// A delivery that was just decided about: its verdict, and the jobs that it makes.
pub(super) fn show(delivery: &Value, json: bool) -> anyhow::Result<()> {
    let out = Out::new();
    if json {
        return Ok(out.json(delivery)?);
    }
    let text = |name: &str| crate::terminal::safe(delivery[name].as_str().unwrap_or_default()).into_owned();
    let mut shown = vec![("delivery", text("id")), ("verdict", verdict(delivery))];
    if !jobs(delivery).is_empty() {
        shown.push(("jobs", jobs(delivery)));
    }
    Ok(out.line(&table::pairs(&shown))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_the_list() {
        let deliveries = [
            json!({"id": "f382f1de", "event": "pull_request", "ref": "refs/pull/5/head", "sha": "aaaa",
                   "verdict": "held", "reason": "it waits", "received_at": "2026-01-02T03:04:05.678Z", "jobs": []}),
            json!({"id": "b1946ac9", "event": "push", "ref": "refs/heads/main", "sha": "bbbb", "made_up": true,
                   "verdict": "accepted", "received_at": "2026-01-02T03:04:05Z", "jobs": ["0198c9f4"]}),
        ];
        let rows: Vec<Vec<String>> = deliveries.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ID        RECEIVED             EVENT         REF                    VERDICT                JOBS
        f382f1de  2026-01-02T03:04:05  pull_request  refs/pull/5/head@aaaa  held: it waits
        b1946ac9  2026-01-02T03:04:05  push          refs/heads/main        accepted, made up for  0198c9f4
        ");
    }
}
