//! A cache of installation tokens, until shortly before they expire.
//!
//! GitHub issues a token for an hour and limits how many: one is minted at a time for one repository and
//! permission, and concurrent requests for the same one wait for it.

use std::{future::Future, sync::Arc, time::Duration};

use hooks::app::{AppError, InstallationToken, Right};
use jobs::Secret;
use moka::sync::Cache;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// A token that expires sooner is not used any more: a clone may take this long.
const EXPIRY_MARGIN: Duration = Duration::from_secs(600);
/// How long an entry stays that nobody asks for: the lifetime of a token.
const IDLE: Duration = Duration::from_secs(3600);
/// Entries at most, a few hundred bytes each; beyond it the least used one goes.
const MAX_ENTRIES: u64 = 1024;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) installation: u64,
    pub(crate) repository: u64,
    pub(crate) right: Right,
}

#[derive(Debug)]
struct CachedToken {
    token: Secret,
    until: Instant,
}

type Slot = Arc<AsyncMutex<Option<CachedToken>>>;

/// The tokens of all installations.
#[derive(Debug)]
pub(crate) struct TokenCache {
    slots: Cache<TokenKey, Slot>,
}

impl Default for TokenCache {
    fn default() -> Self {
        let slots = Cache::builder().max_capacity(MAX_ENTRIES).time_to_idle(IDLE);
        Self { slots: slots.support_invalidation_closures().build() }
    }
}

impl TokenCache {
    /// The cached token, else a new one from `mint`.
    pub(crate) async fn get(
        &self,
        of: TokenKey,
        mint: impl Future<Output = Result<InstallationToken, AppError>>,
    ) -> Result<Secret, AppError> {
        let slot = self.slots.get_with(of, Slot::default);
        let mut cached = slot.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| cached.until > Instant::now()) {
            return Ok(cached.token.clone());
        }
        let asked_at = Instant::now();
        let InstallationToken { token, lifetime, .. } = mint.await?;
        *cached = Some(CachedToken {
            token: token.clone(),
            until: asked_at + lifetime.saturating_sub(EXPIRY_MARGIN),
        });
        Ok(token)
    }

    /// Drops a token that GitHub rejected, unless a newer one is cached already.
    pub(crate) async fn forget(&self, of: TokenKey, refused: impl Fn(&Secret) -> bool) {
        let slot = self.slots.get_with(of, Slot::default);
        let mut cached = slot.lock().await;
        if cached.as_ref().is_some_and(|cached| refused(&cached.token)) {
            *cached = None;
        }
    }

    /// Drops all tokens of an installation that was removed or suspended.
    pub(crate) fn forget_installation(&self, installation: u64) {
        self.slots
            .invalidate_entries_if(move |of, _| of.installation == installation)
            .expect("the cache was built with support for closures");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const OF: TokenKey = TokenKey { installation: 1, repository: 2, right: Right::ReadContents };

    #[derive(Default)]
    struct Mint(AtomicU32);

    impl Mint {
        async fn mint(&self) -> Result<InstallationToken, AppError> {
            let n = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let lifetime = Duration::from_secs(3600);
            let token = format!("ghs_{n}").parse().unwrap();
            Ok(InstallationToken { token, expires_at: jiff::Timestamp::UNIX_EPOCH, lifetime })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_minted_once_and_anew_shortly_before_it_ends() {
        let (tokens, mint) = (TokenCache::default(), Mint::default());
        let all = join_all((0..20).map(|_| tokens.get(OF, mint.mint()))).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().expose() == "ghs_0"));
        tokio::time::advance(Duration::from_secs(3600 - 601)).await;
        assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_0");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_1");
    }

    #[tokio::test]
    async fn one_that_was_refused_is_minted_anew_once() {
        let (tokens, mint) = (TokenCache::default(), Mint::default());
        let other = TokenKey { right: Right::WriteChecks, ..OF };
        for of in [OF, other] {
            tokens.get(of, mint.mint()).await.unwrap();
        }
        for _ in 0..3 {
            tokens.forget(OF, |token| token.expose() == "ghs_0").await;
            assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_2");
        }
        assert_eq!(tokens.get(other, mint.mint()).await.unwrap().expose(), "ghs_1");
        tokens.forget_installation(1);
        assert_eq!(tokens.get(other, mint.mint()).await.unwrap().expose(), "ghs_3");
    }

    #[tokio::test]
    async fn what_was_not_given_is_asked_for_again() {
        let (tokens, mint) = (TokenCache::default(), Mint::default());
        let refused =
            async { Err(AppError::Forge(hooks::status::StatusError::Retry { reason: "x".into() })) };
        assert!(tokens.get(OF, refused).await.is_err());
        assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_0");
    }
}
