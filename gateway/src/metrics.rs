//! The metrics of the gateway, in the Prometheus format.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use jobs::{SignatureError, Verdict};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// A label value from a closed set: cardinality must not grow with input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LabelValue(String);

impl LabelValue {
    /// A value that this program defines.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl EncodeLabelValue for LabelValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: LabelValue,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    verdict: LabelValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    reason: LabelValue,
}

/// The result of checking a posted status at its forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CheckOutcome {
    /// The forge shows what was posted.
    Same,
    /// The forge shows something else.
    Differs,
    /// The forge had rejected the final status, which is reposted without a check.
    Refused,
    /// The forge could not be asked.
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    result: LabelValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: LabelValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeletedLabels {
    what: LabelValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    state: LabelValue,
}

/// Why a record did not verify.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RecordLabels {
    reason: LabelValue,
}

impl RecordLabels {
    pub(crate) fn of(doubt: SignatureError) -> Self {
        Self { reason: LabelValue::of(doubt.as_str()) }
    }
}

/// All metrics of the gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    deliveries: Family<DeliveryLabels, Counter>,
    unsigned: Family<RejectionLabels, Counter>,
    /// Counted by [`crate::crypto::record_verifier::RecordVerifier`].
    pub(crate) unverified: Family<RecordLabels, Counter>,
    jobs: Family<JobLabels, Gauge>,
    status_checked: Family<CheckLabels, Counter>,
    statuses_waiting: Gauge,
    longest_status_wait: Gauge<f64, AtomicU64>,
    synthetic_push: Counter,
    poll_failed: Counter,
    redelivered: Counter,
    history_deleted: Family<DeletedLabels, Counter>,
    store_ratio: Family<StoreLabels, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gitfaas_gateway");
        let requests = Family::default();
        registry.register("requests", "Answered requests by route and status", requests.clone());
        let deliveries = Family::default();
        registry.register("deliveries", "Signed deliveries by verdict", deliveries.clone());
        let unsigned = Family::default();
        registry.register(
            "unsigned_deliveries",
            "Deliveries that were not believed, by reason",
            unsigned.clone(),
        );
        let unverified = Family::default();
        registry.register(
            "records_not_believed",
            "Records of jobs that do not say what a gateway signed, by reason",
            unverified.clone(),
        );
        let jobs = Family::default();
        registry.register("jobs", "Jobs that are not over, by state", jobs.clone());
        let status_checked = Family::default();
        registry.register(
            "statuses_compared",
            "Ends of jobs held against what the forge shows, by result",
            status_checked.clone(),
        );
        let statuses_waiting = Gauge::default();
        registry.register(
            "statuses_waiting",
            "Jobs whose state the forge is not known to show",
            statuses_waiting.clone(),
        );
        let longest_status_wait = Gauge::default();
        registry.register_with_unit(
            "statuses_longest_wait",
            "How long the one among them that waits longest was seen to wait",
            Unit::Seconds,
            longest_status_wait.clone(),
        );
        let store_ratio = Family::default();
        registry.register("store_filled_ratio", "How full each store is, from 0 to 1", store_ratio.clone());
        let history_deleted = Family::default();
        registry.register(
            "history_cleared",
            "Jobs and deliveries that went because their owners were at a limit",
            history_deleted.clone(),
        );
        let [synthetic_push, poll_failed, redelivered] = <[Counter; 3]>::default();
        let mut count =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        count("made_up_pushes", "Pushes taken although their delivery never came", &synthetic_push);
        count(
            "heads_unreachable",
            "Looks at a repository's refs that its server did not answer",
            &poll_failed,
        );
        count("redelivered", "Failed deliveries that GitHub was asked for again", &redelivered);
        Self {
            registry,
            requests,
            deliveries,
            unsigned,
            unverified,
            jobs,
            status_checked,
            statuses_waiting,
            longest_status_wait,
            synthetic_push,
            poll_failed,
            redelivered,
            history_deleted,
            store_ratio,
        }
    }
}

impl Metrics {
    /// Counts an answer; `route` is the pattern, never the path.
    pub(crate) fn request(&self, route: &str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route: LabelValue::of(route), status }).inc();
    }

    /// Counts a signed delivery.
    pub(crate) fn delivery(&self, verdict: Verdict) {
        let word = match verdict {
            Verdict::Accepted => "accepted",
            Verdict::Duplicate => "duplicate",
            Verdict::Ignored => "ignored",
            Verdict::Refused => "refused",
            Verdict::Held => "held",
        };
        self.deliveries.get_or_create(&DeliveryLabels { verdict: LabelValue::of(word) }).inc();
    }

    /// Counts a delivery that was rejected; the reason is from a closed set.
    pub(crate) fn unsigned(&self, reason: LabelValue) {
        self.unsigned.get_or_create(&RejectionLabels { reason }).inc();
    }

    /// Counts a synthetic push.
    pub(crate) fn synthetic_push(&self) {
        self.synthetic_push.inc();
    }

    /// Counts a failed poll.
    pub(crate) fn poll_failed(&self) {
        self.poll_failed.inc();
    }

    /// Counts a requested redelivery.
    pub(crate) fn redelivered(&self) {
        self.redelivered.inc();
    }

    /// Sets how full a store is; a limit that is not positive means none.
    pub(crate) fn store(&self, name: &str, bytes: u64, limit: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a share of terabytes is exact enough")]
        let share = if limit > 0 { bytes as f64 / limit as f64 } else { 0.0 };
        self.store_ratio.get_or_create(&StoreLabels { store: LabelValue::of(name) }).set(share);
    }

    /// Counts history that was deleted because its owner was at a limit.
    pub(crate) fn history_deleted(&self, jobs: usize, deliveries: usize) {
        for (what, count) in [("jobs", jobs), ("deliveries", deliveries)] {
            self.history_deleted
                .get_or_create(&DeletedLabels { what: LabelValue::of(what) })
                .inc_by(count as u64);
        }
    }

    /// Counts a status check.
    pub(crate) fn status_checked(&self, status_checked: CheckOutcome) {
        let word = match status_checked {
            CheckOutcome::Same => "same",
            CheckOutcome::Differs => "differs",
            CheckOutcome::Refused => "refused",
            CheckOutcome::Unreadable => "unreadable",
        };
        self.status_checked.get_or_create(&CheckLabels { result: LabelValue::of(word) }).inc();
    }

    /// Sets the wait of the status that has waited longest.
    pub(crate) fn longest_status_wait(&self, wait: Duration) {
        self.longest_status_wait.set(wait.as_secs_f64());
    }

    pub(crate) fn text(&self, waiting: u64, working: u64, unposted: u64) -> String {
        self.statuses_waiting.set(i64::try_from(unposted).unwrap_or(i64::MAX));
        for (state, count) in [("pending", waiting), ("working", working)] {
            let of = JobLabels { state: LabelValue::of(state) };
            self.jobs.get_or_create(&of).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scraper_reads() {
        let metrics = Metrics::default();
        metrics.request("/api/v1/jobs", 202);
        metrics.delivery(Verdict::Accepted);
        metrics.unsigned(LabelValue::of("wrong signature"));
        metrics.unverified.get_or_create(&RecordLabels::of(SignatureError::Forged)).inc();
        metrics.status_checked(CheckOutcome::Same);
        metrics.longest_status_wait(Duration::from_millis(1500));
        let text = metrics.text(2, 1, 3);
        // Labels of one family come in any order.
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        gitfaas_gateway_deliveries_total{verdict="accepted"} 1
        gitfaas_gateway_heads_unreachable_total 0
        gitfaas_gateway_jobs{state="pending"} 2
        gitfaas_gateway_jobs{state="working"} 1
        gitfaas_gateway_made_up_pushes_total 0
        gitfaas_gateway_records_not_believed_total{reason="forged"} 1
        gitfaas_gateway_redelivered_total 0
        gitfaas_gateway_requests_total{route="/api/v1/jobs",status="202"} 1
        gitfaas_gateway_statuses_compared_total{result="same"} 1
        gitfaas_gateway_statuses_longest_wait_seconds 1.5
        gitfaas_gateway_statuses_waiting 3
        gitfaas_gateway_unsigned_deliveries_total{reason="wrong signature"} 1
        "#);
    }
}
