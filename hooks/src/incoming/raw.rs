//! What the readers of all forges share: lenient fields, and checks on the values taken over.

use jobs::{CloneUrl, CommitSha, GitRef, git_ref::BadRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::{Incoming, Malformed, Push, Repository};

/// How much of a commit message the ledger keeps, in bytes; a title is 72.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The longest name of a repository, in bytes. GitHub's and Gitea's end at 140, GitLab's groups nest.
const MAX_NAME_BYTES: usize = 512;

/// A field that we can do without: missing, null or of another type is `None`.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    field: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    Ok(serde_json::from_value(value).ok())
}

/// The repository of a payload, before it is checked.
pub(super) struct RawRepository<'a> {
    pub(super) forge_id: Option<u64>,
    pub(super) full_name: &'a str,
    pub(super) clone_url: Option<&'a str>,
    pub(super) html_url: Option<&'a str>,
    pub(super) private: bool,
    pub(super) default_branch: Option<&'a str>,
}

impl RawRepository<'_> {
    pub(super) fn checked(self) -> Result<Repository, Malformed> {
        let url = self.clone_url.or(self.html_url).unwrap_or_default();
        Ok(Repository {
            forge_id: self.forge_id,
            full_name: name(self.full_name)?,
            clone_url: url.parse::<CloneUrl>()?,
            html_url: self.html_url.map(str::to_owned),
            private: self.private,
            default_branch: self.default_branch.map(str::to_owned),
        })
    }
}

/// A name that can be shown and stored.
pub(super) fn name(text: &str) -> Result<String, Malformed> {
    let sound = !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control);
    sound.then(|| text.to_owned()).ok_or(Malformed::Name)
}

/// A commit id; all zeros are none.
pub(super) fn sha(field: &'static str, text: &str) -> Result<Option<CommitSha>, Malformed> {
    let sha: CommitSha = text.parse().map_err(|source| Malformed::Sha { field, source })?;
    Ok(Some(sha).filter(|sha| !sha.is_zero()))
}

/// A push of any forge, before it is checked.
pub(super) struct RawPush<'a> {
    pub(super) repository: RawRepository<'a>,
    pub(super) reference: &'a str,
    pub(super) before: &'a str,
    pub(super) after: &'a str,
    /// What `after` leads to, where that is another object.
    pub(super) commit: Option<&'a str>,
    pub(super) forced: bool,
    pub(super) message: Option<&'a str>,
    pub(super) pusher: Option<&'a str>,
    pub(super) installation: Option<u64>,
}

impl RawPush<'_> {
    pub(super) fn checked(self) -> Result<Incoming, Malformed> {
        let reference = match self.reference.parse::<GitRef>() {
            Ok(reference) => reference,
            Err(other @ BadRef::NeitherBranchNorTag(_)) => return Ok(Incoming::Ignored(other.to_string())),
            Err(bad @ BadRef::BadName(_)) => return Err(bad.into()),
        };
        let before = sha("before", self.before)?;
        let after = sha("after", self.after)?;
        if before == after {
            // The test button of Gitea's page sends this; a real push always changes something.
            return Ok(Incoming::Ignored("nothing changed: before equals after".to_owned()));
        }
        let tagged = match (reference.tag(), &after) {
            (Some(_), Some(after)) => {
                self.commit.and_then(|commit| commit.parse().ok()).filter(|commit| commit != after)
            }
            (Some(_), None) | (None, _) => None,
        };
        let moved = before.is_some() && after.is_some();
        Ok(Incoming::Push(Push {
            repository: self.repository.checked()?,
            reference,
            before,
            after,
            tagged,
            forced: self.forced && moved,
            head_message: self.message.map(|message| beginning(message).to_owned()),
            skip_ci: self.message.is_some_and(asks_to_skip),
            pusher: self.pusher.map(|pusher| beginning(pusher).to_owned()),
            installation: self.installation,
            synthetic: false,
        }))
    }
}

/// `[skip ci]` and `[ci skip]`, anywhere in the message and in any case, or GitHub's trailer
/// `skip-checks: true` in its last paragraph.
fn asks_to_skip(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let is_trailer = |line: &str| {
        line.split_once(':')
            .is_some_and(|(name, value)| (name.trim(), value.trim()) == ("skip-checks", "true"))
    };
    // The first line is the title, and no trailer.
    let last_paragraph = message.lines().skip(1).collect::<Vec<_>>();
    let last_paragraph = last_paragraph.rsplit(|line| line.trim().is_empty()).find(|lines| !lines.is_empty());
    message.contains("[skip ci]")
        || message.contains("[ci skip]")
        || last_paragraph.is_some_and(|lines| lines.iter().any(|line| is_trailer(line)))
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("fix\n\n[skip ci]" => true)]
    #[test_case("[ci skip] fix" => true)]
    #[test_case("[SKIP CI]" => true; "any case")]
    #[test_case("é[Skip CI]" => true; "after a letter that is not ASCII")]
    #[test_case("skip ci" => false; "no brackets")]
    #[test_case("[skip  ci]" => false; "two spaces")]
    #[test_case("" => false; "empty")]
    #[test_case("fix\n\n\nskip-checks: true\n" => true; "a trailer")]
    #[test_case("fix\n\nSkip-Checks:true\nSigned-off-by: a" => true; "a trailer among others")]
    #[test_case("fix\n\nskip-checks: true\n\nmore" => false; "not at the end")]
    #[test_case("skip-checks: true" => false; "a title")]
    #[test_case("fix\n\nskip-checks: false" => false; "a trailer that says no")]
    fn skips(message: &str) -> bool {
        asks_to_skip(message)
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let message = "é".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(beginning(&format!("x{message}")).len(), MAX_MESSAGE_BYTES - 1);
    }
}
