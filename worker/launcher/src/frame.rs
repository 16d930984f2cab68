//! What the launcher says: one kind byte, a length (u32, big endian), the payload.

use serde::{Deserialize, Serialize};

/// The largest payload of one frame: what one read of a full pipe gives.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// Kind byte and length.
const HEAD_BYTES: usize = 5;

/// One thing that the launcher says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The launcher waits for its program.
    Ready,
    /// The files are in place; the program's time begins.
    Started,
    /// The program wrote this to its standard output.
    Stdout(Vec<u8>),
    /// The program wrote this to its standard error.
    Stderr(Vec<u8>),
    /// Everything in the container but the launcher is gone. Nothing follows.
    End(End),
}

/// How the program ended and what it met on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The program's exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did (also ours, at the deadline).
    pub signal: Option<i32>,
    /// Why it was never started, in one sentence.
    pub error: Option<String>,
    /// The deadline passed before the program ended.
    pub timed_out: bool,
    /// Processes that the kernel killed because memory was exhausted.
    pub oom_kills: u64,
    /// How often a new process was refused because there were too many.
    pub processes_refused: u64,
    /// `/work`, `/tmp` or what is filled is full.
    pub disk_full: bool,
    /// More was written than may be; the rest was dropped and the program ended.
    pub output_exceeded: bool,
    /// The most memory the container held at once, files in memory included, if it is known.
    pub peak_memory_bytes: Option<u64>,
    /// The size of what was filled, at the end.
    pub filled_bytes: Option<u64>,
}

/// The other end does not speak this format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed frame: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl Frame {
    /// The frame as it travels, in one piece so that it can be written at once.
    ///
    /// A payload must not be longer than [`MAX_PAYLOAD_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready => framed(1, &[]),
            Self::Started => framed(2, &[]),
            Self::Stdout(bytes) => framed(3, bytes),
            Self::Stderr(bytes) => framed(4, bytes),
            Self::End(end) => {
                framed(5, &serde_json::to_vec(end).expect("numbers, booleans and strings are JSON"))
            }
        }
    }
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "a frame is too long");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Puts frames together again from pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    consumed: usize,
}

impl Decoder {
    /// Takes the next piece of the launcher's output.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.pending.drain(..self.consumed);
            self.consumed = 0;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more was pushed.
    pub fn take(&mut self) -> Result<Option<Frame>, Malformed> {
        let rest = &self.pending[self.consumed..];
        let Some((head, body)) = rest.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [kind, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(Malformed("its payload is too long"));
        }
        let Some(payload) = body.get(..length) else {
            return Ok(None);
        };
        let frame = match kind {
            1 => Frame::Ready,
            2 => Frame::Started,
            3 => Frame::Stdout(payload.to_vec()),
            4 => Frame::Stderr(payload.to_vec()),
            5 => Frame::End(
                serde_json::from_slice(payload)
                    .map_err(|_| Malformed("its end is not the JSON it should be"))?,
            ),
            _ => return Err(Malformed("unknown kind")),
        };
        self.consumed += HEAD_BYTES + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Frame> {
        vec![
            Frame::Ready,
            Frame::Started,
            Frame::Stdout(b"\xff\x00out".to_vec()),
            Frame::Stderr(vec![7; MAX_PAYLOAD_BYTES]),
            Frame::Stdout(Vec::new()),
            Frame::End(End { exit_code: Some(3), peak_memory_bytes: Some(4096), ..End::default() }),
        ]
    }

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let bytes: Vec<u8> = all().iter().flat_map(Frame::encode).collect();
        for size in [1, 2, 5, 1000, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(frame) = decoder.take().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, all(), "in pieces of {size}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_or_unknown_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[3, 0xff, 0, 0, 0]);
        assert!(decoder.take().is_err());
        let mut decoder = Decoder::default();
        decoder.push(&[9, 0, 0, 0, 0]);
        assert!(decoder.take().is_err());
    }

    #[test]
    fn an_end_has_every_field_by_name() {
        let bytes = Frame::End(End::default()).encode();
        assert_eq!(
            String::from_utf8_lossy(&bytes[HEAD_BYTES..]),
            r#"{"exit_code":null,"signal":null,"error":null,"timed_out":false,"oom_kills":0,"processes_refused":0,"disk_full":false,"output_exceeded":false,"peak_memory_bytes":null,"filled_bytes":null}"#
        );
    }
}
