//! How large the stores are, and how many owners share them.
//!
//! A store that is full refuses everybody, so the limits of owners are made to fit: so many owners at their
//! limits leave a reserve of every store free, for what nobody is charged for and for what runs over.

use crate::settings::{
    GITFAAS_MAX_OWNERS, GITFAAS_STORE_DELIVERIES, GITFAAS_STORE_INPUTS, GITFAAS_STORE_LOGS,
    GITFAAS_STORE_RECORDS, GITFAAS_STORE_REFS, GITFAAS_STORE_RESULTS, GITFAAS_STORE_SECRETS, Reader,
};

/// Of a store left free of owners' limits, in percent.
pub const RESERVE_PERCENT: u64 = 10;
/// A smaller store is of no use to anybody.
const LEAST_BYTES: u64 = 16 << 20;

/// Sizes of stores, in bytes, and who shares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stores {
    /// The bucket `jobs`.
    pub records: u64,
    /// The bucket `deliveries`.
    pub deliveries: u64,
    /// The stream `LOGS`.
    pub logs: u64,
    /// The object store `RESULTS`.
    pub results: u64,
    /// The stream `INPUTS`.
    pub inputs: u64,
    /// The bucket `secrets`.
    pub secrets: u64,
    /// Each of the buckets `heads`, `pushes` and `commits`.
    pub refs: u64,
    /// So many owners at their limits fit.
    pub max_owners: u64,
}

impl Default for Stores {
    fn default() -> Self {
        Self::read(&mut Reader::new(&|_| None))
    }
}

impl Stores {
    /// Reads all of them.
    pub fn read(env: &mut Reader<'_>) -> Self {
        let mut size = |setting| {
            let bytes = env.bytes(setting);
            if bytes < LEAST_BYTES {
                env.problem(setting, "must be 16m at least");
            }
            bytes
        };
        let records = size(GITFAAS_STORE_RECORDS);
        let deliveries = size(GITFAAS_STORE_DELIVERIES);
        let logs = size(GITFAAS_STORE_LOGS);
        let results = size(GITFAAS_STORE_RESULTS);
        let inputs = size(GITFAAS_STORE_INPUTS);
        let secrets = size(GITFAAS_STORE_SECRETS);
        let refs = size(GITFAAS_STORE_REFS);
        let max_owners: u64 = env.value(GITFAAS_MAX_OWNERS);
        if max_owners == 0 {
            env.problem(GITFAAS_MAX_OWNERS, "must be 1 at least");
        }
        Self { records, deliveries, logs, results, inputs, secrets, refs, max_owners: max_owners.max(1) }
    }

    /// What of a store of this size all owners together may have.
    pub fn shared(size: u64) -> u64 {
        size / 100 * (100 - RESERVE_PERCENT)
    }

    /// What of a store of this size every owner may have, unless one was given more: the rest is for those.
    pub fn share(&self, size: u64) -> u64 {
        Self::shared(size) / 4 * 3 / self.max_owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_small_too_large_or_for_nobody_is_said_at_once() {
        let var = |name: &str| match name {
            "GITFAAS_STORE_LOGS" => Some("0".to_owned()),
            "GITFAAS_STORE_RESULTS" => Some("9223372036854775808".to_owned()),
            "GITFAAS_MAX_OWNERS" => Some("0".to_owned()),
            _ => None,
        };
        let mut env = Reader::new(&var);
        Stores::read(&mut env);
        insta::assert_snapshot!(env.finish(|| Some(())).unwrap_err(), @r"
        3 environment variables are wrong:
          GITFAAS_STORE_LOGS: must be 16m at least
          GITFAAS_STORE_RESULTS: must be bytes, or a number with `k`, `m` or `g` (1024-based)
          GITFAAS_MAX_OWNERS: must be 1 at least
        ");
    }

    #[test]
    fn owners_at_their_limits_leave_a_reserve() {
        let stores = Stores::default();
        assert!(stores.share(stores.logs) * stores.max_owners <= stores.logs * 9 / 10);
    }
}
