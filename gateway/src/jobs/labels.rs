//! Authorizes labels: a label may select workers with wider network rules.
//!
//! An owner has `default` and the labels that the operator granted (`gitfaas user set`); an admin has every
//! label. A registration keeps its label: its pushes and the calls of its viewers run with it. Users are read
//! from the leader with every request, so that a change applies to the next one.

use jobs::{Job, Label, Repo, accounts::User};

use crate::{auth::identity::Identity, error::ApiError, jobs::Jobs};

/// Refuses a label that the caller may not use.
pub(crate) fn check_label_granted(caller: &Identity, label: &Label) -> Result<(), ApiError> {
    match caller.is_admin() || caller.user.was_given(label) {
        true => Ok(()),
        false => Err(label_not_granted(&caller.user, label)),
    }
}

/// The same for a call: a call of a registration may have the registration's label, unless a viewer makes it
/// for an untrusted commit.
pub(crate) fn check_call_label(
    caller: &Identity,
    label: &Label,
    repo: Option<&Repo>,
    commit: CommitTrust,
) -> Result<(), ApiError> {
    if repo.is_some_and(|repo| is_repo_label(&caller.user, label, repo, commit)) {
        return Ok(());
    }
    check_label_granted(caller, label)
}

/// Whether the commit to run is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitTrust {
    /// A commit of the repository's own branches and tags.
    Trusted,
    /// A commit that may come from a fork.
    Untrusted,
}

impl CommitTrust {
    /// As the job's record has it.
    pub(crate) fn of(job: &Job) -> Self {
        if job.spec.untrusted { Self::Untrusted } else { Self::Trusted }
    }
}

fn is_repo_label(user: &User, label: &Label, repo: &Repo, commit: CommitTrust) -> bool {
    repo.label == *label && (repo.owner == user.id || commit == CommitTrust::Trusted)
}

fn label_not_granted(user: &User, label: &Label) -> ApiError {
    let all: Vec<&str> = user.labels.iter().chain([label]).map(Label::as_str).collect();
    ApiError::Forbidden(format!(
        "label: {label} was not given to {email}; the operator gives it with: gitfaas user set {email} --labels {all}",
        email = user.email,
        all = all.join(","),
    ))
}

impl Jobs {
    /// Refuses to rerun a job with a label that its owner may not use any more.
    pub(crate) async fn recheck_label(&self, of: &Job) -> Result<(), ApiError> {
        if of.spec.label == Label::default() {
            return Ok(());
        }
        let repo = self.access.repo_of(of).await?;
        let owner = self.ledger.accounts.users.get(&of.spec.owner.to_string()).await?;
        let owner = owner.ok_or(ApiError::NotFound("job"))?.value;
        let commit = CommitTrust::of(of);
        let may = owner.admin
            || owner.was_given(&of.spec.label)
            || repo.is_some_and(|repo| is_repo_label(&owner, &of.spec.label, &repo, commit));
        if may { Ok(()) } else { Err(label_not_granted(&owner, &of.spec.label)) }
    }
}
