//! Why a delivery has its verdict.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::JobId;

/// What precedes the job's id in the text of [`DeliveryReason::DuplicateOf`].
const DUPLICATE_OF: &str = "duplicate of ";

/// Declares the reasons that have one fixed text, so that parsing and printing cannot disagree.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// Why a delivery has its verdict. It is stored and shown as its text; a text that this program does not
        /// know is kept as it is.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum DeliveryReason {
            $($(#[doc = $doc])* $name,)*
            /// The same event made this job before.
            DuplicateOf(JobId),
            /// Any other text: of a newer program, of an installation, or why an event was ignored.
            Other(String),
        }

        impl DeliveryReason {
            /// The reason whose fixed text this is.
            fn of_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for DeliveryReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str($text),)*
                    Self::DuplicateOf(job) => write!(f, "{DUPLICATE_OF}{job}"),
                    Self::Other(text) => f.write_str(text),
                }
            }
        }

        #[cfg(test)]
        const TEXTS: &[&str] = &[$($text),*];
    };
}

reasons! {
    /// The repository is not registered, or not any more.
    RepositoryNotRegistered = "the repository is not registered",
    /// The payload is about another repository than the webhook.
    OtherRepository = "the delivery names another repository",
    /// The forge tested the webhook.
    Ping = "ping",
    /// An installation's event came to the webhook of a repository.
    InstallationAtRepositoryHook = "installations are told to the App's own hook",
    /// Nothing that a merge queue's branch counts as makes jobs.
    MergeQueueMakesNoJobs = "neither pushes to branches nor pull requests make jobs here",
    /// The branch filter excludes the merge queue's target.
    MergeQueueBranchFiltered = "the branch that the merge queue is of is filtered",
    /// The registration does not run tags.
    TagsMakeNoJobs = "pushes of tags make no jobs here",
    /// The registration does not run pushes to branches.
    BranchesMakeNoJobs = "pushes to branches make no jobs here",
    /// The branch filter excludes the branch.
    BranchFiltered = "the branch is filtered",
    /// The commit message asks for no run, and nothing is shown of it.
    SkippedByMessage = "the commit message says so",
    /// The commit message asks for no run, and a skipped job shows it.
    SkippedByCommit = "the commit says so",
    /// The registration does not run pull requests.
    PullRequestsMakeNoJobs = "pull requests make no jobs here",
    /// The registration does not run pull requests from forks.
    ForksMakeNoJobs = "pull requests from forks make no jobs here",
    /// The check was made by another App.
    CheckOfOtherApp = "the check is not ours",
    /// The branch or tag was deleted.
    RefRemoved = "the ref was removed",
    /// The owner has as many waiting jobs as the limit allows. It is stored before the job's record exists.
    QueueFull = "the owner's queue is full",
    /// An owner must approve the pull request's commit.
    AwaitsApproval = "a pull request from a fork waits for an owner's approval",
    /// The commit was approved after a newer one came.
    Outdated = "a newer commit came before this one was approved",
    /// The pull request was merged or closed.
    PullRequestClosed = "the pull request was closed",
    /// A check was requested again for a commit that has no job.
    NoJobOfCommit = "there is no job of this commit",
}

impl From<String> for DeliveryReason {
    fn from(text: String) -> Self {
        if let Some(reason) = Self::of_text(&text) {
            return reason;
        }
        let job = text.strip_prefix(DUPLICATE_OF).and_then(|id| id.parse().ok());
        // An id in other letters than ours keeps them.
        match job.map(Self::DuplicateOf).filter(|reason| reason.to_string() == text) {
            Some(reason) => reason,
            None => Self::Other(text),
        }
    }
}

impl From<&str> for DeliveryReason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl FromStr for DeliveryReason {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl Serialize for DeliveryReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeliveryReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_and_written_unchanged() {
        let job = JobId::new();
        let upper = format!("{DUPLICATE_OF}{}", job.to_string().to_uppercase());
        let others = [String::new(), "of a newer program".to_owned(), upper, format!("{DUPLICATE_OF}x")];
        for text in &others {
            assert_eq!(DeliveryReason::from(text.as_str()), DeliveryReason::Other(text.clone()));
        }
        let duplicate = format!("{DUPLICATE_OF}{job}");
        assert_eq!(DeliveryReason::from(duplicate.as_str()), DeliveryReason::DuplicateOf(job));
        let fixed = TEXTS.iter().map(|text| (*text).to_owned());
        for text in fixed.chain(others).chain([duplicate]) {
            assert_eq!(DeliveryReason::from(text.as_str()).to_string(), text);
        }
        for text in TEXTS {
            assert!(!matches!(DeliveryReason::from(*text), DeliveryReason::Other(_)));
        }
    }
}
