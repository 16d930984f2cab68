//! Who may use which label: a label may stand for workers with wider network rules.
//!
//! An owner has `default` and what the operator gave (`gitfaas user set`); an admin has every label. What a
//! registration has stays its own: its pushes run there, and so does whoever may call it. Users are read
//! from the leader with every request, so that a change acts with the next one.

use jobs::{Job, Label, Repo, accounts::User};

use crate::{auth::identity::Identity, error::ApiError, jobs::Jobs};

/// Refuses a label that the caller may not use.
pub(crate) fn check_given(caller: &Identity, label: &Label) -> Result<(), ApiError> {
    match caller.is_admin() || caller.user.was_given(label) {
        true => Ok(()),
        false => Err(not_given(&caller.user, label)),
    }
}

/// The same for a call: one of a registration may have the registration's, unless it is a viewer's and
/// of a commit that may be a stranger's.
pub(crate) fn check_call(
    caller: &Identity,
    label: &Label,
    repo: Option<&Repo>,
    commit: Commit,
) -> Result<(), ApiError> {
    if repo.is_some_and(|repo| is_registrations(&caller.user, label, repo, commit)) {
        return Ok(());
    }
    check_given(caller, label)
}

/// Whose commit is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// One of the repository's own.
    Own,
    /// One that may be a stranger's.
    Untrusted,
}

impl Commit {
    /// What the record says.
    pub(crate) fn of(job: &Job) -> Self {
        if job.untrusted { Self::Untrusted } else { Self::Own }
    }
}

fn is_registrations(user: &User, label: &Label, repo: &Repo, commit: Commit) -> bool {
    repo.label == *label && (repo.owner == user.id || commit == Commit::Own)
}

fn not_given(user: &User, label: &Label) -> ApiError {
    let all: Vec<&str> = user.labels.iter().chain([label]).map(Label::as_str).collect();
    ApiError::Forbidden(format!(
        "label: {label} was not given to {email}; the operator gives it with: gitfaas user set {email} --labels {all}",
        email = user.email,
        all = all.join(","),
    ))
}

impl Jobs {
    /// Refuses to repeat a job under a label that its owner may not use any more.
    pub(crate) async fn check_again(&self, of: &Job) -> Result<(), ApiError> {
        if of.label == Label::default() {
            return Ok(());
        }
        let repo = self.access.repo_of(of).await?;
        let owner = self.ledger.accounts.users.get(&of.owner.to_string()).await?;
        let owner = owner.ok_or(ApiError::NotFound("job"))?.value;
        let commit = Commit::of(of);
        let may = owner.admin
            || owner.was_given(&of.label)
            || repo.is_some_and(|repo| is_registrations(&owner, &of.label, &repo, commit));
        if may { Ok(()) } else { Err(not_given(&owner, &of.label)) }
    }
}
