//! What an owner may take up, and what of it is promised but not there yet.
//!
//! What lies in the ledger is counted from the ledger itself. What an owner is about to store is held in
//! `usage/<owner id>` before its first byte is written, by compare-and-set, so that requests at the same
//! moment, also at several gateways, cannot overrun a limit together. Gateways alone write there.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an owner takes up, each with a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Jobs that wait.
    Queued,
    /// Registered repositories.
    Repos,
    /// API tokens.
    Tokens,
    /// Bytes of sealed secrets.
    Secrets,
    /// Refs that are known of all registrations together.
    Refs,
    /// Bytes of job records, with what goes with each.
    Records,
    /// Bytes of logs.
    Logs,
    /// Bytes of results that are too long for the record.
    Results,
    /// Bytes of inputs of jobs.
    Inputs,
    /// Bytes of deliveries and idempotency keys.
    Deliveries,
}

/// What happens to an owner who is at a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What waits or is kept on purpose: more of it is refused.
    Kept,
    /// What is over: the oldest of the owner's goes. Inputs of jobs that are not over cannot go, so more than fits
    /// beside them is refused.
    History,
}

impl Resource {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Repos,
        Self::Tokens,
        Self::Secrets,
        Self::Refs,
        Self::Records,
        Self::Logs,
        Self::Results,
        Self::Inputs,
        Self::Deliveries,
    ];

    /// The word on the wire and in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Repos => "repos",
            Self::Tokens => "tokens",
            Self::Secrets => "secrets",
            Self::Refs => "refs",
            Self::Records => "records",
            Self::Logs => "logs",
            Self::Results => "results",
            Self::Inputs => "inputs",
            Self::Deliveries => "deliveries",
        }
    }

    /// What happens at its limit.
    pub fn kind(self) -> Kind {
        match self {
            Self::Queued | Self::Repos | Self::Tokens | Self::Secrets | Self::Refs => Kind::Kept,
            Self::Records | Self::Logs | Self::Results | Self::Inputs | Self::Deliveries => Kind::History,
        }
    }

    /// Whether it is counted in bytes; the others in pieces.
    pub fn is_in_bytes(self) -> bool {
        match self {
            Self::Queued | Self::Repos | Self::Tokens | Self::Refs => false,
            Self::Secrets | Self::Records | Self::Logs | Self::Results | Self::Inputs | Self::Deliveries => {
                true
            }
        }
    }

    /// What makes place, as one half of a sentence.
    pub fn freed_by(self) -> &'static str {
        match self {
            Self::Queued => "jobs that start, or are cancelled, make place",
            Self::Repos => "remove a repository",
            Self::Tokens => "revoke a token",
            Self::Secrets => "remove a secret",
            Self::Refs => "delete branches and tags, or remove a repository",
            Self::Records | Self::Logs | Self::Results => "the oldest jobs go by themselves, or delete some",
            Self::Inputs => "jobs that end, or are cancelled, make place",
            Self::Deliveries => "the oldest deliveries go by themselves",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Resource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|resource| resource.as_str() == text);
        found.ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is none of {words}")
        })
    }
}

/// Limits that an operator gave one owner, in place of the installation's.
pub type Overrides = BTreeMap<Resource, u64>;

/// `usage/<owner id>`: what is promised and not there yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// By the id of the thing, oldest first: ids are made in the order of time.
    #[serde(default)]
    pub holds: BTreeMap<String, Hold>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A promise of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// For what.
    pub of: Resource,
    /// How much: bytes, or 1.
    pub amount: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_read_as_it_is_written() {
        for resource in Resource::ALL {
            assert_eq!(resource.as_str().parse(), Ok(resource));
            assert_eq!(serde_json::to_value(resource).unwrap(), resource.as_str());
        }
        assert!("jobs".parse::<Resource>().unwrap_err().contains("none of queued, repos"));
    }

    #[test]
    fn holds_as_they_are_stored() {
        let hold = Hold { of: Resource::Queued, amount: 1 };
        let holds = Holds { holds: BTreeMap::from([("a".to_owned(), hold)]), other: Map::new() };
        insta::assert_snapshot!(serde_json::to_string(&holds).unwrap(), @r#"{"holds":{"a":{"of":"queued","amount":1}}}"#);
    }
}
