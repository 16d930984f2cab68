//! Jobs that callers submit, rerun and cancel.

use std::sync::Arc;

use jobs::Ledger;

use crate::{
    audit::AuditLog, auth::identity::Access, index::Index, jobs::capacity::Capacity, records::JobRecords,
    usage::Budgets,
};

mod cancel;
pub(crate) mod capacity;
pub(crate) mod function_call;
pub(crate) mod idempotency;
mod input;
pub(crate) mod labels;
mod rerun;
pub(crate) mod submit;
mod wait;

/// Submits, reruns and cancels jobs.
pub(crate) struct Jobs {
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) access: Arc<Access>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) audit: AuditLog,
    /// The longest input, in bytes.
    pub(crate) max_input_bytes: u64,
}
