//! Names of branches and tags ([`GitRef`]), and what a job may ask git for ([`RefName`]).

mod name;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use name::{NotARefName, RefName};

/// The longest ref taken, in bytes. File systems end at 255 for one component; forges do likewise.
const MAX_REF_BYTES: usize = 512;

/// `refs/heads/…` or `refs/tags/…`, with a name that git itself would accept (`git check-ref-format`)
/// and that cannot be taken for an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitRef(String);

/// Why a text is not a ref that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRef {
    /// `refs/notes/…`, `refs/changes/…`, or no ref at all: nothing that triggers.
    #[error("{0:?} is neither a branch nor a tag")]
    NeitherBranchNorTag(String),
    /// A name that git would refuse.
    #[error("{0:?} is not the name of a branch or tag")]
    BadName(String),
}

impl GitRef {
    /// The ref of a branch.
    pub fn from_branch(name: &str) -> Result<Self, BadRef> {
        format!("refs/heads/{name}").parse()
    }

    /// The ref of a tag.
    pub fn from_tag(name: &str) -> Result<Self, BadRef> {
        format!("refs/tags/{name}").parse()
    }

    /// The branch's name, if it is a branch.
    pub fn branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// The tag's name, if it is a tag.
    pub fn tag(&self) -> Option<&str> {
        self.0.strip_prefix("refs/tags/")
    }

    /// The name alone, as people write it.
    pub fn short(&self) -> &str {
        self.branch().or_else(|| self.tag()).unwrap_or(&self.0)
    }

    /// The whole ref.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The branch that a branch of GitHub's merge queue wants to get into: `main` of
/// `gh-readonly-queue/main/pr-5-<commit>`. `None` of any other branch.
pub fn merge_queue_target(branch: &str) -> Option<&str> {
    let (target, last) = branch.strip_prefix("gh-readonly-queue/")?.rsplit_once('/')?;
    (!target.is_empty() && last.starts_with("pr-")).then_some(target)
}

impl FromStr for GitRef {
    type Err = BadRef;

    fn from_str(text: &str) -> Result<Self, BadRef> {
        let name = text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/"));
        let Some(name) = name else {
            return Err(BadRef::NeitherBranchNorTag(text.chars().take(MAX_REF_BYTES).collect()));
        };
        if text.len() > MAX_REF_BYTES || !is_sound(name) {
            return Err(BadRef::BadName(text.chars().take(MAX_REF_BYTES).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The rules of `git check-ref-format`, and no leading `-`.
fn is_sound(name: &str) -> bool {
    let component = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    is_plain(name) && name != "@" && name.split('/').all(component)
}

/// Whether a text has nothing in it that means an option, a range, a reflog entry or a pattern to git.
fn is_plain(name: &str) -> bool {
    let bad = |c: char| c.is_control() || c == ' ' || "~^:?*[\\".contains(c);
    !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(bad)
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GitRef {
    type Error = BadRef;

    fn try_from(text: String) -> Result<Self, BadRef> {
        text.parse()
    }
}

impl From<GitRef> for String {
    fn from(git_ref: GitRef) -> Self {
        git_ref.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("refs/heads/main", Some("main"), None)]
    #[test_case("refs/heads/feature/a-b", Some("feature/a-b"), None; "slash")]
    #[test_case("refs/heads/näme-日本", Some("näme-日本"), None; "not ASCII")]
    #[test_case("refs/heads/a\"b'c$(d)", Some("a\"b'c$(d)"), None; "quotes")]
    #[test_case("refs/heads/refs/tags/x", Some("refs/tags/x"), None; "a branch that looks like a tag")]
    #[test_case("refs/tags/v1.0", None, Some("v1.0"); "tag")]
    fn read(text: &str, branch: Option<&str>, tag: Option<&str>) {
        let git_ref: GitRef = text.parse().unwrap();
        assert_eq!((git_ref.branch(), git_ref.tag()), (branch, tag));
        assert_eq!(Some(git_ref.short()), branch.or(tag));
    }

    #[test_case("refs/heads/"; "no name")]
    #[test_case("refs/heads/-x"; "looks like a flag")]
    #[test_case("refs/heads/a..b"; "range")]
    #[test_case("refs/heads/../x"; "upwards")]
    #[test_case("refs/heads/a\nb"; "newline")]
    #[test_case("refs/heads/a\u{7f}"; "delete")]
    #[test_case("refs/heads/a b"; "space")]
    #[test_case("refs/heads/a//b"; "empty component")]
    #[test_case("refs/heads/a/"; "ends with a slash")]
    #[test_case("refs/heads/.a"; "hidden")]
    #[test_case("refs/heads/a/.b"; "hidden below")]
    #[test_case("refs/heads/a.lock"; "lock")]
    #[test_case("refs/heads/a."; "ends with a dot")]
    #[test_case("refs/heads/@"; "at sign alone")]
    #[test_case("refs/heads/a@{1}"; "reflog")]
    #[test_case("refs/heads/a*"; "glob")]
    #[test_case("refs/heads/a:b"; "refspec")]
    #[test_case("refs/heads/a\\b"; "backslash")]
    fn bad_names(text: &str) {
        assert_eq!(text.parse::<GitRef>(), Err(BadRef::BadName(text.to_owned())));
    }

    #[test_case("refs/notes/commits")]
    #[test_case("refs/pull/1/head")]
    #[test_case("main")]
    #[test_case("")]
    #[test_case("HEAD")]
    fn neither(text: &str) {
        assert_eq!(text.parse::<GitRef>(), Err(BadRef::NeitherBranchNorTag(text.to_owned())));
    }

    #[test]
    fn a_ref_that_is_too_long_is_refused() {
        assert!(GitRef::from_branch(&"x".repeat(MAX_REF_BYTES)).is_err());
    }
}
