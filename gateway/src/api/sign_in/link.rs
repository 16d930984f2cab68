//! `POST /link`: links an account at a provider to the user who is signed in.
//!
//! That must be the user's own fields, since the account signs in as that user from then on: it begins with a form
//! that carries the session's word. The answer is a page that leads on and not a redirect, since our
//! pages may send forms to ourselves only, and browsers hold a form's redirects to that.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde::Deserialize;

use crate::{
    auth::{identity::Identity, rights::AnyScope},
    html::{
        PageError,
        form::{FormCaller, FormFields},
        sign_in,
    },
    login::{attempt::Attempt, error::LoginError, linking::may_link},
    state::Gateway,
};

/// Of the form.
#[derive(Deserialize)]
pub(crate) struct LinkForm {
    #[serde(default)]
    provider: String,
    /// The session's word.
    #[serde(default)]
    form: String,
}

impl FormFields for LinkForm {
    fn csrf_token(&self) -> &str {
        &self.form
    }
}

/// `POST /link`
pub(crate) async fn link(
    State(gateway): State<Gateway>,
    form: FormCaller<AnyScope, LinkForm>,
) -> Result<Response, PageError> {
    let begun = begin(&gateway, &form, &form.fields).await;
    begun.map_err(|error| PageError::at(&gateway.login, "/")(error.into()))
}

async fn begin(gateway: &Gateway, caller: &Identity, fields: &LinkForm) -> Result<Response, LoginError> {
    may_link(caller)?;
    let which = gateway.login.choose_provider(Some(&fields.provider))?;
    let attempt = Attempt::new(which, Some("/".to_owned()), Some(caller.user.id));
    let address = gateway.login.authorization_url(&attempt, &gateway.config.login).await?;
    let page = sign_in::leaving(address.host_str().unwrap_or_default(), address.as_str());
    Ok(([(header::SET_COOKIE, attempt.cookie(&gateway.sign_ins))], page).into_response())
}
