//! Deliveries to the GitHub App's webhook that failed are asked for again.
//!
//! They come back to `/webhooks/github` under the same delivery id, so that taking one twice is nothing.

use hooks::app::to_redeliver;

use crate::{error::ApiError, gateway::Gateway};

impl Gateway {
    /// Trouble of GitHub's ends this round alone: the next asks again.
    pub(super) async fn redeliver_failed(&self) -> Result<(), ApiError> {
        let Some(app) = self.app.as_ref().map(crate::app::GithubApp::api) else { return Ok(()) };
        let asking = async {
            for attempt in to_redeliver(&app.attempts().await?) {
                app.redeliver(attempt).await?;
                self.metrics.redelivered();
                tracing::info!(attempt, "a delivery that failed was asked for again");
            }
            Ok::<_, hooks::app::AppError>(())
        };
        if let Err(error) = asking.await {
            let error = anyhow::Error::from(error);
            tracing::warn!(error = format!("{error:#}"), "failed deliveries cannot be asked for");
        }
        Ok(())
    }
}
