//! Pushes whose delivery never came: what a registered repository's forge has is compared with `heads`.
//!
//! One gateway at a time does this, under the lock `missed`. What is new at a forge is first a
//! suspicion: its delivery may be on its way, and that one knows more (`before`, the message). Only what
//! is still new when [`SETTLE`] is over is taken as a push. Two things of a delivery are not known then:
//! what the ref was before, so path filters say yes, and the newest commit's message, so `[skip ci]` is
//! not heeded; nobody decides about it later either.
//!
//! The first time that a repository is looked at nothing is run: what was there before it was
//! registered is nobody's missed push.

use hooks::{address::Allow, ls_remote::RefLister};
use jobs::{Ledger, bucket::Bucket};

use crate::{
    deliveries::Deliveries,
    index::mirror::Mirror,
    metrics::Metrics,
    repos::{Registrations, installation::GithubApp, ref_baseline::Baseline},
    usage::Budgets,
};

mod baseline;
mod debounce;
mod poll;
mod redeliver;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use jobs::{Repo, RepoEvent, RepoId, bucket::Entry, lease::HEARTBEAT, lock::Lock};
use poll::Watched;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// Between two looks at a repository: a push whose delivery was lost waits no longer than twice this,
/// and a thousand repositories are three requests a second.
const EVERY: Duration = Duration::from_secs(300);
/// A delivery that is not here after this long is lost: forges send within seconds.
const SETTLE: Duration = Duration::from_secs(20);
/// A repository that cannot be reached is looked at again after this long at last.
const MOST: Duration = Duration::from_secs(3600);
/// Repositories looked at in parallel: they wait for forges, not for us.
const AT_ONCE: usize = 8;

/// When to look.
#[derive(Debug, Clone, Copy)]
struct Pace {
    every: Duration,
    settle: Duration,
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Repositories whose refs are known now.
    pub looked_at: usize,
    /// Repositories that could not be asked.
    pub unreachable: usize,
    /// Pushes that were taken.
    pub made_up: usize,
}

/// Looks until `stop`.
pub(crate) async fn run(ref_poll: Arc<RefPoll>, stop: CancellationToken) {
    let mut lock = Lock::new(ref_poll.ledger.locks.clone(), "missed");
    let mut missed = Missed::new(ref_poll, Pace { every: EVERY, settle: SETTLE });
    let mut redeliver_at = Instant::now();
    let mut refused = HashSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(HEARTBEAT)).await.is_some() {
        let turn = async {
            if !lock.is_ours().await? {
                missed.forget();
                return Ok(());
            }
            held(&mut lock, missed.round()).await?;
            if redeliver_at <= Instant::now() {
                redeliver_at = Instant::now() + EVERY;
                held(&mut lock, missed.ref_poll.redeliver_failed(&mut refused)).await?;
            }
            Ok::<_, ApiError>(())
        };
        if let Some(Err(error)) = stop.run_until_cancelled(turn).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "looking for missed pushes broke off");
            missed.forget();
        }
    }
    lock.give_up().await;
}

/// Works while the lock is renewed; without it the work is left where it is, which harms nothing.
async fn held<T: Default>(
    lock: &mut Lock,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(HEARTBEAT) => {
                if !lock.is_ours().await? {
                    return Ok(T::default());
                }
            }
        }
    }
}

/// What is remembered of every repository. No clocks are compared: it counts from when it saw a thing
/// itself.
struct Missed {
    ref_poll: Arc<RefPoll>,
    pace: Pace,
    watched: HashMap<RepoId, Watched>,
}

impl Missed {
    fn new(ref_poll: Arc<RefPoll>, pace: Pace) -> Self {
        Self { ref_poll, pace, watched: HashMap::new() }
    }

    /// Begins anew: another gateway may have looked meanwhile.
    fn forget(&mut self) {
        self.watched.clear();
    }

    /// Looks at the repositories whose turn it is.
    async fn round(&mut self) -> Result<Round, ApiError> {
        let now = Instant::now();
        let repos = self.ref_poll.repos.find(makes_jobs_of_refs);
        let is_due = |repo: &Entry<Repo>| self.watched.get(&repo.value.id).is_none_or(|it| it.next <= now);
        let due: Vec<RepoId> = repos.iter().filter(|repo| is_due(repo)).map(|repo| repo.value.id).collect();
        self.watched.retain(|id, _| repos.iter().any(|repo| repo.value.id == *id));
        self.look_at(due, now).await
    }

    async fn look_at(&mut self, repos: Vec<RepoId>, now: Instant) -> Result<Round, ApiError> {
        let due: Vec<_> = repos.into_iter().map(|id| (id, self.watched.remove(&id))).collect();
        let (ref_poll, pace) = (&*self.ref_poll, self.pace);
        let looks = stream::iter(due).map(|(id, watched)| async move {
            let mut watched = watched.unwrap_or_else(|| Watched::new(now));
            let done = ref_poll.look(id, &mut watched, pace).await;
            (id, watched, done)
        });
        let looks: Vec<_> = looks.buffer_unordered(AT_ONCE).collect().await;
        let mut sum = Round::default();
        for (id, watched, done) in looks {
            let round = done?;
            sum.looked_at += round.looked_at;
            sum.unreachable += round.unreachable;
            sum.made_up += round.made_up;
            self.watched.insert(id, watched);
        }
        Ok(sum)
    }
}

fn makes_jobs_of_refs(repo: &Repo) -> bool {
    !repo.is_removing()
        && repo.events.iter().any(|event| match event {
            RepoEvent::Push | RepoEvent::Tag => true,
            RepoEvent::PullRequest => false,
        })
}

/// Polls repositories for refs whose delivery never came.
pub(crate) struct RefPoll {
    pub(crate) clone_allow: Allow,
    pub(crate) ledger: Ledger,
    /// Asks git servers for their refs.
    pub(crate) git_heads: RefLister,
    pub(crate) baselines: Bucket<Baseline>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) app: Option<Arc<GithubApp>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) stop: CancellationToken,
}

impl RefPoll {
    /// Looks at every registered repository now and takes what is new, without waiting whether its
    /// delivery comes.
    ///
    /// # Errors
    /// NATS is away; what was taken until then stays so.
    pub(crate) async fn poll_all(self: &Arc<Self>) -> anyhow::Result<Round> {
        let pace = Pace { every: EVERY, settle: Duration::ZERO };
        let mut repos = Vec::new();
        for key in self.ledger.repos.keys().await? {
            // Other keys lie there too.
            let Ok(id) = key.parse::<RepoId>() else { continue };
            if self.ledger.repos.get(&key).await?.is_some_and(|repo| makes_jobs_of_refs(&repo.value)) {
                repos.push(id);
            }
        }
        Ok(Missed::new(Arc::clone(self), pace).look_at(repos, Instant::now()).await?)
    }
}
