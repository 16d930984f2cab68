//! Reconciliation: completes work that a crash, an outage or a forge left unfinished.

mod deliveries;
pub(crate) mod leader;
pub(crate) mod ref_poll;
pub(crate) mod status_check;
mod statuses;
