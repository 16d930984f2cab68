//! Bodies of requests: bounded in length and time, and understood or refused with a sentence.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts},
};
use bytes::Bytes;
use http::{Request, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The largest JSON body, in bytes: far above what any request of ours needs.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;

/// A body that takes longer than this is held back on purpose. 25 MiB come in time at 10 Mbit/s.
const TIME: Duration = Duration::from_secs(25);

/// What is read of a body that is refused, so that its sender hears why: twice the largest delivery.
const DISCARD_BYTES: usize = 50 << 20;

/// For how long that is read at most.
const DISCARD_TIME: Duration = Duration::from_secs(5);

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
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(TIME, Limited::new(&mut body, limit).collect()).await;
    let read = read.map_err(|_| ApiError::TooSlow(TIME.as_secs()))?;
    match read {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(body).await;
            Err(ApiError::TooLarge(limit))
        }
        Err(_) => Err(ApiError::BadRequest("the body broke off".to_owned())),
    }
}

/// Reads what is left of a body and forgets it, within bounds. Who is still sending when the connection is
/// closed sees that it broke, not the answer: RFC 9112, section 9.6.
pub(crate) async fn discard(mut body: Body) {
    let mut left = DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // Whether it came to its end or not, the answer is the same.
    let _: Result<(), tokio::time::error::Elapsed> = tokio::time::timeout(DISCARD_TIME, reading).await;
}

/// Reads JSON.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::BadRequest(format!("the body is not as expected: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

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

    /// An endless body of such chunks that counts what is taken of it.
    fn counted(taken: &Arc<AtomicUsize>, chunk: usize) -> Body {
        let taken = Arc::clone(taken);
        Body::from_stream(stream::repeat_with(move || {
            taken.fetch_add(chunk, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; chunk]))
        }))
    }

    #[tokio::test]
    async fn what_is_refused_is_read_on_within_bounds() {
        let taken = Arc::default();
        let endless = counted(&taken, 1 << 20);
        assert!(matches!(read(endless, 3).await, Err(ApiError::TooLarge(3))));
        let taken = taken.load(Ordering::Relaxed);
        assert!((DISCARD_BYTES..DISCARD_BYTES + (4 << 20)).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_and_held_back_is_not_waited_for_long() {
        let before = tokio::time::Instant::now();
        discard(Body::from_stream(stream::pending::<std::io::Result<Bytes>>())).await;
        assert_eq!(before.elapsed().as_secs(), DISCARD_TIME.as_secs());
    }
}
