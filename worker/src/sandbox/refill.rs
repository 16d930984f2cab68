//! Refills the pool of waiting containers in the background.

use std::time::Duration;

use super::Slot;
use super::engine::{Engine, Role};
use super::program::{Limits, Network};
use super::spec::Spec;
use crate::runner::Runner;

/// A job that runs for so long does not notice that a container is started beside it; one that is
/// shorter has the machine for itself.
const NOT_BEFORE: Duration = Duration::from_millis(500);

/// What a manifest that names no limits has.
const USUAL: Limits = Limits {
    time: Duration::from_secs(60),
    memory_bytes: 512 * 1024 * 1024,
    disk_bytes: 512 * 1024 * 1024,
    cpu_millis: 1000,
    output_bytes: 0,
    network: Network::Egress,
};

impl Slot {
    /// Refills the pool in the background, when the slot is idle or its job runs for longer.
    pub(super) fn refill(&self) {
        let slot = self.clone();
        let filling = async move {
            let resources = &slot.resources;
            let Ok(_only_one) = resources.refilling.try_lock() else { return };
            loop {
                drop(tokio::time::timeout(NOT_BEFORE, resources.busy.lock()).await);
                let Ok(_turn) = slot.inner.refills.acquire().await else { return };
                let Some(making) = resources.pool.lacking() else { return };
                match slot.make(making.spec(), Role::Waiting, None).await {
                    Ok(container) => making.done(container),
                    Err(error) => {
                        let error = format!("{error:#}");
                        tracing::warn!(error, slot = slot.index(), "pool refill failed");
                        resources.pause.check(slot.engine()).await;
                        return;
                    }
                }
            }
        };
        let stopped = self.inner.stopped.clone();
        self.engine().tasks.spawn_on(stopped.run_until_cancelled_owned(filling), &self.engine().handle);
    }

    /// A kind of container that most jobs of a language can use.
    pub(super) fn usual(engine: &Engine, runner: &Runner) -> Spec {
        Spec::run(engine, runner, None, &USUAL)
    }
}
