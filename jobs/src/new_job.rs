//! What a new job needs. All of it decides something, so all of it is signed ([`crate::signed`]).

use crate::{
    CloneUrl, CommitSha, Filter, JobId, Label, RefName, RepoId, SecretEvent, Stored, Trigger, UserId,
};

/// What a new job needs; the rest of a record comes later.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its name; made by whoever must know it before it exists (a delivery's entry).
    pub id: JobId,
    /// See [`crate::Job::owner`].
    pub owner: UserId,
    /// See [`crate::Job::trigger`].
    pub trigger: Trigger,
    /// See [`crate::Job::label`].
    pub label: Label,
    /// See [`crate::Job::repo`].
    pub repo: Option<RepoId>,
    /// See [`crate::Job::url`].
    pub url: Stored<CloneUrl>,
    /// See [`crate::Job::reference`].
    pub reference: Option<Stored<RefName>>,
    /// See [`crate::Job::sha`].
    pub sha: Option<CommitSha>,
    /// See [`crate::Job::before`].
    pub before: Option<CommitSha>,
    /// See [`crate::Job::paths`].
    pub paths: Filter,
    /// See [`crate::Job::untrusted`].
    pub untrusted: bool,
    /// See [`crate::Job::name`].
    pub name: Option<String>,
    /// See [`crate::Job::args`].
    pub args: Option<Vec<String>>,
    /// See [`crate::Job::context`].
    pub context: Option<String>,
    /// See [`crate::Job::also_contexts`].
    pub also_contexts: Vec<String>,
    /// See [`crate::Job::same_as`].
    pub same_as: Option<JobId>,
    /// See [`crate::Job::rerun_of`].
    pub rerun_of: Option<JobId>,
    /// Of a rerun: the event of what it repeats, by which its secrets are chosen. Not looked at otherwise.
    pub rerun_event: Option<SecretEvent>,
}

impl NewJob {
    /// A call of `url` by `owner`, with nothing else said.
    pub fn call(owner: UserId, url: impl Into<Stored<CloneUrl>>) -> Self {
        Self {
            id: JobId::new(),
            owner,
            trigger: Trigger::Call,
            label: Label::default(),
            repo: None,
            url: url.into(),
            reference: None,
            sha: None,
            before: None,
            paths: Filter::default(),
            untrusted: false,
            name: None,
            args: None,
            context: None,
            also_contexts: Vec::new(),
            same_as: None,
            rerun_of: None,
            rerun_event: None,
        }
    }

    /// The event by which its secrets are chosen; `None` where that is not known: then it gets none.
    pub fn event(&self) -> Option<SecretEvent> {
        SecretEvent::of(self.trigger).or(self.rerun_event)
    }
}
