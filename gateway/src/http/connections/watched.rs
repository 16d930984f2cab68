//! Bodies that tell the table of connections when they have come to their end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::http::{connections::table::Ticket, rate_limit::OpenStream};

/// What an answer gives out at once, in bytes: hyper keeps some of them until the client takes them.
const PIECE_BYTES: usize = 32 << 10;

/// The body of a request: whole when it has ended, or when nobody wants more of it.
pub(super) struct Asked {
    body: Incoming,
    ticket: Ticket,
}

impl Asked {
    pub(super) fn new(body: Incoming, ticket: Ticket) -> Self {
        if body.is_end_stream() {
            ticket.is_whole();
        }
        Self { body, ticket }
    }
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.ticket.is_whole();
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

impl Drop for Asked {
    fn drop(&mut self) {
        self.ticket.is_whole();
    }
}

/// Put beside an answer: what is counted until the answer was sent, since it lies in memory till then.
#[derive(Clone)]
pub(crate) struct UntilSent {
    _open: Arc<OpenStream>,
}

impl UntilSent {
    pub(crate) fn new(open: OpenStream) -> Self {
        Self { _open: Arc::new(open) }
    }
}

/// The body of an answer: with its end, or with the client's, the request is answered. It is given out in small
/// pieces, since what was given out counts as sent.
pub(super) struct Answer {
    body: axum::body::Body,
    /// What was not given out yet of the last frame.
    rest: Bytes,
    ticket: Ticket,
    _counted: Option<UntilSent>,
}

impl Answer {
    pub(super) fn new(body: axum::body::Body, ticket: Ticket, counted: Option<UntilSent>) -> Self {
        Self { body, rest: Bytes::new(), ticket, _counted: counted }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.piece()
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

impl Drop for Answer {
    fn drop(&mut self) {
        self.ticket.is_answered();
    }
}
