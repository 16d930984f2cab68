//! `gitfaas deliveries`: deliveries of forges, and their outcome.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::{
    api::Api,
    args::DeliveriesArgs,
    exit::Done,
    fields::{line, text, time},
    out::Out,
    table,
};

/// What a gateway gives at once; further pages follow its cursor.
const PAGE: usize = 100;
/// The columns of the list.
const HEAD: [&str; 6] = ["ID", "RECEIVED", "EVENT", "REF", "VERDICT", "JOBS"];

/// What a gateway lists.
pub(super) struct Listed {
    /// Newest first.
    pub(super) deliveries: Vec<Value>,
    /// The last rejected ones that the caller may see.
    unsigned: Vec<Value>,
}

pub(super) async fn deliveries(args: DeliveriesArgs) -> Done {
    let listed = fetch(&Api::from_env()?, args.repo.as_deref(), args.limit).await?;
    let out = Out::new();
    if args.json.json {
        out.json(&listed.deliveries)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = listed.deliveries.iter().map(row).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    for delivery in &listed.unsigned {
        out.line(&not_believed(delivery))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The last `limit` deliveries, of one repository if it is named.
pub(super) async fn fetch(api: &Api, repo: Option<&str>, limit: usize) -> anyhow::Result<Listed> {
    let mut listed = Listed { deliveries: Vec::new(), unsigned: Vec::new() };
    let mut cursor: Option<String> = None;
    while listed.deliveries.len() < limit {
        let mut query = vec![("limit", (limit - listed.deliveries.len()).min(PAGE).to_string())];
        let given = [("repo", repo), ("cursor", cursor.as_deref())];
        query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))));
        let page = api.json(api.request(Method::GET, &["deliveries"]).query(&query), "repository").await?;
        let items = |name: &str| page[name].as_array().cloned().unwrap_or_default();
        listed.deliveries.extend(items("items"));
        if cursor.is_none() {
            // Every page has them all.
            listed.unsigned = items("unsigned");
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(listed)
}

/// A delivery whose signature was wrong or missing.
fn not_believed(delivery: &Value) -> String {
    let at = time(delivery, "at").unwrap_or_default();
    let field = |name: &str| text(delivery, name).unwrap_or_default();
    line(&format!("not believed: {at} {} {}", field("hook"), field("reason")))
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
pub(super) fn verdict(delivery: &Value) -> String {
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
    let id = line(text(delivery, "id").unwrap_or_default());
    let mut shown = vec![("delivery", id), ("verdict", line(&verdict(delivery)))];
    if !jobs(delivery).is_empty() {
        shown.push(("jobs", line(&jobs(delivery))));
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

    #[test]
    fn what_was_not_believed_is_a_line() {
        let delivery = json!({"at": "2026-01-02T03:04:05.678Z", "hook": "01a20c67",
                              "reason": "wrong signature\n\u{1b}[2J"});
        insta::assert_snapshot!(
            not_believed(&delivery),
            @"not believed: 2026-01-02T03:04:05Z 01a20c67 wrong signature ^[[2J"
        );
    }
}
