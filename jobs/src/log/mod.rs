//! A job's log: its first 1 MiB as it comes, its last 1 MiB at the end, and between them one line
//! that gives the exact number of bytes left out.
//!
//! Chunks lie in LOGS under `logs.<job>.<attempt>`. Offsets count kept bytes, after masking.

mod reader;
mod writer;

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
