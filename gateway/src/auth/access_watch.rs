//! Requests that last: who was let in is looked up again about every second, so that a token that was
//! revoked, a sign-in that ended and a repository that was taken away end here too.

use std::time::Duration;

use jobs::{Job, UserId, accounts::Scope};

use crate::{
    auth::identity::Access,
    error::ApiError,
    http::{client_ip, connections::UntilSent},
};

/// Between an answer and the next look, so a slow NATS is asked less often. A look is four reads at
/// most, and how many streams a user may have open is limited.
const PAUSE: Duration = Duration::from_secs(1);

/// How somebody came to a job.
pub(crate) enum Way {
    /// By the key of its link: he is nobody.
    Link,
    /// With this token.
    Token { user: UserId, token: String, scope: Scope },
}

impl Access {
    /// What is read this way: of whoever came by a link it is counted, beside the answer, until that was sent.
    pub(crate) fn counted(&self, way: &Way) -> Result<Option<UntilSent>, ApiError> {
        match way {
            Way::Link => Ok(Some(UntilSent::new(self.limits.reads_by_link(client_ip::address())?))),
            Way::Token { .. } => Ok(None),
        }
    }

    /// Goes on until whoever came this way may not see the job any more; then says why.
    pub(crate) async fn until_over(&self, way: &Way, job: &Job) -> ApiError {
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.check_still(way, job).await {
                Ok(()) => {}
                Err(over @ (ApiError::Unauthorized(_) | ApiError::Forbidden(_) | ApiError::NotFound(_))) => {
                    return over;
                }
                // Trouble of ours: nothing new is read meanwhile either.
                Err(error) => {
                    let error: anyhow::Error = error.into();
                    tracing::debug!(error = format!("{error:#}"), "a reader was not looked up again");
                }
            }
        }
    }

    async fn check_still(&self, way: &Way, job: &Job) -> Result<(), ApiError> {
        let is_shown = match way {
            Way::Link => self.opens_with_link(job).await?,
            Way::Token { token, scope, .. } => {
                let caller = self.identified(token).await?;
                caller.needs(*scope)?;
                self.is_seen(&caller, job).await?
            }
        };
        if is_shown { Ok(()) } else { Err(ApiError::NotFound("job")) }
    }
}
