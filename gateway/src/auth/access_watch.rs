//! Access of long-lived requests: it is checked again about every second, so that streams end when a token
//! is revoked, a session ends or access to a repository is withdrawn.

use std::time::Duration;

use jobs::{Job, UserId, accounts::Scope};

use crate::{
    auth::identity::Access,
    error::ApiError,
    http::{client_ip, connections::SendGuard},
};

/// Between one check's answer and the next check, so that a slow NATS is asked less often. A check is four
/// reads at most, and the number of streams that a user may have open is limited.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// With which credential a job is read.
pub(crate) enum JobAccess {
    /// With the key of the job's link: the caller is anonymous.
    Link,
    /// With this token.
    Token { user: UserId, token: String, scope: Scope },
}

impl Access {
    /// Counts an anonymous read by link against its address, until the response was sent.
    pub(crate) fn count_link_read(&self, access: &JobAccess) -> Result<Option<SendGuard>, ApiError> {
        match access {
            JobAccess::Link => Ok(Some(SendGuard::new(self.limits.acquire_link_read(client_ip::address())?))),
            JobAccess::Token { .. } => Ok(None),
        }
    }

    /// Returns the reason once this access to the job is no longer allowed.
    pub(crate) async fn until_revoked(&self, access: &JobAccess, job: &Job) -> ApiError {
        loop {
            tokio::time::sleep(RECHECK_INTERVAL).await;
            match self.recheck(access, job).await {
                Ok(()) => {}
                Err(over @ (ApiError::Unauthorized(_) | ApiError::Forbidden(_) | ApiError::NotFound(_))) => {
                    return over;
                }
                // An internal error: nothing new is read meanwhile either.
                Err(error) => {
                    let error: anyhow::Error = error.into();
                    tracing::debug!(error = format!("{error:#}"), "access recheck failed");
                }
            }
        }
    }

    async fn recheck(&self, access: &JobAccess, job: &Job) -> Result<(), ApiError> {
        let is_shown = match access {
            JobAccess::Link => self.is_link_enabled(job).await?,
            JobAccess::Token { token, scope, .. } => {
                let caller = self.identify(token).await?;
                caller.require_scope(*scope)?;
                self.can_view_job(&caller, job).await?
            }
        };
        if is_shown { Ok(()) } else { Err(ApiError::NotFound("job")) }
    }
}
