//! Webhook deliveries: which jobs an event creates, and the record of what was decided.
//!
//! `routing` finds the registration, `trigger_rules` decides, `ingest` records the delivery and `finish` carries
//! it out: `push`, `pull_request` or `check_rerun` through `create_job`. `dedupe` and `ref_heads` keep one job for
//! each event and the newest commit of each ref; `approval` lets held deliveries go on; `rejected` remembers what
//! was not signed.

use std::sync::Arc;

use jobs::{Ledger, Repo};

use crate::{
    audit::AuditLog,
    auth::identity::Access,
    deliveries::rejected::RejectedDeliveries,
    http::rate_limit::Limits,
    index::{Index, mirror::Mirror},
    jobs::{Jobs, capacity::Capacity},
    metrics::Metrics,
    records::JobRecords,
    repos::{Registrations, secrets::SecretStore, settings::Github},
    usage::Budgets,
};

pub(crate) mod approval;
pub(crate) mod check_rerun;
pub(crate) mod create_job;
mod dedupe;
mod finish;
pub(crate) mod ingest;
pub(crate) mod pull_request;
pub(crate) mod push;
mod ref_deletion;
pub(crate) mod ref_heads;
pub(crate) mod rejected;
mod replay;
pub(crate) mod routing;
pub(crate) mod trigger_rules;

/// Turns webhook deliveries into jobs.
pub(crate) struct Deliveries {
    pub(crate) github: Arc<Github>,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) rejected: RejectedDeliveries,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) secret_store: Arc<SecretStore>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) access: Arc<Access>,
    pub(crate) audit: AuditLog,
}
