//! Puts right what a crash, an outage or a forge left undone.

mod deliveries;
pub(crate) mod leader;
pub(crate) mod ref_poll;
pub(crate) mod status_check;
mod statuses;
