//! Tests of the index without a ledger.

use jiff::Timestamp;
use jobs::{CommitState, JobSpec, Posted, RecordKey, RepoId, State, UserId};
use prometheus_client::metrics::family::Family;

use super::*;
use crate::crypto::record_verifier::{RecordVerifier, SigningMark};

fn entry(owner: UserId, revision: u64, state: State, repo: Option<RepoId>) -> Change<Job> {
    let job = Job::new(JobSpec { repo, ..JobSpec::call(owner, "https://example.com/r") });
    let job = with_state(&job, state);
    Change::Put(Box::new(Entry {
        key: job.spec.id.to_string(),
        value: job,
        revision,
        written_at: Timestamp::UNIX_EPOCH,
    }))
}

fn with_state(job: &Job, state: State) -> Job {
    let mut job = job.clone();
    job.status.state = state;
    job
}

fn with_owner(job: &Job, owner: UserId) -> Job {
    let spec = JobSpec { owner, ..job.spec.clone() };
    Job { spec, ..job.clone() }
}

fn id(change: &Change<Job>) -> JobId {
    match change {
        Change::Put(entry) => entry.value.spec.id,
        Change::Deleted(_) => unreachable!("not made here"),
    }
}

#[test]
fn lists_are_newest_first_and_hold_ones_own_and_ones_repositories_jobs_once() {
    let folder = tempfile::tempdir().unwrap();
    let index = Tables::open(folder.path()).unwrap();
    let (me, other, repo) = (UserId::new(), UserId::new(), RepoId::new());
    let changes = [
        entry(me, 1, State::Finish, None),
        entry(other, 2, State::Pending, None),
        entry(other, 3, State::Pending, Some(repo)),
        entry(me, 4, State::Pending, Some(repo)),
    ];
    index.apply_jobs(&changes, None, Durability::Now).unwrap();
    let list = |filter: JobFilter, after, limit| index.jobs(&filter, after, limit).unwrap();
    let mine = JobFilter { owner: Some(me), repos: vec![repo], ..JobFilter::default() };
    assert_eq!(list(mine.clone(), None, 10), [id(&changes[3]), id(&changes[2]), id(&changes[0])]);
    assert_eq!(list(mine.clone(), None, 1), [id(&changes[3])]);
    assert_eq!(list(mine.clone(), Some(id(&changes[2])), 10), [id(&changes[0])]);
    let waiting = JobFilter { state: Some(State::Pending), ..mine };
    assert_eq!(list(waiting, None, 10), [id(&changes[3]), id(&changes[2])]);
    assert_eq!(list(JobFilter { everyone: true, ..JobFilter::default() }, None, 10).len(), 4);
    assert_eq!(index.pending_jobs_of(other).unwrap(), 2);
}

#[test]
fn an_older_revision_changes_nothing_and_a_final_one_closes_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let index = Tables::open(folder.path()).unwrap();
    let change = entry(UserId::new(), 5, State::Working, None);
    let Change::Put(working) = &change else { unreachable!("made as Put") };
    index.apply_jobs(std::slice::from_ref(&change), None, Durability::Later).unwrap();
    let older =
        Entry { revision: 4, value: with_state(&working.value, State::Pending), ..(**working).clone() };
    index.apply_jobs(&[Change::Put(Box::new(older))], None, Durability::Later).unwrap();
    assert_eq!(index.open_jobs().unwrap()[0].state, State::Working);
    let end = Entry { revision: 6, value: with_state(&working.value, State::Finish), ..(**working).clone() };
    index.apply_jobs(&[Change::Put(Box::new(end))], None, Durability::Later).unwrap();
    assert!(index.open_jobs().unwrap().is_empty());
}

#[test]
fn a_position_outlives_the_process_and_goes_with_its_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let position = Position { created: "then".to_owned(), sequence: 9 };
    let index = Tables::open(folder.path()).unwrap();
    index
        .apply_jobs(&[entry(UserId::new(), 9, State::Pending, None)], Some(&position), Durability::Now)
        .unwrap();
    drop(index);
    let index = Tables::open(folder.path()).unwrap();
    assert_eq!(index.position("jobs").unwrap(), Some(position));
    index.clear_bucket("jobs").unwrap();
    assert_eq!(index.position("jobs").unwrap(), None);
    assert!(index.open_jobs().unwrap().is_empty());
}

fn commit(job: JobId, posted: Option<(u64, CommitState, bool)>) -> CommitStatus {
    let fresh = CommitStatus::of_job(RepoId::new(), &"a".repeat(40).parse().unwrap(), "gitfaas/push", job, 1);
    let Some((revision, state, to_verify)) = posted else { return fresh };
    let mut claimed = fresh.claim("w1");
    let now = claimed.clone();
    claimed.posted(Posted { job, revision, state, to_verify, running: false, running_after_ms: None });
    claimed.release(&now).unwrap()
}

/// As bytes, for no move leads to every one of these.
fn refused(job: JobId, state: CommitState, rejections: u32) -> CommitStatus {
    let mut json = serde_json::to_value(commit(job, Some((1, CommitState::Pending, false)))).unwrap();
    json["refused"] = "404".into();
    json["refused_state"] = serde_json::to_value(state).unwrap();
    json["doubts"] = serde_json::json!({ "refusals": rejections });
    serde_json::from_value(json).unwrap()
}

#[test]
fn an_end_is_doubtful_until_it_is_seen_at_the_forge_or_was_refused_too_often() {
    let folder = tempfile::tempdir().unwrap();
    let index = Tables::open(folder.path()).unwrap();
    let job = JobId::new();
    let issue = |value: CommitStatus| {
        let entry = Entry { key: "k".to_owned(), value, revision: 9, written_at: Timestamp::UNIX_EPOCH };
        index.apply_commits(&[Change::Put(Box::new(entry))], None, Durability::Later).unwrap();
        index.status_issues(10).unwrap().get("k").copied()
    };
    let success = CommitState::Success;
    assert_eq!(issue(commit(job, None)), None);
    assert_eq!(
        issue(commit(job, Some((7, success, true)))),
        Some(StatusIssue { rejections: 0, revision: 7 })
    );
    assert_eq!(issue(commit(job, Some((7, success, false)))), None);
    assert_eq!(issue(refused(job, CommitState::Pending, 0)), None, "its end will be said");
    assert_eq!(issue(refused(job, success, 2)), Some(StatusIssue { rejections: 2, revision: 1 }));
    assert_eq!(issue(refused(job, success, 5)), None);
    assert_eq!(issue(commit(JobId::new(), Some((8, success, true)))).map(|issue| issue.revision), Some(8));
    index.apply_commits(&[Change::Deleted("k".to_owned())], None, Durability::Later).unwrap();
    assert!(index.status_issues(10).unwrap().is_empty());
}

#[test]
fn a_job_is_unposted_until_its_commit_says_otherwise_and_again_when_its_end_is_to_be_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let index = Tables::open(folder.path()).unwrap();
    let change = entry(UserId::new(), 5, State::Finish, None);
    let Change::Put(put) = &change else { unreachable!("made as Put") };
    let mut job = put.value.clone();
    job.spec.context = Some("gitfaas/push".to_owned());
    let (id, with_context) = (job.spec.id, Entry { value: job, ..(**put).clone() });
    index.apply_jobs(&[Change::Put(Box::new(with_context))], None, Durability::Later).unwrap();
    let unposted = |value: CommitStatus| {
        let entry = Entry { key: "k".to_owned(), value, revision: 9, written_at: Timestamp::UNIX_EPOCH };
        index.apply_commits(&[Change::Put(Box::new(entry))], None, Durability::Later).unwrap();
        index.unposted_count().unwrap()
    };
    assert_eq!(index.unposted_count().unwrap(), 1);
    assert_eq!(unposted(commit(id, Some((4, CommitState::Pending, false)))), 1, "that was before its end");
    assert_eq!(unposted(commit(id, Some((5, CommitState::Success, true)))), 0);
    assert_eq!(unposted(commit(id, None)), 1, "it is to be said again");
    assert_eq!(unposted(commit(JobId::new(), None)), 1, "of a job that is not known nothing is said");
}

fn with_verifier(folder: &std::path::Path, key: &RecordKey) -> Tables {
    let mark = SigningMark { sequence: 0, at: Timestamp::UNIX_EPOCH };
    let records = RecordVerifier::new(key.clone(), Some(mark), Family::default());
    Tables::open(folder).unwrap().with_verifier(Arc::new(records))
}

#[test]
fn what_is_not_believed_is_nobodys_and_waits_to_be_ended() {
    let (folder, key) = (tempfile::tempdir().unwrap(), RecordKey::new([7; 32]));
    let index = with_verifier(folder.path(), &key);
    let (me, other, repo) = (UserId::new(), UserId::new(), RepoId::new());
    let change = entry(me, 5, State::Pending, Some(repo));
    let Change::Put(put) = &change else { unreachable!("made as Put") };
    let signed = Job { signature: Some(key.sign(&put.value, None)), ..put.value.clone() };
    let at = |revision, job: &Job| {
        let entry = Entry { value: job.clone(), revision, ..(**put).clone() };
        index.apply_jobs(&[Change::Put(Box::new(entry))], None, Durability::Later).unwrap();
    };
    let of = |owner| {
        let filter = JobFilter { owner: Some(owner), ..JobFilter::default() };
        index.jobs(&filter, None, 10).unwrap().len()
    };
    let everyones = JobFilter { everyone: true, ..JobFilter::default() };
    at(5, &signed);
    assert_eq!(
        (of(me), index.pending_jobs_of(me).unwrap(), index.unverified_jobs().unwrap().len()),
        (1, 1, 0)
    );

    at(6, &with_owner(&signed, other));
    assert_eq!((of(me), of(other), index.pending_jobs_of(other).unwrap()), (0, 0, 0));
    assert!(index.open_jobs().unwrap().is_empty() && index.open_jobs_of(repo).unwrap().is_empty());
    assert_eq!(index.unverified_jobs().unwrap(), [signed.spec.id]);
    assert_eq!(index.jobs(&everyones, None, 10).unwrap(), [signed.spec.id], "admins see it");

    at(7, &with_state(&with_owner(&signed, other), State::Error));
    assert!(index.unverified_jobs().unwrap().is_empty() && index.was_final(signed.spec.id).unwrap());
    at(8, &signed);
    assert!(index.was_final(signed.spec.id).unwrap(), "an end stays one");
    assert_eq!((of(me), index.pending_jobs_of(me).unwrap()), (1, 0));
    assert_eq!(index.unverified_jobs().unwrap(), [signed.spec.id], "it goes on after its end");
    index.apply_jobs(&[Change::Deleted(put.key.clone())], None, Durability::Later).unwrap();
    assert!(index.unverified_jobs().unwrap().is_empty() && of(me) == 0);
}

#[test]
fn a_copy_under_another_key_changes_neither_job() {
    let (folder, key) = (tempfile::tempdir().unwrap(), RecordKey::new([7; 32]));
    let index = with_verifier(folder.path(), &key);
    let change = entry(UserId::new(), 5, State::Pending, None);
    let Change::Put(put) = &change else { unreachable!("made as Put") };
    let signed = Job { signature: Some(key.sign(&put.value, None)), ..put.value.clone() };
    let copy = with_state(&signed, State::Finish);
    for (at, revision, job) in [(signed.spec.id, 5, &signed), (JobId::new(), 6, &copy)] {
        let entry = Entry { key: at.to_string(), value: job.clone(), revision, ..(**put).clone() };
        index.apply_jobs(&[Change::Put(Box::new(entry))], None, Durability::Later).unwrap();
    }
    assert!(!index.was_final(signed.spec.id).unwrap());
    assert_eq!(index.open_jobs().unwrap().len(), 1);
}

#[test]
fn an_idempotency_key_is_charged_to_its_owner_for_a_day() {
    let index = Tables::open(tempfile::tempdir().unwrap().path()).unwrap();
    let owner = UserId::new();
    let put = |at: Timestamp| {
        let value = IdempotencyKey {
            owner,
            job: JobId::new(),
            request: "r".to_owned(),
            made: false,
            other: serde_json::Map::new(),
        };
        let entry = Entry { key: IdempotencyKey::key(owner, "k"), value, revision: 1, written_at: at };
        index.apply_idempotency_keys(&[Change::Put(Box::new(entry))], None, Durability::Later).unwrap();
        index.delivery_sizes(owner).unwrap()
    };
    let first = Timestamp::now();
    let later = first + jobs::idempotency::LIFE + jiff::SignedDuration::from_secs(1);
    let sizes = put(first);
    assert_eq!((sizes.len(), sizes[0].is_final), (1, true));
    assert!(sizes[0].bytes > 200 && !sizes[0].is_expired(first) && sizes[0].is_expired(later));
    let sizes = put(later);
    assert_eq!((sizes.len(), sizes[0].is_expired(later)), (1, false), "it is used once more");
    index.clear_bucket(jobs::streams::DELIVERIES).unwrap();
    assert_eq!(index.delivery_sizes(owner).unwrap(), sizes, "it came from another bucket");
    index.forget_charged(&[sizes[0].key.clone()]).unwrap();
    assert!(index.delivery_sizes(owner).unwrap().is_empty());
}
