//! Requests redelivery of failed deliveries to the GitHub App's webhook.
//!
//! They arrive at `/webhooks/github` under the same delivery id, so that receiving one twice is harmless.

use std::collections::HashSet;

use hooks::{
    app::{AppError, MAX_AT_ONCE, to_redeliver},
    status::StatusError,
};

use crate::{error::ApiError, reconcile::ref_poll::RefPoll, repos::installation::GithubApp};

impl RefPoll {
    /// An error of GitHub ends this round alone: the next one retries. A delivery that it refuses to resend
    /// goes into `refused`, and is tried after all others from then on.
    pub(super) async fn redeliver_failed(&self, refused: &mut HashSet<u64>) -> Result<(), ApiError> {
        let Some(app) = self.app.as_deref().map(GithubApp::api) else {
            return Ok(());
        };
        let asking = async {
            for attempt in redelivery_order(to_redeliver(&app.attempts().await?), refused) {
                match app.redeliver(attempt).await {
                    Ok(()) => {
                        self.metrics.redelivered();
                        tracing::info!(attempt, "redelivery requested");
                    }
                    Err(error) => {
                        let reason = refusal_reason(error)?;
                        refused.insert(attempt);
                        tracing::warn!(attempt, reason, "redelivery refused");
                    }
                }
            }
            Ok::<_, AppError>(())
        };
        if let Err(error) = asking.await {
            let error = anyhow::Error::from(error);
            tracing::warn!(error = format!("{error:#}"), "listing failed deliveries failed");
        }
        Ok(())
    }
}

/// The redeliveries that this round requests, in order. Refusals that are not listed any more are dropped.
fn redelivery_order(mut failed: Vec<u64>, refused: &mut HashSet<u64>) -> Vec<u64> {
    refused.retain(|attempt| failed.contains(attempt));
    failed.sort_by_key(|attempt| refused.contains(attempt));
    failed.truncate(MAX_AT_ONCE);
    failed
}

/// Why GitHub refused one attempt; any other error would be the same for the next one.
fn refusal_reason(error: AppError) -> Result<String, AppError> {
    match error {
        AppError::Forge(StatusError::Refused { reason }) => Ok(reason),
        error @ (AppError::Forge(
            StatusError::RetryAfter { .. }
            | StatusError::Retry { .. }
            | StatusError::Unauthorized { .. }
            | StatusError::Moved { .. },
        )
        | AppError::Key(_)
        | AppError::Client(_)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use test_case::test_case;

    use super::*;

    #[test]
    fn what_was_refused_comes_last_and_keeps_no_other_from_its_turn() {
        let mut refused: HashSet<u64> = (1..=60).chain([99]).collect();
        assert_eq!(redelivery_order((1..=62).collect(), &mut refused)[..4], [61, 62, 1, 2]);
        assert_eq!(redelivery_order((1..=62).collect(), &mut refused).len(), MAX_AT_ONCE);
        assert!(!refused.contains(&99), "it is too old by now");
    }

    #[test_case(StatusError::Refused { reason: String::new() } => true ; "this one alone")]
    #[test_case(StatusError::RetryAfter { wait: Duration::from_secs(60), reason: String::new() } => false ; "asked too often")]
    #[test_case(StatusError::Retry { reason: String::new() } => false ; "out of reach")]
    #[test_case(StatusError::Unauthorized { reason: String::new() } => false ; "the proof is not taken")]
    fn goes_on_after(error: StatusError) -> bool {
        refusal_reason(error.into()).is_ok()
    }
}
