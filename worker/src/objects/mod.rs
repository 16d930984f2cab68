//! Git objects on disk, received and read in bounded memory and time.
//!
//! gix speaks the protocol; what a stranger's server sends is read here, because here every size is
//! judged before anything is expanded:
//! * a pack is inspected while it is received ([`receive`]): number of objects, claimed sizes, and
//!   their sum, before a byte of them is inflated, and nothing that is inflated is kept;
//! * no object is ever held as a whole: above `IN_MEMORY_BYTES` ([`content`]) its bytes are in a
//!   temporary file, also while deltas are applied ([`delta`], [`resolve`]);
//! * files are read by position and never mapped, so that a large pack costs no memory either;
//! * everything that takes long looks at a [`Deadline`].

mod content;
mod deadline;
mod delta;
mod error;
mod header;
mod index;
mod inflate;
mod loose;
mod pack;
mod receive;
mod resolve;
mod store;

pub(crate) use deadline::Deadline;
pub(crate) use error::ObjectError;
pub(crate) use header::Kind;
pub(crate) use receive::{Limits, receive};
pub(crate) use store::{MAX_PACKS, Store};

/// Objects of one pack. At depth 1 a commit of [`crate::source::MAX_FILES`] files and folders has no
/// more; the rest is for what servers send besides. An entry takes 48 bytes of memory.
pub(crate) const MAX_OBJECTS: u32 = 250_000;
/// Deltas that lead from one object to what it was made from. git itself makes chains of 50, and of 250
/// when it was told to be thorough.
const MAX_CHAIN: usize = 1000;
/// A commit or a tag, in bytes; those with signatures have some kilobytes.
const MAX_COMMIT_BYTES: u64 = 1 << 20;
/// One folder, in bytes: 200,000 names of 50 letters.
pub(crate) const MAX_TREE_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests;
