//! Who of those that ask at the same moment gets place: a pure function over what is stored.

use std::collections::{BTreeMap, BTreeSet};

use jobs::usage::{Hold, Holds, Resource};

/// What an owner asks place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of the thing that is to be.
    pub(super) id: String,
    pub(super) hold: Hold,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) of: Resource,
    /// What lies there, with what was promised before.
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// What a gateway knows of an owner.
pub(super) trait Known {
    /// What lies in the ledger.
    fn used(&self, of: Resource) -> u64;
    /// Whether the thing is among it, or was.
    fn has(&self, id: &str, of: Resource) -> bool;
    /// Whether every gateway that reads the promises without it has seen the thing as well.
    fn is_settled(&self, id: &str, of: Resource) -> bool;
    /// How much there may be.
    fn limit(&self, of: Resource) -> u64;
    /// Whether the promise is so old that its thing will not come any more.
    fn is_stale(&self, id: &str) -> bool;
}

/// Drops what has come or will not come, and adds what is wanted as far as there is place, in its order.
pub(super) fn admit(stored: &Holds, wanted: &[Wanted], known: &impl Known) -> (Holds, Vec<Result<(), Full>>) {
    let (there, used) = at_one_moment(stored, wanted, known);
    let mut next = stored.clone();
    next.holds.retain(|id, hold| match there.contains(id) {
        true => !known.is_settled(id, hold.of),
        false => !known.is_stale(id),
    });
    let mut answers = Vec::with_capacity(wanted.len());
    for Wanted { id, hold } in wanted {
        let promised = |(other, held): (&String, &Hold)| {
            let counts = held.of == hold.of && other != id && !there.contains(other);
            if counts { held.amount } else { 0 }
        };
        let used =
            used.get(&hold.of).copied().unwrap_or_default() + next.holds.iter().map(promised).sum::<u64>();
        let limit = known.limit(hold.of);
        answers.push(match used.checked_add(hold.amount).is_some_and(|sum| sum <= limit) {
            true => {
                next.holds.insert(id.clone(), *hold);
                Ok(())
            }
            false => Err(Full { of: hold.of, used, limit }),
        });
    }
    (next, answers)
}

/// Which things have come, and what lies there with them: looked at again where one came in between, or it
/// would be counted on neither side.
fn at_one_moment(
    stored: &Holds,
    wanted: &[Wanted],
    known: &impl Known,
) -> (BTreeSet<String>, BTreeMap<Resource, u64>) {
    let there = || {
        let come = stored.holds.iter().filter(|(id, hold)| known.has(id, hold.of));
        come.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
    };
    let mut before = there();
    loop {
        let used = wanted.iter().map(|wanted| (wanted.hold.of, known.used(wanted.hold.of))).collect();
        let after = there();
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
        there: BTreeSet<&'static str>,
        stale: BTreeSet<&'static str>,
        limits: HashMap<Resource, u64>,
    }

    impl Known for Ledger {
        fn used(&self, of: Resource) -> u64 {
            if of == Resource::Queued { self.there.len() as u64 } else { 0 }
        }
        fn has(&self, id: &str, _: Resource) -> bool {
            self.there.contains(id)
        }
        fn is_settled(&self, _: &str, _: Resource) -> bool {
            true
        }
        fn limit(&self, of: Resource) -> u64 {
            self.limits.get(&of).copied().unwrap_or(2)
        }
        fn is_stale(&self, id: &str) -> bool {
            self.stale.contains(id)
        }
    }

    fn job(id: &str) -> Wanted {
        Wanted { id: id.to_owned(), hold: Hold { of: Resource::Queued, amount: 1 } }
    }

    #[test]
    fn of_many_at_once_so_many_get_place_as_there_is() {
        let (holds, answers) = admit(&Holds::default(), &["a", "b", "c"].map(job), &Ledger::default());
        let full = Full { of: Resource::Queued, used: 2, limit: 2 };
        assert_eq!(answers, [Ok(()), Ok(()), Err(full)]);
        assert_eq!(holds.holds.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_has_come_is_counted_once_and_what_never_comes_not_at_all() {
        let (stored, _) = admit(&Holds::default(), &["a", "b"].map(job), &Ledger::default());
        let has_come = Ledger { there: ["a"].into(), ..Ledger::default() };
        assert!(admit(&stored, &[job("c")], &has_come).1[0].is_err());
        let never = Ledger { stale: ["b"].into(), ..has_come };
        let (holds, answers) = admit(&stored, &[job("c")], &never);
        assert_eq!(answers, [Ok(())]);
        assert_eq!(holds.holds.keys().collect::<Vec<_>>(), ["c"]);
    }

    /// A thing comes just after what lies there was counted.
    #[derive(Default)]
    struct Moving(Cell<bool>);

    impl Known for Moving {
        fn used(&self, _: Resource) -> u64 {
            u64::from(self.0.replace(true))
        }
        fn has(&self, id: &str, _: Resource) -> bool {
            id == "a" && self.0.get()
        }
        fn is_settled(&self, _: &str, _: Resource) -> bool {
            false
        }
        fn limit(&self, _: Resource) -> u64 {
            1
        }
        fn is_stale(&self, _: &str) -> bool {
            false
        }
    }

    #[test]
    fn what_comes_between_two_looks_is_counted_all_the_same() {
        let (stored, _) = admit(&Holds::default(), &[job("a")], &Ledger::default());
        let full = Full { of: Resource::Queued, used: 1, limit: 1 };
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
        let secret =
            |id: &str, amount| Wanted { id: id.to_owned(), hold: Hold { of: Resource::Secrets, amount } };
        let wanted =
            [job("a"), job("b"), secret("s", 6), secret("t", 5), secret("u", 4), secret("v", u64::MAX)];
        let answers = admit(&Holds::default(), &wanted, &ledger).1;
        assert_eq!(
            answers.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, true, true, false, true, false]
        );
    }
}
