//! What became of a job's status at the forge, for whoever looks at the job.

use jiff::Timestamp;
use jobs::{Job, ProblemKind, Trigger, bucket::Entry, streams::commit_key};
use serde::Serialize;

use crate::{
    error::ApiError,
    repos::{Registrations, problems::fix},
};

/// What became of a job's status at the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StatusView {
    pub(crate) context: String,
    pub(crate) state: StatusWord,
    /// One sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// One sentence: what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// Whether the forge shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatusWord {
    /// The forge took it.
    Posted,
    /// It will be posted, or tried again.
    Waiting,
    /// The forge does not take it.
    Refused,
    /// This registration posts none.
    Silent,
}

impl StatusWord {
    /// As it is on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }
}

impl Registrations {
    /// The state of a job's status; `None` of a job that has nothing to do with a forge. Read by those with
    /// a job's link too: nothing here names a user.
    pub(crate) async fn status_view(&self, entry: &Entry<Job>) -> Result<Option<StatusView>, ApiError> {
        let job = &entry.value;
        let (Some(repo), Some(sha)) = (job.repo, &job.sha) else { return Ok(None) };
        let silent = |context: &str, reason: Option<String>| StatusView {
            context: context.to_owned(),
            state: StatusWord::Silent,
            reason,
            since: None,
            fix: None,
        };
        let Some(context) = &job.context else {
            let context = match job.trigger {
                Trigger::Push => "gitfaas/push",
                Trigger::Tag => "gitfaas/tag",
                Trigger::PullRequest => "gitfaas/pull-request",
                Trigger::Call | Trigger::Rerun => return Ok(None),
            };
            let repo = self.access.repo_of(job).await?;
            let why = repo.and_then(|repo| self.silent_because(&repo, None));
            return Ok(Some(silent(context, why)));
        };
        let found = self.ledger.commits.get(&commit_key(repo, sha, context)).await?;
        let view = |state, reason: Option<String>| StatusView {
            context: context.clone(),
            state,
            reason,
            since: None,
            fix: None,
        };
        let Some(found) = found else {
            return Ok(Some(view(StatusWord::Waiting, None)));
        };
        let commit = &found.value;
        if commit.job() != job.id {
            let newer = "a newer job of this commit speaks for it".to_owned();
            return Ok(Some(view(StatusWord::Posted, Some(newer))));
        }
        let posted = commit.last_posted().filter(|posted| posted.job == job.id);
        if posted.is_some_and(|posted| posted.state == job.commit_state()) {
            return Ok(Some(view(StatusWord::Posted, None)));
        }
        if let Some(reason) = commit.rejection().filter(|_| commit.was_rejected(job.commit_state())) {
            let since = Some(found.written_at);
            let fix = Some(fix(ProblemKind::Status).to_owned());
            return Ok(Some(StatusView { since, fix, ..view(StatusWord::Refused, Some(reason.to_owned())) }));
        }
        Ok(Some(view(StatusWord::Waiting, None)))
    }
}
