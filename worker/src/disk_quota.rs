//! The disk quota of each owner on this worker: mirrors, prepared environments, and the spools of running jobs.
//!
//! One quota covers all three. Of an owner over quota its own mirrors and environments are evicted, the least
//! recently used first, and none of another owner's; only the mirror and the environment that were used last
//! stay whatever their size, since a job needs them. Spools are never evicted: they are refused once they alone
//! would exceed the quota.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// The caches that count against a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheKind {
    Mirrors,
    Environments,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    mirrors: u64,
    environments: u64,
    spools: u64,
}

/// The usage of all owners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DiskQuota {
    quota_bytes: u64,
    used: Arc<Mutex<HashMap<String, Used>>>,
}

impl DiskQuota {
    /// The same quota for each owner.
    pub fn new(quota_bytes: u64) -> Self {
        Self { quota_bytes, used: Arc::default() }
    }

    /// The quota of one owner, in bytes.
    pub(crate) fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }

    fn with<T>(&self, owner: &str, act: impl FnOnce(&mut Used) -> T) -> T {
        let mut used = self.used.lock();
        let of_owner = used.entry(owner.to_owned()).or_default();
        let done = act(of_owner);
        let Used { mirrors, environments, spools } = *of_owner;
        if mirrors == 0 && environments == 0 && spools == 0 {
            used.remove(owner);
        }
        done
    }

    /// Sets the whole usage of one cache by an owner.
    pub(crate) fn set(&self, owner: &str, part: CacheKind, bytes: u64) {
        self.with(owner, |used| match part {
            CacheKind::Mirrors => used.mirrors = bytes,
            CacheKind::Environments => used.environments = bytes,
        });
    }

    /// The bytes that an owner may use for a cache, given its usage of the others.
    pub(crate) fn available_bytes(&self, owner: &str, part: CacheKind) -> u64 {
        let others = self.with(owner, |used| match part {
            CacheKind::Mirrors => used.environments + used.spools,
            CacheKind::Environments => used.mirrors + used.spools,
        });
        self.quota_bytes.saturating_sub(others)
    }

    /// The charge for one spool, which begins at zero.
    pub(crate) fn spool(&self, owner: &str) -> SpoolCharge {
        SpoolCharge { disk: self.clone(), owner: owner.to_owned(), bytes: 0 }
    }
}

/// The bytes of one spool, which are released when this is dropped.
#[derive(Debug)]
pub(crate) struct SpoolCharge {
    disk: DiskQuota,
    owner: String,
    bytes: u64,
}

/// The spools of one owner would exceed its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the files of this owner's jobs would take more than {} of a worker's disk at once; let fewer run at a time",
    jobs::units::show_bytes(*.0)
)]
pub struct QuotaExceeded(pub u64);

impl SpoolCharge {
    /// Counts bytes that are about to be written.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<(), QuotaExceeded> {
        let quota = self.disk.quota_bytes;
        let fits = self.disk.with(&self.owner, |used| {
            let fits = used.spools.saturating_add(bytes) <= quota;
            if fits {
                used.spools += bytes;
            }
            fits
        });
        if !fits {
            return Err(QuotaExceeded(quota));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for SpoolCharge {
    fn drop(&mut self) {
        self.disk.with(&self.owner, |used| used.spools = used.spools.saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_for_all_and_an_owner_has_only_its_own() {
        let disk = DiskQuota::new(100);
        disk.set("a", CacheKind::Mirrors, 60);
        let mut spool = disk.spool("a");
        spool.add(30).unwrap();
        assert_eq!(
            (
                disk.available_bytes("a", CacheKind::Environments),
                disk.available_bytes("a", CacheKind::Mirrors)
            ),
            (10, 70)
        );
        assert_eq!(disk.available_bytes("b", CacheKind::Mirrors), 100);
        assert_eq!(disk.spool("a").add(71), Err(QuotaExceeded(100)));
        disk.spool("b").add(100).unwrap();
        drop(spool);
        disk.set("a", CacheKind::Mirrors, 0);
        assert!(disk.used.lock().is_empty(), "nothing is kept of who has nothing");
    }
}
