//! Reads the bytes of a request's body, bounded in length, in time and in memory.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    error::ApiError,
    http::rate_limit::{BODY_METER, BodyMeter, Credit},
};

/// The longest time for a whole body. 25 MiB arrive in it at 10 Mbit/s.
const TIME: Duration = Duration::from_secs(25);

/// The time credit that a body starts with, and the most that it can accumulate.
const SAVED: Duration = Duration::from_secs(5);

/// How much of a rejected body is still read, so that its sender receives the answer: twice the largest
/// delivery.
const DISCARD_BYTES: usize = 50 << 20;

/// For how long a rejected body is read at most.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Reads the whole body if it is not longer than `limit` bytes, arrives in time, and memory is available.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let meter = BODY_METER.try_with(Arc::clone).ok();
    let credit = Mutex::new(Credit::new(SAVED));
    if let Some(meter) = &meter {
        meter.begins();
    }
    let evicted = async {
        match &meter {
            Some(meter) => meter.evicted().await,
            None => std::future::pending().await,
        }
    };
    let read = tokio::select! {
        read = timeout(TIME, collect(&mut body, limit, meter.as_deref(), &credit)) => {
            read.unwrap_or(Err(ApiError::TooSlow(TIME.as_secs())))
        }
        slow = too_slow(&credit) => Err(slow),
        evicted = evicted => Err(evicted),
    };
    if matches!(read, Err(ApiError::TooLarge(_))) {
        discard(body).await;
    }
    read
}

/// Collects the frames of a body of at most `limit` bytes.
async fn collect(
    body: &mut Body,
    limit: usize,
    meter: Option<&BodyMeter>,
    credit: &Mutex<Credit>,
) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::BadRequest("the body broke off".to_owned()))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > limit {
            return Err(ApiError::TooLarge(limit));
        }
        if let Some(meter) = meter {
            meter.take(data.len())?;
        }
        // Copied: a slice would keep the whole buffer of its read alive.
        whole.extend_from_slice(data);
        credit.lock().earn(data.len());
    }
    if let Some(meter) = meter {
        meter.is_whole();
    }
    Ok(whole.freeze())
}

/// Returns when a body comes too slowly.
async fn too_slow(credit: &Mutex<Credit>) -> ApiError {
    let began = Instant::now();
    loop {
        let left = *credit.lock();
        if left.is_used_up() {
            return ApiError::TooSlow(began.elapsed().as_secs());
        }
        sleep_until(left.until()).await;
    }
}

/// Reads and drops the rest of a body, within bounds. A client that is still sending when the connection is
/// closed sees a reset instead of the answer (RFC 9112, section 9.6).
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
    let _: Result<(), tokio::time::error::Elapsed> = timeout(DISCARD_TIME, reading).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_held_back_is_not_waited_for() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(futures_util::StreamExt::chain(first, stream::pending()));
        assert!(matches!(read(body, 100).await, Err(ApiError::TooSlow(5))));
    }

    /// A body of so many bytes each second.
    fn dripping(bytes: usize) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes])), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_slowest_rate_and_a_longest_time() {
        assert!(matches!(read(dripping(8 << 10), 1 << 20).await, Err(ApiError::TooSlow(9))));
        assert!(matches!(read(dripping(32 << 10), 1 << 20).await, Err(ApiError::TooSlow(25))));
        assert!(matches!(read(dripping(100 << 10), 1 << 20).await, Err(ApiError::TooLarge(_))));
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
