//! What made a job, and the queue that follows from it.

use serde::{Deserialize, Serialize};

/// In which of its owner's queues a job waits: an owner's calls come before pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueClass {
    /// Somebody waits for the answer.
    Call,
    /// A forge told of it.
    Push,
}

impl QueueClass {
    /// The word in the subject.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Push => "push",
        }
    }
}

/// What made the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// REST, or the command line.
    Call,
    /// A push to a branch.
    Push,
    /// A push of a tag.
    Tag,
    /// A pull request.
    PullRequest,
    /// Somebody asked for an older job again.
    Rerun,
}

impl Trigger {
    /// The queue of its jobs.
    pub fn class(self) -> QueueClass {
        match self {
            Self::Call | Self::Rerun => QueueClass::Call,
            Self::Push | Self::Tag | Self::PullRequest => QueueClass::Push,
        }
    }
}
