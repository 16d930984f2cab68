//! Why objects cannot be received or read.

use std::{io, time::Duration};

use gix::ObjectId;
use jobs::units::show_bytes;

use super::{Kind, MAX_CHAIN, MAX_OBJECTS};

/// Why objects cannot be received or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// More bytes than allowed, as they are sent or once they are inflated.
    #[error("the repository is larger than {}", show_bytes(*limit_bytes))]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// More objects than any commit that can be run has.
    #[error("the repository has more than {MAX_OBJECTS} objects in one commit")]
    TooMany,
    /// A chain of deltas that would take for ever to read.
    #[error("the repository has an object behind more than {MAX_CHAIN} deltas; repack it")]
    TooDeep,
    /// A commit, tag or folder that is no sensible one.
    #[error("a {kind} of the repository is larger than {}", show_bytes(*limit_bytes))]
    Oversized {
        /// What it is.
        kind: Kind,
        /// The limit.
        limit_bytes: u64,
    },
    /// Whole, and nothing that git would have made.
    #[error("the repository is garbled: {0}")]
    Garbled(&'static str),
    /// Not what it was. While a pack is received, another try would bring the same; later it is our disk.
    #[error("the repository is damaged: {0}")]
    Damaged(&'static str),
    /// An object is not there.
    #[error("the object {0} is missing")]
    Missing(ObjectId),
    /// It takes too long.
    #[error("reading the repository took longer than {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Nobody waits for it any more.
    #[error("reading was stopped")]
    Stopped,
    /// What is received ended or broke.
    #[error("the server's answer broke off")]
    Incoming(#[source] io::Error),
    /// Our disk.
    #[error("cannot read or write objects")]
    Io(#[from] io::Error),
}
