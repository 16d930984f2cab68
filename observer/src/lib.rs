//! Statistics of gitfaas: how many jobs were asked for, how many completed, how long they ran.
//!
//! Everything is computed from the stream of changes of the `jobs` bucket and from nothing else, so
//! the numbers equal the ledger's. The observer reads records and writes `OBSERVER`; it never
//! changes a job, and several of them at once do no harm.

mod clock;
mod config;
mod http;
mod metrics;
mod serve;
mod snapshots;
mod statistics;

pub use config::Config;
pub use serve::serve;
pub use statistics::{Change, JobCounter, Snapshot, Statistics, Totals};
