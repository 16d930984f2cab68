//! `gitfaas deliveries`: deliveries of forges, and their outcome.

use std::process::ExitCode;

use jobs::{
    Verdict,
    api::{Deliveries, Delivery, OpenEnum, UnsignedDelivery},
};

use crate::{
    answer::Answer,
    api::Api,
    args::{DeliveriesArgs, JsonArgs},
    exit::CommandResult,
    fields::{line, listed_time, time},
    out::Stdout,
    pages::List,
    table,
};

/// The columns of the list.
const HEAD: [&str; 6] = ["ID", "RECEIVED", "EVENT", "REF", "VERDICT", "JOBS"];

/// What a gateway lists.
pub(super) struct Listed {
    /// Newest first.
    pub(super) deliveries: Vec<Answer<Delivery>>,
    /// The last ones that were not believed, as far as the caller may know of them.
    unsigned: Vec<UnsignedDelivery>,
}

pub(super) async fn deliveries(args: DeliveriesArgs) -> CommandResult {
    let listed = fetch(&Api::from_env()?, args.repo.as_deref(), args.limit).await?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&listed.deliveries)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = listed.deliveries.iter().map(|delivery| row(delivery)).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    for delivery in &listed.unsigned {
        out.line(&not_believed(delivery))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The last `limit` deliveries, of one repository if it is named.
pub(super) async fn fetch(api: &Api, repo: Option<&str>, limit: usize) -> anyhow::Result<Listed> {
    let list = List { path: "deliveries", filters: &[("repo", repo)], limit, what: "repository" };
    let mut pages: Vec<Deliveries<Answer<Delivery>>> = list.fetch(api).await?;
    // Every page has them all.
    let unsigned = pages.first_mut().and_then(|first| first.unsigned.take()).unwrap_or_default();
    Ok(Listed { deliveries: pages.into_iter().flat_map(|page| page.items).collect(), unsigned })
}

/// A delivery whose signature was wrong or missing.
fn not_believed(delivery: &UnsignedDelivery) -> String {
    line(&format!("not believed: {} {} {}", time(delivery.at), delivery.hook, delivery.reason))
}

fn row(delivery: &Delivery) -> Vec<String> {
    vec![
        delivery.id.clone(),
        listed_time(delivery.received_at),
        delivery.event.clone(),
        about(delivery),
        verdict(delivery),
        jobs(delivery),
    ]
}

/// Whether it waits for an approval.
pub(super) fn is_held(delivery: &Delivery) -> bool {
    delivery.verdict.as_ref().is_some_and(|verdict| *verdict == Verdict::Held)
}

/// The ref and, of what waits, the commit that an approval must name.
fn about(delivery: &Delivery) -> String {
    let reference = delivery.reference.as_deref().unwrap_or_default();
    match delivery.sha.as_ref().filter(|_| is_held(delivery)) {
        Some(sha) => format!("{reference}@{sha}"),
        None => reference.to_owned(),
    }
}

/// `accepted`, or `ignored: the branch is filtered`.
pub(super) fn verdict(delivery: &Delivery) -> String {
    let verdict = delivery.verdict.as_ref().map_or_else(|| "being taken".to_owned(), OpenEnum::word);
    match &delivery.reason {
        Some(reason) => format!("{verdict}: {reason}"),
        None if delivery.made_up => format!("{verdict}, made up for"),
        None => verdict,
    }
}

fn jobs(delivery: &Delivery) -> String {
    delivery.jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A delivery that was just decided about: its verdict, and the jobs that it makes.
pub(super) fn show(delivery: &Answer<Delivery>, args: &JsonArgs) -> anyhow::Result<()> {
    let out = Stdout::new();
    if args.json {
        return Ok(out.json(delivery)?);
    }
    let mut shown = vec![("delivery", line(&delivery.id)), ("verdict", line(&verdict(delivery)))];
    if !delivery.jobs.is_empty() {
        shown.push(("jobs", jobs(delivery)));
    }
    Ok(out.line(&table::pairs(&shown))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples;

    const SHA: &str = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";

    #[test]
    fn rows_of_the_list() {
        let deliveries = [
            json!({"id": "f382f1de", "event": "pull_request", "ref": "refs/pull/5/head", "sha": SHA,
                   "verdict": "held", "reason": "it waits", "received_at": "2026-01-02T03:04:05.678Z", "jobs": []}),
            json!({"id": "b1946ac9", "event": "push", "ref": "refs/heads/main", "sha": SHA, "made_up": true,
                   "verdict": "accepted", "received_at": "2026-01-02T03:04:05Z", "jobs": [samples::ID]}),
        ];
        let rows: Vec<Vec<String>> =
            deliveries.into_iter().map(|delivery| row(&samples::delivery(delivery))).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        ID        RECEIVED             EVENT         REF                                                        VERDICT                JOBS
        f382f1de  2026-01-02T03:04:05  pull_request  refs/pull/5/head@1f1ee58e3067678d3752dd5f6f3abb936325fbb8  held: it waits
        b1946ac9  2026-01-02T03:04:05  push          refs/heads/main                                            accepted, made up for  0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10
        ");
    }

    #[test]
    fn what_was_not_believed_is_a_line() {
        let delivery = json!({"at": "2026-01-02T03:04:05.678Z", "hook": "01a20c67",
                              "reason": "wrong signature\n\u{1b}[2J"});
        insta::assert_snapshot!(
            not_believed(&serde_json::from_value(delivery).unwrap()),
            @"not believed: 2026-01-02T03:04:05Z 01a20c67 wrong signature ^[[2J"
        );
    }
}
