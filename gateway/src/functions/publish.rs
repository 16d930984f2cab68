//! Publishes green pushes as their records end, before the index has them.
//!
//! The index's own follower calls this, at the position that it stores: what a gateway that ends has not published
//! yet, it or another one meets again.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jobs::{
    Job, Ledger, LedgerError,
    bucket::{BucketError, Entry},
    function::GreenPush,
};

use crate::{
    crypto::record_verifier::{RecordVerifier, SignatureStatus},
    index::Change,
};

/// Pushes published at once: each is a few round trips.
const MAX_CONCURRENT: usize = 16;

/// Publishes the green pushes among these changes.
///
/// # Errors
/// NATS is away. A bucket that is full is only logged: jobs must go on.
pub(crate) async fn publish(
    ledger: &Ledger,
    verifier: &RecordVerifier,
    changes: &[Change<Job>],
) -> Result<(), LedgerError> {
    let green: Vec<GreenPush> = changes.iter().filter_map(|change| green_push(verifier, change)).collect();
    let publishing = stream::iter(green).map(|push| async move {
        match ledger.publish(&push).await {
            Ok(true) => {
                tracing::info!(repo = %push.repo, reference = %push.reference, sha = %push.sha, "function published");
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(LedgerError::Bucket(error @ BucketError::Full { .. })) => {
                tracing::error!(repo = %push.repo, sha = %push.sha, %error, "function not published");
                Ok(())
            }
            Err(error) => Err(error),
        }
    });
    publishing.buffer_unordered(MAX_CONCURRENT).try_collect().await
}

/// The green push that a change ends, with the commit that was signed.
fn green_push(verifier: &RecordVerifier, change: &Change<Job>) -> Option<GreenPush> {
    let Change::Put(entry) = change else { return None };
    // Most changes are of jobs that go on.
    if !entry.value.status.state.is_final() {
        return None;
    }
    match verifier.signature_status(entry) {
        SignatureStatus::Signed(signature) => {
            let mut entry = Entry::clone(entry);
            entry.value.spec.sha = signature.sha;
            GreenPush::of(&entry, signature.event)
        }
        SignatureStatus::Upgrading | SignatureStatus::Legacy | SignatureStatus::Rejected(_) => None,
    }
}
