//! Throttles requests to forges: none before the time that a forge asked to wait is over, and to GitHub no
//! more than it publishes for requests that make content.
//!
//! Final states go before everything else: what comes earlier may use only a part of the minute's requests,
//! none that the final states of jobs still need which were posted as queued, and none of the last fifth of the
//! hour's. The counts are this worker's own; it takes its part of the limit by the number of workers that are
//! present, so nothing is shared. Nothing waits here: the message of what has to wait is redelivered later.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use hooks::{Forge, budget::Budget, status::Target};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// GitHub's published limits on requests that make content ("rate limits for the REST API", secondary
/// limits): 80 in a minute and 500 in an hour.
const PER_MINUTE: Quota = Quota { of: 80, window: Duration::from_secs(60) };
const PER_HOUR: Quota = Quota { of: 500, window: Duration::from_secs(3600) };
/// Of the minute's requests first statuses may use this many eighths: of 50 jobs in a burst 30 are posted as
/// queued, and all 50 final states still fit.
const FIRST_EIGHTHS: usize = 3;
/// The same for a job that runs and was posted as queued.
const RUNNING_EIGHTHS: usize = 2;
/// With less than this part of the hour's requests left only final states go.
const RESERVED_OF_HOUR: usize = 5;
/// A reservation that was not used in this time went to another worker.
const RESERVATION_LIFE: Duration = Duration::from_secs(60);
/// A message may come back this much before its time.
const TOLERANCE: Duration = Duration::from_millis(50);
/// A state that is not final waits this long at most: its job may be over by then.
const LONGEST_NON_FINAL_WAIT: Duration = Duration::from_secs(60);
/// Where there are other workers, a final state is redelivered after this long: one of them may have
/// requests left.
const REDELIVER_FINAL_AFTER: Duration = Duration::from_secs(2);

/// So many requests in a window of time.
#[derive(Debug, Clone, Copy)]
struct Quota {
    of: usize,
    window: Duration,
}

impl Quota {
    fn among(self, workers: usize) -> Self {
        Self { of: (self.of / workers.max(1)).max(1), ..self }
    }
}

/// How much a status matters to who looks at the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A final state: it lets a merge go on.
    Final,
    /// The first status of a job.
    First,
    /// That a job runs which was posted as queued.
    Running,
}

/// Whose limits a request counts against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    host: String,
    owner: String,
    /// Tells tokens apart, and nothing else.
    token: [u8; 8],
    /// Whether the forge publishes limits on content.
    is_counted: bool,
}

impl Account {
    pub(super) fn of(target: &Target, owner: &str) -> Self {
        let port = target.api.port_or_known_default().unwrap_or_default();
        let mut token = [0; 8];
        token.copy_from_slice(&Sha256::digest(target.token.expose())[..8]);
        Self {
            host: format!("{}:{port}", target.api.host_str().unwrap_or_default()),
            owner: owner.to_lowercase(),
            token,
            is_counted: match target.forge {
                Forge::Github => true,
                Forge::Gitea | Forge::Gitlab | Forge::Plain => false,
            },
        }
    }

    fn limits(&self) -> [LimitKey; 2] {
        [
            LimitKey::Token(self.host.clone(), self.token),
            LimitKey::Owner(self.host.clone(), self.owner.clone()),
        ]
    }
}

/// What is counted by the forge as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LimitKey {
    Token(String, [u8; 8]),
    /// An App's token is one repository's, but its limit is that of the installation, so of the owner.
    Owner(String, String),
}

/// When requests were sent, or are reserved to be; sorted, none older than its longest window.
#[derive(Debug, Default)]
struct Times(VecDeque<Instant>);

impl Times {
    fn expire(&mut self, window: Duration, now: Instant) {
        while self.0.front().is_some_and(|first| *first + window <= now) {
            self.0.pop_front();
        }
    }

    fn add(&mut self, at: Instant) {
        let place = self.0.partition_point(|sent| *sent <= at);
        self.0.insert(place, at);
    }

    /// When one more fits.
    fn fits(&self, quota: Quota, now: Instant) -> Instant {
        let in_the_way = self.0.len().checked_sub(quota.of).and_then(|index| self.0.get(index));
        in_the_way.map_or(now, |sent| (*sent + quota.window).max(now))
    }
}

/// What counts against one limit.
#[derive(Debug, Default)]
struct SentRequests {
    all: Times,
    /// Of those, what was not final.
    non_final: Times,
    /// Commits that were posted as queued, and when: their final states are still to come.
    open: HashMap<String, Instant>,
}

impl SentRequests {
    fn expire(&mut self, now: Instant) {
        self.all.expire(PER_HOUR.window, now);
        self.non_final.expire(PER_MINUTE.window, now);
        self.open.retain(|_, at| *at + PER_HOUR.window > now);
    }
}

/// Until when forges asked to wait, and what was sent.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    until: Mutex<HashMap<LimitKey, Instant>>,
    sent: Mutex<RequestCounts>,
}

#[derive(Debug, Default)]
struct RequestCounts {
    by: HashMap<LimitKey, SentRequests>,
    /// By commit key: when its final state may be posted.
    reserved: HashMap<String, Instant>,
}

/// A request that is to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct PostRequest<'a> {
    /// The commit's key.
    pub(super) key: &'a str,
    pub(super) urgency: Urgency,
    /// Workers that are present, this one among them.
    pub(super) workers: usize,
    /// What the forge itself says is left.
    pub(super) budget: Option<Budget>,
}

impl Throttle {
    /// Holds back everything of this account until `wait` is over.
    pub(super) fn pause(&self, account: &Account, wait: Duration, now: Instant) {
        let mut until = self.until.lock();
        until.retain(|_, until| *until > now);
        for limited in account.limits() {
            let at = until.entry(limited).or_insert(now);
            *at = (*at).max(now + wait);
        }
    }

    /// Whether the commit may be written now, which counts as sent; else how long its message has to
    /// wait. The place of a final state is reserved.
    pub(super) fn admit(
        &self,
        account: &Account,
        request: PostRequest<'_>,
        now: Instant,
    ) -> Result<(), Duration> {
        {
            let until = self.until.lock();
            let over = account.limits().into_iter().filter_map(|limited| until.get(&limited).copied()).max();
            if let Some(over) = over.filter(|over| *over > now) {
                return Err(over - now);
            }
        }
        if !account.is_counted {
            return Ok(());
        }
        let mut counted = self.sent.lock();
        counted.expire(now);
        match request.urgency {
            Urgency::Final => counted.admit_final(account, request, now),
            Urgency::First => counted.admit_non_final(account, request, FIRST_EIGHTHS, now),
            Urgency::Running => counted.admit_non_final(account, request, RUNNING_EIGHTHS, now),
        }
    }
}

impl RequestCounts {
    fn expire(&mut self, now: Instant) {
        self.reserved.retain(|_, at| *at + RESERVATION_LIFE > now);
        self.by.retain(|_, sent| {
            sent.expire(now);
            !sent.all.0.is_empty() || !sent.open.is_empty()
        });
    }

    /// When one more fits all of an account's limits.
    fn fits(&self, account: &Account, now: Instant, fits: impl Fn(&SentRequests) -> Instant) -> Instant {
        let of = |limited: LimitKey| self.by.get(&limited).map_or(now, &fits);
        account.limits().into_iter().map(of).max().unwrap_or(now)
    }

    fn admit_final(
        &mut self,
        account: &Account,
        request: PostRequest<'_>,
        now: Instant,
    ) -> Result<(), Duration> {
        let at = match self.reserved.get(request.key) {
            Some(at) => *at,
            None => {
                let quotas = [PER_MINUTE, PER_HOUR].map(|quota| quota.among(request.workers));
                let at = self.fits(account, now, |sent| {
                    quotas.iter().map(|quota| sent.all.fits(*quota, now)).max().unwrap_or(now)
                });
                for limited in account.limits() {
                    let sent = self.by.entry(limited).or_default();
                    sent.all.add(at);
                    sent.open.remove(request.key);
                }
                self.reserved.insert(request.key.to_owned(), at);
                at
            }
        };
        if at <= now + TOLERANCE {
            self.reserved.remove(request.key);
            return Ok(());
        }
        let wait = at - now;
        Err(if request.workers > 1 { wait.min(REDELIVER_FINAL_AFTER) } else { wait })
    }

    fn admit_non_final(
        &mut self,
        account: &Account,
        request: PostRequest<'_>,
        eighths: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        let (minute, hour) = (PER_MINUTE.among(request.workers), PER_HOUR.among(request.workers));
        let non_final = Quota { of: (minute.of * eighths / 8).max(1), ..minute };
        let hour = Quota { of: hour.of - hour.of / RESERVED_OF_HOUR, ..hour };
        let at = self.fits(account, now, |sent| {
            // Its own final state, and those of the others that were posted as queued, must still fit.
            let ends = sent.open.len() + usize::from(!sent.open.contains_key(request.key));
            let rest = Quota { of: minute.of.saturating_sub(ends).max(1), ..minute };
            let times =
                [sent.non_final.fits(non_final, now), sent.all.fits(rest, now), sent.all.fits(hour, now)];
            times.into_iter().max().unwrap_or(now)
        });
        let low = request.budget.filter(Budget::is_low).map_or(now, |budget| budget.until);
        let wait = at.max(low).saturating_duration_since(now);
        if wait <= TOLERANCE {
            for limited in account.limits() {
                let sent = self.by.entry(limited).or_default();
                sent.all.add(now);
                sent.non_final.add(now);
                sent.open.insert(request.key.to_owned(), now);
            }
            return Ok(());
        }
        Err(wait.min(LONGEST_NON_FINAL_WAIT))
    }
}

#[cfg(test)]
mod tests;
