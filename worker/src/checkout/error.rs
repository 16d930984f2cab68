//! Why a commit could not be had, whose fault that is, and what the user reads.

use std::time::Duration;

use jobs::{Cause, Outcome};

use crate::source::SourceError;

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The forge does not have the commit.
    #[error("there is no commit {0} in the repository")]
    NoSuchCommit(String),
    /// The forge does not have the ref.
    #[error("there is no branch or tag {0:?} in the repository")]
    NoSuchRef(String),
    /// No commits at all.
    #[error("the repository is empty")]
    Empty,
    /// The forge says 404.
    #[error("the repository was not found; a private one must be registered with a token")]
    NotFound,
    /// The forge wants to know who we are.
    #[error("the repository is private, and there is no credential that may read it")]
    Private,
    /// There is a credential, and everybody on the way could read it.
    #[error("the repository is private, and a credential is never sent over http: register its https URL")]
    ClearText,
    /// More bytes than the operator allows.
    #[error("the repository is larger than {}", jobs::units::show_bytes(*.0))]
    TooLarge(u64),
    /// Not an address that we fetch from.
    #[error("{0}")]
    Refused(String),
    /// The commit is there, but its files cannot be used.
    #[error(transparent)]
    Files(#[from] SourceError),
    /// The forge is out of reach, or failed.
    #[error("the repository could not be fetched: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("fetching took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Our disk, or a defect.
    #[error("the mirror cannot be used: {0}")]
    Broken(String),
}

impl CheckoutError {
    /// Trying again can only help where the world may have changed in between.
    pub fn outcome(&self) -> Outcome {
        let message = self.to_string();
        match self {
            Self::NoSuchCommit(_)
            | Self::NoSuchRef(_)
            | Self::Empty
            | Self::NotFound
            | Self::Private
            | Self::ClearText
            | Self::TooLarge(_)
            | Self::Refused(_) => Outcome::function(Cause::Checkout, message),
            Self::Files(error) => match error {
                SourceError::TooLarge { .. } | SourceError::TooMany | SourceError::Path { .. } => {
                    Outcome::function(Cause::Checkout, message)
                }
                SourceError::Object(_) | SourceError::Io(_) => Outcome::service(Cause::Checkout, message),
            },
            Self::Unreachable(_) | Self::TimedOut(_) | Self::Broken(_) => {
                Outcome::service(Cause::Checkout, message)
            }
        }
    }

    /// Reads what gix says; its error types do not tell these cases apart.
    pub(super) fn read(error: &gix::Error, wanted: &str) -> Self {
        let text = chain(error);
        let has = |needle: &str| text.contains(needle);
        if has("not our ref") || has("did not send all necessary objects") || has("couldn't find remote ref")
        {
            Self::NoSuchCommit(wanted.to_owned())
        } else if has("HTTP status 404") || has("HTTP status 410") {
            Self::NotFound
        } else if has("in clear text") {
            Self::ClearText
        } else if has("HTTP status 401")
            || has("HTTP status 403")
            || has("uthentication")
            || has("credential")
        {
            Self::Private
        } else if has("has no public address") {
            Self::Refused(last(error))
        } else {
            Self::Unreachable(last(error))
        }
    }
}

/// All messages of an error and its sources.
fn chain(error: &gix::Error) -> String {
    format!("{error:?} {error:#}")
}

/// The innermost message, which says what happened rather than what was tried.
fn last(error: &gix::Error) -> String {
    let mut current: &dyn std::error::Error = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}
