//! What a form must carry: a word that belongs to its session.
//!
//! A browser sends the session's cookie with whatever another site makes it send; so every write
//! carries the session's word, which that site cannot know.

use http::HeaderMap;
use serde::Deserialize;

use crate::{crypto::keyring::Keyring, error::ApiError, http::credentials::session};

/// Of every form that changes something.
#[derive(Deserialize)]
pub(crate) struct Word {
    #[serde(default)]
    pub(crate) form: String,
}

/// Whether the browser says that a page of ours sent this; old ones do not say.
pub(crate) fn is_from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// The session, if the form carries its word.
pub(crate) fn checked(keys: &Keyring, headers: &HeaderMap, word: &str) -> Result<String, ApiError> {
    let session = session(headers).ok_or(ApiError::Unauthorized("sign in first"))?;
    if !is_from_here(headers) || !keys.is_form(&session, word) {
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
        is_from_here(&HeaderMap::from_iter(headers))
    }
}
