//! HTTP responses with a limit of bytes and time: gix reads lists of refs into memory without one.

use std::{
    any::Any,
    io::{self, BufRead, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse, reqwest::Remote,
};

use crate::objects::Deadline;

/// How much may still be read from a server. Cheap to clone: all answers of a session share it.
#[derive(Debug, Clone)]
pub(super) struct ReadLimit {
    left_bytes: Arc<AtomicU64>,
    exceeded: Arc<AtomicBool>,
    deadline: Deadline,
}

impl ReadLimit {
    pub(super) fn new(bytes: u64, deadline: Deadline) -> Self {
        Self { left_bytes: Arc::new(AtomicU64::new(bytes)), exceeded: Arc::default(), deadline }
    }

    /// From now on so much.
    pub(super) fn set(&self, bytes: u64) {
        self.left_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether the server had more to say.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    pub(super) fn deadline(&self) -> &Deadline {
        &self.deadline
    }
}

/// gix's own HTTP, whose answers are counted.
pub(super) struct LimitedHttp {
    remote: Remote,
    read_limit: ReadLimit,
}

impl LimitedHttp {
    pub(super) fn new(read_limit: ReadLimit) -> Self {
        Self { remote: Remote::default(), read_limit }
    }

    fn body<B>(&self, inner: B) -> Body<B> {
        Body { inner, read_limit: self.read_limit.clone() }
    }
}

impl Http for LimitedHttp {
    type Headers = <Remote as Http>::Headers;
    type ResponseBody = Body<<Remote as Http>::ResponseBody>;
    type PostBody = <Remote as Http>::PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Self::Headers, Self::ResponseBody>> {
        let GetResponse { headers, body } = self.remote.get(url, base_url, headers)?;
        Ok(GetResponse { headers, body: self.body(body) })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        kind: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let PostResponse { post_body, headers, body } = self.remote.post(url, base_url, headers, kind)?;
        Ok(PostResponse { post_body, headers, body: self.body(body) })
    }

    fn configure(&mut self, config: &dyn Any) -> gix::Result {
        self.remote.configure(config)
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.remote.redirected_base_url()
    }
}

/// An answer that ends with an error when there is too much of it, or when it takes too long. A server that
/// sends nothing at all is the business of the connection's own time-out.
pub(super) struct Body<B> {
    inner: B,
    read_limit: ReadLimit,
}

impl<B: BufRead> BufRead for Body<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.read_limit.deadline.check().map_err(io::Error::other)?;
        let bytes = self.inner.fill_buf()?;
        if !bytes.is_empty() && self.read_limit.left_bytes.load(Ordering::Relaxed) == 0 {
            self.read_limit.exceeded.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the server sends more than is read"));
        }
        Ok(bytes)
    }

    fn consume(&mut self, amount: usize) {
        let left = &self.read_limit.left_bytes;
        left.store(left.load(Ordering::Relaxed).saturating_sub(amount as u64), Ordering::Relaxed);
        self.inner.consume(amount);
    }
}

impl<B: BufRead> Read for Body<B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let read = bytes.len().min(out.len());
        out[..read].copy_from_slice(&bytes[..read]);
        self.consume(read);
        Ok(read)
    }
}
