//! The writing end: bounded in memory, never in the program's way, done when all is stored.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{self, message::PublishMessage};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    CHUNK_BYTES, CHUNK_OVERHEAD_BYTES, CHUNK_SPACING, EAGER_CHUNKS, HEAD_BYTES, HEAD_CHUNKS, LIVE_OVER,
    OFFSET, PHASE, SOURCE, TAIL_BYTES, TAIL_CHUNKS,
};
use crate::{JobId, LogSource, Phase, streams};

/// Between two tries to store a chunk while NATS is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
struct Piece {
    phase: Phase,
    source: LogSource,
    bytes: Bytes,
}

/// What is not stored yet. These two parts are the worker's whole buffer.
#[derive(Debug, Default)]
struct Buffer {
    /// Goes out as it comes.
    head: VecDeque<Piece>,
    /// Bytes taken into the head so far.
    head_bytes: usize,
    /// Chunks taken into the head so far.
    head_chunks: usize,
    /// Goes out at the end.
    tail: VecDeque<Piece>,
    tail_bytes: usize,
    omitted_bytes: u64,
    closed: bool,
}

impl Buffer {
    fn push(&mut self, mut piece: Piece) {
        if !self.live_is_over() && self.tail.is_empty() {
            let first = piece.bytes.split_to(piece.bytes.len().min(HEAD_BYTES - self.head_bytes));
            self.head_bytes += first.len();
            self.head_chunks += usize::from(join(&mut self.head, Piece { bytes: first, ..piece }));
        }
        if piece.bytes.is_empty() {
            return;
        }
        self.tail_bytes += piece.bytes.len();
        join(&mut self.tail, piece);
        while self.tail_bytes > TAIL_BYTES || self.tail.len() > TAIL_CHUNKS {
            let over = self.tail_bytes.saturating_sub(TAIL_BYTES);
            let too_many = self.tail.len() > TAIL_CHUNKS;
            let Some(oldest) = self.tail.front_mut() else { return };
            let cut = if too_many { oldest.bytes.len() } else { oldest.bytes.len().min(over) };
            let _ = oldest.bytes.split_to(cut);
            if oldest.bytes.is_empty() {
                self.tail.pop_front();
            }
            self.tail_bytes -= cut;
            self.omitted_bytes += cut as u64;
        }
    }

    fn live_is_over(&self) -> bool {
        self.head_bytes == HEAD_BYTES || self.head_chunks >= HEAD_CHUNKS
    }
}

/// Joins what came from one source one after another: fewer, larger chunks. Whether it is a chunk of its own.
fn join(chunks: &mut VecDeque<Piece>, piece: Piece) -> bool {
    match chunks.back_mut() {
        Some(last)
            if last.phase == piece.phase
                && last.source == piece.source
                && last.bytes.len() + piece.bytes.len() <= CHUNK_BYTES =>
        {
            // In place where nobody else holds the bytes, else in a buffer with room for more.
            let mut joined = std::mem::take(&mut last.bytes).try_into_mut().unwrap_or_else(|shared| {
                let mut copied = BytesMut::with_capacity((shared.len() + piece.bytes.len()) * 2);
                copied.extend_from_slice(&shared);
                copied
            });
            joined.extend_from_slice(&piece.bytes);
            last.bytes = joined.freeze();
            false
        }
        Some(_) | None => {
            chunks.push_back(piece);
            true
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    more: Notify,
    closing: Notify,
    stored_bytes: AtomicU64,
}

/// Takes what is to be logged; cheap to clone, never waits.
#[derive(Debug, Clone)]
pub struct LogHandle(Arc<Shared>);

impl LogHandle {
    /// Adds output to the log.
    pub fn write(&self, phase: Phase, source: LogSource, bytes: Bytes) {
        self.0.buffer.lock().push(Piece { phase, source, bytes });
        self.0.more.notify_one();
    }

    /// What is stored of it so far, with what the server keeps besides, in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.0.stored_bytes.load(Ordering::Relaxed)
    }

    /// Adds a line of our own.
    pub fn note(&self, phase: Phase, line: &str) {
        self.write(phase, LogSource::Gitfaas, format!("{line}\n").into());
    }
}

/// Stores the log of one attempt.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
    storing: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Begins the log of an attempt.
    pub fn start(js: jetstream::Context, job: JobId, attempt: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let storing = tokio::spawn(store(Store::of(js, job, attempt, &shared), Arc::clone(&shared)));
        Self { shared, storing: Some(storing) }
    }

    /// A handle to write with.
    pub fn handle(&self) -> LogHandle {
        LogHandle(Arc::clone(&self.shared))
    }

    /// Writes the tail and returns once everything is acknowledged, or after `patience`; `false`
    /// means that some of it may be missing.
    pub async fn close(mut self, patience: Duration) -> bool {
        let Some(storing) = self.storing.take() else { return false };
        self.end();
        let abort = storing.abort_handle();
        let stored = tokio::time::timeout(patience, storing).await;
        if stored.is_err() {
            abort.abort();
        }
        matches!(stored, Ok(Ok(())))
    }

    fn end(&self) {
        self.shared.buffer.lock().closed = true;
        self.shared.more.notify_one();
        self.shared.closing.notify_one();
    }
}

impl Drop for LogWriter {
    /// A log that nobody closed, of an outdated attempt, ends by itself once it is stored.
    fn drop(&mut self) {
        self.end();
    }
}

struct Store {
    js: jetstream::Context,
    job: JobId,
    attempt: u32,
    offset: u64,
    chunks: u64,
    shared: Arc<Shared>,
}

async fn store(mut store: Store, shared: Arc<Shared>) {
    let mut told = false;
    loop {
        let (next, over, closed) = {
            let mut buffer = shared.buffer.lock();
            (buffer.head.pop_front(), buffer.live_is_over(), buffer.closed)
        };
        match next {
            Some(piece) => store.publish(&piece, false).await,
            None if over && !told => {
                told = true;
                store
                    .publish(
                        &Piece { phase: Phase::Run, source: LogSource::Gitfaas, bytes: Bytes::new() },
                        true,
                    )
                    .await;
            }
            None if closed => break,
            None => {
                shared.more.notified().await;
                if store.chunks >= EAGER_CHUNKS {
                    let _ = tokio::time::timeout(CHUNK_SPACING, shared.closing.notified()).await;
                }
            }
        }
    }
    let (tail, omitted_bytes) = {
        let mut buffer = shared.buffer.lock();
        (std::mem::take(&mut buffer.tail), buffer.omitted_bytes)
    };
    if let Some(first) = tail.front().filter(|_| omitted_bytes > 0) {
        let line = format!("\n[{omitted_bytes} bytes left out]\n");
        store
            .publish(&Piece { phase: first.phase, source: LogSource::Gitfaas, bytes: line.into() }, false)
            .await;
    }
    for piece in tail {
        store.publish(&piece, false).await;
    }
}

impl Store {
    fn of(js: jetstream::Context, job: JobId, attempt: u32, shared: &Arc<Shared>) -> Self {
        Self { js, job, attempt, offset: 0, chunks: 0, shared: Arc::clone(shared) }
    }

    /// Stores one piece, in chunks, each acknowledged before the next: the order of the stream is
    /// the order of the log. A chunk sent twice is stored once, by its id.
    async fn publish(&mut self, piece: &Piece, live_over: bool) {
        let mut rest = piece.bytes.clone();
        loop {
            let bytes = rest.split_to(rest.len().min(CHUNK_BYTES));
            let id = format!("{}.{}.{}.{live_over}", self.job, self.attempt, self.offset);
            loop {
                let mut message = PublishMessage::build()
                    .payload(bytes.clone())
                    .header(OFFSET, self.offset.to_string())
                    .header(SOURCE, piece.source.as_str())
                    .header(PHASE, piece.phase.as_str())
                    .message_id(&id);
                if live_over {
                    message = message.header(LIVE_OVER, "1");
                }
                let sent = async {
                    self.js.send_publish(streams::log(self.job, self.attempt), message).await?.await
                };
                match sent.await {
                    Ok(_) => break,
                    Err(error) => {
                        tracing::debug!(%error, "a log chunk waits for nats");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
            }
            self.offset += bytes.len() as u64;
            self.chunks += 1;
            let taken = bytes.len() as u64 + CHUNK_OVERHEAD_BYTES;
            self.shared.stored_bytes.fetch_add(taken, Ordering::Relaxed);
            if rest.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: &[u8]) -> Piece {
        Piece { phase: Phase::Run, source: LogSource::Stdout, bytes: Bytes::copy_from_slice(bytes) }
    }

    #[test]
    fn head_and_tail_are_kept_and_what_is_between_is_counted_exactly() {
        let mut buffer = Buffer::default();
        let line = b"0123456789abcdef";
        let lines = (HEAD_BYTES + TAIL_BYTES) / line.len() + 100;
        for _ in 0..lines {
            buffer.push(piece(line));
        }
        assert!(buffer.live_is_over());
        assert_eq!(buffer.head.iter().map(|piece| piece.bytes.len()).sum::<usize>(), HEAD_BYTES);
        assert_eq!(buffer.tail.iter().map(|piece| piece.bytes.len()).sum::<usize>(), TAIL_BYTES);
        assert_eq!(buffer.omitted_bytes, 1600);
    }

    #[test]
    fn one_huge_piece_is_cut_like_many_small_ones() {
        let mut buffer = Buffer::default();
        buffer.push(piece(&vec![b'x'; HEAD_BYTES + TAIL_BYTES + 7]));
        assert_eq!((buffer.head_bytes, buffer.tail_bytes, buffer.omitted_bytes), (HEAD_BYTES, TAIL_BYTES, 7));
    }

    #[test]
    fn letters_of_two_sources_in_turn_are_so_many_chunks_and_no_more() {
        let mut buffer = Buffer::default();
        for turn in 0..HEAD_CHUNKS + TAIL_CHUNKS + 100 {
            let source = if turn.is_multiple_of(2) { LogSource::Stdout } else { LogSource::Stderr };
            buffer.push(Piece { source, ..piece(b"x") });
        }
        assert!(buffer.live_is_over());
        assert_eq!((buffer.head.len(), buffer.tail.len()), (HEAD_CHUNKS, TAIL_CHUNKS));
        assert_eq!(buffer.omitted_bytes, 100);
    }

    #[test]
    fn small_pieces_of_one_source_become_one_chunk() {
        let mut buffer = Buffer::default();
        buffer.push(piece(b"a"));
        buffer.push(piece(b"b"));
        buffer.push(Piece { source: LogSource::Stderr, ..piece(b"c") });
        assert_eq!(buffer.head.len(), 2);
        assert_eq!(&buffer.head[0].bytes[..], b"ab");
    }
}
