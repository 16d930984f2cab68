//! The metrics of a worker, as Prometheus reads them.
//!
//! One value is made at the start and passed down; cloning it shares the counts.

use std::{fmt, sync::Arc, time::Duration};

use jobs::CommitState;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::attempt::AttemptEnd;

/// In seconds: a status is usually there within one; an hour is a forge that was away.
const DELAY_BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// What came of posting a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostResult {
    /// The forge accepted it.
    Posted,
    /// The forge asks to wait.
    Waiting,
    /// The forge, or a gateway, is out of reach or broken.
    Unreachable,
    /// The forge does not accept the token.
    Unauthorized,
    /// The forge, or a gateway, will not accept it.
    Rejected,
}

impl PostResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Waiting => "waiting",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "refused",
        }
    }
}

/// A label's value from one of our own enums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LabelValue(&'static str);

impl EncodeLabelValue for LabelValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    state: LabelValue,
    outcome: LabelValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    fate: LabelValue,
}

/// Everything that is counted.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    status_delay: Histogram,
    statuses: Family<StatusLabels, Counter>,
    jobs_taken: Counter,
    attempts: Family<AttemptLabels, Counter>,
    slots: Gauge,
    slots_busy: Gauge,
    containers_waiting: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let status_delay = Histogram::new(DELAY_BUCKETS);
        let (statuses, attempts) = (Family::default(), Family::default());
        let jobs_taken = Counter::default();
        let (slots, slots_busy, containers_waiting) = (Gauge::default(), Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("gitfaas");
        registry.register(
            "status_delay_seconds",
            "From a record's change until it was noted that the forge knows, by the NATS server's clock",
            status_delay.clone(),
        );
        registry.register("statuses", "Statuses and check runs that a forge was told of", statuses.clone());
        registry.register("jobs_taken", "Jobs that this worker took", jobs_taken.clone());
        registry.register("attempts", "Attempts that are over on this worker", attempts.clone());
        registry.register("slots", "Jobs that this worker runs at most at once", slots.clone());
        registry.register("slots_busy", "Jobs that this worker runs", slots_busy.clone());
        registry.register(
            "containers_waiting",
            "Containers of this worker that wait for a job",
            containers_waiting.clone(),
        );
        Self {
            registry: Arc::new(registry),
            status_delay,
            statuses,
            jobs_taken,
            attempts,
            slots,
            slots_busy,
            containers_waiting,
        }
    }

    /// A status was posted, or was to be.
    pub fn status(&self, state: CommitState, result: PostResult) {
        let state = match state {
            CommitState::Pending => "pending",
            CommitState::Success => "success",
            CommitState::Failure => "failure",
            CommitState::Error => "error",
        };
        self.statuses
            .get_or_create(&StatusLabels { state: LabelValue(state), outcome: LabelValue(result.as_str()) })
            .inc();
    }

    /// A status was this late.
    pub fn status_delay(&self, delay: Duration) {
        self.status_delay.observe(delay.as_secs_f64());
    }

    /// The worker has so many slots.
    pub fn set_slots(&self, slots: usize) {
        self.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    /// A slot took a job, and is busy until the attempt is over.
    pub fn job_taken(&self) {
        self.jobs_taken.inc();
        self.slots_busy.inc();
    }

    /// An attempt is over.
    pub fn attempt_ended(&self, end: AttemptEnd) {
        let fate = match end {
            AttemptEnd::Ended => "ended",
            AttemptEnd::Requeued => "handed_back",
            AttemptEnd::NotOffered => "not_offered",
            AttemptEnd::Deferred => "put_off",
            AttemptEnd::NeedsLongerSlot(_) => "needs_longer",
            AttemptEnd::Outdated => "outdated",
        };
        self.slots_busy.dec();
        self.attempts.get_or_create(&AttemptLabels { fate: LabelValue(fate) }).inc();
    }

    /// All of it, in `OpenMetrics`' text form; `waiting` is how many containers wait now.
    pub fn text(&self, waiting: usize) -> String {
        self.containers_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        // A string takes everything.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.set_slots(2);
        metrics.job_taken();
        metrics.job_taken();
        metrics.attempt_ended(AttemptEnd::Ended);
        metrics.status(CommitState::Failure, PostResult::Posted);
        metrics.status_delay(Duration::from_millis(300));
        let text = metrics.text(3);
        let shown: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket")).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        gitfaas_status_delay_seconds_sum 0.3
        gitfaas_status_delay_seconds_count 1
        gitfaas_statuses_total{state="failure",outcome="posted"} 1
        gitfaas_jobs_taken_total 2
        gitfaas_attempts_total{fate="ended"} 1
        gitfaas_slots 2
        gitfaas_slots_busy 1
        gitfaas_containers_waiting 3
        "#);
    }
}
