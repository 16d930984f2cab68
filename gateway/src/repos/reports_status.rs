//! The state of a job's status at the forge, as shown with the job.

use jobs::{
    Job, ProblemKind, Trigger,
    api::{ForgeStatus, StatusState},
    bucket::Entry,
    streams::commit_key,
};

use crate::{
    error::ApiError,
    repos::{Registrations, problems::fix},
};

impl Registrations {
    /// The state of a job's status; `None` of a job without a forge. Also shown to callers with a job's link
    /// alone: nothing here names a user.
    pub(crate) async fn status_view(&self, entry: &Entry<Job>) -> Result<Option<ForgeStatus>, ApiError> {
        let job = &entry.value;
        let (Some(repo), Some(sha)) = (job.spec.repo, &job.spec.sha) else { return Ok(None) };
        let silent = |context: &str, reason: Option<String>| ForgeStatus {
            context: context.to_owned(),
            state: StatusState::Silent.into(),
            reason,
            since: None,
            fix: None,
        };
        let Some(context) = &job.spec.context else {
            let context = match job.spec.trigger {
                Trigger::Push => "gitfaas/push",
                Trigger::Tag => "gitfaas/tag",
                Trigger::PullRequest => "gitfaas/pull-request",
                Trigger::Call | Trigger::Rerun => return Ok(None),
            };
            let repo = self.access.repo_of(job).await?;
            let why = repo.and_then(|repo| self.why_not_reporting(&repo, None));
            return Ok(Some(silent(context, why)));
        };
        let found = self.ledger.commits.get(&commit_key(repo, sha, context)).await?;
        let view = |state: StatusState, reason: Option<String>| ForgeStatus {
            context: context.clone(),
            state: state.into(),
            reason,
            since: None,
            fix: None,
        };
        let Some(found) = found else {
            return Ok(Some(view(StatusState::Waiting, None)));
        };
        let commit = &found.value;
        if commit.job() != job.spec.id {
            let newer = "a newer job of this commit speaks for it".to_owned();
            return Ok(Some(view(StatusState::Posted, Some(newer))));
        }
        let posted = commit.last_posted().filter(|posted| posted.job == job.spec.id);
        if posted.is_some_and(|posted| posted.state == job.commit_state()) {
            return Ok(Some(view(StatusState::Posted, None)));
        }
        if let Some(reason) = commit.rejection().filter(|_| commit.was_rejected(job.commit_state())) {
            let since = Some(found.written_at);
            let fix = Some(fix(ProblemKind::Status).to_owned());
            return Ok(Some(ForgeStatus {
                since,
                fix,
                ..view(StatusState::Refused, Some(reason.to_owned()))
            }));
        }
        Ok(Some(view(StatusState::Waiting, None)))
    }
}
