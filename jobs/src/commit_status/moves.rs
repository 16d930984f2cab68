//! The moves of an entry that anybody may make; each is then written by compare-and-set.

use super::{ClaimedStatus, CommitStatus, Posted, StatusIssues};

/// Why a final state is posted once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepostReason {
    /// The forge rejected it, and may take it now.
    Rejected,
    /// The forge shows something else.
    Differs,
}

impl CommitStatus {
    /// A newer job or delivery speaks for the commit. What was posted, who is posting, and that a request
    /// went unanswered stay; what is of the older job alone goes.
    ///
    /// `None` unless `newer` takes precedence: any job before a delivery, of two jobs the one that was made
    /// later, and of two deliveries the other one.
    pub fn superseded_by(&self, newer: &Self) -> Option<Self> {
        let gives_way = match (&self.delivery, &newer.delivery) {
            (Some(one), Some(other)) => one != other,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => self.job != newer.job && self.created_revision < newer.created_revision,
        };
        gives_way.then(|| Self {
            v: newer.v,
            job: newer.job,
            created_revision: newer.created_revision,
            delivery: newer.delivery.clone(),
            rejection: None,
            rejected_state: None,
            // A newer job has a check run of its own.
            check_run: None,
            check_run_unsure: false,
            issues: self.issues.for_newer_job(),
            ..self.clone()
        })
    }

    /// The poster with this token has the entry for itself. Allowed at any time: whether a claim of somebody
    /// else is old enough to be taken over, the poster decides. Whoever had it and did not release it
    /// may have sent something, so then a request counts as unanswered.
    pub fn claim(&self, poster: &str) -> ClaimedStatus {
        let mut claimed = Self { poster: Some(poster.to_owned()), ..self.clone() };
        claimed.check_run_unsure |= self.is_claimed();
        claimed.issues.unanswered |= self.is_claimed();
        ClaimedStatus::new(claimed)
    }

    /// The forge shows what was posted, or there is no way to tell: nothing is left to be verified.
    ///
    /// `None` unless it [awaits verification](Self::awaits_verification).
    pub fn verified(&self) -> Option<Self> {
        self.awaits_verification().then(|| {
            let posted = self.posted.clone().map(|posted| Posted { to_verify: false, ..posted });
            let issues = StatusIssues { unanswered: false, ..self.issues };
            Self { posted, issues, ..self.clone() }
        })
    }

    /// The final state is to be posted once more; posters are then to be notified.
    ///
    /// `None` unless it holds what the reason says: the final state [was
    /// rejected](Self::final_state_was_rejected), or it [awaits verification](Self::awaits_verification).
    pub fn repost(&self, reason: RepostReason) -> Option<Self> {
        let before = match reason {
            RepostReason::Rejected => self.final_state_was_rejected().then(|| self.clone()),
            RepostReason::Differs => self.awaits_verification().then(|| self.shown_differently()),
        };
        before.map(|before| Self { rejection: None, rejected_state: None, ..before })
    }

    fn shown_differently(&self) -> Self {
        let differences = self.issues.differences + 1;
        Self {
            posted: None,
            // What the check run has already is counted before anything is added.
            check_run_unsure: self.check_run.is_some(),
            issues: StatusIssues { differences, ..self.issues },
            ..self.clone()
        }
    }
}
