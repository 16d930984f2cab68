//! Functions: what green pushes make callable, who may call it, and how.

pub(crate) mod access;
mod address;
pub(crate) mod aliases;
mod answer;
pub(crate) mod built;
mod call;
mod caller;
mod once;
mod prefer;
mod problem;
mod publish;
mod refusal;
mod request;
mod resolve;
mod settings;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::FutureExt as _;
use jobs::{Ledger, Repo, function::Version};
pub(crate) use settings::Settings;

use tokio_util::sync::CancellationToken;

use crate::{
    crypto::{keyring::Keyring, record_verifier::RecordVerifier},
    functions::{access::FunctionAccess, aliases::Aliases},
    http::rate_limit::Limits,
    index::{follow::Publish, mirror::Mirror},
    jobs::Jobs,
    records::JobRecords,
};

/// Versions that are known, of all functions together: each has a few hundred bytes.
const MAX_KNOWN_VERSIONS: u64 = 10_000;

/// Calls functions.
pub(crate) struct Functions {
    pub(crate) ledger: Ledger,
    pub(crate) access: Arc<FunctionAccess>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) max_input_bytes: u64,
    /// Waits end with this.
    pub(crate) stop: CancellationToken,
    pub(crate) aliases: Arc<Aliases>,
    pub(crate) versions: VersionCache,
}

/// Versions that were read; they never change.
pub(crate) struct VersionCache(moka::sync::Cache<String, Arc<Version>>);

impl Default for VersionCache {
    fn default() -> Self {
        Self(moka::sync::Cache::new(MAX_KNOWN_VERSIONS))
    }
}

/// Publishes the green pushes among changes of jobs.
pub(crate) fn publisher(ledger: Ledger, verifier: Arc<RecordVerifier>) -> Publish {
    Arc::new(move |changes| {
        let (ledger, verifier) = (ledger.clone(), Arc::clone(&verifier));
        async move { publish::publish(&ledger, &verifier, changes).await }.boxed()
    })
}
