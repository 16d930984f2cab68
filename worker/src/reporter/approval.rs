//! The status of a commit that waits for an approval: it has no job, and what is to be said of it only a
//! gateway knows, which reads the delivery.

use std::time::Instant;

use jobs::{
    ClaimedStatus, JobId, Posted,
    grants::{GrantReply, GrantRequest},
};

use super::{
    Done, Reporter,
    pace::{Account, Asker, Urgency},
    posting::{NO_GATEWAY_WAIT, NotYet, Turn},
    words,
};

impl Reporter {
    /// Tells the forge what a gateway says of the delivery. Whoever changes what is to be said sends
    /// another message.
    pub(super) async fn turn_of_delivery(
        &self,
        key: &str,
        claimed: &ClaimedStatus,
        delivery: &str,
        taken: Instant,
    ) -> Turn {
        let mut next = claimed.clone();
        let request = GrantRequest::Delivery { commit: key.to_owned(), delivery: delivery.to_owned() };
        let grant = match self.grants.ask(&request, self.stale_token(key)).await {
            GrantReply::Delivery(grant) => grant,
            // It was approved or forgotten in between: then there is nothing to be said of it.
            GrantReply::Refused { .. } => return Turn::over(next, Done::Ack),
            GrantReply::Unavailable { .. } | GrantReply::Job(_) | GrantReply::Status(_) => {
                return Turn::over(next, Done::Again(Some(NO_GATEWAY_WAIT)));
            }
        };
        let takes_checks = grant.status.checks;
        let (target, post) = match words::of_delivery(claimed, grant) {
            Ok(message) => message,
            Err(reason) => {
                tracing::warn!(delivery, reason, "a grant cannot be read");
                return Turn::over(next, Done::Ack);
            }
        };
        let nobody = JobId::from_bytes([0; 16]);
        let told = next.last_posted();
        if told.is_some_and(|posted| posted.job == nobody && posted.state == post.state)
            || next.was_rejected(post.state)
        {
            return Turn::over(next, Done::Ack);
        }
        let account = Account::of(&target, &post.owner);
        let budget = if takes_checks { self.checks.budget(&target) } else { self.statuses.budget(&target) };
        let urgency = if post.state.is_final() { Urgency::Final } else { Urgency::First };
        let asker = Asker { key, urgency, workers: self.workers(), budget };
        if let Err(wait) = self.pace.ask(&account, asker, Instant::now()) {
            return Turn::over(next, Done::Again(Some(wait)));
        }
        let sent = if takes_checks {
            self.check_run(&target, words::check_run_of_delivery(&post, delivery), &mut next, taken).await
        } else {
            self.statuses.post(&target, &post).await.map_err(NotYet::Forge)
        };
        match sent {
            Ok(()) => {
                tracing::info!(delivery, repo = %claimed.repo(), sha = claimed.sha().short(), state = ?post.state, "status posted");
                let posted = Posted {
                    job: nobody,
                    revision: 0,
                    state: post.state,
                    running: false,
                    running_after_ms: None,
                    to_verify: false,
                };
                next.posted(posted);
                Turn::over(next, Done::Ack)
            }
            Err(NotYet::Later) => Turn::over(next, Done::Again(None)),
            Err(NotYet::Forge(error)) => {
                if let hooks::status::StatusError::Unauthorized { .. } = error {
                    self.note_stale(key, &target);
                }
                self.refused(&account, post.state, next, error)
            }
        }
    }
}
