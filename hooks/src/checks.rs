//! Check runs, which a GitHub App posts instead of commit statuses.
//!
//! One call is one state of one run; like a status it is not retried here, and every failure says
//! what to do ([`StatusError`]).

use std::path::Path;

use http::Method;
use http::header::AUTHORIZATION;
use jobs::CommitSha;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::address::{Allow, ClientError};
use crate::api::{Api, below, credential};
use crate::budget::Budget;
use crate::status::{StatusError, StatusKey, Target, classify, one_line};

/// GitHub takes so many annotations a request; more are added by further ones.
pub const ANNOTATIONS_PER_REQUEST: usize = 50;
/// Runs of a page of a list: GitHub's most.
const RUNS_PER_PAGE: usize = 100;
/// Pages looked through: as many runs as GitHub keeps of one name in one suite.
const MAX_PAGES: usize = 10;
/// GitHub's limit on summary, text and an annotation's message, in characters.
const MAX_TEXT_CHARS: usize = 65_535;

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "status", content = "conclusion", rename_all = "snake_case")]
pub enum Progress {
    /// It waits.
    Queued,
    /// It runs.
    InProgress,
    /// It ended.
    Completed(Conclusion),
}

/// The conclusion of a run, as GitHub names it. Only the first three let a required check pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Green.
    Success,
    /// Grey, and passes.
    Neutral,
    /// Grey, and passes: a filter said no.
    Skipped,
    /// Red.
    Failure,
    /// Grey, and does not pass.
    Cancelled,
    /// Red: it took too long.
    TimedOut,
    /// A user has to act first: it does not pass.
    ActionRequired,
}

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// To be known.
    Notice,
    /// To be looked at.
    Warning,
    /// What made it fail.
    Failure,
}

/// A remark beside a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// The file, from the repository's root.
    pub path: String,
    /// The first line, from 1.
    pub start_line: u32,
    /// The last line.
    pub end_line: u32,
    /// The column, from 1; only for a remark on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_column: Option<u32>,
    /// The column where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
    /// How grave it is.
    #[serde(rename = "annotation_level")]
    pub level: Level,
    /// What is to be said.
    pub message: String,
}

/// One state of one check run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// The repository's owner, from the registered URL.
    pub owner: String,
    /// The repository's name, from the registered URL.
    pub name: String,
    /// The commit.
    pub sha: CommitSha,
    /// Which of the commit's checks: `gitfaas/push`.
    pub context: String,
    /// The job's id; GitHub sends it back when a re-run is requested.
    pub external_id: String,
    /// The page behind the check.
    pub details_url: Option<String>,
    /// How it stands.
    pub progress: Progress,
    /// What happened, in a few words; made one line and cut as a status's description is.
    pub title: String,
    /// More of it, in Markdown.
    pub summary: String,
    /// The end of the log, in Markdown; cut at its beginning when it is too long.
    pub text: Option<String>,
    /// Remarks beside lines; any number.
    pub annotations: Vec<Annotation>,
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_sha: Option<&'a str>,
    external_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_url: Option<&'a str>,
    #[serde(flatten)]
    progress: Progress,
    output: Output<'a>,
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    title: &'a str,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Annotation]>::is_empty")]
    annotations: &'a [Annotation],
}

#[derive(Deserialize)]
struct Made {
    id: u64,
}

/// A run that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRun {
    /// GitHub's id of it.
    pub id: u64,
    /// How many annotations it has; further ones are added to them.
    pub annotations: usize,
}

#[derive(Deserialize)]
struct Page {
    check_runs: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    status: String,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    output: ListedOutput,
}

impl Listed {
    fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}

#[derive(Default, Deserialize)]
struct ListedOutput {
    #[serde(default)]
    annotations_count: usize,
}

/// Creates and updates check runs. One for the whole process.
#[derive(Debug, Clone)]
pub struct CheckClient {
    api: Api,
}

impl CheckClient {
    /// A client that reaches public addresses and what `allow` adds. Needs a running tokio.
    pub fn new(allow: &Allow, ca: Option<&Path>) -> Result<Self, ClientError> {
        Ok(Self { api: Api::new(allow, ca)? })
    }

    /// The remaining request budget that GitHub last reported for this token.
    pub fn budget(&self, target: &Target) -> Option<Budget> {
        let credential = credential(AUTHORIZATION, format!("Bearer {}", target.token.expose())).ok()?;
        self.api.budget(&target.api, &credential)
    }

    /// Makes a run and returns GitHub's id of it. The token must be an App's.
    pub async fn create(&self, target: &Target, run: &CheckRun) -> Result<u64, StatusError> {
        let (first, rest) = run.annotations.split_at(run.annotations.len().min(ANNOTATIONS_PER_REQUEST));
        let made = self.send(Method::POST, target, run, None, first).await?;
        self.annotate(target, run, made, rest).await?;
        Ok(made)
    }

    /// Updates the run `id`. Annotations are added to those it has.
    pub async fn update(&self, target: &Target, id: u64, run: &CheckRun) -> Result<(), StatusError> {
        let (first, rest) = run.annotations.split_at(run.annotations.len().min(ANNOTATIONS_PER_REQUEST));
        self.send(Method::PATCH, target, run, Some(id), first).await?;
        self.annotate(target, run, id, rest).await
    }

    /// Looks whether a run with this `external_id` is there: after a request whose answer was lost.
    /// Of several one that is not completed counts, and among equals the newest.
    ///
    /// # Errors
    /// As of a change.
    pub async fn find(
        &self,
        target: &Target,
        key: &StatusKey,
        external_id: &str,
    ) -> Result<Option<FoundRun>, StatusError> {
        let ours = self.all(target, key, external_id).await?;
        let found = ours.into_iter().max_by_key(|run| (!run.is_completed(), run.id));
        Ok(found.map(|run| FoundRun { id: run.id, annotations: run.output.annotations_count }))
    }

    /// Whether there is a run with this `external_id`, and every one is completed. There are several when
    /// GitHub made one long after it had failed to answer.
    ///
    /// # Errors
    /// As of a change; [`StatusError::Refused`] says that the token may not read.
    pub async fn is_completed(
        &self,
        target: &Target,
        key: &StatusKey,
        external_id: &str,
    ) -> Result<bool, StatusError> {
        let ours = self.all(target, key, external_id).await?;
        Ok(!ours.is_empty() && ours.iter().all(Listed::is_completed))
    }

    /// Every run of a commit and a context with this `external_id`.
    async fn all(
        &self,
        target: &Target,
        key: &StatusKey,
        external_id: &str,
    ) -> Result<Vec<Listed>, StatusError> {
        let credential = credential(AUTHORIZATION, format!("Bearer {}", target.token.expose()))?;
        let StatusKey { owner, name, sha, context } = key;
        let mut ours = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = ["repos", owner, name, "commits", sha.as_str(), "check-runs"];
            let mut url = below(&target.api, path)?;
            url.query_pairs_mut()
                .append_pair("check_name", context)
                .append_pair("filter", "all")
                .append_pair("per_page", &RUNS_PER_PAGE.to_string())
                .append_pair("page", &page.to_string());
            let answer = self.api.list(url, &credential).await?;
            if !answer.status.is_success() {
                return Err(classify(answer.status, &answer.headers, &answer.body));
            }
            let Page { check_runs } = serde_json::from_slice(&answer.body)
                .map_err(|_| StatusError::Retry { reason: "the list of check runs is garbled".to_owned() })?;
            let is_last = check_runs.len() < RUNS_PER_PAGE;
            ours.extend(check_runs.into_iter().filter(|run| run.external_id.as_deref() == Some(external_id)));
            if is_last {
                break;
            }
        }
        Ok(ours)
    }

    async fn annotate(
        &self,
        target: &Target,
        run: &CheckRun,
        id: u64,
        rest: &[Annotation],
    ) -> Result<(), StatusError> {
        for some in rest.chunks(ANNOTATIONS_PER_REQUEST) {
            self.send(Method::PATCH, target, run, Some(id), some).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        target: &Target,
        run: &CheckRun,
        id: Option<u64>,
        annotations: &[Annotation],
    ) -> Result<u64, StatusError> {
        let body = Body {
            name: &run.context,
            // The commit of a run cannot be changed.
            head_sha: id.is_none().then_some(run.sha.as_str()),
            external_id: &run.external_id,
            details_url: run.details_url.as_deref(),
            progress: run.progress,
            output: Output {
                title: &one_line(&run.title),
                summary: beginning(&run.summary),
                text: run.text.as_deref().map(end),
                annotations,
            },
        };
        let credential = credential(AUTHORIZATION, format!("Bearer {}", target.token.expose()))?;
        let path = std::iter::once("check-runs".to_owned()).chain(id.map(|id| id.to_string()));
        let url = address(target, run, &path.collect::<Vec<_>>())?;
        let answer = self.api.send(method, url, &credential, &body).await?;
        if !answer.status.is_success() {
            return Err(classify(answer.status, &answer.headers, &answer.body));
        }
        match (id, serde_json::from_slice::<Made>(&answer.body)) {
            (Some(id), _) => Ok(id),
            (None, Ok(made)) => Ok(made.id),
            (None, Err(_)) => {
                Err(StatusError::Retry { reason: "the answer with the run's id is garbled".to_owned() })
            }
        }
    }
}

/// Owner and name are encoded, whatever they are.
fn address(target: &Target, run: &CheckRun, rest: &[String]) -> Result<Url, StatusError> {
    let repository = ["repos", &run.owner, &run.name];
    below(&target.api, repository.into_iter().chain(rest.iter().map(String::as_str)))
}

fn beginning(text: &str) -> &str {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

fn end(text: &str) -> &str {
    match text.char_indices().rev().nth(MAX_TEXT_CHARS) {
        Some((at, too_much)) => &text[at + too_much.len_utf8()..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_at_the_end_that_matters_less() {
        let long = format!("a{}z", "é".repeat(MAX_TEXT_CHARS));
        assert_eq!(beginning(&long).chars().count(), MAX_TEXT_CHARS);
        assert!(beginning(&long).starts_with('a') && end(&long).ends_with('z'));
        assert_eq!(end(&long).chars().count(), MAX_TEXT_CHARS);
        assert_eq!((beginning("short"), end("short")), ("short", "short"));
    }
}
