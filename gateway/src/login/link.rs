//! `POST /link`: somebody who is signed in lets an account at a provider lead to his user as well.
//!
//! That must be his own wish, for whoever has the account is him from then on: it begins with a form
//! that carries the session's word. The answer is a page that leads on and not a redirect, since our
//! pages may send forms to ourselves only, and browsers hold a form's redirects to that.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header};
use jobs::accounts::ALL_SCOPES;
use serde::Deserialize;

use crate::{
    auth::caller::Caller,
    error::ApiError,
    extract::Form,
    login::{Offer, SignIns, attempt::Attempt, error::LoginError},
    pages,
    pages::PageError,
    state::Gateway,
};

/// Of the form.
#[derive(Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    provider: String,
    /// The session's word.
    #[serde(default)]
    form: String,
}

/// `POST /link`
pub(crate) async fn link(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Form(wish): Form<Wish>,
) -> Result<Response, PageError> {
    let begun = begun(&gateway, &headers, &wish).await;
    begun.map_err(|error| PageError::at(&gateway, "/")(error.into()))
}

async fn begun(gateway: &Gateway, headers: &HeaderMap, wish: &Wish) -> Result<Response, LoginError> {
    let session = pages::checked(gateway, headers, &wish.form)?;
    let caller = gateway.access.bearer_of(&session).await?;
    may_link(&caller)?;
    let which = gateway.login.chosen(Some(&wish.provider))?;
    let attempt = Attempt::new(which, Some("/".to_owned()), Some(caller.user.id));
    let address = gateway.login.address(&attempt, &gateway.config.login).await?;
    let page = pages::leaving(address.host_str().unwrap_or_default(), address.as_str());
    Ok(([(header::SET_COOKIE, attempt.cookie(gateway))], page).into_response())
}

/// Who signs in with the account has every scope, and for good: a token that was narrowed or that ends
/// begins no link.
fn may_link(caller: &Caller) -> Result<(), ApiError> {
    if caller.expires_at.is_some() {
        return Err(ApiError::Forbidden("a token that ends cannot link an account".to_owned()));
    }
    ALL_SCOPES.into_iter().try_for_each(|scope| caller.needs(scope))
}

impl SignIns {
    /// The providers whose accounts the caller may link: all but that of his sign-in.
    pub(crate) async fn linkable(&self, caller: &Caller) -> Result<Vec<Offer>, ApiError> {
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
