//! Request and response bodies that report their end to the table of connections.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::http::{connections::table::ConnectionHandle, rate_limit::ConcurrencyPermit};

/// The largest response frame, in bytes: hyper buffers frames until the client takes them.
const MAX_FRAME_BYTES: usize = 32 << 10;

/// The body of a request: complete when it has ended, or when it is dropped.
pub(super) struct RequestBody {
    body: Incoming,
    handle: ConnectionHandle,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, handle: ConnectionHandle) -> Self {
        if body.is_end_stream() {
            handle.request_received();
        }
        Self { body, handle }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.handle.request_received();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.handle.request_received();
    }
}

/// Extension of a response: a permit that is held until the response was sent, since it lies in memory until
/// then.
#[derive(Clone)]
pub(crate) struct SendGuard {
    _open: Arc<ConcurrencyPermit>,
}

impl SendGuard {
    pub(crate) fn new(open: ConcurrencyPermit) -> Self {
        Self { _open: Arc::new(open) }
    }
}

/// The body of a response: when it ends or is dropped, the request is answered. It is handed out in small
/// frames, since a frame that was handed out counts as sent.
pub(super) struct ResponseBody {
    body: axum::body::Body,
    /// The rest of the last frame.
    rest: Bytes,
    handle: ConnectionHandle,
    _counted: Option<SendGuard>,
}

impl ResponseBody {
    pub(super) fn new(body: axum::body::Body, handle: ConnectionHandle, counted: Option<SendGuard>) -> Self {
        Self { body, rest: Bytes::new(), handle, _counted: counted }
    }

    fn next_frame(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(MAX_FRAME_BYTES);
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_frame())));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.next_frame()
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.handle.response_sent();
    }
}
