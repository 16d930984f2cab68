//! How fast a forge may be told things: not at all before the time that it asked for is over, and GitHub
//! no faster than it publishes for requests that make content.
//!
//! An end goes before everything else: what comes earlier may use only a part of the minute's requests, none
//! that the ends of jobs still need which were shown to wait, and none of the last fifth of the hour's. The counts are this worker's own; it takes its part of the
//! limit by the number of workers that are present, so nothing is shared. Nothing waits here: who has to,
//! gives its message back for that long and comes again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hooks::{budget::Budget, forge::Forge, status::Target};
use sha2::{Digest as _, Sha256};

/// GitHub's published limits on requests that make content ("rate limits for the REST API", secondary
/// limits): 80 in a minute and 500 in an hour.
const PER_MINUTE: Share = Share { of: 80, window: Duration::from_secs(60) };
const PER_HOUR: Share = Share { of: 500, window: Duration::from_secs(3600) };
/// Of the minute's requests what is not an end may use this many eighths: of 50 jobs in a burst 30 show
/// that they wait, and all 50 ends still fit.
const EARLY_EIGHTHS: usize = 3;
/// The same for a job that runs and was shown to wait.
const RUNNING_EIGHTHS: usize = 2;
/// With less than this part of the hour's requests left only ends go.
const RESERVED_OF_HOUR: usize = 5;
/// A turn that was promised and not taken in this time went to another worker.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// A message may come back this much before its turn.
const EARLY: Duration = Duration::from_millis(50);
/// What has to wait comes back after this long at last: its job may be over by then.
const LONGEST_EARLY_WAIT: Duration = Duration::from_secs(60);
/// Where there are others, an end is offered again after this long: one of them may have requests left.
const OFFERED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// So many requests in a window of time.
#[derive(Debug, Clone, Copy)]
struct Share {
    of: usize,
    window: Duration,
}

impl Share {
    fn among(self, workers: usize) -> Self {
        Self { of: (self.of / workers.max(1)).max(1), ..self }
    }
}

/// How much a word matters to who looks at the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A job's end: it lets a merge go on.
    Final,
    /// The first word about a job.
    First,
    /// That a job runs which was shown to wait.
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

    fn limits(&self) -> [Limited; 2] {
        [Limited::Token(self.host.clone(), self.token), Limited::Owner(self.host.clone(), self.owner.clone())]
    }
}

/// What is counted by the forge as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Limited {
    Token(String, [u8; 8]),
    /// An App's token is one repository's, but its limit is that of the installation, so of the owner.
    Owner(String, String),
}

/// When requests were sent, or are promised to be; sorted, none older than its longest window.
#[derive(Debug, Default)]
struct Times(VecDeque<Instant>);

impl Times {
    fn forget(&mut self, window: Duration, now: Instant) {
        while self.0.front().is_some_and(|first| *first + window <= now) {
            self.0.pop_front();
        }
    }

    fn add(&mut self, at: Instant) {
        let place = self.0.partition_point(|sent| *sent <= at);
        self.0.insert(place, at);
    }

    /// When one more fits.
    fn fits(&self, share: Share, now: Instant) -> Instant {
        let in_the_way = self.0.len().checked_sub(share.of).and_then(|index| self.0.get(index));
        in_the_way.map_or(now, |sent| (*sent + share.window).max(now))
    }
}

/// What counts against one limit.
#[derive(Debug, Default)]
struct Sent {
    all: Times,
    /// Of those, what was no end.
    early: Times,
    /// Commits that were shown to wait, and when: their ends are still to come.
    open: HashMap<String, Instant>,
}

impl Sent {
    fn forget(&mut self, now: Instant) {
        self.all.forget(PER_HOUR.window, now);
        self.early.forget(PER_MINUTE.window, now);
        self.open.retain(|_, at| *at + PER_HOUR.window > now);
    }
}

/// What was asked for, and what was sent.
#[derive(Debug, Default)]
pub(super) struct Pace {
    until: Mutex<HashMap<Limited, Instant>>,
    sent: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    by: HashMap<Limited, Sent>,
    /// By commit key: when its end may go.
    promised: HashMap<String, Instant>,
}

/// Who asks to send, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    /// The commit's key.
    pub(super) key: &'a str,
    pub(super) urgency: Urgency,
    /// Workers that are present, this one among them.
    pub(super) workers: usize,
    /// What the forge itself says is left.
    pub(super) budget: Option<Budget>,
}

impl Pace {
    /// Nothing is to be sent for this account before `wait` is over.
    pub(super) fn wait(&self, account: &Account, wait: Duration, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        for limited in account.limits() {
            let at = until.entry(limited).or_insert(now);
            *at = (*at).max(now + wait);
        }
    }

    /// Whether the commit may be written now, which counts as sent; else how long its message has to
    /// wait. The turn of an end is kept for it.
    pub(super) fn ask(&self, account: &Account, asker: Asker<'_>, now: Instant) -> Result<(), Duration> {
        {
            let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
            let over = account.limits().into_iter().filter_map(|limited| until.get(&limited).copied()).max();
            if let Some(over) = over.filter(|over| *over > now) {
                return Err(over - now);
            }
        }
        if !account.is_counted {
            return Ok(());
        }
        let mut counted = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        counted.forget(now);
        match asker.urgency {
            Urgency::Final => counted.end(account, asker, now),
            Urgency::First => counted.early(account, asker, EARLY_EIGHTHS, now),
            Urgency::Running => counted.early(account, asker, RUNNING_EIGHTHS, now),
        }
    }
}

impl Counted {
    fn forget(&mut self, now: Instant) {
        self.promised.retain(|_, at| *at + FORGOTTEN_AFTER > now);
        self.by.retain(|_, sent| {
            sent.forget(now);
            !sent.all.0.is_empty() || !sent.open.is_empty()
        });
    }

    /// When one more fits all of an account's limits.
    fn fits(&self, account: &Account, now: Instant, fits: impl Fn(&Sent) -> Instant) -> Instant {
        let of = |limited: Limited| self.by.get(&limited).map_or(now, &fits);
        account.limits().into_iter().map(of).max().unwrap_or(now)
    }

    fn end(&mut self, account: &Account, asker: Asker<'_>, now: Instant) -> Result<(), Duration> {
        let at = match self.promised.get(asker.key) {
            Some(at) => *at,
            None => {
                let shares = [PER_MINUTE, PER_HOUR].map(|share| share.among(asker.workers));
                let at = self.fits(account, now, |sent| {
                    shares.iter().map(|share| sent.all.fits(*share, now)).max().unwrap_or(now)
                });
                for limited in account.limits() {
                    let sent = self.by.entry(limited).or_default();
                    sent.all.add(at);
                    sent.open.remove(asker.key);
                }
                self.promised.insert(asker.key.to_owned(), at);
                at
            }
        };
        if at <= now + EARLY {
            self.promised.remove(asker.key);
            return Ok(());
        }
        let wait = at - now;
        Err(if asker.workers > 1 { wait.min(OFFERED_AGAIN_AFTER) } else { wait })
    }

    fn early(
        &mut self,
        account: &Account,
        asker: Asker<'_>,
        eighths: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        let (minute, hour) = (PER_MINUTE.among(asker.workers), PER_HOUR.among(asker.workers));
        let early = Share { of: (minute.of * eighths / 8).max(1), ..minute };
        let hour = Share { of: hour.of - hour.of / RESERVED_OF_HOUR, ..hour };
        let at = self.fits(account, now, |sent| {
            // Its own end, and those of the others that were shown to wait, must still fit.
            let ends = sent.open.len() + usize::from(!sent.open.contains_key(asker.key));
            let rest = Share { of: minute.of.saturating_sub(ends).max(1), ..minute };
            let times = [sent.early.fits(early, now), sent.all.fits(rest, now), sent.all.fits(hour, now)];
            times.into_iter().max().unwrap_or(now)
        });
        let low = asker.budget.filter(Budget::is_low).map_or(now, |budget| budget.until);
        let wait = at.max(low).saturating_duration_since(now);
        if wait <= EARLY {
            for limited in account.limits() {
                let sent = self.by.entry(limited).or_default();
                sent.all.add(now);
                sent.early.add(now);
                sent.open.insert(asker.key.to_owned(), now);
            }
            return Ok(());
        }
        Err(wait.min(LONGEST_EARLY_WAIT))
    }
}

#[cfg(test)]
mod tests;
