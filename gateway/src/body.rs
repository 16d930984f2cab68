//! Bodies of requests: bounded in length and time, and understood or refused with a sentence.

use std::time::Duration;

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

/// A body that takes longer than this is held back on purpose. 25 MiB come in time at 10 Mbit/s.
const TIME: Duration = Duration::from_secs(25);

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

/// The whole body, if it is not longer than `limit` bytes and comes in time.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(TIME, to_bytes(body, limit)).await;
    let read = read.map_err(|_| ApiError::TooSlow(TIME.as_secs()))?;
    read.map_err(|error| {
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

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_held_back_is_not_waited_for() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(futures_util::StreamExt::chain(first, stream::pending()));
        assert!(matches!(read(body, 100).await, Err(ApiError::TooSlow(25))));
    }

    #[tokio::test]
    async fn a_body_is_bounded() {
        assert_eq!(read(Body::from("abc"), 3).await.unwrap(), "abc");
        assert!(matches!(read(Body::from("abcd"), 3).await, Err(ApiError::TooLarge(3))));
    }
}
