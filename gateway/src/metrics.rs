//! `/metrics` of the gateway, as Prometheus reads it.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use jobs::{Doubt, Verdict};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// A word from a closed set: labels must not grow with what strangers send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Word(String);

impl Word {
    /// A word of ours.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    route: Word,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDelivery {
    verdict: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfUnsigned {
    reason: Word,
}

/// What came of asking a forge whether it shows what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compared {
    /// It does.
    Same,
    /// It shows something else.
    Differs,
    /// It refused the end, which is said again without asking.
    Refused,
    /// It could not be asked.
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfComparison {
    result: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStore {
    store: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCleared {
    what: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfJob {
    state: Word,
}

/// Why a record was not believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfRecord {
    reason: Word,
}

impl OfRecord {
    pub(crate) fn of(doubt: Doubt) -> Self {
        Self { reason: Word::of(doubt.as_str()) }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfRequest, Counter>,
    deliveries: Family<OfDelivery, Counter>,
    unsigned: Family<OfUnsigned, Counter>,
    /// Counted by [`crate::records::Records`].
    pub(crate) doubted: Family<OfRecord, Counter>,
    jobs: Family<OfJob, Gauge>,
    compared: Family<OfComparison, Counter>,
    statuses_waiting: Gauge,
    longest_wait: Gauge<f64, AtomicU64>,
    made_up: Counter,
    heads_unreachable: Counter,
    redelivered: Counter,
    cleared: Family<OfCleared, Counter>,
    filled: Family<OfStore, Gauge<f64, AtomicU64>>,
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
        let doubted = Family::default();
        registry.register(
            "records_not_believed",
            "Records of jobs that do not say what a gateway signed, by reason",
            doubted.clone(),
        );
        let jobs = Family::default();
        registry.register("jobs", "Jobs that are not over, by state", jobs.clone());
        let compared = Family::default();
        registry.register(
            "statuses_compared",
            "Ends of jobs held against what the forge shows, by result",
            compared.clone(),
        );
        let statuses_waiting = Gauge::default();
        registry.register(
            "statuses_waiting",
            "Jobs whose state the forge is not known to show",
            statuses_waiting.clone(),
        );
        let longest_wait = Gauge::default();
        registry.register_with_unit(
            "statuses_longest_wait",
            "How long the one among them that waits longest was seen to wait",
            Unit::Seconds,
            longest_wait.clone(),
        );
        let filled = Family::default();
        registry.register("store_filled_ratio", "How full each store is, from 0 to 1", filled.clone());
        let cleared = Family::default();
        registry.register(
            "history_cleared",
            "Jobs and deliveries that went because their owners were at a limit",
            cleared.clone(),
        );
        let [made_up, heads_unreachable, redelivered] = <[Counter; 3]>::default();
        let mut count =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        count("made_up_pushes", "Pushes taken although their delivery never came", &made_up);
        count(
            "heads_unreachable",
            "Looks at a repository's refs that its server did not answer",
            &heads_unreachable,
        );
        count("redelivered", "Failed deliveries that GitHub was asked for again", &redelivered);
        Self {
            registry,
            requests,
            deliveries,
            unsigned,
            doubted,
            jobs,
            compared,
            statuses_waiting,
            longest_wait,
            made_up,
            heads_unreachable,
            redelivered,
            cleared,
            filled,
        }
    }
}

impl Metrics {
    /// Counts an answer; `route` is the pattern, never the path.
    pub(crate) fn request(&self, route: &str, status: u16) {
        self.requests.get_or_create(&OfRequest { route: Word::of(route), status }).inc();
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
        self.deliveries.get_or_create(&OfDelivery { verdict: Word::of(word) }).inc();
    }

    /// Counts a delivery that was not believed; the reason is a sentence of ours.
    pub(crate) fn unsigned(&self, reason: Word) {
        self.unsigned.get_or_create(&OfUnsigned { reason }).inc();
    }

    /// Counts a push that was made up for.
    pub(crate) fn made_up(&self) {
        self.made_up.inc();
    }

    /// Counts a look that was not answered.
    pub(crate) fn heads_unreachable(&self) {
        self.heads_unreachable.inc();
    }

    /// Counts a delivery that was asked for again.
    pub(crate) fn redelivered(&self) {
        self.redelivered.inc();
    }

    /// Notes how full a store is; a limit that is not positive is none.
    pub(crate) fn store(&self, name: &str, bytes: u64, limit: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a share of terabytes is exact enough")]
        let share = if limit > 0 { bytes as f64 / limit as f64 } else { 0.0 };
        self.filled.get_or_create(&OfStore { store: Word::of(name) }).set(share);
    }

    /// Counts what went because its owner was at a limit.
    pub(crate) fn cleared(&self, jobs: usize, deliveries: usize) {
        for (what, count) in [("jobs", jobs), ("deliveries", deliveries)] {
            self.cleared.get_or_create(&OfCleared { what: Word::of(what) }).inc_by(count as u64);
        }
    }

    /// Counts a look at what a forge shows.
    pub(crate) fn compared(&self, compared: Compared) {
        let word = match compared {
            Compared::Same => "same",
            Compared::Differs => "differs",
            Compared::Refused => "refused",
            Compared::Unreadable => "unreadable",
        };
        self.compared.get_or_create(&OfComparison { result: Word::of(word) }).inc();
    }

    /// Notes how long the status that waits longest has waited.
    pub(crate) fn longest_wait(&self, wait: Duration) {
        self.longest_wait.set(wait.as_secs_f64());
    }

    pub(crate) fn text(&self, waiting: u64, working: u64, unposted: u64) -> String {
        self.statuses_waiting.set(i64::try_from(unposted).unwrap_or(i64::MAX));
        for (state, count) in [("pending", waiting), ("working", working)] {
            let of = OfJob { state: Word::of(state) };
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
        metrics.unsigned(Word::of("wrong signature"));
        metrics.doubted.get_or_create(&OfRecord::of(Doubt::Forged)).inc();
        metrics.compared(Compared::Same);
        metrics.longest_wait(Duration::from_millis(1500));
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
