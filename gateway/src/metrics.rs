//! `/metrics` of the gateway, as Prometheus reads it.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use jobs::Verdict;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{error::ApiError, gateway::Gateway};

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfJob {
    state: Word,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfRequest, Counter>,
    deliveries: Family<OfDelivery, Counter>,
    unsigned: Family<OfUnsigned, Counter>,
    jobs: Family<OfJob, Gauge>,
    made_up: Counter,
    heads_unreachable: Counter,
    redelivered: Counter,
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
        let jobs = Family::default();
        registry.register("jobs", "Jobs that are not over, by state", jobs.clone());
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
        Self { registry, requests, deliveries, unsigned, jobs, made_up, heads_unreachable, redelivered }
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

    fn text(&self, waiting: u64, working: u64) -> String {
        for (state, count) in [("pending", waiting), ("working", working)] {
            let of = OfJob { state: Word::of(state) };
            self.jobs.get_or_create(&of).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Result<Response, ApiError> {
    let (waiting, working) = gateway.index.open_counts()?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], gateway.metrics.text(waiting, working)).into_response())
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
        let text = metrics.text(2, 1);
        // Labels of one family come in any order.
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        gitfaas_gateway_deliveries_total{verdict="accepted"} 1
        gitfaas_gateway_heads_unreachable_total 0
        gitfaas_gateway_jobs{state="pending"} 2
        gitfaas_gateway_jobs{state="working"} 1
        gitfaas_gateway_made_up_pushes_total 0
        gitfaas_gateway_redelivered_total 0
        gitfaas_gateway_requests_total{route="/api/v1/jobs",status="202"} 1
        gitfaas_gateway_unsigned_deliveries_total{reason="wrong signature"} 1
        "#);
    }
}
