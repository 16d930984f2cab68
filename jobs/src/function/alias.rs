//! Aliases: names of versions that an owner moves by hand, with the moves that were made.
//!
//! `live` is an ordinary alias; a call that names no version looks for it first.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::name::is_slug;
use crate::{CommitSha, GitRef, RepoId, UserId};

/// Moves of one alias that are kept: as far as somebody looks back after a bad release, and with the longest
/// branch names an entry stays under 32 KiB.
pub const MAX_ALIAS_MOVES: usize = 20;

/// The name of an alias: a slug, as a function's, that cannot be taken for a commit id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(
    feature = "api",
    derive(utoipa::ToSchema),
    schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
)]
pub struct AliasName(String);

/// Why a text cannot be the name of an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAliasName {
    /// Other characters, too long, or none.
    #[error(
        "must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit"
    )]
    NotASlug,
    /// A full commit id goes before an alias.
    #[error("must not look like a commit id")]
    ACommit,
}

impl AliasName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the alias in its bucket.
    pub fn key(&self, repo: RepoId) -> String {
        format!("{repo}.{self}")
    }
}

impl FromStr for AliasName {
    type Err = BadAliasName;

    fn from_str(text: &str) -> Result<Self, BadAliasName> {
        if !is_slug(text) {
            return Err(BadAliasName::NotASlug);
        }
        match text.parse::<CommitSha>() {
            Ok(_) => Err(BadAliasName::ACommit),
            Err(_) => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for AliasName {
    type Error = BadAliasName;

    fn try_from(text: String) -> Result<Self, BadAliasName> {
        text.parse()
    }
}

impl From<AliasName> for String {
    fn from(name: AliasName) -> Self {
        name.0
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AliasTarget {
    /// This commit, until somebody moves the alias.
    To(CommitSha),
    /// The newest green commit of this branch, whichever that is.
    Follow(GitRef),
}

impl fmt::Display for AliasTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(sha) => sha.fmt(f),
            Self::Follow(branch) => write!(f, "follow {}", branch.short()),
        }
    }
}

/// How a move came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AliasMoveKind {
    /// Somebody said to what.
    #[default]
    Set,
    /// Back to what it stood for before.
    Rollback,
}

impl AliasMoveKind {
    fn is_set(&self) -> bool {
        *self == Self::Set
    }
}

/// A move of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMove {
    /// When, by a gateway's clock; for people.
    pub at: Timestamp,
    /// Who.
    pub by: UserId,
    /// What it stood for before; absent of the move that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AliasTarget>,
    /// What it stood for then.
    pub to: AliasTarget,
    /// How it came about.
    #[serde(default, skip_serializing_if = "AliasMoveKind::is_set")]
    pub kind: AliasMoveKind,
}

/// `aliases/<repo id>.<alias>`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    /// What it stands for.
    #[serde(flatten)]
    pub target: AliasTarget,
    /// Its moves, the newest first, [`MAX_ALIAS_MOVES`] at most.
    #[serde(default)]
    pub history: Vec<AliasMove>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Alias {
    /// A new alias.
    pub fn new(to: AliasTarget, by: UserId, at: Timestamp) -> Self {
        let made = AliasMove { at, by, from: None, to: to.clone(), kind: AliasMoveKind::Set };
        Self { target: to, history: vec![made], other: Map::new() }
    }

    /// The alias after a move; `None`: it stands for that already.
    #[must_use]
    pub fn moved(&self, to: AliasTarget, by: UserId, at: Timestamp, kind: AliasMoveKind) -> Option<Self> {
        if self.target == to {
            return None;
        }
        let from = Some(self.target.clone());
        let mut history = vec![AliasMove { at, by, from, to: to.clone(), kind }];
        history.extend(self.history.iter().take(MAX_ALIAS_MOVES - 1).cloned());
        Some(Self { target: to, history, other: self.other.clone() })
    }

    /// What a rollback leads to: what it stood for before the newest move that is not taken back yet. So two
    /// rollbacks go back two moves, and not to where the first began.
    pub fn before(&self) -> Option<AliasTarget> {
        let mut stood_for: Vec<&AliasTarget> = Vec::new();
        for one in self.history.iter().rev() {
            if stood_for.is_empty() {
                stood_for.extend(&one.from);
            }
            match one.kind {
                AliasMoveKind::Set => stood_for.push(&one.to),
                AliasMoveKind::Rollback => {
                    stood_for.pop();
                    if stood_for.last() != Some(&&one.to) {
                        // What it went back to is older than what is kept.
                        stood_for = vec![&one.to];
                    }
                }
            }
        }
        stood_for.pop();
        stood_for.pop().cloned()
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const BY: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

    fn to(letter: char) -> AliasTarget {
        AliasTarget::To(letter.to_string().repeat(40).parse().unwrap())
    }

    /// Letters are moves to that commit, `<` is a rollback.
    fn after(moves: &str) -> Alias {
        let (by, at) = (BY.parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
        let mut alias: Option<Alias> = None;
        for letter in moves.chars() {
            alias = match (alias, letter) {
                (None, letter) => Some(Alias::new(to(letter), by, at)),
                (Some(alias), '<') => {
                    let before = alias.before().unwrap();
                    Some(alias.moved(before, by, at, AliasMoveKind::Rollback).unwrap())
                }
                (Some(alias), letter) => alias.moved(to(letter), by, at, AliasMoveKind::Set),
            };
        }
        alias.unwrap()
    }

    #[test_case("a" => None ; "nothing was before")]
    #[test_case("ab" => Some('a'))]
    #[test_case("abc" => Some('b'))]
    #[test_case("abc<" => Some('a') ; "twice goes back twice")]
    #[test_case("abc<<" => None ; "to the beginning")]
    #[test_case("abc<d" => Some('b') ; "a move after a rollback")]
    #[test_case("abc<d<" => Some('a') ; "and back again")]
    #[test_case("abab" => Some('a') ; "to and fro")]
    #[test_case("abab<<" => Some('a') ; "to and fro, and back")]
    #[test_case("abcdefabcdefabcdefabcdef<" => Some('d') ; "longer than what is kept")]
    #[test_case("abcdefabcdefabcdefabcdef<<<<<<<<<<" => None ; "rollbacks are moves, and push out older ones")]
    fn goes_back_to(moves: &str) -> Option<char> {
        let alias = after(moves);
        assert!(alias.history.len() <= MAX_ALIAS_MOVES);
        match alias.before()? {
            AliasTarget::To(sha) => sha.as_str().chars().next(),
            AliasTarget::Follow(_) => panic!("none follows"),
        }
    }

    #[test]
    fn moving_it_to_where_it_is_changes_nothing() {
        let alias = after("ab");
        let (by, at) = (BY.parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(alias.moved(to('b'), by, at, AliasMoveKind::Set), None);
    }

    #[test_case("live" => Ok(()))]
    #[test_case("v1-2" => Ok(()))]
    #[test_case("V1" => Err(BadAliasName::NotASlug) ; "upper case")]
    #[test_case("v1.2" => Err(BadAliasName::NotASlug) ; "a dot splits a subject")]
    #[test_case("*" => Err(BadAliasName::NotASlug) ; "a wildcard")]
    #[test_case("" => Err(BadAliasName::NotASlug) ; "empty")]
    #[test_case("1f1ee58e3067678d3752dd5f6f3abb936325fbb8" => Err(BadAliasName::ACommit) ; "a commit")]
    fn is_a_name(text: &str) -> Result<(), BadAliasName> {
        text.parse::<AliasName>().map(|name| assert_eq!(name.as_str(), text))
    }

    #[test]
    fn an_alias_as_it_is_stored() {
        let (by, at) = (BY.parse().unwrap(), "2026-01-02T00:00:00Z".parse().unwrap());
        let follow = AliasTarget::Follow(GitRef::from_branch("main").unwrap());
        let alias = after("a").moved(follow, by, at, AliasMoveKind::Set).unwrap();
        let alias = alias.moved(to('a'), by, at, AliasMoveKind::Rollback).unwrap();
        let text = serde_json::to_string(&alias).unwrap();
        insta::assert_snapshot!(text, @r#"{"to":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","history":[{"at":"2026-01-02T00:00:00Z","by":"01890a5d-ac96-774b-bcce-b302099a8058","from":{"follow":"refs/heads/main"},"to":{"to":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"kind":"rollback"},{"at":"2026-01-02T00:00:00Z","by":"01890a5d-ac96-774b-bcce-b302099a8058","from":{"to":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"to":{"follow":"refs/heads/main"}},{"at":"2026-01-01T00:00:00Z","by":"01890a5d-ac96-774b-bcce-b302099a8058","to":{"to":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}]}"#);
        let newer = text.replacen('{', r#"{"color":"blue","#, 1);
        let read: Alias = serde_json::from_str(&newer).unwrap();
        assert_eq!((&read.target, &read.history), (&alias.target, &alias.history));
        assert!(serde_json::to_string(&read).unwrap().contains(r#""color":"blue""#), "it is written back");
    }
}
