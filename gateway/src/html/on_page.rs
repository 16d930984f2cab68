//! A right on a page: whoever lacks it is shown a page that asks to sign in, or says why not.

use std::{ops::Deref, sync::Arc};

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use jobs::JobId;

use crate::{
    auth::rights::Right,
    error::ApiError,
    html::PageError,
    login::{Login, return_path::or_home},
};

/// The right `R`, whose refusal is a page.
pub(crate) struct OnPage<R>(pub(crate) R);

impl<R: Right> Right for OnPage<R> {}

impl<R> Deref for OnPage<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

impl<R, State> FromRequestParts<State> for OnPage<R>
where
    R: FromRequestParts<State, Rejection = ApiError>,
    State: Send + Sync,
    Arc<Login>: FromRef<State>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, PageError> {
        let right = R::from_request_parts(parts, state).await;
        right.map(Self).map_err(|error| {
            let asked = parts.uri.path_and_query().map_or("/", |asked| asked.as_str());
            PageError::at(&Arc::<Login>::from_ref(state), or_home(&page_of(asked)))(error)
        })
    }
}

/// The page to which what was asked belongs: that of a job for its buttons. What comes from outside and is no id
/// leads nowhere.
pub(super) fn page_of(asked: &str) -> String {
    let path = asked.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        // A code that was typed, or came with the link, is not lost.
        ["device"] => asked.to_owned(),
        ["tokens", ..] => "/tokens".to_owned(),
        ["jobs", id, ..] if id.parse::<JobId>().is_ok() => format!("/jobs/{id}"),
        ["deliveries", key, ..] if is_key(key) => format!("/deliveries/{key}"),
        _ => "/".to_owned(),
    }
}

/// Whether this could be the id of a delivery.
fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    #[test_case("/jobs/01900000-0000-7000-8000-000000000007?key=a" => "/jobs/01900000-0000-7000-8000-000000000007" ; "the key of a link opens nothing for whoever signs in")]
    #[test_case("/jobs/01900000-0000-7000-8000-000000000007/cancel" => "/jobs/01900000-0000-7000-8000-000000000007" ; "a button")]
    #[test_case("/deliveries/abababababababababababababababababababababababababababababababab/approve" => "/deliveries/abababababababababababababababababababababababababababababababab" ; "an approval")]
    #[test_case("/deliveries/x" => "/" ; "no id")]
    #[test_case("/tokens/7/revoke" => "/tokens")]
    #[test_case("/device?user_code=BCDF-GHJK" => "/device?user_code=BCDF-GHJK" ; "a code")]
    #[test_case("/" => "/")]
    #[test_case("/link" => "/")]
    fn the_page_of_what_was_asked(asked: &str) -> String {
        super::page_of(asked)
    }
}
