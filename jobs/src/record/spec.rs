//! What a job is asked to do. All of it decides something, so all of it is signed ([`crate::signed`]).

use serde::{Deserialize, Serialize};

use super::{FunctionCall, JobInput, QueueClass, Trigger};
use crate::{CloneUrl, CommitSha, Filter, JobId, Label, RefName, RepoId, SecretEvent, Stored, UserId};

/// What was asked for. It never changes, but for the commit of a branch, which an attempt finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name; made by whoever must know it before the record exists (a delivery's entry).
    pub id: JobId,
    /// Who called it; of a push, the repository's owner.
    pub owner: UserId,
    /// The queue it waits in: [`super::Job::new`] takes that of the trigger.
    pub class: QueueClass,
    /// Which workers may take it.
    #[serde(default)]
    pub label: Label,
    /// What made it.
    pub trigger: Trigger,
    /// The registered repository, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoId>,
    /// The clone URL as given, never with credentials.
    pub url: Stored<CloneUrl>,
    /// The ref that was asked for; absent means the default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Stored<RefName>>,
    /// The commit: given by the push, or resolved once by the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<CommitSha>,
    /// What the ref was before the push, for path filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitSha>,
    /// The registration's path filter, as it was then: a worker cannot read registrations.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub paths: Filter,
    /// Whether the commit may be a stranger's, such as a pull request's from a fork: it gets no
    /// secrets, and what it prepared is used by no branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// A name its owner gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments of a call; they replace the manifest's `arg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// What its program reads from standard input; absent means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<JobInput>,
    /// The status context; absent means no status is posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Further contexts that this job answers for: one of a merge queue is push and pull request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_contexts: Vec<String>,
    /// A job of the same commit that may answer for this one, where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<JobId>,
    /// The job this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// Of a job that repeats a push of a branch or tag: the revision that the record of the push's first job was
    /// made with, which orders the pushes of a ref. Absent otherwise; of the first job itself it is
    /// [`created_revision`](crate::bucket::Entry::created_revision).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_revision: Option<u64>,
    /// The call of a function, if it is one or repeats one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionCall>,
}

/// What programs knew of a spec before jobs had inputs.
const FIRST_VERSION: u64 = 1;
/// With [`JobSpec::input`], [`JobSpec::push_revision`] and [`JobSpec::function`].
const SECOND_VERSION: u64 = 2;
/// The newest version of a spec that this program understands.
pub(crate) const NEWEST_VERSION: u64 = SECOND_VERSION;

impl JobSpec {
    /// The oldest version that holds all of it. Programs that know only an older one leave the job to others: they
    /// would run it without its input, or run again what must not be, or not believe what was signed of it.
    pub(crate) fn version(&self) -> u64 {
        let is_as_first = self.input.is_none() && self.push_revision.is_none() && self.function.is_none();
        if is_as_first { FIRST_VERSION } else { SECOND_VERSION }
    }

    /// Whether it must not be run again once its program may have begun, whoever's fault its end was.
    pub fn runs_once(&self) -> bool {
        self.function.as_ref().is_some_and(|call| !call.repeatable)
    }

    /// A call of `url` by `owner`, with nothing else said.
    pub fn call(owner: UserId, url: impl Into<Stored<CloneUrl>>) -> Self {
        Self {
            id: JobId::new(),
            owner,
            class: QueueClass::Call,
            label: Label::default(),
            trigger: Trigger::Call,
            repo: None,
            url: url.into(),
            reference: None,
            sha: None,
            before: None,
            paths: Filter::default(),
            untrusted: false,
            name: None,
            args: None,
            input: None,
            context: None,
            also_contexts: Vec::new(),
            same_as: None,
            rerun_of: None,
            push_revision: None,
            function: None,
        }
    }
}

/// A job that is to be made.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// What it is asked to do.
    pub spec: JobSpec,
    /// Of a rerun: the event of what it repeats, by which its secrets are chosen. Not looked at otherwise.
    pub rerun_event: Option<SecretEvent>,
}

impl NewJob {
    /// The event by which its secrets are chosen; `None` where that is not known: then it gets none.
    pub fn event(&self) -> Option<SecretEvent> {
        SecretEvent::of(self.spec.trigger).or(self.rerun_event)
    }
}

impl From<JobSpec> for NewJob {
    fn from(spec: JobSpec) -> Self {
        Self { spec, rerun_event: None }
    }
}
