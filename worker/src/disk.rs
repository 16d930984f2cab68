//! What each owner has on this worker's disk: mirrors, prepared environments, and the spools of what runs.
//!
//! An owner has one share for all three. An owner over it loses its own, the oldest first, and nobody else
//! loses anything; only the mirror and the environment that were used last stay whatever their size, since a job
//! needs them. Spools give way to nothing: they are refused once they alone would be more than the share.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// What an owner has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Mirrors,
    Environments,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    mirrors: u64,
    environments: u64,
    spools: u64,
}

/// The shares of all owners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Disk {
    share_bytes: u64,
    used: Arc<Mutex<HashMap<String, Used>>>,
}

impl Disk {
    /// So much for each owner.
    pub fn new(share_bytes: u64) -> Self {
        Self { share_bytes, used: Arc::default() }
    }

    /// What one owner may have, in bytes.
    pub(crate) fn share_bytes(&self) -> u64 {
        self.share_bytes
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

    /// Notes what an owner has of a part, all in all.
    pub(crate) fn set(&self, owner: &str, part: Part, bytes: u64) {
        self.with(owner, |used| match part {
            Part::Mirrors => used.mirrors = bytes,
            Part::Environments => used.environments = bytes,
        });
    }

    /// How much an owner may have of a part, given what there is of the others.
    pub(crate) fn room(&self, owner: &str, part: Part) -> u64 {
        let others = self.with(owner, |used| match part {
            Part::Mirrors => used.environments + used.spools,
            Part::Environments => used.mirrors + used.spools,
        });
        self.share_bytes.saturating_sub(others)
    }

    /// An account for one spool.
    pub(crate) fn spool(&self, owner: &str) -> SpoolCharge {
        SpoolCharge { disk: self.clone(), owner: owner.to_owned(), bytes: 0 }
    }
}

/// What one spool takes, until it is dropped.
#[derive(Debug)]
pub(crate) struct SpoolCharge {
    disk: Disk,
    owner: String,
    bytes: u64,
}

/// The spools of one owner would be more than its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the files of this owner's jobs would take more than {} of a worker's disk at once; let fewer run at a time",
    jobs::units::show_bytes(*.0)
)]
pub struct ShareIsFull(pub u64);

impl SpoolCharge {
    /// Counts bytes that are about to be written.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<(), ShareIsFull> {
        let share = self.disk.share_bytes;
        let fits = self.disk.with(&self.owner, |used| {
            let fits = used.spools.saturating_add(bytes) <= share;
            if fits {
                used.spools += bytes;
            }
            fits
        });
        if !fits {
            return Err(ShareIsFull(share));
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
        let disk = Disk::new(100);
        disk.set("a", Part::Mirrors, 60);
        let mut spool = disk.spool("a");
        spool.add(30).unwrap();
        assert_eq!((disk.room("a", Part::Environments), disk.room("a", Part::Mirrors)), (10, 70));
        assert_eq!(disk.room("b", Part::Mirrors), 100);
        assert_eq!(disk.spool("a").add(71), Err(ShareIsFull(100)));
        disk.spool("b").add(100).unwrap();
        drop(spool);
        disk.set("a", Part::Mirrors, 0);
        assert!(disk.used.lock().is_empty(), "nothing is kept of who has nothing");
    }
}
