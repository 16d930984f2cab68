//! From a delivery to its jobs.

use std::sync::Arc;

use jobs::{Ledger, Repo};

use crate::{
    audit::AuditLog,
    auth::identity::Access,
    deliveries::rejected::LastRejected,
    http::rate_limit::Limits,
    index::{Index, mirror::Mirror},
    jobs::{Jobs, capacity::Capacity},
    metrics::Metrics,
    records::JobRecords,
    repos::{Registrations, secrets::SecretStore, settings::Github},
    usage::Budgets,
};

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
mod replay;
pub(crate) mod routing;
pub(crate) mod trigger_rules;

/// Takes what forges deliver, and makes jobs of it.
pub(crate) struct Deliveries {
    pub(crate) github: Arc<Github>,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) rejected: LastRejected,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) secret_store: Arc<SecretStore>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) access: Arc<Access>,
    pub(crate) audit: AuditLog,
}
