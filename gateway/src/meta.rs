//! What an installation knows about itself, in the bucket `meta`.
//!
//! `installation` holds `{"id": "<uuid>"}`, made create-only by the first gateway. Workers read it
//! and label everything they make with it.

use jobs::{Ledger, bucket::BucketError};

/// The key in `meta`.
pub const INSTALLATION: &str = "installation";

/// The installation's id, made if there is none yet.
///
/// # Errors
/// NATS is away.
pub async fn installation_id(ledger: &Ledger) -> Result<String, BucketError> {
    loop {
        if let Some(entry) = ledger.meta.get(INSTALLATION).await?
            && let Some(id) = entry.value.get("id").and_then(|id| id.as_str())
        {
            return Ok(id.to_owned());
        }
        let value = serde_json::json!({ "id": uuid::Uuid::now_v7() });
        match ledger.meta.create(INSTALLATION, &value).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
}
