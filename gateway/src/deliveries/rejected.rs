//! Deliveries without a valid signature. They store nothing in NATS, so that a stranger cannot fill it.
//!
//! Each repository's webhook has a list of its own, so that a noisy one displaces no other. All of it is in this
//! gateway's memory: another gateway has received others, and a restart forgets.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    fmt,
};

use jiff::Timestamp;
use jobs::{RepoId, api::UnsignedDelivery};
use parking_lot::Mutex;

/// Kept of one repository's hook: enough for its owner to see what a wrongly configured forge sends.
const KEPT_OF_REPO: usize = 20;
/// Kept of all other hooks together: enough for an operator to see the same.
const KEPT_OF_OTHERS: usize = 100;
/// Repositories that are remembered. With 20 entries of some 150 bytes each that is 3 MB at most.
const MAX_REPOS: usize = 1_000;

/// Where a delivery was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook<'a> {
    /// To the hook of a repository that is registered.
    Repo(RepoId),
    /// Elsewhere: `github`, or an unknown name.
    Other(&'a str),
}

impl fmt::Display for Hook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repo(repo) => repo.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Rejected deliveries of one repository's webhook since the last valid one.
#[derive(Debug, Clone)]
pub(crate) struct RejectedSummary {
    pub(crate) count: u64,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    /// Of the last one.
    pub(crate) reason: String,
}

/// The newest rejected deliveries, in memory.
#[derive(Debug, Default)]
pub(crate) struct RejectedDeliveries(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// How many there ever were.
    noted: u64,
    of_repos: HashMap<RepoId, OfRepo>,
    others: VecDeque<Sequenced>,
}

/// A rejected delivery with its number: a clock may stand still or go back.
type Sequenced = (u64, UnsignedDelivery);

#[derive(Debug)]
struct OfRepo {
    count: u64,
    first_at: Timestamp,
    last: VecDeque<Sequenced>,
}

impl RejectedDeliveries {
    pub(crate) fn record(&self, hook: Hook<'_>, reason: &str) {
        let rejected =
            UnsignedDelivery { at: Timestamp::now(), hook: hook.to_string(), reason: reason.to_owned() };
        let mut kept = self.0.lock();
        kept.noted += 1;
        let noted = (kept.noted, rejected);
        match hook {
            Hook::Repo(repo) => kept.note_of(repo, noted),
            Hook::Other(_) => push(&mut kept.others, noted, KEPT_OF_OTHERS),
        }
    }

    /// Of every hook, newest first.
    pub(crate) fn all(&self) -> Vec<UnsignedDelivery> {
        let kept = self.0.lock();
        newest_first(kept.of_repos.values().flat_map(|of| &of.last).chain(&kept.others))
    }

    /// Of the hooks of these repositories, newest first.
    pub(crate) fn of(&self, repos: &[RepoId]) -> Vec<UnsignedDelivery> {
        let kept = self.0.lock();
        newest_first(repos.iter().filter_map(|repo| kept.of_repos.get(repo)).flat_map(|of| &of.last))
    }
}

impl RejectedDeliveries {
    /// A delivery with a valid signature came: the ones before it are no problem any more.
    pub(crate) fn clear_count(&self, repo: RepoId) {
        if let Some(of) = self.0.lock().of_repos.get_mut(&repo) {
            of.count = 0;
        }
    }

    /// How many were rejected since the last valid one, and since when, also those that are not kept any more.
    pub(crate) fn summary(&self, repo: RepoId) -> Option<RejectedSummary> {
        let kept = self.0.lock();
        let of = kept.of_repos.get(&repo).filter(|of| of.count > 0)?;
        let (_, last) = of.last.back()?;
        let (count, first_at) = (of.count, of.first_at);
        Some(RejectedSummary { count, first_at, last_at: last.at, reason: last.reason.clone() })
    }
}

impl Kept {
    fn note_of(&mut self, repo: RepoId, noted: Sequenced) {
        if self.of_repos.len() == MAX_REPOS && !self.of_repos.contains_key(&repo) {
            let quietest = self.of_repos.iter().min_by_key(|(_, of)| of.newest()).map(|(repo, _)| *repo);
            if let Some(quietest) = quietest {
                self.of_repos.remove(&quietest);
            }
        }
        let first_at = noted.1.at;
        let of = self.of_repos.entry(repo);
        let of = of.or_insert_with(|| OfRepo { count: 0, first_at, last: VecDeque::new() });
        if of.count == 0 {
            of.first_at = first_at;
        }
        of.count += 1;
        push(&mut of.last, noted, KEPT_OF_REPO);
    }
}

impl OfRepo {
    /// The number of its newest.
    fn newest(&self) -> u64 {
        self.last.back().map_or(0, |(number, _)| *number)
    }
}

fn push(kept: &mut VecDeque<Sequenced>, noted: Sequenced, most: usize) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(noted);
}

fn newest_first<'a>(noted: impl Iterator<Item = &'a Sequenced>) -> Vec<UnsignedDelivery> {
    let mut noted: Vec<&Sequenced> = noted.collect();
    noted.sort_unstable_by_key(|(number, _)| Reverse(*number));
    noted.into_iter().map(|(_, rejected)| rejected.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(rejected: &[UnsignedDelivery]) -> Vec<&str> {
        rejected.iter().map(|rejected| rejected.reason.as_str()).collect()
    }

    #[test]
    fn of_hooks_that_are_no_repositorys_the_last_hundred_are_kept() {
        let rejected = RejectedDeliveries::default();
        (0..KEPT_OF_OTHERS + 5).for_each(|n| rejected.record(Hook::Other(&n.to_string()), "wrong signature"));
        let all = rejected.all();
        let (newest, oldest) = (all[0].hook.as_str(), all[KEPT_OF_OTHERS - 1].hook.as_str());
        assert_eq!((all.len(), newest, oldest), (KEPT_OF_OTHERS, "104", "5"));
    }

    #[test]
    fn a_noisy_hook_pushes_out_its_own_alone() {
        let rejected = RejectedDeliveries::default();
        let (quiet, noisy) = (RepoId::new(), RepoId::new());
        rejected.record(Hook::Repo(quiet), "not signed");
        rejected.record(Hook::Other("github"), "wrong signature");
        (0..KEPT_OF_REPO + 5).for_each(|n| rejected.record(Hook::Repo(noisy), &n.to_string()));
        (0..KEPT_OF_OTHERS - 1).for_each(|_| rejected.record(Hook::Other("nothing"), "unknown repository"));
        assert_eq!(reasons(&rejected.of(&[quiet])), ["not signed"]);
        let of_noisy = rejected.of(&[noisy]);
        assert_eq!((of_noisy.len(), &*of_noisy[0].reason), (KEPT_OF_REPO, "24"));
        let both = rejected.of(&[quiet, noisy]);
        assert_eq!((both.len(), &*both[0].reason, &*both[KEPT_OF_REPO].reason), (21, "24", "not signed"));
        let all = rejected.all();
        assert_eq!(all.len(), 1 + KEPT_OF_REPO + KEPT_OF_OTHERS);
        assert_eq!(reasons(&all[all.len() - 2..]), ["wrong signature", "not signed"]);
        assert!(rejected.of(&[RepoId::new()]).is_empty());
    }

    #[test]
    fn what_came_to_a_hook_is_counted_also_when_it_is_not_kept_any_more() {
        let rejected = RejectedDeliveries::default();
        let repo = RepoId::new();
        assert!(rejected.summary(repo).is_none());
        rejected.record(Hook::Repo(repo), "not signed");
        let first = rejected.all().pop().unwrap();
        (0..KEPT_OF_REPO).for_each(|_| rejected.record(Hook::Repo(repo), "wrong signature"));
        let last = rejected.all().remove(0);
        let found = rejected.summary(repo).unwrap();
        assert_eq!((found.count, &*found.reason), (21, "wrong signature"));
        assert_eq!((found.first_at, found.last_at), (first.at, last.at));
        assert_eq!(last.hook, repo.to_string());
        rejected.clear_count(repo);
        assert!(rejected.summary(repo).is_none(), "the forge signs as it should again");
        rejected.record(Hook::Repo(repo), "not signed");
        assert_eq!(rejected.summary(repo).unwrap().count, 1);
    }

    #[test]
    fn the_hook_that_was_quiet_for_longest_makes_room_for_a_new_one() {
        let rejected = RejectedDeliveries::default();
        let repos: Vec<RepoId> = (0..MAX_REPOS).map(|_| RepoId::new()).collect();
        repos.iter().for_each(|repo| rejected.record(Hook::Repo(*repo), "not signed"));
        rejected.record(Hook::Repo(repos[0]), "again");
        assert_eq!(rejected.summary(repos[0]).unwrap().count, 2, "one that is known needs no room");
        rejected.record(Hook::Repo(RepoId::new()), "not signed");
        assert!(rejected.summary(repos[0]).is_some() && rejected.summary(repos[1]).is_none());
        assert_eq!(rejected.all().len(), MAX_REPOS + 1);
    }
}
