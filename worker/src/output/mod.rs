//! The output of a job: to its log as it comes, and its standard output into the result.

pub mod collector;

use std::collections::VecDeque;

use bytes::Bytes;
use jobs::{LogSource, Phase, record::ERROR_TAIL_BYTES};

/// Where a job's log goes: LOGS, or a terminal.
pub trait LogSink: Send + Sync {
    /// Takes a piece; never waits.
    fn write(&self, phase: Phase, source: LogSource, bytes: Bytes);

    /// Takes a line of our own.
    fn note(&self, phase: Phase, line: &str) {
        self.write(phase, LogSource::Gitfaas, format!("{line}\n").into());
    }
}

impl LogSink for jobs::log::LogHandle {
    fn write(&self, phase: Phase, source: LogSource, bytes: Bytes) {
        Self::write(self, phase, source, bytes);
    }
}

/// Output as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedOutput {
    /// Head and tail, together.
    pub bytes: Vec<u8>,
    /// Left out between them.
    pub omitted_bytes: u64,
}

/// Keeps the first and the last half of what is allowed.
#[derive(Debug)]
pub struct ResultCapture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half_bytes: usize,
    omitted_bytes: u64,
}

impl ResultCapture {
    /// Keeps at most `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        let half_bytes = usize::try_from(max_bytes / 2).unwrap_or(usize::MAX);
        Self { head: Vec::new(), tail: VecDeque::new(), half_bytes, omitted_bytes: 0 }
    }

    /// Takes standard output of the run phase.
    pub fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(self.half_bytes - self.head.len()));
        self.head.extend_from_slice(first);
        let over = (self.tail.len() + rest.len()).saturating_sub(self.half_bytes);
        let from_tail = over.min(self.tail.len());
        self.tail.drain(..from_tail);
        self.tail.extend(&rest[over - from_tail..]);
        self.omitted_bytes += over as u64;
    }

    /// What was kept.
    pub fn finish(self) -> CapturedOutput {
        let mut bytes = self.head;
        bytes.extend(self.tail);
        CapturedOutput { bytes, omitted_bytes: self.omitted_bytes }
    }
}

/// Keeps the last lines of the error output, for the record of a failed job.
#[derive(Debug, Default)]
pub struct ErrorTail {
    bytes: VecDeque<u8>,
}

impl ErrorTail {
    /// Takes error output.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(ERROR_TAIL_BYTES)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(ERROR_TAIL_BYTES);
        self.bytes.drain(..over);
        self.bytes.extend(bytes);
    }

    /// Whole lines where there is one; text that is not UTF-8 is replaced.
    pub fn finish(self) -> Option<String> {
        let bytes: Vec<u8> = self.bytes.into();
        let cut = bytes.len() == ERROR_TAIL_BYTES;
        let start = if cut { bytes.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1) } else { 0 };
        let text = String::from_utf8_lossy(&bytes[start..]).trim_end().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_keeps_head_and_tail_and_counts_the_rest() {
        let all: Vec<u8> = (0..1000u32).flat_map(|n| n.to_be_bytes()).collect();
        for step in [1, 7, 64, 4000] {
            let mut keeper = ResultCapture::new(100);
            all.chunks(step).for_each(|chunk| keeper.push(chunk));
            let kept = keeper.finish();
            assert_eq!(kept.bytes, [&all[..50], &all[3950..]].concat(), "in steps of {step}");
            assert_eq!(kept.omitted_bytes, 3900);
        }
    }

    #[test]
    fn a_short_result_is_whole() {
        let mut keeper = ResultCapture::new(100);
        keeper.push(b"3.14");
        assert_eq!(keeper.finish(), CapturedOutput { bytes: b"3.14".to_vec(), omitted_bytes: 0 });
    }

    #[test]
    fn the_error_tail_begins_with_a_whole_line() {
        let mut tail = ErrorTail::default();
        (0..1000).for_each(|n| tail.push(format!("line {n}\n").as_bytes()));
        let text = tail.finish().unwrap();
        assert!(text.starts_with("line ") && text.ends_with("line 999"));
        assert!(text.len() < ERROR_TAIL_BYTES);
    }
}
