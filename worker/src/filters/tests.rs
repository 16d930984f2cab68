//! Which filters say no.

use std::{sync::Arc, time::Duration};

use hooks::address::Allow;
use jobs::{
    CommitSha, JobId, Outcome,
    manifest::{Ceilings, Languages},
};
use test_case::test_case;

use super::*;
use crate::{
    checkout::{Credential, MirrorSettings},
    disk_quota::DiskQuota,
    execution_request::Origin,
    output::LogSink,
    result_reuse::ReusableResult,
    sandbox::{CacheScope, JobTag},
    source::test_repository::Repository,
};

struct Any;

impl Languages for Any {
    fn required_fields(&self, _: &str) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Has no credential, and is asked for nothing else.
struct Nobody;

impl AttemptContext for Nobody {
    fn log(&self) -> Arc<dyn LogSink> {
        unreachable!("a filter writes no log")
    }

    async fn credential(&self) -> Result<Option<Credential>, Outcome> {
        Ok(None)
    }

    async fn secrets(&self, _: &[String]) -> Result<Vec<(String, String)>, Outcome> {
        unreachable!("a filter needs no secret")
    }

    async fn learned(&self, _: Option<&CommitSha>, _: &str) {}

    async fn superseded(&self, _: Option<bool>) -> Option<Outcome> {
        None
    }

    async fn reusable_result(&self) -> ReusableResult {
        ReusableResult::None
    }
}

fn filter(globs: &[&str]) -> Filter {
    Filter::new(globs).unwrap()
}

#[test_case(&["lib/**"], &[] => true ; "the manifest's")]
#[test_case(&[], &["lib/**"] => true ; "the registration's")]
#[test_case(&["docs/**"], &[] => false ; "nothing of it changed")]
#[test_case(&["lib/**", "!**/*.py"], &[] => false ; "what changed is excluded")]
#[test_case(&["!docs/**"], &[] => true ; "all but what did not change")]
#[test_case(&["!lib/**", "!main.py"], &[] => false ; "all but what changed")]
#[test_case(&["lib/**"], &["*.py"] => false ; "each passes one of them")]
#[test_case(&["lib/**"], &["**/*.py"] => true ; "one passes both")]
fn what_changed_passes(manifest: &[&str], registration: &[&str]) -> bool {
    let repository = Repository::new();
    let (old, new) = (repository.first(), repository.commit("echo 2 > main.py; echo 2 > lib/c.py"));
    lets_through(&[filter(manifest), filter(registration)], &old, &new)
}

#[test]
fn what_cannot_be_compared_passes() {
    let repository = Repository::new();
    let (old, new) = (repository.first(), repository.commit("echo 2 > main.py"));
    std::fs::remove_dir_all(repository.path().join(".git/objects")).unwrap();
    assert!(lets_through(&[filter(&["docs/**"])], &old, &new));
}

#[test_case(Trigger::Push, "refs/heads/main", r#"{"branches": ["release"]}"# => Some("branch main is not listed".to_owned()) ; "another branch")]
#[test_case(Trigger::Push, "refs/heads/release", r#"{"branches": ["release"]}"# => None ; "a listed branch")]
#[test_case(Trigger::Tag, "refs/tags/v1", r#"{"branches": ["release"], "paths": ["docs/**"]}"# => None ; "a tag is not filtered")]
#[test_case(Trigger::Call, "refs/heads/main", r#"{"branches": ["release"]}"# => None ; "nor is a call")]
#[test_case(Trigger::Rerun, "refs/heads/main", r#"{"branches": ["release"]}"# => None ; "nor is a rerun")]
#[test_case(Trigger::Push, "refs/heads/main", r#"{"paths": ["docs/**"]}"# => None ; "the base cannot be had")]
#[tokio::test]
async fn a_filter_says_no(trigger: Trigger, reference: &str, fields: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    // Nothing may be reached, so no base can be had.
    let mirrors = Mirrors::open(MirrorSettings {
        directory: folder.path().to_owned(),
        allow: Allow::none(),
        ca_bundle: None,
        max_bytes: 1 << 20,
        timeout: Duration::from_secs(60),
        disk: DiskQuota::new(1 << 30),
    })
    .unwrap();
    let text = format!(r#"{{"language": "python", {}"#, &fields[1..]);
    let manifest = Manifest::parse(text.as_bytes(), &Ceilings::default(), &Any).unwrap();
    let sha = |digit: &str| digit.repeat(40).parse().ok();
    let request = ExecutionRequest {
        tag: JobTag { job: JobId::new(), attempt: 1 },
        source: JobSource::Commit {
            url: "http://127.0.0.1:9/a/pi.git".parse().unwrap(),
            sha: sha("b"),
            reference: Some(reference.to_owned()),
            before: sha("a"),
        },
        args: None,
        trigger,
        origin: Origin::Forge,
        is_function_call: false,
        paths: Filter::default(),
        cache_scope: CacheScope::new("a", String::new()),
    };
    let files = Files::Commit(Repository::new().first());
    skip_reason(&mirrors, &request, &manifest, &files, &Nobody).await
}
