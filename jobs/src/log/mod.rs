//! A job's log: its first 1 MiB as it comes, its last 1 MiB at the end, and between them one line
//! that gives the exact number of bytes left out.
//!
//! Chunks lie in LOGS under `logs.<job>.<attempt>`. Offsets count kept bytes, after masking.

mod reader;
mod writer;

use std::time::Duration;

use bytes::Bytes;

pub use reader::{LogError, LogReader};
pub use writer::{LogHandle, LogWriter};

use crate::{LogSource, Phase};

/// Kept from the beginning, in bytes; written as it comes.
pub const HEAD_BYTES: usize = 1 << 20;
/// Kept from the end, in bytes; written when the job ends.
pub const TAIL_BYTES: usize = 1 << 20;
/// The largest chunk, in bytes: small enough that a follower on a slow line sees progress.
pub const CHUNK_BYTES: usize = 64 << 10;

/// What the server keeps besides of each chunk, in bytes: headers, subject and its own record of it.
pub const CHUNK_OVERHEAD_BYTES: u64 = 320;
/// The most that the log of an attempt takes up as a rule, in bytes. One that trickles for hours takes more,
/// `HEAD_CHUNKS` at worst, and is charged for it at its end.
pub const MAX_LOG_BYTES: u64 = (HEAD_BYTES + TAIL_BYTES) as u64 + EAGER_CHUNKS * CHUNK_OVERHEAD_BYTES;
/// So many chunks are stored as they come; further ones are at least [`CHUNK_SPACING`] apart, so that a
/// program which writes letter by letter does not fill the log with headers.
const EAGER_CHUNKS: u64 = 1024;
/// Who watches a log does not miss a second.
const CHUNK_SPACING: Duration = Duration::from_secs(1);
/// Of the beginning, whatever their length: two a second for an hour, and 2.5 MiB of headers.
const HEAD_CHUNKS: usize = 8192;
/// Of the end, whatever their length: 640 KiB of headers.
const TAIL_CHUNKS: usize = 2048;
const OFFSET: &str = "Gitfaas-Offset";
const SOURCE: &str = "Gitfaas-Source";
const PHASE: &str = "Gitfaas-Phase";
/// Marks an empty chunk: the live part is over, what follows comes when the job ends.
const LIVE_OVER: &str = "Gitfaas-Live-Over";

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Where it begins in the kept log, in bytes.
    pub offset: u64,
    /// Who wrote it.
    pub source: LogSource,
    /// While the attempt did what.
    pub phase: Phase,
    /// The bytes, need not be text.
    pub bytes: Bytes,
    /// Nothing more comes until the job ends.
    pub live_over: bool,
}
