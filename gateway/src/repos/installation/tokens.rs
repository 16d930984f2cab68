//! Installation tokens, kept until shortly before they end.
//!
//! GitHub gives a token for an hour and counts how many it gave: one is minted at a time for one
//! repository and right, and whoever asks meanwhile waits for it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hooks::app::{AppError, InstallationToken, Right};
use jobs::Secret;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// A token that ends sooner is not lent any more: a clone has this long.
const SPARE: Duration = Duration::from_secs(600);
/// Entries above which those that ended are thrown out.
const MANY: usize = 1024;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct For {
    pub(crate) installation: u64,
    pub(crate) repository: u64,
    pub(crate) right: Right,
}

#[derive(Debug)]
struct Kept {
    token: Secret,
    until: Instant,
}

type Place = Arc<AsyncMutex<Option<Kept>>>;

/// The tokens of all installations.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    kept: Mutex<HashMap<For, Place>>,
}

impl Tokens {
    /// The token that is kept, else a fresh one from `mint`.
    pub(crate) async fn get(
        &self,
        of: For,
        mint: impl Future<Output = Result<InstallationToken, AppError>>,
    ) -> Result<Secret, AppError> {
        let place = self.place(of);
        let mut kept = place.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
            return Ok(kept.token.clone());
        }
        let asked_at = Instant::now();
        let InstallationToken { token, lifetime, .. } = mint.await?;
        *kept = Some(Kept { token: token.clone(), until: asked_at + lifetime.saturating_sub(SPARE) });
        Ok(token)
    }

    /// Throws away a token that GitHub did not take, unless a newer one is there already.
    pub(crate) async fn forget(&self, of: For, refused: impl Fn(&Secret) -> bool) {
        let place = self.place(of);
        let mut kept = place.lock().await;
        if kept.as_ref().is_some_and(|kept| refused(&kept.token)) {
            *kept = None;
        }
    }

    /// Throws away all tokens of an installation that is gone or suspended.
    pub(crate) fn forget_installation(&self, installation: u64) {
        self.all().retain(|of, _| of.installation != installation);
    }

    fn place(&self, of: For) -> Place {
        let mut all = self.all();
        if all.len() >= MANY {
            let now = Instant::now();
            // One that is locked is being used.
            all.retain(|_, place| {
                place.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(|kept| kept.until > now))
            });
        }
        Arc::clone(all.entry(of).or_default())
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<For, Place>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const OF: For = For { installation: 1, repository: 2, right: Right::ReadContents };

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
        let (tokens, mint) = (Tokens::default(), Mint::default());
        let all = join_all((0..20).map(|_| tokens.get(OF, mint.mint()))).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().expose() == "ghs_0"));
        tokio::time::advance(Duration::from_secs(3600 - 601)).await;
        assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_0");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_1");
    }

    #[tokio::test]
    async fn one_that_was_refused_is_minted_anew_once() {
        let (tokens, mint) = (Tokens::default(), Mint::default());
        let other = For { right: Right::WriteChecks, ..OF };
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
        let (tokens, mint) = (Tokens::default(), Mint::default());
        let refused =
            async { Err(AppError::Forge(hooks::status::StatusError::Retry { reason: "x".into() })) };
        assert!(tokens.get(OF, refused).await.is_err());
        assert_eq!(tokens.get(OF, mint.mint()).await.unwrap().expose(), "ghs_0");
    }
}
