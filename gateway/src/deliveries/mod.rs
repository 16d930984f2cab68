//! From a delivery to its jobs.

pub(crate) mod approval;
pub(crate) mod approval_status;
pub(crate) mod approved_run;
pub(crate) mod check_rerun;
pub(crate) mod create_job;
pub(crate) mod ingest;
pub(crate) mod pull_request;
pub(crate) mod push;
pub(crate) mod ref_heads;
pub(crate) mod rejected;
pub(crate) mod trigger_rules;
