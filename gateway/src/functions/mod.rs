//! Functions: what green pushes make callable, who may call it, and how.

pub(crate) mod access;
mod once;
mod publish;
mod refusal;
mod settings;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::FutureExt as _;
use jobs::Ledger;
pub(crate) use settings::Settings;

use crate::{crypto::record_verifier::RecordVerifier, index::follow::Publish};

/// Publishes the green pushes among changes of jobs.
pub(crate) fn publisher(ledger: Ledger, verifier: Arc<RecordVerifier>) -> Publish {
    Arc::new(move |changes| {
        let (ledger, verifier) = (ledger.clone(), Arc::clone(&verifier));
        async move { publish::publish(&ledger, &verifier, changes).await }.boxed()
    })
}
