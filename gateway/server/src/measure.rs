//! What happens, as metrics: one function an event, so that a name or label is written once.

use hufu_adapters_light_client::{HeadFacts, TrustedBlock};
use hufu_adapters_source::{Progress, SourceDescription};
use hufu_gateway_store::{Admitted, HeldCount, Role, Stats};
use hufu_gateway_verify::Assurance;
use hufu_gateway_verify::admission::LaneState;
use hufu_schemas_core::{Height, LaneId, LedgerId, Timestamp};
use prometheus::HistogramTimer;

use crate::telemetry::Metrics;

/// States of a node that a source knows; a gauge must fall to zero when the last node leaves a state.
const NODE_STATES: [&str; 6] = ["healthy", "behind", "forked", "lying", "unreachable", "wrong-ledger"];

/// Prometheus gauges are signed; heights and times of a working ledger fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Metrics {
    pub(crate) fn ledger_head(&self, ledger: &LedgerId, facts: &HeadFacts, last: Option<&TrustedBlock>) {
        let label = [ledger.as_str()];
        if let Some((height, _)) = facts.last {
            self.ledger_head_height.with_label_values(&label).set(signed(height.get()));
        }
        if let Some(block) = last {
            self.ledger_head_timestamp.with_label_values(&label).set(signed(block.time().seconds()));
        }
        if let Some(until) = facts.trusted_until {
            self.ledger_trusted_until_timestamp.with_label_values(&label).set(signed(until.seconds()));
        }
        self.ledger_frozen.with_label_values(&label);
        self.reorganisations.with_label_values(&label);
    }

    pub(crate) fn reorganised(&self, ledger: &LedgerId) {
        self.reorganisations.with_label_values(&[ledger.as_str()]).inc();
    }

    pub(crate) fn ledger_tip(&self, ledger: &LedgerId, tip: Height) {
        self.ledger_tip_height.with_label_values(&[ledger.as_str()]).set(signed(tip.get()));
    }

    pub(crate) fn ledger_is_frozen(&self, ledger: &LedgerId, frozen: bool) {
        self.ledger_frozen.with_label_values(&[ledger.as_str()]).set(i64::from(frozen));
    }

    pub(crate) fn source_error(&self, ledger: &LedgerId, reason: &'static str) {
        self.source_errors.with_label_values(&[ledger.as_str(), reason]).inc();
    }

    pub(crate) fn source_nodes_are(&self, ledger: &LedgerId, source: &SourceDescription) {
        for state in NODE_STATES {
            let nodes = source.nodes.iter().filter(|node| node.benched.unwrap_or("healthy") == state).count();
            let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
            self.source_nodes.with_label_values(&[ledger.as_str(), state]).set(nodes);
        }
    }

    /// Zero near the tip, where there is nothing to catch up with.
    pub(crate) fn source_pace(&self, ledger: &LedgerId, progress: Option<Progress>) {
        let pace = progress.map_or(0, |progress| signed(progress.blocks_per_second));
        self.source_pace.with_label_values(&[ledger.as_str()]).set(pace);
    }

    pub(crate) fn admitted(&self, lane: &LaneId, role: Role, admitted: &Admitted) {
        let lane = lane.to_string();
        let outcomes = [
            ("record", admitted.records),
            ("held", admitted.held),
            ("sealed", admitted.sealed),
            ("skipped", admitted.skipped),
            ("duplicate", admitted.duplicates),
            ("retracted", admitted.retracted),
        ];
        for (outcome, count) in outcomes {
            self.leaves.with_label_values(&[lane.as_str(), outcome]).inc_by(count);
        }
        let proven = admitted.records.saturating_sub(admitted.attested);
        for (assurance, count) in [(Assurance::Proven, proven), (Assurance::Attested, admitted.attested)] {
            self.records.with_label_values(&[lane.as_str(), assurance.as_str()]).inc_by(count);
        }
        self.lane_size.with_label_values(&[lane.as_str(), role.as_str()]).set(signed(admitted.to));
    }

    /// A held leaf became a record.
    pub(crate) fn released(&self, lane: &LaneId) {
        let lane = lane.to_string();
        self.leaves.with_label_values(&[lane.as_str(), "released"]).inc();
        self.records.with_label_values(&[lane.as_str(), Assurance::Proven.as_str()]).inc();
    }

    pub(crate) fn checkpoint(&self, lane: &LaneId, role: Role, time: Timestamp) {
        let lane = lane.to_string();
        self.lane_checkpoint_timestamp.with_label_values(&[lane.as_str(), role.as_str()]).set(signed(time.seconds()));
    }

    pub(crate) fn lane_is_frozen(&self, lane: &LaneId, frozen: bool) {
        self.lane_frozen.with_label_values(&[lane.to_string().as_str()]).set(i64::from(frozen));
    }

    pub(crate) fn page(&self, lane: &LaneId, outcome: &'static str) {
        self.pages.with_label_values(&[lane.to_string().as_str(), outcome]).inc();
    }

    pub(crate) fn verify_timer(&self) -> HistogramTimer {
        self.verify_duration.start_timer()
    }

    pub(crate) fn high_water(&self, now: Timestamp) {
        self.clock_high_water_timestamp.set(signed(now.seconds()));
    }

    pub(crate) fn database(&self, stats: &Stats) {
        for (part, bytes) in [("main", stats.file_bytes), ("wal", stats.wal_bytes)] {
            self.database_bytes.with_label_values(&[part]).set(signed(bytes));
        }
    }

    /// Held leaves now. Lanes and reasons that have none any more are forgotten first.
    pub(crate) fn held(&self, counts: &[HeldCount]) {
        self.held_leaves.reset();
        for held in counts {
            self.held_leaves
                .with_label_values(&[held.lane.to_string().as_str(), held.reason.as_str()])
                .set(signed(held.count));
        }
    }

    pub(crate) fn lane(&self, state: &LaneState, role: Role) {
        let lane = state.lane.to_string();
        self.lane_size.with_label_values(&[lane.as_str(), role.as_str()]).set(signed(state.edge.size()));
        self.lane_is_frozen(&state.lane, state.frozen.is_some());
        if let Some((checkpoint, _)) = &state.seen {
            self.checkpoint(&state.lane, role, checkpoint.time);
        }
    }
}
