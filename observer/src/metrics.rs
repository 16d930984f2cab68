//! The metrics of the observer, in the text format of Prometheus.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering};

use jobs::{Cause, Job, State};
use parking_lot::Mutex;
use prometheus_client::metrics::{
    counter::Counter,
    family::Family,
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
};
use prometheus_client::registry::Registry;

use crate::statistics::{Change, JobCounter, Totals};

/// `state` and `cause`, or `state` alone.
type Labels = Vec<(&'static str, String)>;

/// From 5 ms, faster than any container, doubling to 80 minutes, longer than any default.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 20))
}

/// Every metric, and whether this observer has caught up with the records.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    ready: AtomicBool,
    requested: Counter<u64, AtomicU64>,
    completed: Family<Labels, Counter>,
    by_state: Family<Labels, Gauge>,
    run_seconds: Histogram,
    queue_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("gitfaas");
        let requested = Counter::default();
        let completed = Family::<Labels, Counter>::default();
        let by_state = Family::<Labels, Gauge>::default();
        let (run_seconds, queue_seconds) = (seconds(), seconds());
        registry.register("jobs_requested", "Jobs that were asked for, since the first", requested.clone());
        registry.register(
            "jobs_completed",
            "Jobs that were worked on and are over, since the first",
            completed.clone(),
        );
        registry.register("jobs", "Jobs that wait or are worked on", by_state.clone());
        registry.register(
            "run_seconds",
            "How long the programs of jobs ran that ended since this observer started",
            run_seconds.clone(),
        );
        registry.register(
            "queue_seconds",
            "How long jobs waited that ended since this observer started",
            queue_seconds.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            ready: AtomicBool::new(false),
            requested,
            completed,
            by_state,
            run_seconds,
            queue_seconds,
        }
    }

    /// Counters go on at the totals of a snapshot.
    pub(crate) fn resume(&self, totals: &Totals) {
        self.requested.inc_by(totals.requests);
        for (end, count) in &totals.by_end {
            let (state, cause) = end.split_once('.').unwrap_or((end, "none"));
            self.completed.get_or_create(&labels(state, cause)).inc_by(*count);
        }
    }

    pub(crate) fn count(&self, change: Change, job: &Job) {
        if change.requested {
            self.requested.inc();
        }
        if change.completed {
            let cause = job.status.cause.map_or("none", Cause::as_str);
            self.completed.get_or_create(&labels(job.status.state.as_str(), cause)).inc();
            observe(&self.run_seconds, job.status.timings_ms.run);
            observe(&self.queue_seconds, job.status.timings_ms.queued);
        }
    }

    pub(crate) fn show_open(&self, counter: &JobCounter) {
        for state in [State::Pending, State::Working] {
            let label = vec![("state", state.as_str().to_owned())];
            let count = i64::try_from(counter.open(state)).unwrap_or(i64::MAX);
            self.by_state.get_or_create(&label).set(count);
        }
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

fn labels(state: &str, cause: &str) -> Labels {
    vec![("state", state.to_owned()), ("cause", cause.to_owned())]
}

fn observe(histogram: &Histogram, ms: Option<u64>) {
    if let Some(ms) = ms {
        histogram.observe(ms as f64 / 1000.0);
    }
}
