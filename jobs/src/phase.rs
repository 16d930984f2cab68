//! The phases of an attempt, and where a line of its log came from.

use serde::{Deserialize, Serialize};

/// What an attempt is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The commit is fetched and its manifest read.
    Checkout,
    /// Dependencies are installed, code is compiled.
    Prepare,
    /// The program runs.
    Run,
}

impl Phase {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Prepare => "prepare",
            Self::Run => "run",
        }
    }

    /// Reads the word on the wire.
    pub fn from_wire(word: &str) -> Option<Self> {
        [Self::Checkout, Self::Prepare, Self::Run].into_iter().find(|phase| phase.as_str() == word)
    }
}

/// Who wrote a piece of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// The program's standard output.
    Stdout,
    /// The program's error output.
    Stderr,
    /// We did.
    Gitfaas,
}

impl LogSource {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Gitfaas => "gitfaas",
        }
    }

    /// Reads the word on the wire.
    pub fn from_wire(word: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Gitfaas].into_iter().find(|source| source.as_str() == word)
    }
}
