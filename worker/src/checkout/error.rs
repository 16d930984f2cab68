//! Why a commit could not be had, whose fault that is, and what the user reads.

use std::time::Duration;

use jobs::{Cause, Outcome};

use super::git_session::LISTING_BYTES;
use crate::{objects::ObjectError, source::SourceError};

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
    #[error(
        "the repository is private, and a credential is never sent over http: register its https URL, or have \
         the operator name the host in GITFAAS_CLONE_ALLOW"
    )]
    ClearText,
    /// There are branches, but not the one that HEAD names.
    #[error("the default branch `{0}` is not there; name a ref")]
    NoDefaultBranch(String),
    /// A server that answers, and not as git does.
    #[error("this address {0}")]
    NotGit(NotGit),
    /// Objects that are named by SHA-256.
    #[error("repositories with SHA-256 are not supported")]
    Sha256,
    /// It answers that this will not do.
    #[error("the server answers HTTP status {0}")]
    Rejected(u16),
    /// More bytes than the operator allows.
    #[error("the repository is larger than {}", jobs::units::show_bytes(*.0))]
    TooLarge(u64),
    /// More refs than are read.
    #[error(
        "the server lists more than {} of refs; it should speak version 2 of git's protocol",
        jobs::units::show_bytes(LISTING_BYTES)
    )]
    TooManyRefs,
    /// What was sent is more than is expanded, or damaged.
    #[error(transparent)]
    Objects(ObjectError),
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

/// What a server does that is none of git's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGit {
    /// A page for people: a wrong path, or a form to sign in.
    #[error("answers with a web page, not with a git repository")]
    WebPage,
    /// The files of a repository, without git behind them.
    #[error("serves git's files alone (the \"dumb\" protocol), which is not supported")]
    Dumb,
    /// Something else.
    #[error("does not answer as a git server does")]
    Other,
    /// From one address to the next, without an end.
    #[error("redirects in circles")]
    Redirects,
}

/// Whether a fetch sent a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialUse {
    /// That of the registration.
    Sent,
    /// None.
    None,
}

impl CheckoutError {
    /// The same, where a credential may be what is wrong: that is neither the function's fault nor one that
    /// another try mends.
    pub fn outcome_with(&self, shown: CredentialUse) -> Outcome {
        match (self, shown) {
            (Self::Private, CredentialUse::Sent) => Outcome::wished(
                Cause::Checkout,
                "the forge does not take the registration's token any more; give it another: \
                 gitfaas repo set ID --token-stdin",
            ),
            (Self::NotFound, CredentialUse::Sent) => Outcome::wished(
                Cause::Checkout,
                "the forge shows no such repository to the registration's token: it is gone, or the token may \
                 not read it any more; give it another: gitfaas repo set ID --token-stdin",
            ),
            (_, CredentialUse::Sent | CredentialUse::None) => self.outcome(),
        }
    }

    /// Trying again can only help where the world may have changed in between.
    pub fn outcome(&self) -> Outcome {
        let message = self.to_string();
        match self {
            Self::NoSuchCommit(_)
            | Self::NoSuchRef(_)
            | Self::Empty
            | Self::NoDefaultBranch(_)
            | Self::NotGit(_)
            | Self::Sha256
            | Self::Rejected(_)
            | Self::NotFound
            | Self::Private
            | Self::ClearText
            | Self::TooLarge(_)
            | Self::TooManyRefs
            | Self::Refused(_) => Outcome::function(Cause::Checkout, message),
            Self::Files(error) => match error {
                SourceError::TooLarge { .. } | SourceError::TooMany | SourceError::Path { .. } => {
                    Outcome::function(Cause::Checkout, message)
                }
                // It fits again when others of the owner's jobs are over.
                SourceError::QuotaExceeded(_) => Outcome::wished(Cause::Checkout, message),
                // They were whole when they came.
                SourceError::Object(ObjectError::Damaged(_)) => Outcome::service(Cause::Checkout, message),
                SourceError::Object(error) => of_objects(error, message),
                SourceError::Io(_) => Outcome::service(Cause::Checkout, message),
            },
            Self::Objects(error) => of_objects(error, message),
            Self::Unreachable(_) | Self::TimedOut(_) | Self::Broken(_) => {
                Outcome::service(Cause::Checkout, message)
            }
        }
    }

    /// Of what happened while a commit was fetched.
    pub(super) fn of_objects(error: ObjectError) -> Self {
        match error {
            ObjectError::TooLarge { limit_bytes } => Self::TooLarge(limit_bytes),
            ObjectError::TooSlow(whole) => Self::TimedOut(whole),
            ObjectError::Incoming(error) => Self::Unreachable(error.to_string()),
            ObjectError::Io(error) => Self::Broken(error.to_string()),
            ObjectError::TooMany
            | ObjectError::TooDeep
            | ObjectError::Oversized { .. }
            | ObjectError::Garbled(_)
            | ObjectError::Damaged(_)
            | ObjectError::Missing(_)
            | ObjectError::Stopped => Self::Objects(error),
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
        } else if has("A hash sized 64 hexadecimal characters") {
            Self::Sha256
        } else if has("header to indicate 'smart' protocol") {
            Self::NotGit(NotGit::Other)
        } else if has("too many redirects") {
            Self::NotGit(NotGit::Redirects)
        } else {
            match rejected(&text) {
                Some(status) => Self::Rejected(status),
                None => Self::Unreachable(last(error)),
            }
        }
    }
}

/// What a repository holds another try brings again; what breaks off or is missing, perhaps not.
fn of_objects(error: &ObjectError, message: String) -> Outcome {
    match error {
        ObjectError::TooLarge { .. }
        | ObjectError::TooMany
        | ObjectError::TooDeep
        | ObjectError::Oversized { .. }
        | ObjectError::Garbled(_)
        | ObjectError::Damaged(_)
        | ObjectError::TooSlow(_) => Outcome::function(Cause::Checkout, message),
        ObjectError::Missing(_) | ObjectError::Stopped | ObjectError::Incoming(_) | ObjectError::Io(_) => {
            Outcome::service(Cause::Checkout, message)
        }
    }
}

/// A status of the 400s that another request will meet as well.
fn rejected(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("HTTP status ")?;
    let status = rest.get(..3)?.parse().ok()?;
    let may_pass = matches!(status, 408 | 409 | 423 | 425 | 429);
    ((400..500).contains(&status) && !may_pass).then_some(status)
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

#[cfg(test)]
mod tests {
    use jobs::Fault;
    use test_case::test_case;

    use super::*;

    #[test_case("HTTP status 451 of https://host/a" => Some(451))]
    #[test_case("HTTP status 429" => None ; "too many requests")]
    #[test_case("HTTP status 503" => None ; "the server's fault")]
    #[test_case("connection refused" => None ; "no status")]
    fn statuses_that_stay(text: &str) -> Option<u16> {
        rejected(text)
    }

    #[test_case(CheckoutError::Private, CredentialUse::Sent => (Fault::Nobody, false) ; "a token that ended")]
    #[test_case(CheckoutError::NotFound, CredentialUse::Sent => (Fault::Nobody, false) ; "a token that sees nothing")]
    #[test_case(CheckoutError::Private, CredentialUse::None => (Fault::Function, false) ; "no token")]
    #[test_case(CheckoutError::Sha256, CredentialUse::Sent => (Fault::Function, false) ; "another kind of repository")]
    #[test_case(CheckoutError::Unreachable(String::new()), CredentialUse::Sent => (Fault::Service, true) ; "a forge that is away")]
    fn whose_fault_and_whether_again(error: CheckoutError, shown: CredentialUse) -> (Fault, bool) {
        match error.outcome_with(shown) {
            outcome @ Outcome::Failed { fault, .. } => (fault, outcome.may_be_retried()),
            Outcome::Finished | Outcome::Built | Outcome::Skipped { .. } => unreachable!("it failed"),
        }
    }
}
