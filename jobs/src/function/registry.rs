//! Whose a name is: the bucket `names`.
//!
//! An entry is made once and then only changes hands by these rules, each a compare-and-set: a name in use is its
//! repository's alone; one that was left by a rename leads to the repository for 30 days; one whose repository was
//! removed is its former owner's alone for 90 days. So nobody gets calls that were meant for somebody else.
//!
//! A registration claims its name before its own record is written, and the record says which name it has. An
//! entry whose registration says another name, or is not there, is what a crash left; the reconciler settles it.

use async_nats::jetstream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::FunctionName;
use crate::{
    RepoId, Stored, UserId,
    bucket::{Bucket, BucketError, Entry},
    streams,
};

/// How long a name that was left by a rename leads to the repository: as long as a script goes unnoticed that
/// runs once a month.
pub const RENAMED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the name of a removed repository is its former owner's alone: callers have noticed by then.
pub const REMOVED_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// `names/<name>`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NameEntry {
    /// The repository that has it, or had it.
    pub repo: RepoId,
    /// The folder of the function in the repository; empty for its root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// Whose the repository was when this was written. Of a name in use the registration says it; of a removed one
    /// this does.
    pub owner: UserId,
    /// Since when the repository has it, by a gateway's clock; for people.
    pub since: Timestamp,
    /// Why it is not in use any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerName>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Why a name is not in use. Times are by a gateway's clock: what is counted in days is not wrong by its error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum FormerName {
    /// The repository has another name.
    Renamed {
        /// The name that it got then.
        to: Stored<FunctionName>,
        /// When.
        at: Timestamp,
    },
    /// The repository is not registered any more.
    Removed {
        /// When.
        at: Timestamp,
    },
}

impl NameEntry {
    /// A name in use.
    pub fn of(repo: RepoId, owner: UserId, since: Timestamp) -> Self {
        Self { repo, folder: String::new(), owner, since, former: None, other: Map::new() }
    }

    /// Whether the name is this repository's, and in use.
    pub fn is_in_use_by(&self, repo: RepoId) -> bool {
        self.repo == repo && self.former.is_none()
    }

    /// Whether this repository of this owner may take the name.
    pub fn may_be_taken_by(&self, repo: RepoId, owner: UserId, now: Timestamp) -> bool {
        match &self.former {
            None => self.repo == repo,
            Some(FormerName::Renamed { .. }) => self.repo == repo || self.is_free(now),
            Some(FormerName::Removed { .. }) => self.owner == owner || self.is_free(now),
        }
    }

    /// Whether everybody may take the name.
    pub fn is_free(&self, now: Timestamp) -> bool {
        match &self.former {
            None => false,
            Some(FormerName::Renamed { at, .. }) => now.duration_since(*at) >= RENAMED_FOR,
            Some(FormerName::Removed { at }) => now.duration_since(*at) >= REMOVED_FOR,
        }
    }

    /// When it came out of use.
    pub fn left_at(&self) -> Option<Timestamp> {
        match self.former.as_ref()? {
            FormerName::Renamed { at, .. } | FormerName::Removed { at } => Some(*at),
        }
    }
}

/// All names.
#[derive(Debug, Clone)]
pub struct Names {
    /// Entries by name.
    pub bucket: Bucket<NameEntry>,
}

impl Names {
    pub(crate) async fn open(js: &jetstream::Context) -> Result<Self, BucketError> {
        Ok(Self { bucket: Bucket::open(js, streams::NAMES).await? })
    }

    /// The entry of a name, in use or not.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn get(&self, name: &FunctionName) -> Result<Option<Entry<NameEntry>>, BucketError> {
        self.bucket.get(name.as_str()).await
    }

    /// Makes a name this repository's; `false`: somebody else has it. One that the repository has already stays so.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn claim(&self, name: &FunctionName, repo: RepoId, owner: UserId) -> Result<bool, BucketError> {
        let now = Timestamp::now();
        let claimed = NameEntry::of(repo, owner, now);
        loop {
            let found = self.get(name).await?;
            if found.as_ref().is_some_and(|found| found.value.is_in_use_by(repo)) {
                return Ok(true);
            }
            if found.as_ref().is_some_and(|found| !found.value.may_be_taken_by(repo, owner, now)) {
                return Ok(false);
            }
            let revision = found.map(|found| found.revision);
            if self.bucket.try_write(name.as_str(), &claimed, revision).await?.is_some() {
                return Ok(true);
            }
        }
    }

    /// Claims the first name that is free of those that a URL's last segment gives. Where all are taken, the name
    /// is made of the repository's id.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn claim_first(
        &self,
        segment: &str,
        repo: RepoId,
        owner: UserId,
    ) -> Result<FunctionName, BucketError> {
        for name in FunctionName::candidates(segment).chain([FunctionName::of_id(repo)]) {
            if self.claim(&name, repo, owner).await? {
                return Ok(name);
            }
        }
        Err(BucketError::Conflict { key: FunctionName::of_id(repo).to_string() })
    }

    /// Takes a name of this repository out of use; one of another repository stays as it is.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn leave(
        &self,
        name: &FunctionName,
        repo: RepoId,
        owner: UserId,
        why: FormerName,
    ) -> Result<(), BucketError> {
        let left = |entry: &Entry<NameEntry>| {
            let is_its = entry.value.is_in_use_by(repo);
            is_its.then(|| NameEntry { owner, former: Some(why.clone()), ..entry.value.clone() })
        };
        self.bucket.change(name.as_str(), left).await.map(|_| ())
    }

    /// Frees a name that was claimed for a repository which did not get it after all.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn give_back(&self, name: &FunctionName, repo: RepoId) -> Result<(), BucketError> {
        while let Some(entry) = self.get(name).await? {
            if !entry.value.is_in_use_by(repo) || self.bucket.try_delete(&entry.key, entry.revision).await? {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const REPO: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    const OWNER: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entry(former: Option<FormerName>) -> NameEntry {
        NameEntry {
            former,
            ..NameEntry::of(REPO.parse().unwrap(), OWNER.parse().unwrap(), at("2026-01-01T00:00:00Z"))
        }
    }

    fn renamed() -> Option<FormerName> {
        Some(FormerName::Renamed { to: "tau".into(), at: at("2026-02-01T00:00:00Z") })
    }

    fn removed() -> Option<FormerName> {
        Some(FormerName::Removed { at: at("2026-02-01T00:00:00Z") })
    }

    /// Whether it may be taken by the repository itself, by another of the same owner, and by another owner's.
    #[test_case(None, "2027-01-01T00:00:00Z" => [true, false, false] ; "in use")]
    #[test_case(renamed(), "2026-03-02T23:59:59Z" => [true, false, false] ; "renamed not 30 days ago")]
    #[test_case(renamed(), "2026-03-03T00:00:00Z" => [true, true, true] ; "renamed 30 days ago")]
    #[test_case(removed(), "2026-02-02T00:00:00Z" => [true, true, false] ; "removed a day ago")]
    #[test_case(removed(), "2026-05-01T23:59:59Z" => [true, true, false] ; "removed not 90 days ago")]
    #[test_case(removed(), "2026-05-02T00:00:00Z" => [true, true, true] ; "removed 90 days ago")]
    fn may_be_taken(former: Option<FormerName>, now: &str) -> [bool; 3] {
        let entry = entry(former);
        let may = |repo: RepoId, owner: UserId| entry.may_be_taken_by(repo, owner, at(now));
        let (repo, owner) = (entry.repo, entry.owner);
        [may(repo, owner), may(RepoId::new(), owner), may(RepoId::new(), UserId::new())]
    }

    #[test]
    fn entries_as_they_are_stored() {
        let text = |former| serde_json::to_string(&entry(former)).unwrap();
        insta::assert_snapshot!(text(None), @r#"{"repo":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8058","since":"2026-01-01T00:00:00Z"}"#);
        insta::assert_snapshot!(text(renamed()), @r#"{"repo":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8058","since":"2026-01-01T00:00:00Z","former":{"why":"renamed","to":"tau","at":"2026-02-01T00:00:00Z"}}"#);
        insta::assert_snapshot!(text(removed()), @r#"{"repo":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8058","since":"2026-01-01T00:00:00Z","former":{"why":"removed","at":"2026-02-01T00:00:00Z"}}"#);
    }
}
