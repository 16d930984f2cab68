//! Polls registered repositories for pushes whose delivery was lost: compares the forge's refs with `heads`.
//!
//! One gateway at a time does this, under the lock `missed`. A difference is debounced first: its delivery
//! may be on its way, and has more data (`before`, the message). A difference that is still there after
//! [`DEBOUNCE`] becomes a synthetic push. Two fields of a delivery are unknown then: what the ref was before,
//! so path filters pass, and the newest commit's message, so `[skip ci]` is ignored.
//!
//! The first poll of a repository only records the baseline: what was there before the registration is no
//! lost push.

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
use poll::PollState;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// Interval between two polls of a repository: a push whose delivery was lost waits no longer than twice
/// this, and a thousand repositories are three requests a second.
const POLL_INTERVAL: Duration = Duration::from_secs(300);
/// A delivery that has not arrived after this long is lost: forges send within seconds.
const DEBOUNCE: Duration = Duration::from_secs(20);
/// The longest interval between two polls of an unreachable repository.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// Repositories polled concurrently: these tasks wait for forges.
const MAX_CONCURRENT: usize = 8;

/// Timing of polls.
#[derive(Debug, Clone, Copy)]
struct PollTiming {
    interval: Duration,
    debounce: Duration,
}

/// The result of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PollSummary {
    /// Repositories whose refs were listed.
    pub polled: usize,
    /// Repositories whose refs could not be listed.
    pub unreachable: usize,
    /// Synthetic pushes that made jobs.
    pub synthetic_pushes: usize,
}

/// Polls until `stop`.
pub(crate) async fn run(ref_poll: Arc<RefPoll>, stop: CancellationToken) {
    let mut lock = Lock::new(ref_poll.ledger.locks.clone(), "missed");
    let mut poller = Poller::new(ref_poll, PollTiming { interval: POLL_INTERVAL, debounce: DEBOUNCE });
    let mut redeliver_at = Instant::now();
    let mut refused = HashSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(HEARTBEAT)).await.is_some() {
        let turn = async {
            if !lock.is_ours().await? {
                poller.forget();
                return Ok(());
            }
            while_locked(&mut lock, poller.round()).await?;
            if redeliver_at <= Instant::now() {
                redeliver_at = Instant::now() + POLL_INTERVAL;
                while_locked(&mut lock, poller.ref_poll.redeliver_failed(&mut refused)).await?;
            }
            Ok::<_, ApiError>(())
        };
        if let Some(Err(error)) = stop.run_until_cancelled(turn).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "ref poll round failed");
            poller.forget();
        }
    }
    lock.give_up().await;
}

/// Runs `work` while renewing the lock; when it is lost the work is cancelled, which is safe at any point.
async fn while_locked<T: Default>(
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

/// The poll state of every repository. Clocks are not compared: ages are counted from when this process first
///
/// saw a thing.
struct Poller {
    ref_poll: Arc<RefPoll>,
    timing: PollTiming,
    states: HashMap<RepoId, PollState>,
}

impl Poller {
    fn new(ref_poll: Arc<RefPoll>, timing: PollTiming) -> Self {
        Self { ref_poll, timing, states: HashMap::new() }
    }

    /// Resets the state: another gateway may have polled meanwhile.
    fn forget(&mut self) {
        self.states.clear();
    }

    /// Polls the repositories that are due.
    async fn round(&mut self) -> Result<PollSummary, ApiError> {
        let now = Instant::now();
        let repos = self.ref_poll.repos.find(polls_refs);
        let is_due = |repo: &Entry<Repo>| self.states.get(&repo.value.id).is_none_or(|it| it.next <= now);
        let due: Vec<RepoId> = repos.iter().filter(|repo| is_due(repo)).map(|repo| repo.value.id).collect();
        self.states.retain(|id, _| repos.iter().any(|repo| repo.value.id == *id));
        self.poll_repos(due, now).await
    }

    async fn poll_repos(&mut self, repos: Vec<RepoId>, now: Instant) -> Result<PollSummary, ApiError> {
        let due: Vec<_> = repos.into_iter().map(|id| (id, self.states.remove(&id))).collect();
        let (ref_poll, timing) = (&*self.ref_poll, self.timing);
        let polls = stream::iter(due).map(|(id, state)| async move {
            let mut state = state.unwrap_or_else(|| PollState::new(now));
            let done = ref_poll.poll_repo(id, &mut state, timing).await;
            (id, state, done)
        });
        let polls: Vec<_> = polls.buffer_unordered(MAX_CONCURRENT).collect().await;
        let mut sum = PollSummary::default();
        for (id, state, done) in polls {
            let round = done?;
            sum.polled += round.polled;
            sum.unreachable += round.unreachable;
            sum.synthetic_pushes += round.synthetic_pushes;
            self.states.insert(id, state);
        }
        Ok(sum)
    }
}

fn polls_refs(repo: &Repo) -> bool {
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
    /// Client that lists the refs of git servers.
    pub(crate) ref_lister: RefLister,
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
    /// Polls every registered repository now and submits synthetic pushes without debouncing.
    ///
    /// # Errors
    /// NATS is unreachable; pushes that were submitted until then stay so.
    pub(crate) async fn poll_all(self: &Arc<Self>) -> anyhow::Result<PollSummary> {
        let timing = PollTiming { interval: POLL_INTERVAL, debounce: Duration::ZERO };
        let mut repos = Vec::new();
        for key in self.ledger.repos.keys().await? {
            // The bucket has other keys too.
            let Ok(id) = key.parse::<RepoId>() else { continue };
            if self.ledger.repos.get(&key).await?.is_some_and(|repo| polls_refs(&repo.value)) {
                repos.push(id);
            }
        }
        Ok(Poller::new(Arc::clone(self), timing).poll_repos(repos, Instant::now()).await?)
    }
}
