//! What applications see: records with why they are believed, events, status.

use std::sync::Arc;
use std::time::Duration;

use hufu_gateway_store::{HeldLeaf, RecordQuery, Retracted, Role, StoredRecord};
use hufu_gateway_verify::TrustPolicy;
use hufu_schemas_core::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::backend::{Event, EventBatch, EventFilter};
use crate::gateway::Gateway;
use crate::http::Problem;

/// A stored record as the API shows it. `as_of` is the time of the lane's last checkpoint; past the policy's staleness
/// the answer says `stale` (decision 12).
pub(crate) fn record_view(stored: &StoredRecord, as_of: Option<Timestamp>, stale: bool) -> Value {
    let record: Value = serde_json::from_str(&stored.json).unwrap_or(Value::Null);
    json!({
        "offset": stored.offset,
        "recordId": stored.id,
        "record": record,
        "assurance": stored.assurance.as_str(),
        "control": stored.control.as_str(),
        "finality": stored.finality.as_str(),
        "completeness": stored.completeness.as_str(),
        "lane": stored.lane,
        "sequence": stored.sequence,
        "ledger": stored.ledger,
        "height": stored.position.height,
        "blockHash": stored.block_hash,
        "blockTime": stored.block_time.to_string(),
        "observedAt": stored.observed_at.to_string(),
        "admittedAt": stored.admitted_at.to_string(),
        "policy": stored.policy,
        "quality": stored.quality,
        "retracted": stored.retracted.as_ref().map(|it| json!({"at": it.at.to_string(), "reason": it.reason})),
        "asOf": as_of.map(|time| time.to_string()),
        "stale": stale,
    })
}

/// A record as a CloudEvent 1.0 whose id is the recordId. Assurance, control, finality and completeness travel as extension
/// attributes beside each other; personal data never stands in attributes.
fn cloud_event(gateway: &Gateway, stored: &StoredRecord) -> Value {
    let record: Value = serde_json::from_str(&stored.json).unwrap_or(Value::Null);
    let (kind, event) = (record.get("type").and_then(Value::as_str), record.get("event").and_then(Value::as_str));
    json!({
        "specversion": "1.0",
        "id": stored.id,
        "source": format!("urn:hufu:gateway:{}", gateway.name),
        "type": format!("hufu.{}.{}", kind.unwrap_or("record"), event.unwrap_or("other")),
        "subject": stored.key,
        "time": stored.block_time.to_string(),
        "datacontenttype": "application/json",
        "dataschema": record.pointer("/schema/id"),
        "sequence": format!("{:020}", stored.offset),
        "assurance": stored.assurance.as_str(),
        "control": stored.control.as_str(),
        "finality": stored.finality.as_str(),
        "completeness": stored.completeness.as_str(),
        "lane": stored.lane,
        "ledger": stored.ledger,
        "data": record,
    })
}

/// That a record was taken back, as a CloudEvent of its own: whoever acted on the record acts again.
fn retraction_event(gateway: &Gateway, stored: &StoredRecord, retracted: &Retracted) -> Value {
    let mut event = cloud_event(gateway, stored);
    let kind = stored.key.record_type();
    let told = json!({
        "id": format!("{}#retracted-{}", stored.id, retracted.offset),
        "type": format!("hufu.{kind}.retracted"),
        "time": retracted.at.to_string(),
        "dataschema": null,
        "sequence": format!("{:020}", retracted.offset),
        "data": {"recordId": stored.id, "reason": retracted.reason, "retractedAt": retracted.at.to_string()},
    });
    if let (Value::Object(event), Value::Object(told)) = (&mut event, told) {
        event.extend(told);
        event.retain(|_, value| !value.is_null());
    }
    event
}

/// A held leaf as operators see it.
pub(crate) fn held_view(leaf: &HeldLeaf) -> Value {
    json!({
        "id": leaf.id,
        "lane": leaf.lane,
        "sequence": leaf.index,
        "reason": leaf.reason,
        "detail": leaf.detail,
        "since": leaf.since.to_string(),
        "lastTry": leaf.last_try.to_string(),
        "tries": leaf.tries,
        "statement": leaf.statement,
    })
}

impl Gateway {
    /// `asOf` and `stale` of what this record's lane says.
    pub(crate) async fn freshness(
        &self,
        stored: &StoredRecord,
        policy: &TrustPolicy,
    ) -> Result<(Option<Timestamp>, bool), Problem> {
        let state = self.store.lane(&stored.lane).await.map_err(|fault| self.problem(fault))?;
        let as_of = state.and_then(|state| state.seen).map(|(checkpoint, _)| checkpoint.time);
        let staleness = match policy.lane(&stored.lane) {
            Some(lane) => lane.staleness,
            // An own lane is as fresh as its heartbeat.
            None => self.heartbeat.as_secs().saturating_mul(3),
        };
        let now = self.clock.now();
        Ok((as_of, as_of.is_none_or(|time| now.since(time) > staleness)))
    }

    /// Events after an offset, waiting for the store to change when there are none.
    pub(crate) async fn events_after(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
        wait: Duration,
    ) -> Result<EventBatch, Problem> {
        let mut changes = self.store.changes();
        let deadline = tokio::time::Instant::now() + wait;
        let mut scanned = after;
        loop {
            changes.mark_unchanged();
            let batch = self.scan(filter, scanned, limit).await?;
            scanned = batch.scanned.or(scanned);
            if !batch.events.is_empty() {
                return Ok(EventBatch { scanned, ..batch });
            }
            if batch.scanned.is_some() {
                // Something was there and did not match: look on without waiting.
                continue;
            }
            let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Ok(EventBatch { events: Vec::new(), scanned });
            }
        }
    }

    async fn scan(&self, filter: &EventFilter, after: Option<u64>, limit: usize) -> Result<EventBatch, Problem> {
        let after = after.map_or(0, |offset| i64::try_from(offset).unwrap_or(i64::MAX));
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(256);
        // What is told now ends here: offsets are given in order, so nothing below this one is still to come.
        let last = self.store.last_offset().await.map_err(|fault| self.problem(fault))?;
        let stored = self.store.records_after(after, limit).await.map_err(|fault| self.problem(fault))?;
        let taken_back = self.store.retractions_after(after, limit).await.map_err(|fault| self.problem(fault))?;
        // Either list may go on beyond its last one (one of records is cut by its size in bytes too): what lies above the
        // end of one waits for the next call.
        let last_record = stored.last().map(|record| record.offset);
        let full = taken_back.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let last_retraction = taken_back.last().and_then(|record| Some(record.retracted.as_ref()?.offset));
        let ends = [Some(last), last_record, last_retraction.filter(|_| full)];
        let until = ends.into_iter().flatten().min().unwrap_or(last);
        let scanned = u64::try_from(until).ok().filter(|_| until > after);
        let wanted = |record: &&StoredRecord| {
            let kind = record.key.record_type();
            filter.record_type.as_ref().is_none_or(|it| it == kind)
                && filter.lane.as_ref().is_none_or(|it| *it == record.lane)
        };
        let records = stored.iter().filter(wanted).map(|record| (record.offset, cloud_event(self, record)));
        let retractions = taken_back.iter().filter(wanted).filter_map(|record| {
            let retracted = record.retracted.as_ref()?;
            Some((retracted.offset, retraction_event(self, record, retracted)))
        });
        let mut told: Vec<(i64, Value)> = records.chain(retractions).filter(|(offset, _)| *offset <= until).collect();
        told.sort_by_key(|(offset, _)| *offset);
        let events = told
            .into_iter()
            .map(|(offset, cloud_event)| Event { offset: u64::try_from(offset).unwrap_or(0), cloud_event })
            .collect();
        Ok(EventBatch { events, scanned })
    }
}

/// A query of the API in the store's words.
pub(crate) fn store_query(query: &crate::backend::RecordQuery) -> Result<RecordQuery, Problem> {
    let cursor = match &query.cursor {
        Some(cursor) => {
            Some(cursor.parse().map_err(|_| Problem::malformed("expected the `next` of an earlier answer as cursor"))?)
        }
        None => None,
    };
    Ok(RecordQuery {
        record_type: query.record_type.clone(),
        ledger: query.ledger.clone(),
        lane: query.lane.clone(),
        key: None,
        least: query.assurance,
        since: cursor,
        limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
    })
}

/// Keeps gauges current even when nobody looks, and the log quiet.
pub(crate) async fn observe_often(gateway: Arc<Gateway>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
        gateway.observe_gauges().await;
    }
}

impl Gateway {
    /// Sets the gauges that are read from the store.
    pub(crate) async fn observe_gauges(&self) {
        if let Ok(stats) = self.store.stats().await {
            self.metrics.database(&stats);
        }
        if let Ok(counts) = self.store.held_counts().await {
            self.metrics.held(&counts);
        }
        for role in [Role::Origin, Role::Inbox] {
            let Ok(lanes) = self.store.lanes(role).await else { continue };
            for lane in lanes {
                self.metrics.lane(&lane, role);
            }
        }
    }
}
