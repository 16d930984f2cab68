//! Pending device codes: how many are stored in NATS, and which are evicted for new ones.
//!
//! Anonymous clients may request codes, so their number is bounded: an address has a limit, and when this
//! gateway has issued all that it may, the address with the most codes loses its oldest. Expired codes are
//! purged too. So no flood, from one address or from many, keeps others from signing in.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use parking_lot::Mutex;

use crate::http::rate_limit::Slot;

/// Pending codes of one address: a class that signs in together has fewer.
const MAX_PER_ADDRESS: usize = 100;
/// Pending codes of one gateway. With its request each takes some 600 bytes in the bucket of 16 MiB: five
/// gateways fill two thirds of it.
const MAX_CODES: usize = 3_600;
/// Codes purged for one new code: more than one, so that expired codes do not pile up.
const MAX_PURGED_AT_ONCE: usize = 8;

/// A code that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssuedCode {
    pub(crate) slot: Slot,
    /// The keys of the code and of its request.
    pub(crate) keys: [String; 2],
    /// When it expires.
    pub(crate) until: Instant,
}

/// The codes that this gateway issued, oldest first. A restart forgets them; then the bucket's age limit
/// removes them.
#[derive(Debug, Default)]
pub(crate) struct PendingCodes(Mutex<VecDeque<IssuedCode>>);

impl PendingCodes {
    /// Adds a code, and returns those that are to be purged for it.
    pub(crate) fn add(&self, issued: IssuedCode, now: Instant) -> Vec<IssuedCode> {
        let mut open = self.0.lock();
        let mut gone = Vec::new();
        while gone.len() < MAX_PURGED_AT_ONCE && open.front().is_some_and(|oldest| oldest.until <= now) {
            gone.extend(open.pop_front());
        }
        let of = issued.slot;
        if open.iter().filter(|other| other.slot == of).count() >= MAX_PER_ADDRESS {
            gone.extend(remove_oldest_of(&mut open, of));
        } else if open.len() >= MAX_CODES {
            let fullest = fullest(&open);
            gone.extend(fullest.and_then(|fullest| remove_oldest_of(&mut open, fullest)));
        }
        open.push_back(issued);
        gone
    }
}

fn remove_oldest_of(open: &mut VecDeque<IssuedCode>, slot: Slot) -> Option<IssuedCode> {
    let oldest = open.iter().position(|issued| issued.slot == slot)?;
    open.remove(oldest)
}

/// The address with the most codes; of several, that of the oldest code.
fn fullest(open: &VecDeque<IssuedCode>) -> Option<Slot> {
    let mut counts: HashMap<Slot, usize> = HashMap::new();
    open.iter().for_each(|issued| *counts.entry(issued.slot).or_default() += 1);
    let most = counts.values().copied().max()?;
    open.iter().map(|issued| issued.slot).find(|slot| counts[slot] == most)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(900);

    fn issued(slot: Slot, n: usize, now: Instant) -> IssuedCode {
        IssuedCode { slot, keys: [format!("code.{n}"), format!("device.{n}")], until: now + LIFETIME }
    }

    fn codes(gone: &[IssuedCode]) -> Vec<&str> {
        gone.iter().map(|issued| issued.keys[0].as_str()).collect()
    }

    #[test]
    fn an_address_that_has_its_share_loses_its_own_oldest() {
        let (open, now) = (PendingCodes::default(), Instant::now());
        assert!(open.add(issued(2, 1000, now), now).is_empty());
        assert!((0..MAX_PER_ADDRESS).all(|n| open.add(issued(1, n, now), now).is_empty()));
        assert_eq!(codes(&open.add(issued(1, 500, now), now)), ["code.0"]);
        assert_eq!(codes(&open.add(issued(1, 501, now), now)), ["code.1"]);
    }

    #[test]
    fn where_all_are_given_out_the_address_that_holds_most_loses_its_oldest() {
        let (open, now) = (PendingCodes::default(), Instant::now());
        (0..MAX_CODES - 2).for_each(|n| assert!(open.add(issued(n as Slot, n, now), now).is_empty()));
        assert!(open.add(issued(7, 5000, now), now).is_empty());
        assert!(open.add(issued(9, 5001, now), now).is_empty());
        assert_eq!(codes(&open.add(issued(60_000, 5002, now), now)), ["code.7"]);
        assert_eq!(codes(&open.add(issued(60_001, 5003, now), now)), ["code.9"]);
        assert_eq!(codes(&open.add(issued(60_002, 5004, now), now)), ["code.0"]);
    }

    #[test]
    fn what_has_expired_is_taken_away_faster_than_it_comes() {
        let (open, now) = (PendingCodes::default(), Instant::now());
        (0..12).for_each(|n| assert!(open.add(issued(1, n, now), now).is_empty()));
        let later = now + LIFETIME;
        assert_eq!(open.add(issued(1, 12, later), later).len(), MAX_PURGED_AT_ONCE);
        assert_eq!(open.add(issued(1, 13, later), later).len(), 4);
        assert!(open.add(issued(1, 14, later), later).is_empty());
    }
}
