//! The table of moves, and the stored bytes of each version.

use serde_json::json;
use test_case::test_case;

use super::*;

fn sha() -> CommitSha {
    "a".repeat(40).parse().unwrap()
}

fn repo() -> RepoId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

fn job(n: u8) -> JobId {
    JobId::from_bytes([n; 16])
}

fn of_job(n: u8) -> CommitStatus {
    CommitStatus::of_job(repo(), &sha(), "gitfaas/push", job(n), n.into())
}

fn of_delivery(delivery: &str) -> CommitStatus {
    CommitStatus::of_delivery(repo(), &sha(), "gitfaas/push", delivery)
}

fn post(n: u8, state: CommitState) -> Posted {
    let to_verify = state.is_final();
    Posted { job: job(n), revision: 7, state, running: false, running_after_ms: None, to_verify }
}

/// Claims an entry, makes these moves, and gives it back.
fn turn(status: &CommitStatus, moves: impl Fn(&mut ClaimedStatus)) -> CommitStatus {
    let mut claimed = status.claim("w1");
    let stored = claimed.clone();
    moves(&mut claimed);
    claimed.release(&stored).unwrap()
}

fn posted(status: &CommitStatus, n: u8, state: CommitState) -> CommitStatus {
    turn(status, |claimed| claimed.posted(post(n, state)))
}

fn rejected(status: &CommitStatus, state: CommitState) -> CommitStatus {
    turn(status, |claimed| claimed.rejected(state, "422".to_owned()))
}

/// Only the fields that moves change.
fn changeable(status: &CommitStatus) -> Value {
    let mut json = serde_json::to_value(status).unwrap();
    for same in ["repo", "sha", "context", "job", "created_revision", "v"] {
        json.as_object_mut().unwrap().remove(same);
    }
    json
}

#[test_case(|status| status.clone() => json!({}); "fresh")]
#[test_case(|status| CommitStatus::clone(&status.claim("w1")) => json!({"poster": "w1"}); "claim")]
#[test_case(|status| CommitStatus::clone(&status.claim("w1").claim("w2"))
    => json!({"poster": "w2", "check_run_unsure": true, "doubts": {"unanswered": true, "refusals": 0, "differences": 0}})
    ; "claim of what another poster did not release")]
#[test_case(|status| posted(&status, 1, CommitState::Pending)
    => json!({"posted": {"job": job(1), "revision": 7, "state": "pending"}}); "posted")]
#[test_case(|status| posted(&status, 1, CommitState::Success)
    => json!({"posted": {"job": job(1), "revision": 7, "state": "success", "to_compare": true}}); "posted final")]
#[test_case(|status| posted(&rejected(&status, CommitState::Pending), 1, CommitState::Pending)
    => json!({"posted": {"job": job(1), "revision": 7, "state": "pending"}}); "posted ends a rejection")]
#[test_case(|status| rejected(&status, CommitState::Pending)
    => json!({"refused": "422", "refused_state": "pending"}); "rejected")]
#[test_case(|status| rejected(&status, CommitState::Error)
    => json!({"refused": "422", "refused_state": "error", "doubts": {"unanswered": false, "refusals": 1, "differences": 0}})
    ; "rejected final")]
#[test_case(|status| turn(&status, ClaimedStatus::unanswered)
    => json!({"doubts": {"unanswered": true, "refusals": 0, "differences": 0}}); "unanswered")]
#[test_case(|status| turn(&status, |claimed| claimed.check_run_created(5)) => json!({"check_run": 5}); "check run created")]
#[test_case(|status| turn(&status, ClaimedStatus::recheck_check_run) => json!({"check_run_unsure": true}); "recheck")]
#[test_case(|status| turn(&turn(&status, ClaimedStatus::recheck_check_run), |claimed| claimed.check_run_found(Some(5)))
    => json!({"check_run": 5}); "check run found")]
#[test_case(|status| turn(&turn(&status, |claimed| claimed.check_run_created(5)), |claimed| claimed.check_run_found(None))
    => json!({"check_run": 5}); "check run found nowhere")]
#[test_case(|status| posted(&turn(&status, ClaimedStatus::unanswered), 1, CommitState::Error).verified().unwrap()
    => json!({"posted": {"job": job(1), "revision": 7, "state": "error"}}); "verified")]
#[test_case(|status| rejected(&status, CommitState::Error).repost(RepostReason::Rejected).unwrap()
    => json!({"doubts": {"unanswered": false, "refusals": 1, "differences": 0}}); "repost of what was rejected")]
#[test_case(|status| {
    let status = turn(&status, |claimed| claimed.check_run_created(5));
    posted(&status, 1, CommitState::Error).repost(RepostReason::Differs).unwrap()
} => json!({"check_run": 5, "check_run_unsure": true, "doubts": {"unanswered": false, "refusals": 0, "differences": 1}})
    ; "repost of what is shown differently")]
fn a_move_yields(moves: impl FnOnce(CommitStatus) -> CommitStatus) -> Value {
    changeable(&moves(of_job(1)))
}

#[test_case(|status| status.verified(); "verified before anything was posted")]
#[test_case(|status| posted(&status, 1, CommitState::Pending).verified(); "verified of what is pending")]
#[test_case(|status| posted(&status, 1, CommitState::Success).verified()?.verified(); "verified twice")]
#[test_case(|status| posted(&status, 2, CommitState::Success).verified(); "verified of an older job")]
#[test_case(|status| status.repost(RepostReason::Rejected); "repost before anything was rejected")]
#[test_case(|status| rejected(&status, CommitState::Pending).repost(RepostReason::Rejected); "repost of what is pending")]
#[test_case(|status| status.repost(RepostReason::Differs); "repost before anything was posted")]
#[test_case(|status| status.superseded_by(&of_job(1)); "superseded by the same job")]
#[test_case(|status| status.superseded_by(&of_job(0)); "superseded by an older job")]
#[test_case(|status| status.superseded_by(&of_delivery("d")); "superseded by a delivery")]
#[test_case(|status| status.claim("w1").release(&status); "release of what is not claimed")]
#[test_case(|status| status.claim("w1").release(&status.claim("w2")); "release of what another has")]
fn a_move_is_not_allowed(moves: impl FnOnce(CommitStatus) -> Option<CommitStatus>) {
    assert_eq!(moves(of_job(1)), None);
}

#[test]
fn a_newer_job_keeps_what_was_posted_and_who_is_posting_alone() {
    let old = turn(&of_job(1), |claimed| {
        claimed.posted(post(1, CommitState::Pending));
        claimed.check_run_created(5);
        claimed.recheck_check_run();
        claimed.unanswered();
        claimed.rejected(CommitState::Error, "422".to_owned());
    });
    let new = old.claim("w1").superseded_by(&of_job(2)).unwrap();
    assert_eq!((new.job(), new.created_revision()), (job(2), 2));
    assert_eq!(
        changeable(&new),
        json!({
            "posted": {"job": job(1), "revision": 7, "state": "pending"},
            "poster": "w1",
            "doubts": {"unanswered": true, "refusals": 0, "differences": 0},
        })
    );
}

#[test]
fn any_job_comes_before_a_delivery_and_a_delivery_before_another() {
    let waits = of_delivery("d1");
    assert_eq!(waits.superseded_by(&waits), None);
    let other = waits.superseded_by(&of_delivery("d2")).unwrap();
    assert_eq!((other.delivery(), other.v), (Some("d2"), 2));
    let with_job = other.superseded_by(&of_job(1)).unwrap();
    assert_eq!((with_job.delivery(), with_job.v, with_job.job()), (None, 1, job(1)));
}

#[test]
fn of_a_job_that_was_superseded_while_it_was_claimed_only_what_was_posted_is_noted() {
    let mut claimed = of_job(1).claim("w1");
    let now = claimed.superseded_by(&of_job(2)).unwrap();
    claimed.posted(post(1, CommitState::Success));
    claimed.check_run_created(5);
    claimed.unanswered();
    claimed.rejected(CommitState::Error, "422".to_owned());
    let released = claimed.release(&now).unwrap();
    assert_eq!(released.job(), job(2));
    assert_eq!(
        changeable(&released),
        json!({
            "posted": {"job": job(1), "revision": 7, "state": "success", "to_compare": true},
            "doubts": {"unanswered": true, "refusals": 0, "differences": 0},
        })
    );
    assert!(!released.awaits_verification(), "an older job's state is not verified");
}

const JOB: &str = r#"{"v":1,"repo":"01890a5d-ac96-774b-bcce-b302099a8057","sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","context":"gitfaas/push","job":"01890a5d-ac96-774b-bcce-b302099a8058","created_revision":12}"#;
const EVERYTHING: &str = r#"{"v":1,"repo":"01890a5d-ac96-774b-bcce-b302099a8057","sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","context":"gitfaas/push","job":"01890a5d-ac96-774b-bcce-b302099a8058","created_revision":12,"posted":{"job":"01890a5d-ac96-774b-bcce-b302099a8058","revision":14,"state":"pending","running":true,"running_after_ms":5000,"to_compare":true},"poster":"0011223344556677","refused":"422","refused_state":"failure","check_run":9,"check_run_unsure":true,"doubts":{"unanswered":true,"refusals":2,"differences":1},"nonce":"0123456789abcdef","of_a_newer_program":{"a":[1]}}"#;
const DELIVERY: &str = r#"{"v":2,"repo":"01890a5d-ac96-774b-bcce-b302099a8057","sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","context":"gitfaas/pull-request","job":"00000000-0000-0000-0000-000000000000","created_revision":0,"delivery":"d1","nonce":"0123456789abcdef"}"#;

#[test_case(JOB; "version 1, just made")]
#[test_case(EVERYTHING; "version 1 with every field")]
#[test_case(DELIVERY; "version 2")]
fn stored_bytes_are_written_back_unchanged(bytes: &str) {
    let read: CommitStatus = serde_json::from_str(bytes).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), bytes);
}

#[test]
fn an_entry_from_before_versions_is_read() {
    let bytes = JOB.replace(r#""v":1,"#, "");
    let read: CommitStatus = serde_json::from_str(&bytes).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), JOB);
}

#[test]
fn a_rejection_without_a_state_is_of_no_state() {
    let bytes = JOB.replace('}', r#","refused":"422"}"#);
    let read: CommitStatus = serde_json::from_str(&bytes).unwrap();
    assert_eq!((read.rejection(), read.final_state_was_rejected()), (Some("422"), false));
}
