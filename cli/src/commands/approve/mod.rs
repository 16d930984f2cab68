//! `gitfaas approve`: approves a held delivery.
//!
//! What is approved is the commit that was shown, never what came after it: its whole id is part of the
//! request. Everything that is shown goes to stderr; the delivery as it is afterwards is the output.

mod find;

use std::{
    io::{IsTerminal as _, stderr, stdin},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use jobs::{
    CommitSha,
    api::{ApproveDelivery, Delivery, ShownRepo},
};
use reqwest::Method;

use super::deliveries::{self, verdict};
use crate::{api::Api, args::ApproveArgs, exit::CommandResult, fields::line, table};

pub(super) async fn approve(args: ApproveArgs) -> CommandResult {
    let api = Api::from_env()?;
    let delivery = find::find(&api, &args).await?;
    let repository = repository(&api, &delivery).await;
    eprintln!("{}", table::pairs(&lines(&delivery, repository)));
    let sha = commit(&delivery, args.sha)?;
    let what = if sha.is_some() { "commit" } else { "installation" };
    if !args.yes && stdin().is_terminal() && stderr().is_terminal() && !is_confirmed(what)? {
        eprintln!("nothing was approved");
        return Ok(ExitCode::FAILURE);
    }
    let approval = ApproveDelivery { sha };
    let request = api.request(Method::POST, &["deliveries", &delivery.id, "approve"]).json(&approval);
    deliveries::show(&api.json(request, "delivery").await?, &args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// The URL of the delivery's repository, or its id where the URL is not to be had.
async fn repository(api: &Api, delivery: &Delivery) -> Option<String> {
    let id = delivery.repo?.to_string();
    match api.json(api.request(Method::GET, &["repos", &id]), "repository").await {
        Ok(ShownRepo::Owned(repo)) => Some(repo.url),
        Ok(ShownRepo::Viewed(repo)) => Some(repo.url),
        Err(_) => Some(id),
    }
}

/// What somebody must know who approves it.
fn lines(delivery: &Delivery, repository: Option<String>) -> Vec<(&'static str, String)> {
    let all = [
        ("delivery", Some(delivery.id.clone())),
        ("repository", repository),
        ("event", Some(delivery.event.clone())),
        ("ref", delivery.reference.clone()),
        ("commit", delivery.sha.as_ref().map(ToString::to_string)),
        ("verdict", Some(verdict(delivery))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, line(&value?)))).collect()
}

/// The commit that is approved: the shown one, which must be the one that was given. `None` where a
/// delivery has none, as an installation of the GitHub App.
fn commit(delivery: &Delivery, given: Option<CommitSha>) -> anyhow::Result<Option<CommitSha>> {
    match (delivery.sha.clone(), given) {
        (Some(shown), Some(given)) if shown != given => {
            bail!("this delivery is of commit {shown}, not of {given}; nothing was approved")
        }
        (Some(shown), _) => Ok(Some(shown)),
        (None, given) => Ok(given),
    }
}

/// Asks; anything but yes is no.
fn is_confirmed(what: &str) -> anyhow::Result<bool> {
    eprint!("approve this {what}? [y/N] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;
    use crate::samples;

    const SHA: &str = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";
    const OTHER: &str = "984403fd08ef968ae12d049c58b6351f9bdcb0cc";

    #[test]
    fn what_is_approved_is_shown_in_full() {
        let pull = samples::delivery(
            json!({"id": "f382f1de", "repo": samples::ID, "event": "pull_request", "sha": SHA,
                          "ref": "refs/pull/12/head\u{1b}[2J", "verdict": "held", "reason": "it waits"}),
        );
        let shown = lines(&pull, Some("https://example.com/r.git".to_owned()));
        insta::assert_snapshot!(table::pairs(&shown), @r"
        delivery    f382f1de
        repository  https://example.com/r.git
        event       pull_request
        ref         refs/pull/12/head^[[2J
        commit      1f1ee58e3067678d3752dd5f6f3abb936325fbb8
        verdict     held: it waits
        ");
        let installation =
            samples::delivery(json!({"id": "b1946ac9", "event": "installation", "verdict": "held"}));
        insta::assert_snapshot!(table::pairs(&lines(&installation, None)), @r"
        delivery  b1946ac9
        event     installation
        verdict   held
        ");
    }

    #[test_case(json!({"sha": SHA}), None => Ok(Some(SHA.to_owned())) ; "the shown one")]
    #[test_case(json!({"sha": SHA}), Some(SHA) => Ok(Some(SHA.to_owned())) ; "the same one")]
    #[test_case(json!({"sha": SHA}), Some(OTHER)
        => Err(format!("this delivery is of commit {SHA}, not of {OTHER}; nothing was approved"))
        ; "another one")]
    #[test_case(json!({}), None => Ok(None) ; "an installation")]
    #[test_case(json!({}), Some(SHA) => Ok(Some(SHA.to_owned())) ; "the gateway knows better")]
    fn what_is_sent(delivery: Value, given: Option<&str>) -> Result<Option<String>, String> {
        let given: Option<CommitSha> = given.map(|sha| sha.parse().unwrap());
        let sent = commit(&samples::delivery(delivery), given);
        sent.map(|sha| sha.map(String::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_delivery_of_a_short_commit_is_no_answer() {
        let answer = json!({"id": "f382f1de", "hook": "github", "event": "push", "sha": "1f1ee58", "jobs": [],
                            "received_at": "2026-01-02T03:04:05Z"});
        assert!(serde_json::from_value::<Delivery>(answer).is_err());
    }
}
