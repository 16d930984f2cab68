//! When a token was used last, for its owner to see which ones nobody needs any more.
//!
//! A use is written to the token's record at most once an hour, behind the request's back: the request
//! does not wait for it, and a write that fails is tried again with the next use. The write is a
//! compare-and-set, so it brings back no token that was revoked meanwhile.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use jobs::{
    TokenId,
    accounts::TokenRecord,
    bucket::{Bucket, Entry},
};

/// The tokens whose use is being written at this moment.
#[derive(Debug, Default)]
pub(crate) struct LastUsed(Arc<Mutex<HashSet<TokenId>>>);

impl LastUsed {
    /// Notes that a good token was shown.
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
                // Another gateway noted it, or it was revoked.
                Err(error) if error.is_conflict() => {}
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::debug!(error = format!("{error:#}"), token = %id, "a use was not noted");
                }
            }
            lock(&writing).remove(&id);
        });
    }
}

fn lock(set: &Mutex<HashSet<TokenId>>) -> std::sync::MutexGuard<'_, HashSet<TokenId>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
