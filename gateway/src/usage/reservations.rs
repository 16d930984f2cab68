//! Decides which concurrent reservation requests are admitted: a pure function over the stored reservations.

use std::collections::{BTreeMap, BTreeSet};

use jobs::usage::{Hold, Holds, Resource};

/// A request to reserve an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReservationRequest {
    /// The id of the thing that is to be stored.
    pub(super) id: String,
    pub(super) hold: Hold,
}

/// A request would exceed the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit {
    pub(crate) of: Resource,
    /// What is stored, and what is reserved.
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// The usage of an owner, as a gateway observes it.
pub(super) trait UsageView {
    /// What is stored in the ledger.
    fn used(&self, of: Resource) -> u64;
    /// Whether the thing is stored, or was.
    fn has_arrived(&self, id: &str, of: Resource) -> bool;
    /// Whether every gateway that reads the reservations without it has seen the thing as well.
    fn is_seen_everywhere(&self, id: &str, of: Resource) -> bool;
    /// The limit.
    fn limit(&self, of: Resource) -> u64;
    /// Whether the reservation has expired.
    fn has_expired(&self, id: &str) -> bool;
}

/// Drops reservations that were used or have expired, and adds requests in order as far as the limits allow.
pub(super) fn admit(
    stored: &Holds,
    requests: &[ReservationRequest],
    view: &impl UsageView,
) -> (Holds, Vec<Result<(), OverLimit>>) {
    let (arrived, used) = consistent_usage(stored, requests, view);
    let mut next = stored.clone();
    next.holds.retain(|id, hold| match arrived.contains(id) {
        true => !view.is_seen_everywhere(id, hold.of),
        false => !view.has_expired(id),
    });
    let mut answers = Vec::with_capacity(requests.len());
    for ReservationRequest { id, hold } in requests {
        let reserved = |(other, held): (&String, &Hold)| {
            let counts = held.of == hold.of && other != id && !arrived.contains(other);
            if counts { held.amount } else { 0 }
        };
        let used =
            used.get(&hold.of).copied().unwrap_or_default() + next.holds.iter().map(reserved).sum::<u64>();
        let limit = view.limit(hold.of);
        answers.push(match used.checked_add(hold.amount).is_some_and(|sum| sum <= limit) {
            true => {
                next.holds.insert(id.clone(), *hold);
                Ok(())
            }
            false => Err(OverLimit { of: hold.of, used, limit }),
        });
    }
    (next, answers)
}

/// Which things have arrived, and the usage including them: read again where one arrived in between, or it
/// would be counted on neither side.
fn consistent_usage(
    stored: &Holds,
    requests: &[ReservationRequest],
    view: &impl UsageView,
) -> (BTreeSet<String>, BTreeMap<Resource, u64>) {
    let arrived = || {
        let arrivals = stored.holds.iter().filter(|(id, hold)| view.has_arrived(id, hold.of));
        arrivals.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
    };
    let mut before = arrived();
    loop {
        let used = requests.iter().map(|request| (request.hold.of, view.used(request.hold.of))).collect();
        let after = arrived();
        if after == before {
            return (before, used);
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        collections::{BTreeSet, HashMap},
    };

    use super::*;

    #[derive(Default)]
    struct Ledger {
        arrived: BTreeSet<&'static str>,
        stale: BTreeSet<&'static str>,
        limits: HashMap<Resource, u64>,
    }

    impl UsageView for Ledger {
        fn used(&self, of: Resource) -> u64 {
            if of == Resource::Queued { self.arrived.len() as u64 } else { 0 }
        }
        fn has_arrived(&self, id: &str, _: Resource) -> bool {
            self.arrived.contains(id)
        }
        fn is_seen_everywhere(&self, _: &str, _: Resource) -> bool {
            true
        }
        fn limit(&self, of: Resource) -> u64 {
            self.limits.get(&of).copied().unwrap_or(2)
        }
        fn has_expired(&self, id: &str) -> bool {
            self.stale.contains(id)
        }
    }

    fn job(id: &str) -> ReservationRequest {
        ReservationRequest { id: id.to_owned(), hold: Hold { of: Resource::Queued, amount: 1 } }
    }

    #[test]
    fn of_many_at_once_so_many_get_place_as_there_is() {
        let (holds, answers) = admit(&Holds::default(), &["a", "b", "c"].map(job), &Ledger::default());
        let full = OverLimit { of: Resource::Queued, used: 2, limit: 2 };
        assert_eq!(answers, [Ok(()), Ok(()), Err(full)]);
        assert_eq!(holds.holds.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_one_arrived_is_counted_once_and_what_never_comes_not_at_all() {
        let (stored, _) = admit(&Holds::default(), &["a", "b"].map(job), &Ledger::default());
        let one_arrived = Ledger { arrived: ["a"].into(), ..Ledger::default() };
        assert!(admit(&stored, &[job("c")], &one_arrived).1[0].is_err());
        let never = Ledger { stale: ["b"].into(), ..one_arrived };
        let (holds, answers) = admit(&stored, &[job("c")], &never);
        assert_eq!(answers, [Ok(())]);
        assert_eq!(holds.holds.keys().collect::<Vec<_>>(), ["c"]);
    }

    /// A thing arrives just after the usage was counted.
    #[derive(Default)]
    struct Moving(Cell<bool>);

    impl UsageView for Moving {
        fn used(&self, _: Resource) -> u64 {
            u64::from(self.0.replace(true))
        }
        fn has_arrived(&self, id: &str, _: Resource) -> bool {
            id == "a" && self.0.get()
        }
        fn is_seen_everywhere(&self, _: &str, _: Resource) -> bool {
            false
        }
        fn limit(&self, _: Resource) -> u64 {
            1
        }
        fn has_expired(&self, _: &str) -> bool {
            false
        }
    }

    #[test]
    fn what_comes_between_two_looks_is_counted_all_the_same() {
        let (stored, _) = admit(&Holds::default(), &[job("a")], &Ledger::default());
        let full = OverLimit { of: Resource::Queued, used: 1, limit: 1 };
        assert_eq!(admit(&stored, &[job("b")], &Moving::default()).1, [Err(full)]);
    }

    #[test]
    fn one_that_asks_again_holds_once() {
        let (stored, _) = admit(&Holds::default(), &["a", "b"].map(job), &Ledger::default());
        assert_eq!(admit(&stored, &[job("b")], &Ledger::default()).1, [Ok(())]);
    }

    #[test]
    fn one_resource_does_not_fill_another() {
        let ledger = Ledger { limits: HashMap::from([(Resource::Secrets, 10)]), ..Ledger::default() };
        let secret = |id: &str, amount| ReservationRequest {
            id: id.to_owned(),
            hold: Hold { of: Resource::Secrets, amount },
        };
        let requests =
            [job("a"), job("b"), secret("s", 6), secret("t", 5), secret("u", 4), secret("v", u64::MAX)];
        let answers = admit(&Holds::default(), &requests, &ledger).1;
        assert_eq!(
            answers.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, true, true, false, true, false]
        );
    }
}
