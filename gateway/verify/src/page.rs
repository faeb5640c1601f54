//! The receiver's side of a lane: what a page must satisfy before any of it is stored (design, decisions 4, 6 and 7).
//!
//! Three kinds of fault, by who must act:
//! - a **log fault** refuses the page ([`PageRejection`]); nothing moves;
//! - a **leaf fault** holds that leaf with its reason ([`Held`]); the lane moves on, so that one bad leaf never blocks a
//!   later revocation;
//! - a **shortfall** waits before the leaf ([`Waiting`]): headers that the relayer is still to bring.
//!
//! Ledger evidence is not under the log's signature, so evidence that does not close says nothing of the origin: a
//! courier may have altered it. It refuses the page first; only when that happens again and again does the caller ask
//! for [`BadEvidence::Hold`], so that an origin cannot block its own lane for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hufu_adapters_light_client::{
    Budget, DynLightClient, HeadFacts, Outcome, Proven, Rejection, Shortfall, TrustedBlock,
};
use hufu_schemas_core::checkpoint::{Checkpoint, CheckpointFault, SignedCheckpoint};
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::merkle::{ProofFault, verify_consistency};
use hufu_schemas_core::page::{Document, Page, PageBlock};
use hufu_schemas_core::statement::{Covered, Definition, Leaf, RecordLeaf, Skipped, Statement, StatementFault};
use hufu_schemas_core::{Digest, Height, LaneId, LedgerId, Position, Timestamp};
use hufu_schemas_registry::Registry;

use crate::admission::{
    Admission, AdmittedLeaf, Equivocation, Held, KeptEvidence, LaneDefinition, LaneState, LeafOutcome, Release,
};
use crate::assurance::{Assurance, Completeness};
use crate::policy::{LanePolicy, TrustPolicy};
use crate::reader::{Families, LaneReader, ReaderFault, named_documents};
use crate::verified::{Basis, Verified};

/// How far two clocks may differ: a checkpoint may be so many seconds ahead of the receiver's clock, and a clock so many
/// behind the high water. Machines kept by NTP differ by less.
pub const CLOCK_DRIFT_SECONDS: u64 = 60;

/// Definitions of one lane: each is compiled when it comes and stands in the lane's state from then on. An operator
/// changes a mapping a few times a year; a lane that needs more begins a new epoch.
pub const MOST_DEFINITIONS: usize = 256;

/// This gateway's trusted view of one ledger, as far as a page needs it.
#[derive(Clone)]
pub struct LedgerSnapshot {
    /// The light client.
    pub client: Arc<dyn DynLightClient>,
    /// The head.
    pub head: HeadFacts,
    /// Why the ledger is frozen, if it is.
    pub frozen: Option<String>,
    /// Trusted blocks by height; at least those of [`heights`] that exist.
    pub blocks: BTreeMap<Height, TrustedBlock>,
}

/// Readers of definitions, compiled once and kept by the caller; by definition digest.
pub type Readers = BTreeMap<Digest, Result<Arc<LaneReader>, ReaderFault>>;

/// All that verification needs beside the page.
#[derive(Clone, Copy)]
pub struct PageContext<'a> {
    /// What the operator trusts.
    pub policy: &'a TrustPolicy,
    /// The families of this build.
    pub families: &'a Families,
    /// The schemas of this build.
    pub registry: &'a Registry,
    /// The ledgers this gateway follows.
    pub ledgers: &'a BTreeMap<LedgerId, LedgerSnapshot>,
    /// Readers of the definitions that the lane already holds.
    pub readers: &'a Readers,
    /// The receiver's clock.
    pub now: Timestamp,
    /// The latest time this gateway has acted at: a clock below it was set back (decision 9).
    pub high_water: Timestamp,
    /// What to do with evidence that does not close.
    pub bad_evidence: BadEvidence,
}

/// What to do with evidence that does not close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEvidence {
    /// Refuse the page: the next courier may bring good evidence.
    Refuse,
    /// Hold the leaf: it has happened too often.
    Hold,
}

/// What a page yields.
#[derive(Debug)]
pub struct PageVerdict {
    /// What to store; its leaves end before the one that waits.
    pub admission: Admission,
    /// Why the rest of the page waits, if it does.
    pub waiting: Option<Waiting>,
    /// Readers of definitions that the page brought.
    pub readers: Readers,
}

/// Why a leaf waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// The light client needs more.
    #[error("ledger {ledger}: {shortfall}")]
    Ledger {
        /// The ledger.
        ledger: LedgerId,
        /// What it needs.
        shortfall: Shortfall,
    },
    /// The ledger is frozen; an operator must look.
    #[error("ledger {ledger} is frozen: {reason}")]
    Frozen {
        /// The ledger.
        ledger: LedgerId,
        /// Why.
        reason: String,
    },
}

impl Waiting {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Ledger { shortfall, .. } => shortfall.reason(),
            Self::Frozen { .. } => "ledger-frozen",
        }
    }

    /// The ledger that must move first.
    pub const fn ledger(&self) -> &LedgerId {
        match self {
            Self::Ledger { ledger, .. } | Self::Frozen { ledger, .. } => ledger,
        }
    }
}

/// Why a page is refused whole. Nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageRejection {
    /// The operator's policy does not name the lane.
    #[error("expected a lane that the policy names, got {0}: add a [[lane]] to the policy to take it in")]
    LaneNotTrusted(LaneId),
    /// The lane is frozen.
    #[error("lane {lane} is frozen: {reason}")]
    Frozen {
        /// The lane.
        lane: LaneId,
        /// Why.
        reason: String,
    },
    /// This gateway's clock was set back.
    #[error("this gateway's clock says {now}, but it has already acted at {high_water}: set the clock right")]
    ClockBehind {
        /// The clock.
        now: Timestamp,
        /// The high-water.
        high_water: Timestamp,
    },
    /// The page does not begin at the leaf wanted.
    #[error("expected a page that begins at leaf {expected}, got {got}")]
    Gap {
        /// The leaf wanted.
        expected: u64,
        /// The page's first.
        got: u64,
    },
    /// The checkpoint is malformed, of another lane, or not signed by a trusted key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointFault),
    /// The checkpoint is smaller than the page or than one seen before, or its time goes back or ahead.
    #[error("checkpoint: expected {expected}, got {got}")]
    CheckpointOrder {
        /// The label.
        reason: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// The page's leaves do not lead to the signed root.
    #[error("the leaves do not lead to the signed root: {0}")]
    Join(ProofFault),
    /// The checkpoint does not continue the one seen before.
    #[error("the checkpoint does not continue the one of size {size} seen before: {fault}")]
    Inconsistent {
        /// Size of the one seen before.
        size: u64,
        /// Why.
        fault: ProofFault,
    },
    /// Two signed checkpoints that cannot both be true: the lane freezes.
    #[error("two signed checkpoints contradict each other: {}", .0.detail)]
    Equivocation(Box<Equivocation>),
    /// A leaf that the log itself forbids.
    #[error("leaf {sequence}: expected {expected}, got {got}")]
    Leaf {
        /// The leaf.
        sequence: u64,
        /// The label.
        reason: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// Ledger evidence that does not close. It is not signed: the courier may have altered it.
    #[error("leaf {sequence}: the evidence of block {height} does not close: {fault}")]
    Evidence {
        /// The leaf.
        sequence: u64,
        /// The block.
        height: Height,
        /// The light client's words.
        fault: Rejection,
    },
}

impl PageRejection {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LaneNotTrusted(_) => "lane-not-trusted",
            Self::Frozen { .. } => "lane-frozen",
            Self::ClockBehind { .. } => "clock-behind",
            Self::Gap { .. } => "leaf-gap",
            Self::Checkpoint(fault) => fault.reason(),
            Self::CheckpointOrder { reason, .. } | Self::Leaf { reason, .. } => reason,
            Self::Join(_) => "join-does-not-close",
            Self::Inconsistent { .. } => "checkpoint-inconsistent",
            Self::Equivocation(_) => "equivocation",
            Self::Evidence { fault, .. } => fault.reason(),
        }
    }

    /// The leaf it is about, where it is about one.
    pub const fn sequence(&self) -> Option<u64> {
        match self {
            Self::Leaf { sequence, .. } | Self::Evidence { sequence, .. } => Some(*sequence),
            _ => None,
        }
    }
}

/// The ledgers and heights that a page speaks of: what the caller looks up before it verifies. Unverified.
pub fn heights(page: &Page, state: &LaneState) -> BTreeMap<LedgerId, BTreeSet<Height>> {
    let mut wanted: BTreeMap<LedgerId, BTreeSet<Height>> = BTreeMap::new();
    for known in &state.definitions {
        wanted.entry(known.definition.ledger.clone()).or_default();
    }
    for leaf in &page.opened {
        let Ok(statement) = Statement::parse(leaf.statement.as_bytes()) else { continue };
        let (ledger, height) = match statement.leaf() {
            Leaf::Definition(it) => (&it.ledger, None),
            Leaf::Record(it) => (&it.origin.ledger, Some(it.origin.position.height)),
            Leaf::Covered(it) => (&it.ledger, Some(it.to)),
            Leaf::Skipped(it) => (&it.ledger, Some(it.position.height)),
            Leaf::Retract(_) | Leaf::Key(_) => continue,
        };
        wanted.entry(ledger.clone()).or_default().extend(height);
    }
    wanted
}

/// Verifies a page that begins at the lane's next leaf.
///
/// # Errors
/// Why the page is refused whole; see the module's words on faults.
pub fn verify(page: &Page, state: &LaneState, context: &PageContext<'_>) -> Result<PageVerdict, PageRejection> {
    let lane = &state.lane;
    let (policy, checkpoint) = admit_checkpoint(page, state, context)?;
    close(page, state, &checkpoint)?;
    let mut walk = Walk {
        context,
        policy,
        evidence: page.evidence(),
        documents: &page.documents,
        after: state.clone(),
        readers: Readers::new(),
        matches: BTreeMap::new(),
        leaves: Vec::with_capacity(page.entries.len()),
        kept_documents: Vec::new(),
        kept_evidence: BTreeMap::new(),
    };
    let waiting = walk.leaves(page)?;
    if state.seen.as_ref().is_none_or(|(seen, _)| (seen.size, seen.time) < (checkpoint.size, checkpoint.time)) {
        walk.after.seen = Some((checkpoint, page.checkpoint.clone()));
    }
    debug_assert_eq!(&walk.after.lane, lane);
    let admission = Admission {
        before: state.edge.size(),
        after: walk.after,
        leaves: walk.leaves,
        documents: walk.kept_documents,
        evidence: walk.kept_evidence.into_values().collect(),
    };
    Ok(PageVerdict { admission, waiting, readers: walk.readers })
}

/// Judges a checkpoint that comes without leaves: the heartbeat of an idle lane (decision 12). `None` when it says nothing
/// new, or speaks of leaves that are still to come.
///
/// # Errors
/// As for a page: unsigned, of another lane, from the future, going back, or contradicting what was seen.
pub fn observe(note: &str, state: &LaneState, context: &PageContext<'_>) -> Result<Option<Admission>, PageRejection> {
    let (_, checkpoint) = admit_note(note, state, context)?;
    let size = state.edge.size();
    let newer = state.seen.as_ref().is_none_or(|(seen, _)| seen.time < checkpoint.time);
    if checkpoint.size != size || size == 0 || !newer {
        return Ok(None);
    }
    // Equal sizes with another root were refused as a contradiction, unless nothing was seen before.
    verify_consistency(size, checkpoint.size, &state.edge.root(), &checkpoint.root, &[])
        .map_err(PageRejection::Join)?;
    let after = LaneState { seen: Some((checkpoint, note.to_owned())), ..state.clone() };
    Ok(Some(Admission { before: size, after, leaves: Vec::new(), documents: Vec::new(), evidence: Vec::new() }))
}

/// Tries a held record leaf again: after an operator accepted its definition, or when better evidence came.
/// `evidence` is the block's, kept or new. `None` when it still waits: for headers, for a lane or a ledger to be thawed, or
/// for this gateway's clock to be set right.
pub fn retry(
    lane: &LaneState,
    index: u64,
    statement: &Statement,
    evidence: Option<&PageBlock>,
    context: &PageContext<'_>,
) -> Option<Release> {
    let policy = context.policy.lane(&lane.lane)?;
    if lane.frozen.is_some() || clock_is_behind(context) {
        return None;
    }
    let mut walk = Walk {
        context: &PageContext { bad_evidence: BadEvidence::Hold, ..*context },
        policy,
        evidence: evidence.into_iter().map(|block| (block.height, block)).collect(),
        documents: &[],
        after: lane.clone(),
        readers: Readers::new(),
        matches: BTreeMap::new(),
        leaves: Vec::new(),
        kept_documents: Vec::new(),
        kept_evidence: BTreeMap::new(),
    };
    let Leaf::Record(record) = statement.leaf() else { return None };
    let outcome = match walk.record(index, record) {
        Ok(verified) => LeafOutcome::Record(Box::new(verified)),
        Err(Stop::Held(held)) => LeafOutcome::Held(held),
        Err(Stop::Waits(_) | Stop::Refused(_)) => return None,
    };
    let evidence = walk.kept_evidence.into_values().collect();
    Some(Release { lane: lane.lane.clone(), index, outcome, evidence, at: context.now })
}

/// A clock below what this gateway has already acted at was set back: times cannot be judged by it (decision 9).
fn clock_is_behind(context: &PageContext<'_>) -> bool {
    context.now.plus(CLOCK_DRIFT_SECONDS) < context.high_water
}

/// Everything about a page's checkpoint that needs no leaf.
fn admit_checkpoint<'a>(
    page: &Page,
    state: &LaneState,
    context: &PageContext<'a>,
) -> Result<(&'a LanePolicy, Checkpoint), PageRejection> {
    let (policy, checkpoint) = admit_note(&page.checkpoint, state, context)?;
    if page.from != state.edge.size() {
        return Err(PageRejection::Gap { expected: state.edge.size(), got: page.from });
    }
    if checkpoint.size < page.to() {
        let (expected, got) = (format!("a checkpoint of at least {} leaves", page.to()), checkpoint.size.to_string());
        return Err(PageRejection::CheckpointOrder { reason: "checkpoint-smaller-than-page", expected, got });
    }
    Ok((policy, checkpoint))
}

/// Everything about a checkpoint that needs neither page nor leaf.
fn admit_note<'a>(
    note: &str,
    state: &LaneState,
    context: &PageContext<'a>,
) -> Result<(&'a LanePolicy, Checkpoint), PageRejection> {
    let lane = &state.lane;
    let trusted = context.policy.lane(lane).zip(context.policy.peer(lane.gateway()));
    let (policy, peer) = trusted.ok_or_else(|| PageRejection::LaneNotTrusted(lane.clone()))?;
    if let Some(reason) = &state.frozen {
        return Err(PageRejection::Frozen { lane: lane.clone(), reason: reason.clone() });
    }
    if clock_is_behind(context) {
        return Err(PageRejection::ClockBehind { now: context.now, high_water: context.high_water });
    }
    let checkpoint = SignedCheckpoint::parse(note)?.verify(lane, &peer.log_keys)?;
    let order = |reason, expected: String, got: String| PageRejection::CheckpointOrder { reason, expected, got };
    if checkpoint.time > context.now.plus(CLOCK_DRIFT_SECONDS) {
        let expected = format!("a time until {} of this clock", context.now.plus(CLOCK_DRIFT_SECONDS));
        return Err(order("checkpoint-ahead-of-clock", expected, checkpoint.time.to_string()));
    }
    contradiction(state, &checkpoint, note)?;
    if let Some((seen, _)) = &state.seen {
        if checkpoint.size < seen.size {
            let expected = format!("at least the {} leaves seen before", seen.size);
            return Err(order("checkpoint-older-than-seen", expected, checkpoint.size.to_string()));
        }
        if checkpoint.time < seen.time {
            let expected = format!("a time from {} on, as seen before", seen.time);
            return Err(order("checkpoint-time-back", expected, checkpoint.time.to_string()));
        }
    }
    Ok((policy, checkpoint))
}

/// Two signed checkpoints of one size with two roots, or one that contradicts the verified leaves of another.
fn contradiction(state: &LaneState, checkpoint: &Checkpoint, note: &str) -> Result<(), PageRejection> {
    let Some((seen, first)) = &state.seen else { return Ok(()) };
    let known = if checkpoint.size == seen.size {
        seen.root
    } else if checkpoint.size == state.edge.size() {
        state.edge.root()
    } else {
        return Ok(());
    };
    if known == checkpoint.root {
        return Ok(());
    }
    let detail = format!("size {}: root {known} before, root {} now", checkpoint.size, checkpoint.root);
    let (lane, first, second) = (state.lane.clone(), first.clone(), note.to_owned());
    Err(PageRejection::Equivocation(Box::new(Equivocation { lane, first, second, detail })))
}

/// The leaves must lead from the receiver's own edge to the signed root, through the checkpoint seen before.
fn close(page: &Page, state: &LaneState, checkpoint: &Checkpoint) -> Result<(), PageRejection> {
    let mut edge = state.edge.clone();
    let mut root_at_seen = None;
    for entry in &page.entries {
        edge.append(entry.leaf_hash());
        if state.seen.as_ref().is_some_and(|(seen, _)| seen.size == edge.size()) {
            root_at_seen = Some(edge.root());
        }
    }
    verify_consistency(edge.size(), checkpoint.size, &edge.root(), &checkpoint.root, &page.join)
        .map_err(PageRejection::Join)?;
    let Some((seen, first)) = &state.seen else { return Ok(()) };
    if let Some(root) = root_at_seen.filter(|root| *root != seen.root) {
        // The new checkpoint commits to these leaves, the one seen before to others: both are signed.
        let detail = format!("size {}: root {} before, the new one commits to {root}", seen.size, seen.root);
        let (lane, first, second) = (state.lane.clone(), first.clone(), page.checkpoint.clone());
        return Err(PageRejection::Equivocation(Box::new(Equivocation { lane, first, second, detail })));
    }
    if seen.size > edge.size() {
        let empty = Vec::new();
        let claimed = page.seen.as_ref().filter(|proof| proof.size == seen.size);
        let proof = claimed.map_or(&empty, |proof| &proof.proof);
        verify_consistency(seen.size, checkpoint.size, &seen.root, &checkpoint.root, proof)
            .map_err(|fault| PageRejection::Inconsistent { size: seen.size, fault })?;
    }
    Ok(())
}

/// Why a leaf is not simply admitted.
enum Stop {
    Held(Held),
    Waits(Waiting),
    Refused(PageRejection),
}

impl From<PageRejection> for Stop {
    fn from(rejection: PageRejection) -> Self {
        Self::Refused(rejection)
    }
}

fn hold<T>(reason: &'static str, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Held(Held { reason, detail: detail.into(), record: None }))
}

/// One walk over the leaves of a page.
struct Walk<'a> {
    context: &'a PageContext<'a>,
    policy: &'a LanePolicy,
    evidence: BTreeMap<Height, &'a PageBlock>,
    documents: &'a [Document],
    after: LaneState,
    readers: Readers,
    /// Items that match, by definition and block: a block's evidence is judged once for all its leaves, so that evidence
    /// that does not close costs no more than evidence that does.
    matches: BTreeMap<(Digest, Height), Result<Vec<Proven>, Rejection>>,
    leaves: Vec<AdmittedLeaf>,
    kept_documents: Vec<Document>,
    kept_evidence: BTreeMap<Height, KeptEvidence>,
}

impl Walk<'_> {
    /// Walks the page; ends before the first leaf that waits.
    fn leaves(&mut self, page: &Page) -> Result<Option<Waiting>, PageRejection> {
        let mut opened = page.opened.iter().peekable();
        for (index, entry) in (page.from..).zip(&page.entries) {
            let statement = match opened.next_if(|leaf| leaf.index == index) {
                Some(leaf) => Some(self.open(index, entry, leaf.statement.as_bytes())?),
                None => None,
            };
            let outcome = match &statement {
                None => self.sealed(index),
                Some(statement) => self.statement(index, statement),
            };
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(Stop::Held(held)) => {
                    self.keep_for_retry(&statement);
                    LeafOutcome::Held(held)
                }
                Err(Stop::Waits(waiting)) => return Ok(Some(waiting)),
                Err(Stop::Refused(rejection)) => return Err(rejection),
            };
            self.advance(index, &statement);
            self.after.edge.append(entry.leaf_hash());
            self.leaves.push(AdmittedLeaf { index, entry: *entry, statement, outcome });
        }
        Ok(None)
    }

    /// The statement must be the one whose digest the log holds, and its tag the one of its key.
    fn open(&self, index: u64, entry: &Entry, bytes: &[u8]) -> Result<Statement, PageRejection> {
        let digest = Digest::of(bytes);
        if digest != entry.statement() {
            return Err(fault(index, "statement-differs", entry.statement(), digest));
        }
        let malformed = |it: StatementFault| fault(index, "statement-malformed", "a statement of a lane", it);
        let statement = Statement::parse(bytes).map_err(malformed)?;
        let first = matches!(statement.leaf(), Leaf::Definition(_));
        if index == 0 && !first {
            return Err(fault(index, "lane-without-definition", "a definition as first leaf", statement.leaf().kind()));
        }
        let tag_key = self.after.definition_at(index).map(|it| it.definition.tag_key);
        let expected = tag_key.map_or(hufu_schemas_core::lane::KeyTag::NONE, |key| statement.tag(&key));
        if entry.tag() != expected {
            return Err(fault(index, "wrong-key-tag", format!("{expected:?}"), format!("{:?}", entry.tag())));
        }
        self.require_order(index, &statement)?;
        Ok(statement)
    }

    /// Positions rise strictly, and never return into blocks that a `covered` leaf has closed (decision 4).
    fn require_order(&self, index: u64, statement: &Statement) -> Result<(), PageRejection> {
        if let Some((position, item)) = statement.leaf().order() {
            if let Some((last, before)) = self.after.last
                && (position, item) <= (last, before)
            {
                let reason = if (position, item) == (last, before) { "same-event-twice" } else { "position-goes-back" };
                return Err(fault(index, reason, format!("a position after {last}, item {before}"), position));
            }
            if let Some(covered) = self.after.covered.filter(|covered| position.height <= *covered) {
                return Err(fault(index, "block-already-covered", format!("a height above {covered}"), position));
            }
        }
        match statement.leaf() {
            Leaf::Covered(it) => self.require_no_gap(index, it),
            _ => Ok(()),
        }
    }

    /// Coverage begins where the definition does and goes on without a gap: blocks that nobody speaks for could hide an
    /// event.
    fn require_no_gap(&self, index: u64, covered: &Covered) -> Result<(), PageRejection> {
        let defined = self.after.definition_at(index).map(|known| known.definition.from_height);
        let expected = match self.after.covered {
            Some(last) => last.next(),
            None => defined,
        };
        if expected == Some(covered.from) {
            return Ok(());
        }
        let words = expected.map_or_else(|| "no further block".to_owned(), |from| format!("blocks from {from} on"));
        Err(fault(index, "coverage-gap", words, covered.from))
    }

    fn sealed(&self, index: u64) -> Result<LeafOutcome, Stop> {
        if self.policy.sealed && index > 0 {
            return Ok(LeafOutcome::Sealed);
        }
        let expected = "an opened leaf: the policy does not allow sealed ones on this lane";
        Err(fault(index, "leaf-sealed", expected, "a sealed leaf").into())
    }

    fn statement(&mut self, index: u64, statement: &Statement) -> Result<LeafOutcome, Stop> {
        match statement.leaf() {
            Leaf::Definition(definition) => self.define(index, definition),
            Leaf::Record(record) => Ok(LeafOutcome::Record(Box::new(self.record(index, record)?))),
            Leaf::Covered(covered) => self.covered(index, covered),
            Leaf::Skipped(skipped) => self.skipped(index, skipped),
            Leaf::Retract(_) | Leaf::Key(_) => {
                hold("leaf-kind-absent", format!("this version does not act on {} leaves", statement.leaf().kind()))
            }
        }
    }

    /// What the leaf changes about the lane, whatever became of it.
    fn advance(&mut self, sequence: u64, statement: &Option<Statement>) {
        let Some(statement) = statement else { return };
        if let Some(order) = statement.leaf().order() {
            self.after.last = Some(order);
        }
        match statement.leaf() {
            Leaf::Covered(covered) => self.after.covered = Some(covered.to),
            Leaf::Definition(definition) => {
                self.after.definitions.push(LaneDefinition { sequence, definition: definition.clone() });
            }
            _ => {}
        }
    }

    /// Compiles the definition. A document that did not travel, or not as it is named, is the courier's fault and refuses
    /// the page. What this build cannot read is said by the records under it; the documents are kept for an update.
    fn define(&mut self, index: u64, definition: &Definition) -> Result<LeafOutcome, Stop> {
        if self.after.definitions.len() >= MOST_DEFINITIONS {
            let expected = format!("at most {MOST_DEFINITIONS} definitions in a lane: begin a new epoch");
            return Err(fault(index, "too-many-definitions", expected, "one more").into());
        }
        let digest = definition.digest();
        let documents = named_documents(definition, self.documents, self.context.registry)
            .map_err(|missing| fault(index, "document-missing", "the documents the definition names", missing))?;
        let reader = LaneReader::of_definition(definition, &documents, self.context.families, self.context.registry);
        self.kept_documents.extend(reader.as_ref().map_or(documents, |reader| reader.documents().to_vec()));
        self.readers.insert(digest, reader.map(Arc::new));
        Ok(LeafOutcome::Definition(digest))
    }

    fn reader(&self, definition: &Digest) -> Result<Arc<LaneReader>, Stop> {
        match self.readers.get(definition).or_else(|| self.context.readers.get(definition)) {
            Some(Ok(reader)) => Ok(Arc::clone(reader)),
            Some(Err(fault)) => hold(fault.reason(), fault.to_string()),
            None => hold("unknown-mapping", format!("no reader for definition {definition}")),
        }
    }

    /// Everything that makes a record believed, in order; each step names what it expected.
    fn record(&mut self, index: u64, leaf: &RecordLeaf) -> Result<Verified<hufu_schemas_core::Record>, Stop> {
        let Some(known) = self.after.definition_at(index) else {
            return hold("lane-without-definition", "no definition before this leaf");
        };
        let definition = known.definition.clone();
        let digest = definition.digest();
        let reader = self.reader(&digest)?;
        require_defined(leaf, &definition, &reader)?;
        // Before the definition is looked at: evidence that a courier altered must not be what waits for the operator.
        let proven = self.proven(index, leaf.origin.position, &leaf.origin.block_hash, &definition, &reader)?;
        if !self.policy.definitions.contains(&digest) {
            let words = format!("the policy does not name definition {digest}: read it, then `hufu lane accept`");
            return hold("definition-not-accepted", words);
        }
        let record = read_record(&reader, &proven, leaf)?;
        let completeness = Completeness::Log;
        let authority = self
            .policy
            .authorises(&record)
            .and_then(|()| self.policy.accepts(Assurance::Proven, proven.finality(), completeness));
        if let Err(denied) = authority {
            return hold(denied.reason(), denied.to_string());
        }
        let basis = Basis {
            lane: self.after.lane.clone(),
            sequence: index,
            ledger: proven.ledger().clone(),
            position: proven.position(),
            item: leaf.origin.item,
            block_hash: proven.block_hash(),
            block_time: proven.time(),
            finality: proven.finality(),
            assurance: Assurance::Proven,
            completeness,
            native: proven.native().to_vec(),
            policy: self.context.policy.digest(),
            observed_at: leaf.origin.observed_at,
            quality: reader.registry().quality(&record),
        };
        Ok(Verified::mint(record, basis))
    }

    /// The native item at a position, proven by this gateway's own light client.
    fn proven(
        &mut self,
        index: u64,
        position: Position,
        block_hash: &hufu_schemas_core::BlockHash,
        definition: &Definition,
        reader: &LaneReader,
    ) -> Result<Proven, Stop> {
        let block = self.trusted_block(&definition.ledger, position.height)?.clone();
        if block.hash() != *block_hash {
            let words = format!("expected block {} at height {}, got {block_hash}", block.hash(), position.height);
            return hold("block-differs", words);
        }
        let key = (definition.digest(), position.height);
        if !self.matches.contains_key(&key) {
            let items = self.matching(&block, definition, reader)?;
            self.matches.insert(key, items);
        }
        match self.matches.get(&key) {
            // The wrapper around every family vouches for the order.
            Some(Ok(items)) => match items.binary_search_by_key(&position, Proven::position).map(|at| items.get(at)) {
                Ok(Some(proven)) => Ok(proven.clone()),
                _ => hold("event-not-in-block", format!("no event of this lane stands at {position}")),
            },
            Some(Err(fault)) if self.context.bad_evidence == BadEvidence::Refuse => {
                let (height, fault) = (position.height, fault.clone());
                Err(PageRejection::Evidence { sequence: index, height, fault }.into())
            }
            Some(Err(fault)) => hold("bad-evidence", fault.to_string()),
            None => hold("bad-evidence", "the block was not judged"),
        }
    }

    /// All items of the block that the lane selects, from the evidence that travelled; or why it does not close.
    fn matching(
        &mut self,
        block: &TrustedBlock,
        definition: &Definition,
        reader: &LaneReader,
    ) -> Result<Result<Vec<Proven>, Rejection>, Stop> {
        let height = block.height();
        let carried = self.evidence.get(&height).copied().filter(|carried| carried.hash == block.hash());
        let Some(snapshot) = self.context.ledgers.get(&definition.ledger) else {
            return hold("ledger-not-anchored", not_anchored(&definition.ledger));
        };
        let bytes = carried.map(|carried| carried.evidence.as_slice());
        Ok(match snapshot.client.matching(block, reader.selector(), bytes, &mut Budget::for_evidence()) {
            Outcome::Accept(items) => {
                self.keep(block, carried);
                Ok(items)
            }
            Outcome::NotYet(shortfall) => {
                Err(Rejection::new("evidence-missing", "the evidence of this block", shortfall.to_string()))
            }
            Outcome::Reject(rejection) => Err(rejection),
        })
    }

    fn keep(&mut self, block: &TrustedBlock, carried: Option<&PageBlock>) {
        let Some(carried) = carried else { return };
        let (ledger, height, hash) = (block.ledger().clone(), block.height(), block.hash());
        // In place of what a held leaf may have claimed about the same height.
        self.kept_evidence.insert(height, KeptEvidence { ledger, height, hash, bytes: carried.evidence.clone() });
    }

    /// Keeps what a held leaf will need when it is tried again. Nothing here is verified; the second try does that.
    fn keep_for_retry(&mut self, statement: &Option<Statement>) {
        let Some(Leaf::Record(record)) = statement.as_ref().map(Statement::leaf) else { return };
        let (height, hash) = (record.origin.position.height, record.origin.block_hash);
        let Some(carried) = self.evidence.get(&height).filter(|carried| carried.hash == hash) else { return };
        let (ledger, bytes) = (record.origin.ledger.clone(), carried.evidence.clone());
        self.kept_evidence.entry(height).or_insert(KeptEvidence { ledger, height, hash, bytes });
    }

    /// The trusted block of a height; waits for headers that are still to come.
    fn trusted_block(&self, ledger: &LedgerId, height: Height) -> Result<&TrustedBlock, Stop> {
        let Some(snapshot) = self.context.ledgers.get(ledger) else {
            return hold("ledger-not-anchored", not_anchored(ledger));
        };
        if let Some(reason) = &snapshot.frozen {
            return Err(Stop::Waits(Waiting::Frozen { ledger: ledger.clone(), reason: reason.clone() }));
        }
        if let Some(block) = snapshot.blocks.get(&height) {
            return Ok(block);
        }
        let beyond = snapshot.head.last.is_none_or(|(last, _)| height > last);
        if !beyond {
            let words = format!("height {height} lies before this gateway's anchor or was not kept");
            return hold("block-not-kept", words);
        }
        let now = self.context.now;
        let shortfall = match snapshot.head.trusted_until.filter(|until| *until < now) {
            Some(until) => Shortfall::Expired { until, now },
            None => Shortfall::Headers { from: snapshot.head.wants },
        };
        Err(Stop::Waits(Waiting::Ledger { ledger: ledger.clone(), shortfall }))
    }

    /// Heights of two ledgers cannot be compared: a leaf speaks of the ledger that the lane is defined for (decision 2).
    fn require_own_ledger(&self, index: u64, ledger: &LedgerId) -> Result<(), Stop> {
        match self.after.definition_at(index).map(|known| &known.definition.ledger) {
            Some(own) if own == ledger => Ok(()),
            Some(own) => hold("leaf-disagrees-with-definition", format!("ledger: expected {own}, got {ledger}")),
            None => hold("lane-without-definition", "no definition before this leaf"),
        }
    }

    fn covered(&self, index: u64, covered: &Covered) -> Result<LeafOutcome, Stop> {
        self.require_own_ledger(index, &covered.ledger)?;
        let block = self.trusted_block(&covered.ledger, covered.to)?;
        if block.hash() != covered.to_hash {
            let words = format!("expected block {} at height {}, got {}", block.hash(), covered.to, covered.to_hash);
            return hold("block-differs", words);
        }
        Ok(LeafOutcome::Covered(covered.clone()))
    }

    fn skipped(&self, index: u64, skipped: &Skipped) -> Result<LeafOutcome, Stop> {
        self.require_own_ledger(index, &skipped.ledger)?;
        let block = self.trusted_block(&skipped.ledger, skipped.position.height)?;
        if block.hash() != skipped.block_hash {
            return hold("block-differs", format!("expected block {}, got {}", block.hash(), skipped.block_hash));
        }
        Ok(LeafOutcome::Skipped(skipped.clone()))
    }
}

fn fault(sequence: u64, reason: &'static str, expected: impl ToString, got: impl ToString) -> PageRejection {
    PageRejection::Leaf { sequence, reason, expected: expected.to_string(), got: got.to_string() }
}

fn not_anchored(ledger: &LedgerId) -> String {
    format!("the policy anchors no ledger {ledger}: add a [[ledger]] to it")
}

/// The leaf may say nothing that its definition does not fix (decision 2).
fn require_defined(leaf: &RecordLeaf, definition: &Definition, reader: &LaneReader) -> Result<(), Stop> {
    let origin = &leaf.origin;
    let checks = [
        ("ledger", origin.ledger == definition.ledger, origin.ledger.to_string()),
        ("mapping", origin.mapping == definition.mapping, origin.mapping.to_string()),
        ("decoder", origin.decoder == definition.decoder, format!("{:?}", origin.decoder)),
        ("schema", origin.schema == *reader.schema(), origin.schema.id.clone()),
        ("height", origin.position.height >= definition.from_height, origin.position.height.to_string()),
    ];
    match checks.into_iter().find(|(_, good, _)| !good) {
        None => Ok(()),
        Some((what, _, got)) => {
            hold("leaf-disagrees-with-definition", format!("{what}: expected what the definition fixes, got {got}"))
        }
    }
}

/// Reads the record anew and compares it with what the origin said.
fn read_record(reader: &LaneReader, proven: &Proven, leaf: &RecordLeaf) -> Result<hufu_schemas_core::Record, Stop> {
    let reading = reader.read(proven).into_iter().find(|reading| reading.item == leaf.origin.item);
    let record = match reading.map(|reading| reading.result) {
        Some(Ok(record)) => record,
        Some(Err(unreadable)) => return hold("record-not-conformant", unreadable.to_string()),
        None => return hold("event-not-in-block", format!("the item decodes to no event {}", leaf.origin.item)),
    };
    if record.id() != leaf.id || record.key() != &leaf.key {
        let words = format!("expected {} as recomputed from the ledger, got {}", record.id(), leaf.id);
        return hold("record-differs", words);
    }
    Ok(record)
}
