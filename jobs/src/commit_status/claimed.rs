//! The moves of an entry that only its poster may make.
//!
//! They are noted on the poster's own copy, and written when it releases the entry: by then a newer job may
//! speak for the commit, or another poster may have taken over.

use std::ops::Deref;

use super::{CommitStatus, Posted};
use crate::CommitState;

/// An entry that a poster has for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedStatus(CommitStatus);

impl Deref for ClaimedStatus {
    type Target = CommitStatus;

    fn deref(&self) -> &CommitStatus {
        &self.0
    }
}

impl ClaimedStatus {
    pub(super) fn new(status: CommitStatus) -> Self {
        Self(status)
    }

    /// The forge took this. It ends every rejection, and every question about the check run.
    pub fn posted(&mut self, posted: Posted) {
        self.0.posted = Some(posted);
        self.0.rejection = None;
        self.0.rejected_state = None;
        self.0.check_run_unsure = false;
    }

    /// The forge, or a gateway, will not take this state; the job's next one is posted all the same. A final
    /// state that is rejected is counted.
    pub fn rejected(&mut self, state: CommitState, reason: String) {
        self.0.rejection = Some(reason);
        self.0.rejected_state = Some(state);
        self.0.issues.rejections += u32::from(state.is_final());
    }

    /// A request went unanswered: the forge may act on it long after.
    pub fn unanswered(&mut self) {
        self.0.issues.unanswered = true;
    }

    /// The forge made a check run for the newest job.
    pub fn check_run_created(&mut self, id: u64) {
        self.0.check_run = Some(id);
    }

    /// The forge was asked which check run it has; one that it does not list any more keeps its id.
    pub fn check_run_found(&mut self, id: Option<u64>) {
        self.0.check_run = id.or(self.0.check_run);
        self.0.check_run_unsure = false;
    }

    /// Before the next request about the check run, the forge is to be asked what it has.
    pub fn recheck_check_run(&mut self) {
        self.0.check_run_unsure = true;
    }

    /// Gives the entry back, as it is `now`, with what was noted since it was claimed. A newer job that was
    /// written in between stays: of what was noted, it takes over what was posted and whether a request
    /// went unanswered; the rest belongs to the older job.
    ///
    /// `None` when it is not this poster's any more.
    pub fn release(&self, now: &CommitStatus) -> Option<CommitStatus> {
        if now.poster != self.0.poster {
            return None;
        }
        let noted = &self.0;
        let mut freed = CommitStatus { posted: noted.posted.clone(), poster: None, ..now.clone() };
        freed.issues.unanswered |= noted.issues.unanswered;
        let is_same_job = freed.job == noted.job && freed.delivery == noted.delivery;
        Some(if is_same_job {
            CommitStatus {
                rejection: noted.rejection.clone(),
                rejected_state: noted.rejected_state,
                check_run: noted.check_run,
                check_run_unsure: noted.check_run_unsure,
                issues: noted.issues,
                ..freed
            }
        } else {
            freed
        })
    }
}
