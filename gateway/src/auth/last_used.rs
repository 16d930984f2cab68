//! Records when a token was last used, so that its owner can find tokens that are no longer needed.
//!
//! A use is written to the token's record at most once an hour, in the background: the request does not wait
//! for it, and a write that fails is tried again with the next use. The write is a compare-and-set, so it does
//! not restore a token that was revoked meanwhile.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use jobs::{
    TokenId,
    accounts::TokenRecord,
    bucket::{Bucket, Entry},
};
use parking_lot::{Mutex, MutexGuard};

/// The tokens whose last use is being written.
#[derive(Debug, Default)]
pub(crate) struct LastUsed(Arc<Mutex<HashSet<TokenId>>>);

impl LastUsed {
    /// Records the use of a valid token.
    pub(crate) fn note(&self, tokens: &Bucket<TokenRecord>, token: &Entry<TokenRecord>) {
        let (id, now) = (token.value.id, Timestamp::now());
        if !token.value.notes_use_at(now) || !lock(&self.0).insert(id) {
            return;
        }
        let used = TokenRecord { last_used_at: Some(now), ..token.value.clone() };
        let (tokens, writing) = (tokens.clone(), Arc::clone(&self.0));
        let (key, revision) = (token.key.clone(), token.revision);
        tokio::spawn(async move {
            match tokens.update(&key, &used, revision).await {
                Ok(_) => {}
                // Another gateway recorded it, or the token was revoked.
                Err(error) if error.is_conflict() => {}
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::debug!(error = format!("{error:#}"), token = %id, "last use of token not recorded");
                }
            }
            lock(&writing).remove(&id);
        });
    }
}

fn lock(set: &Mutex<HashSet<TokenId>>) -> MutexGuard<'_, HashSet<TokenId>> {
    set.lock()
}
