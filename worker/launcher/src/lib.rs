//! The protocol between a worker and the launcher, which is process 1 of every container.
//!
//! Down, over the container's attached input: a [`ProgramSpec`] (a length, then JSON), then the tar of
//! `/work` (a length, then the bytes), then what is standard input of the program (a length, then the bytes). The
//! input then stays open: when it closes, the launcher
//! ends everything, so a worker that dies leaves nothing running.
//!
//! Up, over its standard output: [`Frame`]s, the last of which is [`Frame::End`]. An output that
//! ends without it means that the container was taken away.
//!
//! Both ends are built from this file's types in one build, so the format has no versions.

mod frame;
mod program_spec;

pub use frame::{Decoder, End, Frame, MAX_PAYLOAD_BYTES, Malformed};
pub use program_spec::{Fill, Link, ProgramSpec, read_length, read_spec};
