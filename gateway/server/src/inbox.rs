//! The relying side: pages and ledger updates that peers bring are verified here, and only here do they reach the store.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use hufu_adapters_light_client::{Shortfall, Step, TrustedBlock};
use hufu_gateway_store::{Act, HeldLeaf, Role, StoreError};
use hufu_gateway_verify::admission::{Admission, LaneState, LeafOutcome};
use hufu_gateway_verify::page::{self, BadEvidence, LedgerSnapshot, PageContext, Readers, StandingLeaves};
use hufu_gateway_verify::{LaneReader, PageRejection, TrustPolicy, Waiting};
use hufu_schemas_core::evidence::WireStep;
use hufu_schemas_core::limits::{JsonLimits, PageLimits, UPDATE_STEPS};
use hufu_schemas_core::page::{Page, PageBlock};
use hufu_schemas_core::statement::{Leaf, Statement};
use hufu_schemas_core::{Height, LaneId, LedgerId, Timestamp};
use serde::Deserialize;
use tracing::{error, info, warn};

use crate::backend::{HeldLeafNote, LedgerWant, PageReceipt, RetryReport, Waiting as WaitingNote};
use crate::gateway::Gateway;
use crate::http::{Problem, ProblemCode};
use crate::identity::Identity;
use crate::ledgers::{self, Advance, AdvanceError};
use crate::undone;

/// Pages in a row whose evidence does not close, after which the leaf is held instead: a courier that alters evidence
/// is replaced sooner than that, an origin that sends bad evidence would block its own lane for ever.
const STRIKES: u32 = 3;
/// Seconds that must lie between a courier's first such page and the one whose leaves are held: time for any other
/// courier, who pauses half a minute at most, to bring what closes. Without it the first to come would have the last word.
const PATIENCE_SECONDS: u64 = 300;
/// The verifier's label of a leaf whose evidence did not close.
const BAD_EVIDENCE: &str = "bad-evidence";
/// Held leaves read at a time when they are tried again.
const RETRY_AT_A_TIME: u32 = 200;

/// What is remembered of an inbox lane between pages; losing it costs time, never truth.
#[derive(Default)]
pub(crate) struct InboxLane {
    /// Readers by definition digest.
    readers: Readers,
    /// By courier. One courier's strikes are not another's: an honest one is never answered with a held leaf because of a
    /// bad one. Bounded by the peers configured.
    strikes: BTreeMap<Identity, Strikes>,
    /// What the next leaf waits for.
    pub(crate) waiting: Option<Waiting>,
}

/// Pages in a row of one courier whose evidence did not close.
struct Strikes {
    /// The leaf that they began with.
    from: u64,
    number: u32,
    since: Timestamp,
}

impl Strikes {
    /// Whether there were so many, over so long, that a page from this leaf on is not refused again.
    fn are_out(&self, from: u64, now: Timestamp) -> bool {
        self.from == from && self.number >= STRIKES && now.since(self.since) >= PATIENCE_SECONDS
    }
}

impl Gateway {
    /// Verifies and admits a page of an inbox lane.
    pub(crate) async fn take_page(&self, peer: &Identity, lane: &LaneId, bytes: &[u8]) -> Result<PageReceipt, Problem> {
        let slot = self.inbox_lane(lane)?;
        // One page of a lane at a time: two couriers queue here instead of racing in the database.
        let mut inbox = slot.lock().await;
        let policy = self.policy();
        let state = self.lane_state(lane).await?;
        let page = Page::parse(bytes, &PageLimits::DEFAULT)
            .map_err(|fault| self.refuse(lane, fault.reason(), &fault.to_string(), None))?;
        if page.lane != *lane {
            return Err(self.refuse(
                lane,
                "page-of-another-lane",
                &format!("expected lane {lane}, got {}", page.lane),
                None,
            ));
        }
        let size = state.edge.size();
        if page.from > size {
            let words = "the page begins beyond the wanted leaf";
            return Err(Problem::new(ProblemCode::LeafGap, words).between(size, page.from).of_lane(lane));
        }
        let (page, known) = self.without_known(page, &state).await?;
        let released = match known.blocks.is_empty() {
            true => 0,
            false => self.retry_with(lane, &state, Some(known.blocks), &mut inbox, &policy).await?,
        };
        let Some(page) = page else {
            let waiting = inbox.waiting.as_ref().map(note);
            return Ok(PageReceipt {
                size,
                admitted: released,
                held: 0,
                sealed: 0,
                known: known.leaves,
                waiting,
                faults: Vec::new(),
            });
        };
        let receipt = self.verify_and_admit(peer, lane, state, page, known.leaves, &mut inbox, policy).await?;
        Ok(PageReceipt { admitted: receipt.admitted + released, ..receipt })
    }

    /// Takes the heartbeat of an idle lane: a newer checkpoint of the leaves that are here (decision 12).
    pub(crate) async fn take_checkpoint(&self, lane: &LaneId, note: &[u8]) -> Result<(), Problem> {
        let slot = self.inbox_lane(lane)?;
        let mut inbox = slot.lock().await;
        let state = self.lane_state(lane).await?;
        let Ok(note) = std::str::from_utf8(note) else {
            return Err(self.refuse(lane, "checkpoint-malformed", "expected a signed note in UTF-8", None));
        };
        let (policy, now) = (self.policy(), self.clock.now());
        let context = PageContext {
            policy: &policy,
            families: &self.families,
            registry: &self.registry,
            ledgers: &BTreeMap::new(),
            readers: &Readers::new(),
            standing: &StandingLeaves::new(),
            now,
            high_water: self.high_water().await?,
            bad_evidence: BadEvidence::Refuse,
        };
        match page::observe(note, &state, &context) {
            Ok(None) => Ok(()),
            Ok(Some(admission)) => {
                self.store.admit(Role::Inbox, &admission, now).await.map_err(|fault| self.problem(fault))?;
                if let Some((checkpoint, _)) = &admission.after().seen {
                    self.metrics.checkpoint(lane, Role::Inbox, checkpoint.time);
                }
                Ok(())
            }
            Err(rejection) => Err(self.reject(None, lane, state.edge.size(), rejection, &mut inbox).await),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what one page meets: who, which lane, what is known and what is trusted"
    )]
    async fn verify_and_admit(
        &self,
        peer: &Identity,
        lane: &LaneId,
        state: LaneState,
        page: Page,
        known: u64,
        inbox: &mut InboxLane,
        policy: Arc<TrustPolicy>,
    ) -> Result<PageReceipt, Problem> {
        let before = state.edge.size();
        let (now, high_water) = (self.clock.now(), self.high_water().await?);
        if page::taken_back_from(&page).is_some() {
            // What a page takes back is looked up leaf by leaf: not for anybody who is not the lane's origin.
            let clock = page::Clock { now, high_water };
            if let Err(rejection) = page::closes(&page, &state, &policy, clock) {
                return Err(self.reject(Some(peer), lane, page.from, rejection, inbox).await);
            }
        }
        let standing = self.standing(lane, &page, &state).await?;
        let mut wanted = page::heights(&page, &state);
        for leaf in standing.values() {
            wanted.entry(leaf.ledger.clone()).or_default().push(leaf.height..=leaf.height);
        }
        let ledgers = self.snapshots(wanted).await?;
        self.load_readers(&state, inbox).await?;
        let again = inbox.strikes.get(peer).is_some_and(|strikes| strikes.are_out(page.from, now));
        let bad_evidence = if again { BadEvidence::Hold } else { BadEvidence::Refuse };
        let (families, registry, readers) = (self.families.clone(), self.registry.clone(), inbox.readers.clone());
        let from = page.from;
        let timer = self.metrics.verify_timer();
        let verdict = self
            .verify_pool
            .run(move || {
                let context = PageContext {
                    policy: &policy,
                    families: &families,
                    registry: &registry,
                    ledgers: &ledgers,
                    readers: &readers,
                    standing: &standing,
                    now,
                    high_water,
                    bad_evidence,
                };
                page::verify(&page, &state, &context)
            })
            .await;
        drop(timer);
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(rejection) => return Err(self.reject(Some(peer), lane, from, rejection, inbox).await),
        };
        inbox.strikes.remove(peer);
        inbox.readers.extend(verdict.readers);
        let faults = held_notes(&verdict.admission);
        let counts = Counts::of(&verdict.admission);
        if verdict.admission.leaves().is_empty() {
            // Everything waits; the checkpoint is seen again with the leaves.
            inbox.waiting = verdict.waiting;
            let waiting = inbox.waiting.as_ref().map(note);
            return Ok(PageReceipt { size: before, admitted: 0, held: 0, sealed: 0, known, waiting, faults });
        }
        let checkpoint = verdict.admission.after().seen.as_ref().map(|(checkpoint, _)| checkpoint.time);
        let admitted =
            self.store.admit(Role::Inbox, &verdict.admission, now).await.map_err(|fault| self.problem(fault))?;
        inbox.waiting = verdict.waiting;
        self.metrics.admitted(lane, Role::Inbox, &admitted);
        if let Some(time) = checkpoint {
            self.metrics.checkpoint(lane, Role::Inbox, time);
        }
        self.metrics.high_water(now);
        let waiting = inbox.waiting.as_ref().map(note);
        Ok(PageReceipt {
            size: admitted.to,
            admitted: counts.records,
            held: counts.held,
            sealed: counts.sealed,
            known,
            waiting,
            faults,
        })
    }

    /// Cuts off leaves that are here already, after comparing them: another entry under a known index is a rewritten log.
    async fn without_known(&self, mut page: Page, state: &LaneState) -> Result<(Option<Page>, Known), Problem> {
        let size = state.edge.size();
        let overlap = usize::try_from(size.saturating_sub(page.from)).unwrap_or(usize::MAX).min(page.entries.len());
        if overlap == 0 {
            return Ok((Some(page), Known::default()));
        }
        let count = u32::try_from(overlap).unwrap_or(u32::MAX);
        let stored = self.store.entries(&state.lane, page.from, count).await.map_err(|fault| self.problem(fault))?;
        let differs = stored.iter().zip(&page.entries).position(|(ours, theirs)| ours != theirs);
        if let Some(at) = differs {
            let sequence = page.from.saturating_add(u64::try_from(at).unwrap_or(0));
            let words = format!("leaf {sequence} is another one than the leaf taken in before: the log was rewritten");
            return Err(self.refuse(&state.lane, "leaf-differs", &words, Some(sequence)));
        }
        let known = Known { leaves: u64::from(count), blocks: page.blocks.clone() };
        if overlap == page.entries.len() {
            return Ok((None, known));
        }
        page.entries.drain(..overlap);
        page.from = size;
        page.opened.retain(|leaf| leaf.index >= size);
        Ok((Some(page), known))
    }

    /// Turns a rejection into a problem, after acting on it.
    async fn reject(
        &self,
        peer: Option<&Identity>,
        lane: &LaneId,
        from: u64,
        rejection: PageRejection,
        inbox: &mut InboxLane,
    ) -> Problem {
        if let PageRejection::Misconduct(proof) = &rejection {
            error!(%lane, reason = proof.reason, detail = %proof.detail, "the origin signed what cannot be true: the lane is frozen until an operator thaws it");
            let why = format!("{}: {}", proof.reason, proof.detail);
            let act = Act { who: ledgers::BY_ITSELF.to_owned(), at: self.clock.now(), why };
            if let Err(fault) = self.store.freeze_lane(lane, Some((**proof).clone()), act).await {
                error!(%lane, "the lane could not be frozen: {fault}");
            }
            self.metrics.lane_is_frozen(lane, true);
        }
        if let (PageRejection::Evidence { .. }, Some(peer)) = (&rejection, peer) {
            let first = || Strikes { from, number: 0, since: self.clock.now() };
            let strikes = inbox.strikes.entry(peer.clone()).or_insert_with(first);
            if strikes.from != from {
                *strikes = first();
            }
            strikes.number = strikes.number.saturating_add(1);
        }
        let problem = self.refuse(lane, rejection.reason(), &rejection.to_string(), rejection.sequence());
        match rejection {
            PageRejection::Frozen { .. } => Problem { code: ProblemCode::LaneFrozen, ..problem },
            PageRejection::ClockBehind { .. } => Problem { code: ProblemCode::ClockSetBack, ..problem },
            PageRejection::Gap { .. } => Problem { code: ProblemCode::LeafGap, ..problem },
            _ => problem,
        }
    }

    fn refuse(&self, lane: &LaneId, reason: &'static str, words: &str, sequence: Option<u64>) -> Problem {
        warn!(%lane, reason, "a page is refused: {words}");
        self.metrics.reject("page", reason);
        let problem = Problem::new(ProblemCode::Refused(reason), words).of_lane(lane);
        match sequence {
            Some(sequence) => problem.at_leaf(sequence),
            None => problem,
        }
    }

    /// Leaves that a page may take back; none where it takes none.
    async fn standing(&self, lane: &LaneId, page: &Page, state: &LaneState) -> Result<StandingLeaves, Problem> {
        let Some(from) = page::taken_back_from(page) else { return Ok(StandingLeaves::new()) };
        let found = undone::standing_from(&self.store, state, from).await.map_err(|fault| self.problem(fault))?;
        let too_many = || self.refuse(lane, "retract-too-deep", "a page takes back more leaves than a lane may", None);
        found.ok_or_else(too_many)
    }

    /// The trusted view of each ledger that a page speaks of, with the blocks it speaks of.
    pub(crate) async fn snapshots(&self, wanted: page::Wanted) -> Result<BTreeMap<LedgerId, LedgerSnapshot>, Problem> {
        let mut snapshots = BTreeMap::new();
        for (ledger, ranges) in wanted {
            let Some(client) = self.client(&ledger) else { continue };
            let before = self.store.last_undone(&ledger).await.map_err(|fault| self.problem(fault))?;
            let (stored, _, frozen) =
                ledgers::head(&self.store, client.as_ref()).await.map_err(|fault| self.problem(fault))?;
            let Some(head) = client.describe(&stored).accepted() else { continue };
            let blocks = self.trusted_in(&ledger, ranges).await?;
            if self.store.last_undone(&ledger).await.map_err(|fault| self.problem(fault))? != before {
                let words = "the ledger reorganised while the page was looked at";
                return Err(Problem::new(ProblemCode::Busy, words).after(std::time::Duration::from_secs(1)));
            }
            let firm = client.firm(&stored);
            snapshots.insert(ledger, LedgerSnapshot { client, head, firm, frozen, blocks });
        }
        Ok(snapshots)
    }

    /// Trusted blocks of these ranges, as far as there are any.
    async fn trusted_in(
        &self,
        ledger: &LedgerId,
        ranges: Vec<RangeInclusive<Height>>,
    ) -> Result<BTreeMap<Height, TrustedBlock>, Problem> {
        let mut blocks = BTreeMap::new();
        for range in ranges {
            let (mut from, to) = range.into_inner();
            loop {
                let room = u32::try_from(to.get().saturating_sub(from.get()).saturating_add(1)).unwrap_or(u32::MAX);
                let some = self.store.trusted_blocks(ledger, from, room).await.map_err(|fault| self.problem(fault))?;
                let next = some.last().and_then(|last| last.height().next());
                blocks.extend(some.into_iter().filter(|it| it.height() <= to).map(|it| (it.height(), it)));
                // An answer may be cut short; only an empty one is the end.
                match next.filter(|next| *next <= to) {
                    Some(next) => from = next,
                    None => break,
                }
            }
        }
        Ok(blocks)
    }

    /// Compiles readers of definitions that the lane holds and this process has not met yet.
    async fn load_readers(&self, state: &LaneState, inbox: &mut InboxLane) -> Result<(), Problem> {
        for known in &state.definitions {
            let digest = known.definition.digest();
            if inbox.readers.contains_key(&digest) {
                continue;
            }
            let documents =
                crate::pages::documents(&self.store, &known.definition).await.map_err(|fault| self.problem(fault))?;
            let reader = LaneReader::of_definition(&known.definition, &documents, &self.families, &self.registry);
            inbox.readers.insert(digest, reader.map(Arc::new));
        }
        Ok(())
    }

    /// Tries held leaves of a lane again, for an operator or after the policy changed.
    pub(crate) async fn retry_lane(&self, lane: &LaneId) -> Result<RetryReport, Problem> {
        let slot = self.inbox_lane(lane)?;
        let mut inbox = slot.lock().await;
        let state = self.lane_state(lane).await?;
        // A policy that changed may make a definition readable that was not.
        inbox.readers.retain(|_, reader| reader.is_ok());
        let policy = self.policy();
        let before = self.held_of(lane).await?;
        let admitted = self.retry_with(lane, &state, None, &mut inbox, &policy).await?;
        Ok(RetryReport { tried: before, admitted, held: before.saturating_sub(admitted) })
    }

    async fn held_of(&self, lane: &LaneId) -> Result<u64, Problem> {
        let counts = self.store.held_counts().await.map_err(|fault| self.problem(fault))?;
        Ok(counts.iter().filter(|count| count.lane == *lane).map(|count| count.count).sum())
    }

    /// The lowest leaf that is held because the evidence that came with it did not close.
    pub(crate) async fn wants_evidence(&self, lane: &LaneId) -> Result<Option<u64>, Problem> {
        let counts = self.store.held_counts().await.map_err(|fault| self.problem(fault))?;
        if !counts.iter().any(|count| count.lane == *lane && count.reason == BAD_EVIDENCE) {
            return Ok(None);
        }
        let (mut lowest, mut after) = (None, 0);
        loop {
            let held =
                self.store.held(Some(lane), after, RETRY_AT_A_TIME).await.map_err(|fault| self.problem(fault))?;
            let Some(last) = held.last().map(|leaf| leaf.id) else { return Ok(lowest) };
            after = last;
            let here = held.iter().filter(|leaf| leaf.reason == BAD_EVIDENCE).map(|leaf| leaf.index).min();
            lowest = lowest.into_iter().chain(here).min();
        }
    }

    /// Tries held leaves again; how many became records. With `fresh` evidence only the leaves of those blocks are tried,
    /// so that posting a page again costs no more than the page; without, all of them with what is kept.
    async fn retry_with(
        &self,
        lane: &LaneId,
        state: &LaneState,
        fresh: Option<Vec<PageBlock>>,
        inbox: &mut InboxLane,
        policy: &Arc<TrustPolicy>,
    ) -> Result<u64, Problem> {
        if self.held_of(lane).await? == 0 {
            return Ok(0);
        }
        self.load_readers(state, inbox).await?;
        let (mut released, mut after) = (0, 0);
        loop {
            let held =
                self.store.held(Some(lane), after, RETRY_AT_A_TIME).await.map_err(|fault| self.problem(fault))?;
            let Some(last) = held.last().map(|leaf| leaf.id) else { return Ok(released) };
            after = last;
            for leaf in &held {
                released += self.retry_leaf(state, leaf, fresh.as_deref(), inbox, policy).await?;
            }
        }
    }

    /// Tries one held leaf; 1 when it became a record.
    async fn retry_leaf(
        &self,
        state: &LaneState,
        leaf: &HeldLeaf,
        fresh: Option<&[PageBlock]>,
        inbox: &InboxLane,
        policy: &Arc<TrustPolicy>,
    ) -> Result<u64, Problem> {
        let Some(statement) = leaf.statement.as_ref().and_then(|text| Statement::parse(text.as_bytes()).ok()) else {
            return Ok(0);
        };
        let Leaf::Record(record) = statement.leaf() else { return Ok(0) };
        let (ledger, height, hash) = (&record.origin.ledger, record.origin.position.height, record.origin.block_hash);
        let block = match fresh {
            Some(fresh) => match fresh.iter().find(|block| block.height == height && block.hash == hash) {
                Some(block) => Some(block.clone()),
                None => return Ok(0),
            },
            None => {
                let kept = self.store.evidence(&leaf.lane, height, &hash).await.map_err(|fault| self.problem(fault))?;
                kept.map(|evidence| PageBlock { height, hash, evidence })
            }
        };
        let ledgers = self.snapshots(page::Wanted::from([(ledger.clone(), vec![height..=height])])).await?;
        let (now, high_water) = (self.clock.now(), self.high_water().await?);
        let (state, index, policy, statement) = (state.clone(), leaf.index, Arc::clone(policy), statement.clone());
        let (families, registry, readers) = (self.families.clone(), self.registry.clone(), inbox.readers.clone());
        let release = self
            .verify_pool
            .run(move || {
                let context = PageContext {
                    policy: &policy,
                    families: &families,
                    registry: &registry,
                    ledgers: &ledgers,
                    readers: &readers,
                    standing: &StandingLeaves::new(),
                    now,
                    high_water,
                    bad_evidence: BadEvidence::Hold,
                };
                page::retry(&state, index, &statement, block.as_ref(), &context)
            })
            .await;
        let Some(release) = release else { return Ok(0) };
        let believed = matches!(release.outcome(), LeafOutcome::Record(_));
        let same = matches!(release.outcome(), LeafOutcome::Held(held) if held.reason == leaf.reason);
        if same {
            // Nothing changed: writing it down again and again would only wear the disk.
            return Ok(0);
        }
        self.store.release(&release).await.map_err(|fault| self.problem(fault))?;
        if !believed {
            return Ok(0);
        }
        self.metrics.released(&leaf.lane);
        info!(lane = %leaf.lane, leaf = leaf.index, was = %leaf.reason, "a held leaf is believed now");
        Ok(1)
    }

    /// Verifies steps of a foreign ledger that a peer brought.
    pub(crate) async fn take_updates(&self, ledger: &LedgerId, bytes: &[u8]) -> Result<LedgerWant, Problem> {
        let Some(client) = self.client(ledger) else {
            let words = format!("the policy anchors no ledger {ledger}: add a [[ledger]] to it");
            return Err(Problem::new(ProblemCode::NoSuchLedger, words));
        };
        let steps =
            parse_updates(ledger, bytes).map_err(|words| self.refuse_update(ledger, "update-malformed", &words))?;
        let slot = self.ledger_lock(ledger);
        let _one_at_a_time = slot.lock().await;
        let frozen =
            |reason: &str| Problem::new(ProblemCode::LedgerFrozen, format!("ledger {ledger} is frozen: {reason}"));
        match ledgers::advance(self, &client, steps).await {
            Ok(Advance::Moved(_) | Advance::Reorganised(..) | Advance::Stands(_)) => {}
            Ok(Advance::NotYet(shortfall)) => {
                info!(%ledger, "an update waits: {shortfall}");
                if let Shortfall::Headers { from } = shortfall {
                    // Steps of another branch are wanted from where they can be judged.
                    let want = self.want(client.as_ref()).await?;
                    return Ok(LedgerWant { wants: want.wants.min(from), ..want });
                }
            }
            Ok(Advance::Refused(rejection)) => {
                let problem = self.refuse_update(
                    ledger,
                    rejection.reason(),
                    &format!("expected {}, got {}", rejection.expected(), rejection.got()),
                );
                let problem = problem.between(rejection.expected(), rejection.got());
                return Err(match rejection.height() {
                    Some(height) => problem.at_height(height),
                    None => problem,
                });
            }
            Ok(Advance::Frozen(misbehaviour)) => {
                return Err(frozen(&format!("two signed blocks at height {}", misbehaviour.height)));
            }
            Err(AdvanceError::Frozen { reason, .. }) => return Err(frozen(&reason)),
            Err(AdvanceError::Store(fault)) => return Err(self.problem(fault)),
        }
        self.want(client.as_ref()).await
    }

    fn refuse_update(&self, ledger: &LedgerId, reason: &'static str, words: &str) -> Problem {
        warn!(%ledger, reason, "an update is refused: {words}");
        self.metrics.reject("ledger", reason);
        Problem::new(ProblemCode::Refused(reason), words)
    }

    pub(crate) fn problem(&self, fault: StoreError) -> Problem {
        self.metrics.reject("http", fault.reason());
        match fault {
            StoreError::Conflict { .. } => {
                Problem::new(ProblemCode::Busy, "another delivery was quicker").after(std::time::Duration::from_secs(1))
            }
            StoreError::Frozen { .. } => Problem::new(ProblemCode::LaneFrozen, fault.to_string()),
            _ => {
                error!("the store failed: {fault}");
                Problem::new(ProblemCode::StorageUnavailable, "the database cannot take this now")
                    .after(std::time::Duration::from_secs(5))
            }
        }
    }
}

/// What a page repeats.
#[derive(Default)]
struct Known {
    leaves: u64,
    blocks: Vec<PageBlock>,
}

#[derive(Default)]
struct Counts {
    records: u64,
    held: u64,
    sealed: u64,
}

impl Counts {
    fn of(admission: &Admission) -> Self {
        let mut counts = Self::default();
        for leaf in admission.leaves() {
            match leaf.outcome {
                LeafOutcome::Record(_) => counts.records += 1,
                LeafOutcome::Held(_) => counts.held += 1,
                LeafOutcome::Sealed => counts.sealed += 1,
                _ => {}
            }
        }
        counts
    }
}

/// The first few held leaves with their reasons, for whoever carried the page.
fn held_notes(admission: &Admission) -> Vec<HeldLeafNote> {
    let held = admission.leaves().iter().filter_map(|leaf| match &leaf.outcome {
        LeafOutcome::Held(held) => {
            Some(HeldLeafNote { sequence: leaf.index, reason: held.reason, detail: held.detail.clone() })
        }
        _ => None,
    });
    held.take(16).collect()
}

pub(crate) fn note(waiting: &Waiting) -> WaitingNote {
    let height = match waiting {
        Waiting::Ledger { shortfall: hufu_adapters_light_client::Shortfall::Headers { from }, .. } => Some(*from),
        _ => None,
    };
    WaitingNote { reason: waiting.reason(), ledger: Some(waiting.ledger().clone()), height }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdatesBody {
    ledger: LedgerId,
    steps: Vec<WireStep>,
}

fn parse_updates(ledger: &LedgerId, bytes: &[u8]) -> Result<Vec<Step>, String> {
    let value = hufu_schemas_core::canonical::parse(bytes, &JsonLimits::PAGE).map_err(|fault| fault.to_string())?;
    let body: UpdatesBody = serde_json::from_value(value).map_err(|fault| fault.to_string())?;
    if body.ledger != *ledger {
        return Err(format!("expected steps of ledger {ledger}, got {}", body.ledger));
    }
    if body.steps.len() > UPDATE_STEPS {
        return Err(format!("expected at most {UPDATE_STEPS} steps, got {}", body.steps.len()));
    }
    Ok(body.steps.into_iter().map(|step| Step { height: step.height, bytes: step.bytes }).collect())
}
