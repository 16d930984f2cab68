//! How fast a forge may be told things: not at all before the time that it asked for is over, and
//! one write to a repository of GitHub's in a second on the average. A few may come at once, because
//! somebody waits for the end of a short job.
//!
//! The pace is this worker's own; another one learns of a limit by meeting it. Nothing waits here:
//! who has to, gives its message back for that long and comes again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hooks::{forge::Forge, status::Target};
use sha2::{Digest as _, Sha256};

/// GitHub asks for a second between two writes.
pub(super) const GAP: Duration = Duration::from_secs(1);
/// So many writes may come without their gaps. GitHub's hard limit is 80 in a minute over all
/// repositories of a token, which this leaves far away.
const BURST: u32 = 8;
/// A turn that was promised and not taken in this time went to another worker.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// A message may come back this much before its turn.
const EARLY: Duration = Duration::from_millis(50);

/// Whether somebody looks at the commit and sees nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The first word about a job: it is not delayed for the sake of a gap.
    First,
    /// Anything later.
    Later,
}

/// Whose limits a request counts against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    host: String,
    owner: String,
    name: String,
    /// Tells tokens apart, and nothing else.
    token: [u8; 8],
    /// Zero where a forge asks for none.
    gap: Duration,
}

impl Account {
    pub(super) fn of(target: &Target, owner: &str, name: &str) -> Self {
        let port = target.api.port_or_known_default().unwrap_or_default();
        let mut token = [0; 8];
        token.copy_from_slice(&Sha256::digest(target.token.expose())[..8]);
        Self {
            host: format!("{}:{port}", target.api.host_str().unwrap_or_default()),
            owner: owner.to_lowercase(),
            name: name.to_lowercase(),
            token,
            gap: match target.forge {
                Forge::Github => GAP,
                Forge::Gitea | Forge::Gitlab | Forge::Plain => Duration::ZERO,
            },
        }
    }
}

/// What is counted by the forge as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Limited {
    Token(String, [u8; 8]),
    /// An App's token is one repository's, but its limit is that of the installation, so of the owner.
    Owner(String, String),
}

#[derive(Debug)]
struct Turns {
    /// When all writes so far would be over, each with its gap.
    next: Instant,
    promised: HashMap<String, Instant>,
}

/// What was asked for, and when which repository was written to.
#[derive(Debug, Default)]
pub(super) struct Pace {
    until: Mutex<HashMap<Limited, Instant>>,
    turns: Mutex<HashMap<(String, String, String), Turns>>,
}

impl Pace {
    /// Nothing is to be sent for this account before `wait` is over.
    pub(super) fn wait(&self, account: &Account, wait: Duration, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        for limited in limits(account) {
            let at = until.entry(limited).or_insert(now);
            *at = (*at).max(now + wait);
        }
    }

    /// Whether the commit under `key` may be written now; else how long its message has to wait.
    /// A turn that was promised is kept for it.
    pub(super) fn ask(
        &self,
        account: &Account,
        key: &str,
        urgency: Urgency,
        now: Instant,
    ) -> Result<(), Duration> {
        {
            let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
            let over = limits(account).into_iter().filter_map(|limited| until.get(&limited).copied()).max();
            if let Some(over) = over.filter(|over| *over > now) {
                return Err(over - now);
            }
        }
        self.turn(account, key, urgency, now)
    }

    fn turn(&self, account: &Account, key: &str, urgency: Urgency, now: Instant) -> Result<(), Duration> {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turns| {
            turns.promised.retain(|_, at| *at + FORGOTTEN_AFTER > now);
            turns.next > now || !turns.promised.is_empty()
        });
        let repository = (account.host.clone(), account.owner.clone(), account.name.clone());
        let turns = all.entry(repository).or_insert_with(|| Turns { next: now, promised: HashMap::new() });
        let ahead = account.gap * (BURST - 1);
        if let Some(at) = turns.promised.get(key).copied() {
            if at > now + EARLY && urgency == Urgency::Later {
                return Err(at - now);
            }
            turns.promised.remove(key);
            return Ok(());
        }
        let is_free = turns.promised.is_empty() && turns.next <= now + ahead;
        let at = turns.next.checked_sub(ahead).map_or(now, |at| at.max(now));
        turns.next = turns.next.max(now) + account.gap;
        if is_free || urgency == Urgency::First || at <= now {
            return Ok(());
        }
        turns.promised.insert(key.to_owned(), at);
        Err(at - now)
    }
}

fn limits(account: &Account) -> [Limited; 2] {
    [
        Limited::Token(account.host.clone(), account.token),
        Limited::Owner(account.host.clone(), account.owner.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(forge: Forge, owner: &str, token: &str) -> Account {
        let api = "https://api.example/".parse().unwrap();
        Account::of(&Target { forge, api, token: token.parse().unwrap() }, owner, "hello")
    }

    #[test]
    fn nothing_is_sent_for_a_token_or_an_owner_before_the_time_is_over() {
        let (pace, now) = (Pace::default(), Instant::now());
        let minute = Duration::from_secs(60);
        let limited = account(Forge::Github, "octocat", "t1");
        pace.wait(&limited, minute, now);
        pace.wait(&limited, Duration::from_secs(5), now);
        for same in [&limited, &account(Forge::Github, "Octocat", "t2"), &account(Forge::Github, "b", "t1")] {
            assert_eq!(pace.ask(same, "k", Urgency::First, now), Err(minute));
        }
        assert_eq!(pace.ask(&account(Forge::Github, "b", "t2"), "k", Urgency::First, now), Ok(()));
        assert_eq!(pace.ask(&limited, "k", Urgency::First, now + minute), Ok(()));
    }

    /// Uses up what may come at once.
    fn after_a_burst(pace: &Pace, account: &Account, now: Instant) {
        for _ in 0..BURST {
            assert_eq!(pace.ask(account, "burst", Urgency::Later, now), Ok(()));
        }
    }

    #[test]
    fn after_a_burst_each_write_of_a_repository_has_its_own_second_and_keeps_it() {
        let (pace, now) = (Pace::default(), Instant::now());
        let github = account(Forge::Github, "octocat", "t");
        after_a_burst(&pace, &github, now);
        assert_eq!(pace.ask(&github, "a", Urgency::Later, now), Err(GAP));
        assert_eq!(pace.ask(&github, "b", Urgency::Later, now), Err(2 * GAP));
        assert_eq!(pace.ask(&github, "a", Urgency::Later, now + GAP / 2), Err(GAP / 2));
        assert_eq!(pace.ask(&github, "a", Urgency::Later, now + GAP), Ok(()));
        assert_eq!(pace.ask(&github, "b", Urgency::Later, now + 2 * GAP), Ok(()));
        assert_eq!(pace.ask(&github, "c", Urgency::Later, now + 4 * GAP), Ok(()));
    }

    #[test]
    fn a_first_word_is_never_delayed_and_other_forges_ask_for_no_gap() {
        let (pace, now) = (Pace::default(), Instant::now());
        let github = account(Forge::Github, "octocat", "t");
        after_a_burst(&pace, &github, now);
        for key in ["a", "b", "c"] {
            assert_eq!(pace.ask(&github, key, Urgency::First, now), Ok(()));
        }
        assert_eq!(pace.ask(&github, "a", Urgency::Later, now), Err(4 * GAP));
        let gitea = account(Forge::Gitea, "gitea", "other");
        for key in ["a", "b"] {
            assert_eq!(pace.ask(&gitea, key, Urgency::Later, now), Ok(()));
        }
    }
}
