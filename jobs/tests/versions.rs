//! Versions on a real server: which stay when there are too many.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use jobs::{
    CommitSha, JobId, RefHead, RepoId, UserId,
    function::{Alias, AliasName, AliasTarget, GreenPush, MAX_VERSIONS, Version, version_key},
    head_key,
};
use support::Nats;

const MAIN: &str = "refs/heads/main";

fn sha(n: usize) -> CommitSha {
    format!("{n:040x}").parse().unwrap()
}

#[tokio::test]
async fn of_too_many_versions_the_oldest_go_that_nothing_leads_to() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let (repo, other) = (RepoId::new(), RepoId::new());
    let version = || Version { job: JobId::new(), language: None, http: None, other: serde_json::Map::new() };
    for n in 0..MAX_VERSIONS {
        ledger.versions.create(&version_key(repo, &sha(n)), &version()).await.unwrap();
    }
    ledger.versions.create(&version_key(other, &sha(0)), &version()).await.unwrap();
    let alias: AliasName = "stable".parse().unwrap();
    let target = AliasTarget::To(sha(0));
    let alias_of_oldest = Alias::new(target, UserId::new(), jiff::Timestamp::UNIX_EPOCH);
    ledger.aliases.create(&alias.key(repo), &alias_of_oldest).await.unwrap();
    assert_eq!(ledger.prune_versions(repo).await.unwrap(), 0, "as many as are kept");

    let head = RefHead {
        before: None,
        after: sha(MAX_VERSIONS),
        job: None,
        reference: Some(MAIN.into()),
        other: serde_json::Map::new(),
    };
    ledger.heads.create(&head_key(repo, MAIN), &head).await.unwrap();
    let green = GreenPush {
        repo,
        reference: MAIN.parse().unwrap(),
        sha: sha(MAX_VERSIONS),
        push_revision: 7,
        version: version(),
    };
    assert!(ledger.publish(&green).await.unwrap(), "it is live");
    let left = ledger.versions.subjects_under(&format!("{repo}.")).await.unwrap();
    assert_eq!(left.len(), MAX_VERSIONS + 1 - 100);
    let is_there = |n: usize| left.contains(&version_key(repo, &sha(n)));
    assert!(is_there(0), "an alias leads to the oldest");
    assert!(!is_there(1) && !is_there(100) && is_there(101) && is_there(MAX_VERSIONS));
    assert!(!ledger.publish(&green).await.unwrap(), "it is live already");
    assert_eq!(ledger.versions.subjects_under(&format!("{other}.")).await.unwrap().len(), 1);
}
