//! Versions: what was built green from a branch or tag of a registered repository, and so may be called.
//!
//! A forge serves the commits of forks by their ids too, so a commit that somebody names is no version by itself: a
//! gateway writes an entry for each push that ended in success, and nothing else makes one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    CommitSha, GitRef, Job, JobId, RefName, RepoId, SecretEvent, State, Stored, StoredJson, bucket::Entry,
    manifest::Http,
};

/// The function of a repository's root, in keys. A folder's function has its slug there, which has no such character.
const ROOT: &str = "_";

/// A commit that was built green: `versions/<repo>.<function>.<sha>`. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The job that built it.
    pub job: JobId,
    /// Its manifest's language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What its manifest says of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<StoredJson<Http>>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The newest green commit of a ref: `live/<repo>.<function>.<sha256(ref)>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveVersion {
    /// Which commit.
    pub sha: CommitSha,
    /// The revision of the record of the push's first job: a later push has a larger one.
    pub push_revision: u64,
    /// The ref, which the key tells only as a digest.
    #[serde(rename = "ref")]
    pub reference: Stored<RefName>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Version {
    /// What its manifest says of calls. Of what a newer program wrote, and this one cannot read, the defaults.
    pub fn http(&self) -> Http {
        self.http.as_ref().and_then(StoredJson::get).unwrap_or_default()
    }
}

/// `<repo>.<function>.<sha>`
pub fn version_key(repo: RepoId, sha: &CommitSha) -> String {
    format!("{repo}.{ROOT}.{sha}")
}

/// `<repo>.<function>.<sha256(ref)>`
pub fn live_key(repo: RepoId, reference: &str) -> String {
    format!("{repo}.{ROOT}.{}", hex::encode(Sha256::digest(reference.as_bytes())))
}

/// A push of a branch or tag that ended in success.
#[derive(Debug, Clone, PartialEq)]
pub struct GreenPush {
    /// The registered repository.
    pub repo: RepoId,
    /// The branch or tag.
    pub reference: GitRef,
    /// Its commit.
    pub sha: CommitSha,
    /// Orders pushes of the ref: see [`LiveVersion::push_revision`].
    pub push_revision: u64,
    /// What is written of it.
    pub version: Version,
}

impl GreenPush {
    /// The push that this verified record ends, if it is one that makes a version.
    ///
    /// Pull requests, calls and their reruns make none, nor does a push that a filter skipped: nothing was built.
    /// `event` is the signed one, which a rerun has from what it repeats.
    pub fn of(entry: &Entry<Job>, event: Option<SecretEvent>) -> Option<Self> {
        let Job { spec, status, .. } = &entry.value;
        let is_push = match event? {
            SecretEvent::Push | SecretEvent::Tag => !spec.untrusted,
            SecretEvent::PullRequest | SecretEvent::Call => false,
        };
        let is_green = match status.state {
            State::Finish => status.cause.is_none(),
            State::Pending | State::Working | State::Error => false,
        };
        if !is_push || !is_green {
            return None;
        }
        Some(Self {
            repo: spec.repo?,
            reference: spec.reference.as_ref()?.get()?.as_git_ref()?.clone(),
            sha: spec.sha.clone()?,
            push_revision: spec.push_revision.unwrap_or_else(|| entry.created_revision()),
            version: Version {
                job: spec.id,
                language: status.language.clone(),
                http: status.http.clone(),
                other: Map::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use test_case::test_case;

    use super::*;
    use crate::{Cause, JobSpec, Trigger, UserId};

    const PUSH: Option<SecretEvent> = Some(SecretEvent::Push);

    fn green() -> Entry<Job> {
        let spec = JobSpec {
            trigger: Trigger::Push,
            repo: Some(RepoId::new()),
            reference: Some("refs/heads/main".into()),
            sha: Some("a".repeat(40).parse().unwrap()),
            ..JobSpec::call(UserId::new(), "https://example.com/r.git")
        };
        let mut job = Job::new(spec);
        job.status.state = State::Finish;
        job.status.created_revision = Some(7);
        Entry { key: job.spec.id.to_string(), value: job, revision: 9, written_at: Timestamp::UNIX_EPOCH }
    }

    fn changed(change: impl FnOnce(&mut Job)) -> Entry<Job> {
        let mut entry = green();
        change(&mut entry.value);
        entry
    }

    #[test]
    fn a_push_that_ended_in_success_makes_a_version() {
        let entry = green();
        let push = GreenPush::of(&entry, PUSH).unwrap();
        assert_eq!((push.reference.as_str(), push.push_revision), ("refs/heads/main", 7));
        assert_eq!((Some(push.sha), push.version.job), (entry.value.spec.sha, entry.value.spec.id));
    }

    #[test_case(changed(|job| job.spec.trigger = Trigger::Rerun), PUSH => true ; "a rerun of a push")]
    #[test_case(changed(|job| job.spec.reference = Some("refs/tags/v1".into())), Some(SecretEvent::Tag) => true ; "a tag")]
    #[test_case(green(), Some(SecretEvent::PullRequest) => false ; "a pull request")]
    #[test_case(green(), Some(SecretEvent::Call) => false ; "a call")]
    #[test_case(green(), None => false ; "of an unknown event")]
    #[test_case(changed(|job| job.status.state = State::Error), PUSH => false ; "red")]
    #[test_case(changed(|job| job.status.state = State::Working), PUSH => false ; "not over")]
    #[test_case(changed(|job| job.status.cause = Some(Cause::Skipped)), PUSH => false ; "skipped")]
    #[test_case(changed(|job| job.spec.untrusted = true), PUSH => false ; "untrusted")]
    #[test_case(changed(|job| job.spec.repo = None), PUSH => false ; "a bare URL")]
    #[test_case(changed(|job| job.spec.reference = Some("refs/pull/1/head".into())), PUSH => false ; "neither branch nor tag")]
    #[test_case(changed(|job| job.spec.sha = None), PUSH => false ; "without a commit")]
    fn makes_a_version(entry: Entry<Job>, event: Option<SecretEvent>) -> bool {
        GreenPush::of(&entry, event).is_some()
    }

    #[test]
    fn entries_as_they_are_stored() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let version = Version {
            job: id.parse().unwrap(),
            language: Some("python".to_owned()),
            http: None,
            other: Map::new(),
        };
        insta::assert_snapshot!(serde_json::to_string(&version).unwrap(), @r#"{"job":"01890a5d-ac96-774b-bcce-b302099a8057","language":"python"}"#);
        let live = LiveVersion {
            sha: "a".repeat(40).parse().unwrap(),
            push_revision: 7,
            reference: "refs/heads/main".into(),
            other: Map::new(),
        };
        insta::assert_snapshot!(serde_json::to_string(&live).unwrap(), @r#"{"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","push_revision":7,"ref":"refs/heads/main"}"#);
        let (repo, sha) = (id.parse().unwrap(), "a".repeat(40).parse().unwrap());
        assert_eq!(version_key(repo, &sha), format!("{id}._.{sha}"));
        assert!(live_key(repo, "refs/heads/main").starts_with(&format!("{id}._.")));
    }
}
