//! Which accounts a user may link.

use jobs::accounts::ALL_SCOPES;

use crate::{
    auth::identity::Identity,
    error::ApiError,
    login::{Offer, SignIns},
};

/// Who signs in with the account has every scope, and for good: a token that was narrowed or that ends
/// begins no link.
pub(crate) fn may_link(caller: &Identity) -> Result<(), ApiError> {
    if caller.expires_at.is_some() {
        return Err(ApiError::Forbidden("a token that ends cannot link an account".to_owned()));
    }
    ALL_SCOPES.into_iter().try_for_each(|scope| caller.needs(scope))
}

impl SignIns {
    /// The providers whose accounts the caller may link: all but that of his sign-in.
    pub(crate) async fn linkable(&self, caller: &Identity) -> Result<Vec<Offer>, ApiError> {
        if may_link(caller).is_err() || self.login.offers().is_empty() {
            return Ok(Vec::new());
        }
        let session = match caller.session {
            Some(id) => self.login.sessions.get(id).await?,
            None => None,
        };
        Ok(self.login.offers_besides(session.as_ref().map(|session| session.provider.as_str())))
    }
}
