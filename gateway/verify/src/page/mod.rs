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

mod checkpoint;
mod fault;
mod record;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hufu_adapters_light_client::{DynLightClient, HeadFacts, TrustedBlock};
use hufu_schemas_core::merkle::verify_consistency;
use hufu_schemas_core::page::{Page, PageBlock};
use hufu_schemas_core::statement::{Leaf, Statement};
use hufu_schemas_core::{Digest, Height, LedgerId, Timestamp};
use hufu_schemas_registry::Registry;

use crate::admission::{Admission, LaneState, LeafOutcome, Release};
use crate::policy::TrustPolicy;
use crate::reader::{Families, LaneReader, ReaderFault};

use checkpoint::{admit_checkpoint, admit_note, close};
pub use fault::{PageRejection, Waiting};
use walk::{Stop, Walk};

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
