//! How a job ended: the closed list of causes, whose fault each is, and what follows from it.
//!
//! Every consumer matches without `_`, so that a new cause must choose its colour at the forge,
//! its place in the retry policy and its word in the published interface.

use serde::{Deserialize, Serialize};

/// Where a job is in its life. `pending → working → finish | error`, and nothing after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits in JOBS, or for a retry.
    Pending,
    /// A worker holds its lease.
    Working,
    /// Ended well.
    Finish,
    /// Ended badly; the cause says how.
    Error,
}

impl State {
    /// Whether the record will never be written again.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Working => false,
            Self::Finish | Self::Error => true,
        }
    }

    /// The word of the published interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Working => "working",
            Self::Finish => "finish",
            Self::Error => "error",
        }
    }
}

/// Why a job ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A filter of the manifest said no; this is a good end.
    Skipped,
    /// The program ended with a code other than 0, or by a signal.
    Exit,
    /// The run phase took longer than its time-out.
    Timeout,
    /// The kernel killed for memory.
    Memory,
    /// `/work` or `/tmp` was full.
    Disk,
    /// The limit on processes was met.
    Processes,
    /// More output than allowed.
    Output,
    /// The manifest is missing or wrong.
    Manifest,
    /// The commit could not be fetched.
    Checkout,
    /// The environment could not be made.
    Prepare,
    /// Cancelled by its owner.
    Cancelled,
    /// A newer push of the same branch took its place.
    Superseded,
    /// The owner's queue is full, or the owner may not call the repository any more.
    Refused,
    /// Worker or container gone too often, or nobody took the job in time.
    Lost,
}

impl Cause {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Exit => "exit",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Processes => "processes",
            Self::Output => "output",
            Self::Manifest => "manifest",
            Self::Checkout => "checkout",
            Self::Prepare => "prepare",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }
}

/// Whose failure it was; the two take different roads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The repository's: never retried, red at the forge.
    Function,
    /// Ours, the forge's or a registry's: retried, and no verdict on the commit.
    Service,
    /// Nobody's: cancelled, superseded, refused.
    Nobody,
}

/// What the forge shows beside the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitState {
    /// Not decided yet.
    Pending,
    /// Green.
    Success,
    /// Red: the commit's fault.
    Failure,
    /// Red, and not the commit's fault.
    Error,
}

impl CommitState {
    /// Whether it is a job's last word.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending => false,
            Self::Success | Self::Failure | Self::Error => true,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The program ended with code 0.
    Finished,
    /// It was prepared and not run: a forge told of the commit, and the manifest's `onPush` is `"build"`.
    Built,
    /// A filter of the manifest said no.
    Skipped {
        /// One short sentence, such as `no matching path`.
        why: String,
    },
    /// It did not.
    Failed {
        /// Why.
        cause: Cause,
        /// Whose failure it was.
        fault: Fault,
        /// One sentence for the user.
        message: String,
    },
}

impl Outcome {
    /// The function's own failure.
    pub fn function(cause: Cause, message: impl Into<String>) -> Self {
        Self::Failed { cause, fault: Fault::Function, message: message.into() }
    }

    /// A failure of ours, of the forge or of a registry: worth another attempt.
    pub fn service(cause: Cause, message: impl Into<String>) -> Self {
        Self::Failed { cause, fault: Fault::Service, message: message.into() }
    }

    /// An end that somebody wished.
    pub fn wished(cause: Cause, message: impl Into<String>) -> Self {
        Self::Failed { cause, fault: Fault::Nobody, message: message.into() }
    }

    /// The final state this outcome leads to.
    pub fn state(&self) -> State {
        match self {
            Self::Finished | Self::Built | Self::Skipped { .. } => State::Finish,
            Self::Failed { .. } => State::Error,
        }
    }

    /// Whether another attempt may help.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::Finished | Self::Built | Self::Skipped { .. } => false,
            Self::Failed { fault, .. } => match fault {
                Fault::Service => true,
                Fault::Function | Fault::Nobody => false,
            },
        }
    }
}

/// What the forge shows for a record in this state with this fault.
pub fn commit_state(state: State, fault: Option<Fault>) -> CommitState {
    match state {
        State::Pending | State::Working => CommitState::Pending,
        State::Finish => CommitState::Success,
        State::Error => match fault {
            Some(Fault::Function) => CommitState::Failure,
            Some(Fault::Service | Fault::Nobody) | None => CommitState::Error,
        },
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(State::Working, None => CommitState::Pending)]
    #[test_case(State::Finish, None => CommitState::Success)]
    #[test_case(State::Error, Some(Fault::Function) => CommitState::Failure)]
    #[test_case(State::Error, Some(Fault::Service) => CommitState::Error)]
    #[test_case(State::Error, Some(Fault::Nobody) => CommitState::Error)]
    fn the_colour_beside_the_commit(state: State, fault: Option<Fault>) -> CommitState {
        commit_state(state, fault)
    }

    #[test]
    fn only_our_own_failures_are_tried_again() {
        assert!(Outcome::service(Cause::Checkout, "forge out of reach").may_be_retried());
        assert!(!Outcome::function(Cause::Exit, "exit code 3").may_be_retried());
        assert!(!Outcome::wished(Cause::Cancelled, "cancelled").may_be_retried());
        assert!(!Outcome::Finished.may_be_retried());
        assert!(!Outcome::Built.may_be_retried());
    }
}
