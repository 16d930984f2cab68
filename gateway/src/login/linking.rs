//! Which accounts a user may link.

use jobs::accounts::ALL_SCOPES;

use crate::{
    auth::identity::Identity,
    error::ApiError,
    login::{LoginOption, SignIns},
};

/// A sign-in with a linked account has every scope, permanently: a token that is narrowed or that expires may
/// not link one.
pub(crate) fn may_link(caller: &Identity) -> Result<(), ApiError> {
    if caller.expires_at.is_some() {
        return Err(ApiError::Forbidden("a token that ends cannot link an account".to_owned()));
    }
    ALL_SCOPES.into_iter().try_for_each(|scope| caller.require_scope(scope))
}

impl SignIns {
    /// The providers whose accounts the caller may link: all but that of the caller's session.
    pub(crate) async fn linkable(&self, caller: &Identity) -> Result<Vec<LoginOption>, ApiError> {
        if may_link(caller).is_err() || self.login.options().is_empty() {
            return Ok(Vec::new());
        }
        let session = match caller.session {
            Some(id) => self.login.sessions.get(id).await?,
            None => None,
        };
        Ok(self.login.options_except(session.as_ref().map(|session| session.provider.as_str())))
    }
}
