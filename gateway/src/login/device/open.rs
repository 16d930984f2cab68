//! Codes that wait for an answer: how many lie in NATS, and whose make room.
//!
//! Anybody may begin, so what beginning stores is bounded: an address has so many, and where this gateway
//! has given out all it may, the address that holds most loses its oldest. What has expired is taken away
//! too. So no flood, from one address or from many, keeps anybody else from beginning.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::http::rate_limit::Slot;

/// Codes of one address that wait at once: a class that signs in together has fewer.
const MOST_OF_ADDRESS: usize = 100;
/// Codes of one gateway that wait at once. With its request each is some 600 bytes in the bucket of 16 MiB:
/// five gateways fill two thirds of it.
const MOST: usize = 3_600;
/// Taken away with one beginning: more than begin with it, so that what has expired grows less.
const AT_ONCE: usize = 8;

/// A code that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) slot: Slot,
    /// The keys of the code and of its request.
    pub(crate) keys: [String; 2],
    /// When it expires.
    pub(crate) until: Instant,
}

/// What this gateway gave out, oldest first. A restart forgets; then the bucket's age takes them away.
#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<VecDeque<Given>>);

impl Open {
    /// Adds one, and returns those that are to be taken away for it.
    pub(crate) fn add(&self, given: Given, now: Instant) -> Vec<Given> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = Vec::new();
        while gone.len() < AT_ONCE && open.front().is_some_and(|oldest| oldest.until <= now) {
            gone.extend(open.pop_front());
        }
        let of = given.slot;
        if open.iter().filter(|other| other.slot == of).count() >= MOST_OF_ADDRESS {
            gone.extend(take_oldest_of(&mut open, of));
        } else if open.len() >= MOST {
            let fullest = fullest(&open);
            gone.extend(fullest.and_then(|fullest| take_oldest_of(&mut open, fullest)));
        }
        open.push_back(given);
        gone
    }
}

fn take_oldest_of(open: &mut VecDeque<Given>, slot: Slot) -> Option<Given> {
    let oldest = open.iter().position(|given| given.slot == slot)?;
    open.remove(oldest)
}

/// The address that holds most; of several, that of the oldest code.
fn fullest(open: &VecDeque<Given>) -> Option<Slot> {
    let mut counts: HashMap<Slot, usize> = HashMap::new();
    open.iter().for_each(|given| *counts.entry(given.slot).or_default() += 1);
    let most = counts.values().copied().max()?;
    open.iter().map(|given| given.slot).find(|slot| counts[slot] == most)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIFE: Duration = Duration::from_secs(900);

    fn given(slot: Slot, n: usize, now: Instant) -> Given {
        Given { slot, keys: [format!("code.{n}"), format!("device.{n}")], until: now + LIFE }
    }

    fn codes(gone: &[Given]) -> Vec<&str> {
        gone.iter().map(|given| given.keys[0].as_str()).collect()
    }

    #[test]
    fn an_address_that_has_its_share_loses_its_own_oldest() {
        let (open, now) = (Open::default(), Instant::now());
        assert!(open.add(given(2, 1000, now), now).is_empty());
        assert!((0..MOST_OF_ADDRESS).all(|n| open.add(given(1, n, now), now).is_empty()));
        assert_eq!(codes(&open.add(given(1, 500, now), now)), ["code.0"]);
        assert_eq!(codes(&open.add(given(1, 501, now), now)), ["code.1"]);
    }

    #[test]
    fn where_all_are_given_out_the_address_that_holds_most_loses_its_oldest() {
        let (open, now) = (Open::default(), Instant::now());
        (0..MOST - 2).for_each(|n| assert!(open.add(given(n as Slot, n, now), now).is_empty()));
        assert!(open.add(given(7, 5000, now), now).is_empty());
        assert!(open.add(given(9, 5001, now), now).is_empty());
        assert_eq!(codes(&open.add(given(60_000, 5002, now), now)), ["code.7"]);
        assert_eq!(codes(&open.add(given(60_001, 5003, now), now)), ["code.9"]);
        assert_eq!(codes(&open.add(given(60_002, 5004, now), now)), ["code.0"]);
    }

    #[test]
    fn what_has_expired_is_taken_away_faster_than_it_comes() {
        let (open, now) = (Open::default(), Instant::now());
        (0..12).for_each(|n| assert!(open.add(given(1, n, now), now).is_empty()));
        let later = now + LIFE;
        assert_eq!(open.add(given(1, 12, later), later).len(), AT_ONCE);
        assert_eq!(open.add(given(1, 13, later), later).len(), 4);
        assert!(open.add(given(1, 14, later), later).is_empty());
    }
}
