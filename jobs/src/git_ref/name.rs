//! What a job asks git to look up: a branch, a tag, any other ref, or a commit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{GitRef, MAX_REF_BYTES, is_plain};

/// A name that git looks up in a repository. It cannot be taken for an option or a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RefName {
    /// A full ref of a branch or tag.
    Full(GitRef),
    /// A short name, a commit, or a ref that is neither a branch nor a tag, such as a pull request's.
    Other(String),
}

/// A text that git would not look up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a branch, tag or commit")]
pub struct NotARefName;

impl RefName {
    /// The branch or tag, where it is given in full.
    pub fn as_git_ref(&self) -> Option<&GitRef> {
        match self {
            Self::Full(git_ref) => Some(git_ref),
            Self::Other(_) => None,
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Full(git_ref) => git_ref.as_str(),
            Self::Other(text) => text,
        }
    }
}

impl FromStr for RefName {
    type Err = NotARefName;

    fn from_str(text: &str) -> Result<Self, NotARefName> {
        if let Ok(git_ref) = text.parse() {
            return Ok(Self::Full(git_ref));
        }
        let is_sound = !text.is_empty()
            && text.len() <= MAX_REF_BYTES
            && is_plain(text)
            && !text.starts_with(['/', '.'])
            && !text.ends_with('/')
            && !text.contains(char::is_whitespace);
        is_sound.then(|| Self::Other(text.to_owned())).ok_or(NotARefName)
    }
}

impl From<GitRef> for RefName {
    fn from(git_ref: GitRef) -> Self {
        Self::Full(git_ref)
    }
}

impl TryFrom<String> for RefName {
    type Error = NotARefName;

    fn try_from(text: String) -> Result<Self, NotARefName> {
        text.parse()
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        match name {
            RefName::Full(git_ref) => git_ref.into(),
            RefName::Other(text) => text,
        }
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("main" => true)]
    #[test_case("refs/heads/feature/x" => true)]
    #[test_case("1f1ee58e3067678d3752dd5f6f3abb936325fbb8" => true ; "commit")]
    #[test_case("refs/pull/5/head" => true ; "pull request")]
    #[test_case("" => false ; "empty")]
    #[test_case("--upload-pack=sh" => false ; "option")]
    #[test_case("a..b" => false ; "range")]
    #[test_case("a b" => false ; "space")]
    #[test_case("main\n" => false ; "newline")]
    #[test_case("main^{tree}" => false ; "peeled")]
    #[test_case("main@{1}" => false ; "reflog")]
    #[test_case("main/" => false ; "ends with a slash")]
    #[test_case("/main" => false ; "begins with a slash")]
    fn is_a_ref_name(text: &str) -> bool {
        text.parse::<RefName>().is_ok()
    }

    #[test]
    fn only_full_refs_are_known_to_be_branches_or_tags() {
        let of = |text: &str| text.parse::<RefName>().unwrap().as_git_ref().map(ToString::to_string);
        assert_eq!(of("refs/tags/v1").as_deref(), Some("refs/tags/v1"));
        assert_eq!((of("main"), of("refs/pull/5/head")), (None, None));
    }
}
