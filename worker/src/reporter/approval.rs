//! The status of a commit that waits for an approval: it has no job, and only a gateway knows what to post,
//! which reads the delivery.

use std::time::Instant;

use jobs::{
    ClaimedStatus, JobId, Posted,
    grants::{GrantReply, GrantRequest},
};

use super::{
    MessageAction, Reporter,
    post::{NO_GATEWAY_WAIT, PostAttempt, PostError},
    render,
    throttle::{Account, PostRequest, Urgency},
};

impl Reporter {
    /// Posts what a gateway says of the delivery. Whoever changes that sends another message.
    pub(super) async fn post_delivery(
        &self,
        key: &str,
        claimed: &ClaimedStatus,
        delivery: &str,
        claimed_at: Instant,
    ) -> PostAttempt {
        let mut next = claimed.clone();
        let request = GrantRequest::Delivery { commit: key.to_owned(), delivery: delivery.to_owned() };
        let grant = match self.grants.ask(&request, self.take_stale_token(key)).await {
            GrantReply::Delivery(grant) => grant,
            // It was approved or deleted in between: then there is nothing to post.
            GrantReply::Refused { .. } => return PostAttempt::over(next, MessageAction::Ack),
            GrantReply::Unavailable { .. } | GrantReply::Job(_) | GrantReply::Status(_) => {
                return PostAttempt::over(next, MessageAction::Redeliver(Some(NO_GATEWAY_WAIT)));
            }
        };
        let takes_checks = grant.status.checks;
        let (target, post) = match render::delivery_status(claimed, grant) {
            Ok(message) => message,
            Err(reason) => {
                tracing::warn!(delivery, reason, "malformed grant");
                return PostAttempt::over(next, MessageAction::Ack);
            }
        };
        let no_job = JobId::from_bytes([0; 16]);
        let posted = next.last_posted();
        if posted.is_some_and(|posted| posted.job == no_job && posted.state == post.state)
            || next.was_rejected(post.state)
        {
            return PostAttempt::over(next, MessageAction::Ack);
        }
        let account = Account::of(&target, &post.owner);
        let budget = if takes_checks { self.checks.budget(&target) } else { self.statuses.budget(&target) };
        let urgency = if post.state.is_final() { Urgency::Final } else { Urgency::First };
        let request_to_post = PostRequest { key, urgency, workers: self.workers(), budget };
        if let Err(wait) = self.throttle.admit(&account, request_to_post, Instant::now()) {
            return PostAttempt::over(next, MessageAction::Redeliver(Some(wait)));
        }
        let sent = if takes_checks {
            self.check_run(&target, render::delivery_check_run(&post, delivery), &mut next, claimed_at).await
        } else {
            self.statuses.post(&target, &post).await.map_err(PostError::Forge)
        };
        match sent {
            Ok(()) => {
                tracing::info!(delivery, repo = %claimed.repo(), sha = claimed.sha().short(), state = ?post.state, "status posted");
                let posted = Posted {
                    job: no_job,
                    revision: 0,
                    state: post.state,
                    running: false,
                    running_after_ms: None,
                    to_verify: false,
                };
                next.posted(posted);
                PostAttempt::over(next, MessageAction::Ack)
            }
            Err(PostError::OutOfTime) => PostAttempt::over(next, MessageAction::Redeliver(None)),
            Err(PostError::Forge(error)) => {
                if let hooks::status::StatusError::Unauthorized { .. } = error {
                    self.remember_stale_token(key, &target);
                }
                self.classify(&account, post.state, next, error)
            }
        }
    }
}
