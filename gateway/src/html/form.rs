//! What a form must carry: a word that belongs to its session.
//!
//! A browser sends the session's cookie with whatever another site makes it send; so every write
//! carries the session's word, which that site cannot know.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRef, FromRequest},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Request};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    auth::{
        identity::{Access, Identity},
        rights::{RequiredScope, with_scope},
    },
    crypto::keyring::Keyring,
    error::ApiError,
    extract::Form,
    html::{PageError, on_page::page_of},
    http::credentials::session_cookie,
    login::{Login, return_path::or_home},
};

/// The fields of a form that changes something.
pub(crate) trait FormFields: DeserializeOwned + Send + Sync {
    /// The CSRF token: derived from the session's cookie.
    fn csrf_token(&self) -> &str;

    /// The page that the form is on; `asked` is the path that it was sent to.
    fn page(&self, asked: &str) -> String {
        page_of(asked)
    }
}

/// What a right is that reads the body: a handler has it as its last argument.
pub(crate) trait FormRight {}

/// A form's fields, sent by whoever has the session whose CSRF token it carries, with the scope `S`.
pub(crate) struct FormCaller<S, F> {
    pub(crate) identity: Identity,
    /// The session's cookie.
    pub(crate) cookie: String,
    pub(crate) fields: F,
    scope: PhantomData<S>,
}

impl<S, F> FormRight for FormCaller<S, F> {}

impl<S, F> Deref for FormCaller<S, F> {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl<S, F, State> FromRequest<State> for FormCaller<S, F>
where
    S: RequiredScope,
    F: FormFields,
    State: Send + Sync,
    Arc<Access>: FromRef<State>,
    Arc<Keyring>: FromRef<State>,
    Arc<Login>: FromRef<State>,
{
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &State) -> Result<Self, Response> {
        let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
        let Form(fields) = Form::<F>::from_request(request, state).await?;
        let identified = async {
            let cookie = checked(&Arc::<Keyring>::from_ref(state), &headers, fields.csrf_token())?;
            let identity = Arc::<Access>::from_ref(state).authenticate(&cookie).await?;
            Ok((with_scope::<S>(identity)?, cookie))
        };
        match identified.await {
            Ok((identity, cookie)) => Ok(Self { identity, cookie, fields, scope: PhantomData }),
            Err(error) => {
                let login = Arc::<Login>::from_ref(state);
                Err(PageError::at(&login, or_home(&fields.page(&path)))(error).into_response())
            }
        }
    }
}

/// Of every form that changes something.
#[derive(Deserialize)]
pub(crate) struct CsrfForm {
    #[serde(default)]
    pub(crate) form: String,
}

impl FormFields for CsrfForm {
    fn csrf_token(&self) -> &str {
        &self.form
    }
}

/// Fields in the order in which the page has them: a box that is ticked twice is there twice.
impl FormFields for Vec<(String, String)> {
    fn csrf_token(&self) -> &str {
        self.iter().find(|(name, _)| name == "form").map_or("", |(_, token)| token)
    }
}

/// Whether the browser says that a page of ours sent this; old ones do not say.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// The session, if the form carries its CSRF token.
pub(crate) fn checked(keys: &Keyring, headers: &HeaderMap, token: &str) -> Result<String, ApiError> {
    let session = session_cookie(headers).ok_or(ApiError::Unauthorized("sign in first"))?;
    if !is_same_origin(headers) || !keys.is_form(&session, token) {
        return Err(ApiError::Forbidden("this form is not of your session; load the page again".to_owned()));
    }
    Ok(session)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(None => true ; "an old browser")]
    #[test_case(Some("same-origin") => true)]
    #[test_case(Some("cross-site") => false)]
    #[test_case(Some("same-site") => false)]
    fn sent_from_here(site: Option<&str>) -> bool {
        let headers = site.map(|site| ("sec-fetch-site".parse().unwrap(), site.parse().unwrap()));
        is_same_origin(&HeaderMap::from_iter(headers))
    }
}
