//! What a monitoring team sees: one registry, names by Prometheus' rules, labels from closed sets or the configuration
//! alone (never a record, a URL, or a word of whoever connects).

use std::fs;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// From half a millisecond to ten seconds: the goals are 150 ms (p50) and 500 ms (p99) end to end.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Every metric of the gateway.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// `{ledger}`: height of the verified head.
    pub ledger_head_height: IntGaugeVec,
    /// `{ledger}`: the ledger's own time of the verified head.
    pub ledger_head_timestamp: IntGaugeVec,
    /// `{ledger}`: the best height that a healthy node claims; a claim, not a fact.
    pub ledger_tip_height: IntGaugeVec,
    /// `{ledger}`: when the trusting period ends; past it only an operator re-anchors.
    pub ledger_trusted_until_timestamp: IntGaugeVec,
    /// `{ledger}`: 1 while frozen.
    pub ledger_frozen: IntGaugeVec,
    /// `{ledger}`.
    pub reorganisations: IntCounterVec,
    /// `{ledger}`: blocks a second that a back-fill takes; 0 near the tip.
    pub source_pace: IntGaugeVec,
    /// `{ledger, state}`: nodes by state (`healthy`, or why benched).
    pub source_nodes: IntGaugeVec,
    /// `{ledger, reason}`: failed reads.
    pub source_errors: IntCounterVec,
    /// `{lane, role}`: leaves.
    pub lane_size: IntGaugeVec,
    /// `{lane, role}`: time of the last checkpoint signed or verified.
    pub lane_checkpoint_timestamp: IntGaugeVec,
    /// `{lane}`: 1 while frozen.
    pub lane_frozen: IntGaugeVec,
    /// `{lane, assurance}`: records believed.
    pub records: IntCounterVec,
    /// `{lane, outcome}`: leaves written or taken in.
    pub leaves: IntCounterVec,
    /// `{lane, outcome}`: pages taken in.
    pub pages: IntCounterVec,
    /// `{where, reason}`: everything that was refused.
    pub rejections: IntCounterVec,
    /// `{lane, reason}`: leaves held now.
    pub held_leaves: IntGaugeVec,
    /// Time to verify one page or batch of steps.
    pub verify_duration: Histogram,
    /// Time to commit one group to disk.
    pub commit_duration: Histogram,
    /// `{listener, route, status}`: requests answered.
    pub http_requests: IntCounterVec,
    /// `{listener, route}`: time until the head of the answer; long polls and streams included.
    pub http_request_duration: HistogramVec,
    /// Subscribers connected now.
    pub subscribers: IntGauge,
    /// The latest time that the gateway has acted on; a clock behind it stops admission.
    pub clock_high_water_timestamp: IntGauge,
    /// `{file}`: when the certificate of each configured file expires.
    pub certificate_expiry_timestamp: IntGaugeVec,
    /// `{part}`: bytes on disk (`main`, `wal`).
    pub database_bytes: IntGaugeVec,
    resident_memory: IntGauge,
}

impl Metrics {
    /// A registry of its own: two gateways in one test process do not meet.
    ///
    /// # Errors
    /// Never with the names below, which a test registers.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let info = make.gauges("hufu_build_info", "Always 1; the labels say what runs.", &["version"])?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            ledger_head_height: make.gauges(
                "hufu_ledger_head_height",
                "Height of the ledger's verified head.",
                &["ledger"],
            )?,
            ledger_head_timestamp: make.gauges(
                "hufu_ledger_head_timestamp_seconds",
                "The ledger's own time of its verified head.",
                &["ledger"],
            )?,
            ledger_tip_height: make.gauges(
                "hufu_ledger_tip_height",
                "Best height that a healthy node claims, unverified.",
                &["ledger"],
            )?,
            source_pace: make.gauges(
                "hufu_source_blocks_per_second",
                "Blocks a second that a source far behind its nodes takes; 0 near the tip.",
                &["ledger"],
            )?,
            ledger_trusted_until_timestamp: make.gauges(
                "hufu_ledger_trusted_until_timestamp_seconds",
                "End of the trusting period; past it an operator must re-anchor.",
                &["ledger"],
            )?,
            ledger_frozen: make.gauges(
                "hufu_ledger_frozen",
                "1 while the ledger is frozen by verified misbehaviour or an operator.",
                &["ledger"],
            )?,
            reorganisations: make.counters(
                "hufu_reorganisations_total",
                "Times that a better branch undid trusted blocks.",
                &["ledger"],
            )?,
            source_nodes: make.gauges("hufu_source_nodes", "Nodes of a ledger by state.", &["ledger", "state"])?,
            source_errors: make.counters(
                "hufu_source_errors_total",
                "Reads of a ledger that failed, by reason.",
                &["ledger", "reason"],
            )?,
            lane_size: make.gauges("hufu_lane_size", "Leaves of a lane.", &["lane", "role"])?,
            lane_checkpoint_timestamp: make.gauges(
                "hufu_lane_checkpoint_timestamp_seconds",
                "Time of the lane's last checkpoint signed or verified.",
                &["lane", "role"],
            )?,
            lane_frozen: make.gauges(
                "hufu_lane_frozen",
                "1 while the lane is frozen by equivocation or an operator.",
                &["lane"],
            )?,
            records: make.counters("hufu_records_total", "Records believed, by assurance.", &["lane", "assurance"])?,
            leaves: make.counters(
                "hufu_leaves_total",
                "Leaves written or taken in, by outcome.",
                &["lane", "outcome"],
            )?,
            pages: make.counters("hufu_pages_total", "Pages received, by outcome.", &["lane", "outcome"])?,
            rejections: make.counters(
                "hufu_rejections_total",
                "What was refused, by place and reason.",
                &["where", "reason"],
            )?,
            held_leaves: make.gauges(
                "hufu_held_leaves",
                "Leaves held until an operator or an update acts.",
                &["lane", "reason"],
            )?,
            verify_duration: make
                .histogram("hufu_verify_duration_seconds", "Time to verify one page or one batch of ledger steps.")?,
            commit_duration: make
                .histogram("hufu_commit_duration_seconds", "Time to commit one group of changes to disk.")?,
            http_requests: make.counters(
                "hufu_http_requests_total",
                "Requests answered.",
                &["listener", "route", "status"],
            )?,
            http_request_duration: make.histograms(
                "hufu_http_request_duration_seconds",
                "Time until the head of the answer, long polls included.",
                &["listener", "route"],
            )?,
            subscribers: make.gauge("hufu_subscribers", "Event subscribers connected now.")?,
            clock_high_water_timestamp: make.gauge(
                "hufu_clock_high_water_timestamp_seconds",
                "Latest time acted on; a clock behind it stops admission.",
            )?,
            certificate_expiry_timestamp: make.gauges(
                "hufu_certificate_expiry_timestamp_seconds",
                "When the gateway's own certificate expires.",
                &["file"],
            )?,
            database_bytes: make.gauges("hufu_database_bytes", "Bytes of the database on disk.", &["part"])?,
            resident_memory: make.gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            registry,
        })
    }

    /// Counts a refusal. `place` is one of a closed set: `connection`, `http`, `page`, `ledger`, `leaf`.
    pub fn reject(&self, place: &'static str, reason: &'static str) {
        self.rejections.with_label_values(&[place, reason]).inc();
    }

    /// The text exposition format.
    ///
    /// # Errors
    /// A metric that cannot be written, which a test over all of them excludes.
    pub fn text(&self) -> prometheus::Result<String> {
        if let Some(bytes) = resident_bytes() {
            self.resident_memory.set(bytes);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Resident memory by `/proc/self/status`, which counts in KiB whatever the page size; `None` where there is no such file.
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus_rules() {
        let metrics = Metrics::new().unwrap();
        metrics.reject("page", "page-malformed");
        metrics.commit_duration.observe(0.002);
        metrics.http_requests.with_label_values(&["peers", "/v1/lanes", "200"]).inc();
        let text = metrics.text().unwrap();
        let families = metrics.registry.gather();
        for family in &families {
            let name = family.name();
            assert!(name.starts_with("hufu_") || name == "process_resident_memory_bytes", "{name}");
            assert!(!family.help().is_empty(), "{name}");
            let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(counter, name.ends_with("_total"), "{name}");
        }
        assert!(text.contains("hufu_rejections_total{reason=\"page-malformed\",where=\"page\"} 1"), "{text}");
        assert!(text.contains("hufu_build_info{version="), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn resident_memory_is_read() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
