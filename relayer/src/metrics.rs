//! What the monitoring team sees. Every label comes from a closed set or from the configuration, except the codes of
//! refusals and the names of lanes, which are bounded in number.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hufu_schemas_core::{LaneId, Timestamp};
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::trouble::{End, Trouble};

/// Codes of refusals that are counted by name; the next ones are `other`. Gateways have a closed list of about fifty.
const CODES_MOST: usize = 128;

/// The courier's metrics, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pages: IntCounterVec,
    updates: IntCounterVec,
    checkpoints: IntCounterVec,
    refusals: IntCounterVec,
    troubles: IntCounterVec,
    bytes: IntCounterVec,
    lane_position: IntGaugeVec,
    ledger_position: IntGaugeVec,
    last_success: GaugeVec,
    request_duration: HistogramVec,
    backoff: HistogramVec,
    codes: Mutex<BTreeSet<String>>,
}

/// What became of a page, of updates or of a checkpoint that were to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The destination moved on.
    Admitted,
    /// It had all of it: another courier was faster.
    Known,
    /// It waits for the ledger to come nearer.
    Waiting,
    /// It did not come to be delivered, for this reason (a label of [`Trouble::reason`]).
    Failed(&'static str),
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Known => "known",
            Self::Waiting => "waiting",
            Self::Failed(reason) => reason,
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let seconds = |most: f64| {
            let steps =
                [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0];
            steps.into_iter().filter(|step| *step <= most).collect::<Vec<_>>()
        };
        let histogram = |name: &str, help: &str, most: f64, labels: &[&str]| {
            let options = HistogramOpts::new(format!("hufu_relayer_{name}"), help).buckets(seconds(most));
            register(&registry, HistogramVec::new(options, labels)?)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(options(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(options(name, help), labels)?)
        };
        let last_success = GaugeVec::new(
            options("last_success_timestamp_seconds", "When a round of the pair last ended well, Unix time."),
            &["pair"],
        )?;
        Ok(Self {
            pages: counter("pages_total", "Pages by what became of them.", &["outcome"])?,
            updates: counter("updates_total", "Batches of ledger updates by what became of them.", &["outcome"])?,
            checkpoints: counter(
                "checkpoints_total",
                "Heartbeats of idle lanes by what became of them.",
                &["outcome"],
            )?,
            refusals: counter("refusals_total", "Answers of 422 by the problem's code.", &["code"])?,
            troubles: counter("troubles_total", "Requests that brought no answer to use.", &["end", "reason"])?,
            bytes: counter("bytes_total", "Bytes of pages and updates carried.", &["direction"])?,
            lane_position: gauge(
                "lane_position",
                "Leaves that the origin's last carried checkpoint claims, and the next leaf that the destination wants.",
                &["pair", "lane", "end"],
            )?,
            ledger_position: gauge("ledger_position", "Height that the destination wants next.", &["pair", "ledger"])?,
            last_success: register(&registry, last_success)?,
            request_duration: histogram(
                "request_duration_seconds",
                "Time of requests. Reads of pages and updates include the wait of a long poll.",
                60.0,
                &["end", "request"],
            )?,
            backoff: histogram("backoff_seconds", "Waits after a trouble, by its reason.", 600.0, &["reason"])?,
            codes: Mutex::default(),
            registry,
        })
    }

    /// All of it in the text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(fault) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%fault, "metrics could not be written");
        }
        text
    }

    pub(crate) fn page(&self, outcome: Outcome) {
        self.pages.with_label_values(&[outcome.label()]).inc();
    }

    pub(crate) fn updates(&self, outcome: Outcome) {
        self.updates.with_label_values(&[outcome.label()]).inc();
    }

    pub(crate) fn checkpoint(&self, outcome: Outcome) {
        self.checkpoints.with_label_values(&[outcome.label()]).inc();
    }

    pub(crate) fn trouble(&self, trouble: &Trouble) {
        self.troubles.with_label_values(&[trouble.end.label(), trouble.reason()]).inc();
        if let Some(code) = trouble.refused_code() {
            self.refusals.with_label_values(&[self.bounded(code)]).inc();
        }
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.moved("read", bytes);
    }

    pub(crate) fn written(&self, bytes: usize) {
        self.moved("written", bytes);
    }

    pub(crate) fn lane_at(&self, pair: &str, lane: &LaneId, end: End, leaves: u64) {
        self.lane_position.with_label_values(&[pair, &lane.to_string(), end.label()]).set(whole(leaves));
    }

    pub(crate) fn ledger_at(&self, pair: &str, ledger: &str, wants: u64) {
        self.ledger_position.with_label_values(&[pair, ledger]).set(whole(wants));
    }

    pub(crate) fn success(&self, pair: &str, now: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
        let seconds = now.seconds() as f64;
        self.last_success.with_label_values(&[pair]).set(seconds);
    }

    pub(crate) fn request(&self, end: End, request: &'static str, took: Duration) {
        self.request_duration.with_label_values(&[end.label(), request]).observe(took.as_secs_f64());
    }

    pub(crate) fn waits(&self, reason: &'static str, pause: Duration) {
        self.backoff.with_label_values(&[reason]).observe(pause.as_secs_f64());
    }

    fn moved(&self, direction: &str, bytes: usize) {
        self.bytes.with_label_values(&[direction]).inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A gateway that invents codes does not fill this process.
    fn bounded<'a>(&self, code: &'a str) -> &'a str {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if code.is_empty() {
            return "none";
        }
        if !codes.contains(code) {
            if codes.len() >= CODES_MOST {
                return "other";
            }
            codes.insert(code.to_owned());
        }
        code
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("hufu_relayer_{name}"), help)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::{Refusal, TroubleKind};

    #[test]
    fn a_gateway_that_invents_codes_does_not_fill_the_metrics() {
        let metrics = Metrics::new().unwrap();
        for i in 0..CODES_MOST + 50 {
            let refusal = Refusal::new(422, None, format!(r#"{{"code":"code-{i}"}}"#).as_bytes());
            metrics.trouble(&Trouble { end: End::Destination, kind: TroubleKind::Refused(refusal) });
        }
        let text = metrics.render();
        assert_eq!(text.matches("hufu_relayer_refusals_total{").count(), CODES_MOST + 1);
        assert!(text.contains("hufu_relayer_refusals_total{code=\"other\"} 50"), "{text}");
    }
}
