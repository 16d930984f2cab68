//! Limits of calls without a token: by function, and those of public functions also by address.
//!
//! A stranger is nobody's user, so what calls cost is bounded for the owner of the function, and one address leaves
//! room for others.

use std::net::IpAddr;

use jobs::RepoId;

use crate::{
    error::ApiError,
    http::rate_limit::{
        LimitKey, Limits, Settings, Slot,
        concurrency::{ConcurrencyLimit, ConcurrencyPermit},
        keyed_limiter::KeyedLimiter,
        too_fast,
    },
};

/// Rates, and calls that are being answered.
pub(super) struct PublicCalls {
    by_function: KeyedLimiter<RepoId>,
    by_address: KeyedLimiter<(RepoId, Slot)>,
    at_once: ConcurrencyLimit,
    at_once_by_address: ConcurrencyLimit,
}

/// A call that is being answered, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct CallPermit {
    _of_function: ConcurrencyPermit,
    _of_address: Option<ConcurrencyPermit>,
}

impl PublicCalls {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            by_function: KeyedLimiter::per_minute(settings.max_public_calls_per_minute),
            by_address: KeyedLimiter::per_minute(settings.max_public_calls_per_address_per_minute),
            at_once: ConcurrencyLimit::at_most(settings.max_public_calls_at_once),
            at_once_by_address: ConcurrencyLimit::at_most(settings.max_public_calls_per_address_at_once),
        }
    }

    pub(super) fn evict_idle(&self) {
        self.by_function.evict_idle();
        self.by_address.evict_idle();
    }

    /// The address comes first: one that is over its limit takes nothing of the function's.
    fn acquire(&self, function: RepoId, address: Option<Slot>) -> Result<CallPermit, ApiError> {
        let of_address = match address {
            None => None,
            Some(slot) => {
                let key = LimitKey::FunctionAndAddress(function, slot);
                let sentence = "too many calls of this address are being answered; try again";
                let open = self.at_once_by_address.acquire(key);
                let permit = open.ok_or_else(|| ApiError::TooMany(sentence.to_owned()))?;
                self.by_address.take(&(function, slot)).map_err(too_fast)?;
                Some(permit)
            }
        };
        let sentence = "too many calls of this function are being answered; try again";
        let open = self.at_once.acquire(LimitKey::Function(function));
        let of_function = open.ok_or_else(|| ApiError::TooMany(sentence.to_owned()))?;
        self.by_function.take(&function).map_err(too_fast)?;
        Ok(CallPermit { _of_function: of_function, _of_address: of_address })
    }
}

impl Limits {
    /// Acquires a permit for a call of a public function from this address, held until it was answered.
    pub(crate) fn acquire_public_call(
        &self,
        function: RepoId,
        address: Option<IpAddr>,
    ) -> Result<CallPermit, ApiError> {
        self.public_calls.acquire(function, Some(self.slot(address)))
    }

    /// Acquires a permit for a call whose signature was verified, held until it was answered. Senders have few
    /// addresses, and are not counted by them.
    pub(crate) fn acquire_signed_call(&self, function: RepoId) -> Result<CallPermit, ApiError> {
        self.public_calls.acquire(function, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_minute: u32, per_address: u32, at_once: usize, per_address_at_once: usize) -> Limits {
        Limits::new(&Settings {
            max_public_calls_per_minute: per_minute.try_into().unwrap(),
            max_public_calls_per_address_per_minute: per_address.try_into().unwrap(),
            max_public_calls_at_once: at_once,
            max_public_calls_per_address_at_once: per_address_at_once,
            ..Settings::default()
        })
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_has_its_rate_at_each_function_and_takes_no_more_of_the_functions() {
        let limits = limits(5, 2, 100, 100);
        let (one, other) = (RepoId::new(), RepoId::new());
        let call = |function, last| limits.acquire_public_call(function, address(last)).map(drop);
        assert!(call(one, 1).is_ok() && call(one, 1).is_ok());
        for _ in 0..10 {
            assert!(matches!(call(one, 1), Err(ApiError::TooFast(_))));
        }
        assert!(
            call(other, 1).is_ok() && call(one, 2).is_ok() && call(one, 2).is_ok() && call(one, 3).is_ok()
        );
        assert!(matches!(call(one, 4), Err(ApiError::TooFast(_))), "five of all addresses");
        assert!(matches!(limits.acquire_signed_call(one), Err(ApiError::TooFast(_))));
        assert!(limits.acquire_signed_call(other).is_ok());
    }

    #[test]
    fn calls_that_are_being_answered_count_until_they_are() {
        let limits = limits(100, 100, 3, 2);
        let function = RepoId::new();
        let call = |last| limits.acquire_public_call(function, address(last));
        let (first, second) = (call(1).unwrap(), call(1).unwrap());
        assert!(matches!(call(1), Err(ApiError::TooMany(_))), "two of this address");
        let third = limits.acquire_signed_call(function).unwrap();
        assert!(matches!(call(2), Err(ApiError::TooMany(_))), "three of the function");
        drop(third);
        assert!(call(2).is_ok());
        drop((first, second));
        assert!(call(1).is_ok());
    }
}
