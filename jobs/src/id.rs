//! Names of things: jobs, users, repositories, tokens, commits, workers.
//!
//! Every id is parsed at the edge, so inside the service an id cannot hold nonsense: none of them
//! can carry a dot, a space or a wildcard into a NATS subject.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Makes an id type: a UUIDv7, so ids made later sort later and a listing by id is one by time.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "api", derive(utoipa::ToSchema), schema(value_type = String, format = Uuid))]
        pub struct $name(#[serde(deserialize_with = "uuid")] uuid::Uuid);

        impl $name {
            /// Makes a new id. Everything else reads one back from the wire.
            #[expect(clippy::new_without_default, reason = "an id is never a default")]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            /// The sixteen bytes, which sort as the text does.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the sixteen bytes back.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                // Only the form that we print: braces, URNs and upper case are not names of ours.
                match uuid::Uuid::try_parse(text) {
                    Ok(id) if id.as_hyphenated().to_string() == text => Ok(Self(id)),
                    Ok(_) | Err(_) => Err(NotAnId),
                }
            }
        }
    };
}

/// Reads the UUID of an id. The message of a text that is none is ours, since callers see it.
fn uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<uuid::Uuid, D::Error> {
    uuid::Uuid::deserialize(deserializer).map_err(|_| D::Error::custom(NotAnId))
}

uuid_id! {
    /// Names one run of one commit.
    JobId
}
uuid_id! {
    /// Names an owner: a person, or an installation of the GitHub App.
    UserId
}
uuid_id! {
    /// Names a registered repository.
    RepoId
}
uuid_id! {
    /// Names a sign-in that lasts: a browser's, or a program's that holds a refresh token.
    SessionId
}
uuid_id! {
    /// Names an API token; the token itself is only stored as its hash.
    TokenId
}

impl JobId {
    /// When it was made, by its maker's clock; `None` of an id that tells no time.
    pub fn made_at(&self) -> Option<Timestamp> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Timestamp::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?).ok()
    }
}

/// The text is not one of our ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

/// A full git commit id: 40 lower-case hex digits. Branch names and short ids do not parse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[0-9a-f]{40}$"))]
pub struct CommitSha(String);

impl CommitSha {
    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as people write them.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// Whether this is git's "no commit": all zeros, as in the `after` of a deletion.
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl FromStr for CommitSha {
    type Err = NotACommit;

    fn from_str(text: &str) -> Result<Self, NotACommit> {
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let ok = text.len() == 40 && text.bytes().all(hex);
        ok.then(|| Self(text.to_owned())).ok_or(NotACommit)
    }
}

impl TryFrom<String> for CommitSha {
    type Error = NotACommit;

    fn try_from(text: String) -> Result<Self, NotACommit> {
        text.parse()
    }
}

impl From<CommitSha> for String {
    fn from(sha: CommitSha) -> Self {
        sha.0
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a full commit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a full commit id (40 lower-case hex digits)")]
pub struct NotACommit;

/// The longest word in bytes: it becomes part of subjects, container names and socket paths.
const MAX_WORD_BYTES: usize = 48;

/// Makes a type for a word that is safe as one token of a NATS subject and as a file name.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(
            feature = "api",
            derive(utoipa::ToSchema),
            schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")
        )]
        pub struct $name(String);

        impl $name {
            /// The word itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAWord;

            fn from_str(text: &str) -> Result<Self, NotAWord> {
                let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
                (first && text.len() <= MAX_WORD_BYTES && text.bytes().all(ok))
                    .then(|| Self(text.to_owned()))
                    .ok_or(NotAWord)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAWord;

            fn try_from(text: String) -> Result<Self, NotAWord> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word! {
    /// A worker's stable name, kept in its data directory.
    WorkerName
}
word! {
    /// Where a job may run: workers serve labels, jobs carry one.
    Label
}

impl Default for Label {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// The text cannot be a name of a worker or a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_WORD_BYTES} letters, digits, `-` or `_`, beginning with a letter or digit")]
pub struct NotAWord;

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("1f1ee58e3067678d3752dd5f6f3abb936325fbb8" => true  ; "full id")]
    #[test_case("1F1EE58E3067678D3752DD5F6F3ABB936325FBB8" => false ; "upper case")]
    #[test_case("1f1ee58"                                  => false ; "short id")]
    #[test_case("refs/heads/main"                          => false ; "branch")]
    #[test_case("-oProxyCommand=sh"                        => false ; "looks like a flag")]
    fn is_a_commit_id(text: &str) -> bool {
        text.parse::<CommitSha>().is_ok()
    }

    #[test_case("default" => true)]
    #[test_case("gpu-2" => true)]
    #[test_case("" => false ; "empty")]
    #[test_case("a.b" => false ; "a dot splits a subject")]
    #[test_case("*" => false ; "wildcard")]
    #[test_case("-x" => false ; "looks like a flag")]
    fn is_a_label(text: &str) -> bool {
        text.parse::<Label>().is_ok()
    }

    #[test]
    fn ids_made_later_sort_later_and_read_back() {
        let ids: Vec<JobId> = (0..100).map(|_| JobId::new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].to_string().parse::<JobId>(), Ok(ids[0]));
        assert!(ids[0].to_string().to_uppercase().parse::<JobId>().is_err());
    }
}
