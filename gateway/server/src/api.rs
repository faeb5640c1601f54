//! The gateway behind the HTTP interface.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hufu_gateway_store::{Act, Role};
use hufu_gateway_verify::Derivation;
use hufu_gateway_verify::admission::LaneState;
use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_core::evidence::WireStep;
use hufu_schemas_core::limits::UPDATE_STEPS;
use hufu_schemas_core::{LaneId, LedgerId, RecordId};
use serde_json::{Value, json};
use tracing::warn;

use crate::backend::{
    Answer, Backend, DerivedInfo, EventBatch, EventFilter, HeldPage, InboxState, LaneInfo, LaneRole, LedgerWant,
    PageQuery, PageReceipt, RecordPage, RecordQuery, RetryReport, UpdatesQuery,
};
use crate::feed::{held_view, record_view, store_query};
use crate::gateway::Gateway;
use crate::http::{Problem, ProblemCode};
use crate::identity::Identity;
use crate::inbox::note;
use crate::proofs::{self, NoEvidence};
use crate::{ledgers, pages};

/// Bytes of steps in one answer: the receiver's limit of a body, less the framing.
const UPDATE_BYTES: usize = 4 << 20;

impl Gateway {
    fn lane_info(state: LaneState, role: LaneRole) -> LaneInfo {
        LaneInfo {
            derived: (role == LaneRole::Inbox).then(|| derived(&state.derivation)),
            ledger: state.definitions.last().map(|known| known.definition.ledger.clone()),
            definitions: state.definitions.iter().map(|known| known.definition.digest()).collect(),
            size: state.edge.size(),
            checkpoint: state.seen.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size),
            checkpoint_time: state.seen.as_ref().map(|(checkpoint, _)| checkpoint.time),
            frozen: state.frozen,
            lane: state.lane,
            role,
        }
    }

    async fn published(&self, lane: &LaneId) -> Answer<LaneState> {
        let own = lane.gateway() == &self.name;
        let state = if own { self.store.lane(lane).await.map_err(|fault| self.problem(fault))? } else { None };
        let none =
            || Problem::new(ProblemCode::NoSuchLane, format!("this gateway publishes no lane {lane}")).of_lane(lane);
        state.ok_or_else(none)
    }

    pub(crate) async fn want(&self, client: &dyn hufu_adapters_light_client::DynLightClient) -> Answer<LedgerWant> {
        let (wants, frozen, expired) = ledgers::wants(self, client).await.map_err(|fault| self.problem(fault))?;
        Ok(LedgerWant { ledger: client.ledger().clone(), wants, frozen: frozen.is_some(), expired })
    }

    /// Steps from a height on, once the first of them is final here. What stands above it travels along, since it is
    /// what makes it final; alone it would move nobody, and its courier would be back at once with the same question.
    async fn steps_from(&self, ledger: &LedgerId, query: UpdatesQuery) -> Answer<Option<Bytes>> {
        let head = self.store.head(ledger).await.map_err(|fault| self.problem(fault))?;
        if head.and_then(|row| row.final_to).is_none_or(|settled| settled < query.from) {
            return Ok(None);
        }
        let steps = self
            .store
            .steps(ledger, query.from, u32::try_from(query.limit.min(UPDATE_STEPS)).unwrap_or(u32::MAX))
            .await
            .map_err(|fault| self.problem(fault))?;
        let mut bytes = 0usize;
        let fits = steps.into_iter().take_while(|step| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(step.bytes.len());
            first || bytes <= UPDATE_BYTES
        });
        let steps: Vec<WireStep> = fits.map(|step| WireStep { height: step.height, bytes: step.bytes }).collect();
        if steps.is_empty() {
            return Ok(None);
        }
        Ok(Some(Bytes::from(to_canonical(&json!({"ledger": ledger, "steps": steps})))))
    }

    fn act(&self, who: &str, why: &str) -> Act {
        Act { who: who.to_owned(), at: self.clock.now(), why: why.to_owned() }
    }
}

fn derived(derivation: &Derivation) -> DerivedInfo {
    DerivedInfo {
        from: derivation.run().map(|(from, _)| from),
        to: derivation.run().map(|(_, to)| to),
        broken: derivation.broken().map(str::to_owned),
        gap: derivation.gap().cloned(),
    }
}

/// Asks again after each change of the store until there is an answer or the time is up.
macro_rules! long_poll {
    ($gateway:expr, $wait:expr, $ask:expr) => {{
        let mut changes = $gateway.store.changes();
        let deadline = tokio::time::Instant::now() + $wait;
        loop {
            changes.mark_unchanged();
            let answer = $ask;
            if answer.is_some() {
                break Ok(answer);
            }
            if !matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                break Ok(None);
            }
        }
    }};
}

#[async_trait]
impl Backend for Gateway {
    async fn lanes(&self) -> Answer<Vec<LaneInfo>> {
        let mut lanes = Vec::new();
        for (role, shown) in [(Role::Origin, LaneRole::Published), (Role::Inbox, LaneRole::Inbox)] {
            let states = self.store.lanes(role).await.map_err(|fault| self.problem(fault))?;
            lanes.extend(states.into_iter().map(|state| Self::lane_info(state, shown)));
        }
        Ok(lanes)
    }

    async fn checkpoint(&self, lane: &LaneId) -> Answer<String> {
        let state = self.published(lane).await?;
        let unsigned =
            || Problem::new(ProblemCode::NoSuchLane, format!("lane {lane} has no checkpoint yet")).of_lane(lane);
        state.seen.map(|(_, note)| note).ok_or_else(unsigned)
    }

    async fn page(&self, lane: &LaneId, query: PageQuery) -> Answer<Option<Bytes>> {
        long_poll!(self, query.wait, {
            let state = self.published(lane).await?;
            let page = pages::build(&self.store, &state, query.from, query.limit, query.seen).await;
            page.map_err(|fault| self.problem(fault))?.map(|page| Bytes::from(page.to_bytes()))
        })
    }

    async fn updates(&self, ledger: &LedgerId, query: UpdatesQuery) -> Answer<Option<Bytes>> {
        if self.client(ledger).is_none() {
            return Err(Problem::new(ProblemCode::NoSuchLedger, format!("this gateway follows no ledger {ledger}")));
        }
        long_poll!(self, query.wait, self.steps_from(ledger, query).await?)
    }

    async fn inbox_state(&self, lane: &LaneId) -> Answer<InboxState> {
        let state = self.lane_state(lane).await?;
        let waiting = self.inbox_lane(lane)?.lock().await.waiting.as_ref().map(note);
        let evidence = self.wants_evidence(lane).await?;
        Ok(InboxState {
            evidence,
            lane: lane.clone(),
            size: state.edge.size(),
            seen: state.seen.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size),
            frozen: state.frozen.is_some(),
            waiting,
        })
    }

    async fn post_page(&self, peer: &Identity, lane: &LaneId, bytes: Bytes) -> Answer<PageReceipt> {
        let taken = self.take_page(peer, lane, &bytes).await;
        let outcome = match &taken {
            Ok(receipt) if receipt.admitted + receipt.held + receipt.sealed == 0 && receipt.known > 0 => "known",
            Ok(_) => "taken",
            Err(_) => "refused",
        };
        // A label of a lane that the policy does not name would let strangers make series.
        if self.policy().lane(lane).is_some() {
            self.metrics.page(lane, outcome);
        }
        if let Err(problem) = &taken {
            warn!(%lane, peer = %peer, code = problem.code.as_str(), "page refused");
        }
        taken
    }

    async fn post_checkpoint(&self, _peer: &Identity, lane: &LaneId, note: Bytes) -> Answer<InboxState> {
        self.take_checkpoint(lane, &note).await?;
        self.inbox_state(lane).await
    }

    async fn inbox_ledgers(&self) -> Answer<Vec<LedgerWant>> {
        let mut wants = Vec::new();
        for client in self.clients() {
            // A ledger that this gateway reads itself needs no courier.
            if !self.sources.contains_key(client.ledger()) {
                wants.push(self.want(client.as_ref()).await?);
            }
        }
        Ok(wants)
    }

    async fn post_updates(&self, _peer: &Identity, ledger: &LedgerId, bytes: Bytes) -> Answer<LedgerWant> {
        self.take_updates(ledger, &bytes).await
    }

    async fn records(&self, query: RecordQuery) -> Answer<RecordPage> {
        let found = self.store.records(&store_query(&query)?).await.map_err(|fault| self.problem(fault))?;
        let policy = self.policy();
        let mut records = Vec::with_capacity(found.records.len());
        for stored in &found.records {
            if query.since.is_some_and(|since| stored.admitted_at < since) {
                continue;
            }
            let (as_of, stale) = self.freshness(stored, &policy).await?;
            records.push(record_view(stored, as_of, stale));
        }
        Ok(RecordPage { records, next: found.next.map(|offset| offset.to_string()) })
    }

    async fn record(&self, id: &RecordId) -> Answer<Value> {
        let stored = self.store.record(id).await.map_err(|fault| self.problem(fault))?;
        let stored =
            stored.ok_or_else(|| Problem::new(ProblemCode::NoSuchRecord, format!("no record {id} is here")))?;
        let (as_of, stale) = self.freshness(&stored, &self.policy()).await?;
        Ok(record_view(&stored, as_of, stale))
    }

    async fn evidence(&self, id: &RecordId) -> Answer<Bytes> {
        let stored = self.store.record(id).await.map_err(|fault| self.problem(fault))?;
        let stored =
            stored.ok_or_else(|| Problem::new(ProblemCode::NoSuchRecord, format!("no record {id} is here")))?;
        if let Some(retracted) = &stored.retracted {
            let words = format!("record {id} was taken back at {}: {}", retracted.at, retracted.reason);
            return Err(Problem::new(ProblemCode::NoSuchRecord, words));
        }
        let state = self.store.lane(&stored.lane).await.map_err(|fault| self.problem(fault))?;
        let (Some(state), Some(client)) = (state, self.client(&stored.ledger)) else {
            return Err(Problem::new(
                ProblemCode::NoSuchLedger,
                format!("the policy anchors no ledger {}", stored.ledger),
            ));
        };
        let (head, _, _) = ledgers::head(&self.store, client.as_ref()).await.map_err(|fault| self.problem(fault))?;
        match proofs::build(&self.store, &stored, &state, client.as_ref(), &head).await {
            Ok(evidence) => Ok(Bytes::from(evidence.to_bytes())),
            Err(NoEvidence::Store(fault)) => Err(self.problem(fault)),
            Err(not_yet @ NoEvidence::NotClosed { .. }) => {
                Err(Problem::new(ProblemCode::Busy, not_yet.to_string()).after(Duration::from_secs(1)))
            }
            Err(other) => Err(Problem::new(ProblemCode::NoSuchRecord, other.to_string())),
        }
    }

    async fn next_events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
        wait: Duration,
    ) -> Answer<EventBatch> {
        self.events_after(filter, after, limit, wait).await
    }

    async fn status(&self) -> Answer<Value> {
        let stats = self.store.stats().await.map_err(|fault| self.problem(fault))?;
        Ok(json!({
            "gateway": self.name,
            "version": env!("CARGO_PKG_VERSION"),
            "startedAt": self.started.to_string(),
            "now": self.clock.now().to_string(),
            "logKey": self.signer.verifier().to_string(),
            "policy": hufu_gateway_verify::policy::summary(&self.policy()),
            "lastOffset": stats.last_offset,
            "held": stats.held,
        }))
    }

    async fn ledgers(&self) -> Answer<Value> {
        let mut shown = Vec::new();
        for client in self.clients() {
            let (head, _, frozen) =
                ledgers::head(&self.store, client.as_ref()).await.map_err(|fault| self.problem(fault))?;
            let facts = client.describe(&head).accepted();
            shown.push(json!({
                "ledger": client.ledger(),
                "client": client.version(),
                "head": facts.as_ref().and_then(|facts| facts.last).map(|(height, hash)| json!({"height": height, "hash": hash})),
                "wants": facts.as_ref().map(|facts| facts.wants),
                "trustedUntil": facts.as_ref().and_then(|facts| facts.trusted_until).map(|until| until.to_string()),
                "validators": facts.as_ref().map(|facts| &facts.validators),
                "frozen": frozen,
                "source": self.sources.get(client.ledger()).map(|source| source.describe()),
                "progress": self.sources.get(client.ledger()).and_then(|source| source.progress()),
            }));
        }
        Ok(json!({"ledgers": shown}))
    }

    async fn peers(&self) -> Answer<Value> {
        let policy = self.policy();
        let peers: Vec<Value> = policy
            .peers()
            .map(|(gateway, peer)| {
                let keys: Vec<String> = peer.log_keys.iter().map(ToString::to_string).collect();
                json!({"gateway": gateway, "organisation": peer.organisation, "logKeys": keys})
            })
            .collect();
        Ok(json!({"peers": peers}))
    }

    async fn held(&self, lane: Option<&LaneId>, after: Option<&str>, limit: usize) -> Answer<HeldPage> {
        let after = match after {
            Some(after) => after.parse().map_err(|_| Problem::malformed("expected the `next` of an earlier answer"))?,
            None => 0,
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(500);
        let held = self.store.held(lane, after, limit).await.map_err(|fault| self.problem(fault))?;
        let full = held.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = held.last().filter(|_| full).map(|last| last.id.to_string());
        Ok(HeldPage { held: held.iter().map(held_view).collect(), next })
    }

    async fn retry_held(&self, lane: Option<&LaneId>, who: &str) -> Answer<RetryReport> {
        let lanes: Vec<LaneId> = match lane {
            Some(lane) => vec![lane.clone()],
            None => self.policy().lanes().map(|(lane, _)| lane.clone()).collect(),
        };
        let mut total = RetryReport { tried: 0, admitted: 0, held: 0 };
        for lane in lanes {
            let report = self.retry_lane(&lane).await?;
            total.tried += report.tried;
            total.admitted += report.admitted;
            total.held += report.held;
        }
        let act = self.act(who, "held leaves tried again");
        if let Err(fault) =
            self.store.log_act("retry-held", lane.map_or("*".to_owned(), ToString::to_string), act).await
        {
            warn!("the operator log was not written: {fault}");
        }
        Ok(total)
    }

    async fn freeze_lane(&self, lane: &LaneId, reason: &str, who: &str) -> Answer<()> {
        self.store.freeze_lane(lane, None, self.act(who, reason)).await.map_err(|fault| self.problem(fault))?;
        self.metrics.lane_is_frozen(lane, true);
        Ok(())
    }

    async fn thaw_lane(&self, lane: &LaneId, reason: &str, who: &str) -> Answer<()> {
        self.store.thaw_lane(lane, self.act(who, reason)).await.map_err(|fault| self.problem(fault))?;
        self.metrics.lane_is_frozen(lane, false);
        Ok(())
    }

    async fn thaw_ledger(&self, ledger: &LedgerId, reason: &str, who: &str) -> Answer<()> {
        self.store.thaw_ledger(ledger, self.act(who, reason)).await.map_err(|fault| self.problem(fault))?;
        self.metrics.ledger_is_frozen(ledger, false);
        Ok(())
    }

    async fn observe(&self) {
        self.observe_gauges().await;
    }

    async fn ready(&self) -> Result<(), String> {
        // Reads go on after a failed sync; health knows that writes do not.
        self.store.health().map_err(|fault| fault.to_string())?;
        self.store.stats().await.map(|_| ()).map_err(|fault| fault.to_string())
    }
}
