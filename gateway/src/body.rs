//! Bodies of requests: bounded, and understood or refused with a sentence.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts},
};
use bytes::Bytes;
use http::{Request, request::Parts};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The largest JSON body, in bytes: far above what any request of ours needs.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;

/// A JSON body, whatever its content type says: programs of the published interface send none.
pub(crate) struct Wanted<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Wanted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), MAX_BODY_BYTES).await?;
        Ok(Self(json(&bytes)?))
    }
}

/// The fields of a query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| ApiError::BadRequest(error.body_text()))
    }
}

/// The whole body, if it is not longer than `limit`.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    to_bytes(body, limit).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.is::<http_body_util::LengthLimitError>() {
                return ApiError::TooLarge(limit);
            }
            cause = error.source();
        }
        ApiError::BadRequest("the body broke off".to_owned())
    })
}

/// Reads JSON.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::BadRequest(format!("the body is not as expected: {error}")))
}
