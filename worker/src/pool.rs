//! Containers that wait for a job: started before it comes, used once.
//!
//! Each slot has its own, since a container belongs to its slot's network and uid. What is worth
//! keeping: one of each language as most jobs want it, and one of each of the last other kinds.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::sandbox::{Container, Spec};

/// How many kinds besides the usual ones each slot keeps a container of. A waiting one costs a few
/// megabytes of memory.
const RECENT: usize = 2;

/// The waiting containers of one slot.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    kinds: Mutex<Kinds>,
    made: Notify,
}

#[derive(Debug, Default)]
struct Kinds {
    usual: Vec<Spec>,
    recent: VecDeque<Spec>,
    waiting: HashMap<Spec, Container>,
    /// The kind that is being made.
    making: Option<Spec>,
    is_closed: bool,
}

impl Pool {
    pub(crate) fn new(usual: Vec<Spec>) -> Self {
        Self { kinds: Mutex::new(Kinds { usual, ..Kinds::default() }), made: Notify::new() }
    }

    /// A waiting container of this kind, if there is one or one is being made: that one began
    /// earlier than a fresh one could. The kind counts as used now.
    pub(crate) async fn take(&self, spec: &Spec) -> Option<Container> {
        let mut made = std::pin::pin!(self.made.notified());
        made.as_mut().enable();
        let taken = self.take_now(spec);
        if taken.is_some() || self.kinds().making.as_ref() != Some(spec) {
            return taken;
        }
        made.await;
        self.take_now(spec)
    }

    fn take_now(&self, spec: &Spec) -> Option<Container> {
        let mut dropped = Vec::new();
        let mut kinds = self.kinds();
        if !kinds.usual.contains(spec) {
            kinds.recent.retain(|recent| recent != spec);
            kinds.recent.push_front(spec.clone());
            while kinds.recent.len() > RECENT {
                let old = kinds.recent.pop_back();
                dropped.extend(old.and_then(|old| kinds.waiting.remove(&old)));
            }
        }
        kinds.waiting.remove(spec)
    }

    /// A kind that should have a waiting container and has none, to be made now by one at a time.
    pub(crate) fn lacking(&self) -> Option<Making<'_>> {
        let mut kinds = self.kinds();
        let mut worth = kinds.recent.iter().chain(&kinds.usual);
        let lacking = worth.find(|spec| !kinds.is_closed && !kinds.waiting.contains_key(*spec)).cloned()?;
        kinds.making = Some(lacking.clone());
        Some(Making { pool: self, spec: lacking })
    }

    /// Keeps a container for the next job of its kind, if that is still worth it.
    fn put(&self, spec: Spec, container: Container) {
        let mut kinds = self.kinds();
        let is_worth = kinds.usual.contains(&spec) || kinds.recent.contains(&spec);
        if is_worth && !kinds.is_closed {
            kinds.waiting.insert(spec, container);
        }
    }

    /// Lets go of all that has this volume mounted, so that it can be removed.
    pub(crate) fn forget_volume(&self, volume: &str) {
        let mut kinds = self.kinds();
        kinds.recent.retain(|spec| !spec.mounts(volume));
        kinds.waiting.retain(|spec, _| !spec.mounts(volume));
    }

    /// Lets all waiting containers go; their launchers end and they are removed.
    pub(crate) fn clear(&self) {
        self.kinds().waiting.clear();
    }

    /// Lets all go, and takes none any more.
    pub(crate) fn close(&self) {
        self.kinds().is_closed = true;
        self.clear();
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.kinds().waiting.len()
    }

    fn kinds(&self) -> parking_lot::MutexGuard<'_, Kinds> {
        self.kinds.lock()
    }
}

/// The making of one container. Whoever waits for it is told when this is dropped, made or not.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pool: &'a Pool,
    spec: Spec,
}

impl Making<'_> {
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// It waits.
    pub(crate) fn done(self, container: Container) {
        self.pool.put(self.spec.clone(), container);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.pool.kinds().making = None;
        self.pool.made.notify_waiters();
    }
}
