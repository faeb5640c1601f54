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
mod covered;
mod fault;
mod record;
mod retract;
mod walk;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
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
pub use covered::DERIVED_BLOCKS_MOST;
pub use fault::{PageRejection, Waiting};
pub use retract::{StandingLeaf, StandingLeaves, taken_back_from};
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
    /// The last height that no branch can undo any more; see
    /// [`firm`](hufu_adapters_light_client::DynLightClient::firm).
    pub firm: Option<Height>,
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
    /// Where the page takes leaves back: all leaves of the lane that stand from [`taken_back_from`] on.
    pub standing: &'a StandingLeaves,
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

/// Blocks of ledgers: ranges of heights, both ends included.
pub type Wanted = BTreeMap<LedgerId, Vec<RangeInclusive<Height>>>;

/// The ledgers and blocks that a page speaks of: what the caller looks up before it verifies. At most
/// [`DERIVED_BLOCKS_MOST`] blocks, and one a leaf. Unverified.
pub fn heights(page: &Page, state: &LaneState) -> Wanted {
    let mut wanted = Wanted::new();
    for known in &state.definitions {
        wanted.entry(known.definition.ledger.clone()).or_default();
    }
    let mut own = state.definitions.last().map(|known| known.definition.ledger.clone());
    let mut next = state.derivation.frontier().or(state.stretch_at(page.from));
    let mut left = DERIVED_BLOCKS_MOST;
    for leaf in &page.opened {
        let Ok(statement) = Statement::parse(leaf.statement.as_bytes()) else { continue };
        let (ledger, height, after) = match statement.leaf() {
            Leaf::Definition(it) => {
                wanted.entry(it.ledger.clone()).or_default();
                own = Some(it.ledger.clone());
                next = next.or(Some(it.from_height));
                continue;
            }
            Leaf::Record(it) => (&it.origin.ledger, it.origin.position.height, it.origin.position.height),
            Leaf::Skipped(it) => (&it.ledger, it.position.height, it.position.height),
            Leaf::Covered(it) => (&it.ledger, it.to, it.to.next().unwrap_or(it.to)),
            Leaf::Retract(it) => {
                next = Some(it.from);
                continue;
            }
            Leaf::Key(_) => continue,
        };
        let mut from = height;
        if own.as_ref() == Some(ledger) {
            let start = next.unwrap_or(height);
            let blocks = height.get().saturating_sub(start.get());
            if blocks < left {
                left -= blocks;
                from = start.min(height);
            }
            next = Some(after.max(start));
        }
        add(wanted.entry(ledger.clone()).or_default(), from, height);
    }
    wanted
}

/// Adds a range, joined to the last one where they touch: leaves rise.
fn add(ranges: &mut Vec<RangeInclusive<Height>>, from: Height, to: Height) {
    match ranges.last_mut() {
        Some(last) if *last.start() <= from && from.get() <= last.end().get().saturating_add(1) => {
            *last = *last.start()..=to.max(*last.end());
        }
        _ => ranges.push(from..=to),
    }
}

/// Verifies a page that begins at the lane's next leaf.
///
/// # Errors
/// Why the page is refused whole; see the module's words on faults.
pub fn verify(page: &Page, state: &LaneState, context: &PageContext<'_>) -> Result<PageVerdict, PageRejection> {
    let lane = &state.lane;
    let (policy, checkpoint) = admit_checkpoint(page, state, context.policy, context.clock())?;
    close(page, state, &checkpoint)?;
    let mut walk = Walk::new(context, policy, state, page.evidence(), Some(page));
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
    let (_, checkpoint) = admit_note(note, state, context.policy, context.clock())?;
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
    if lane.frozen.is_some() || context.clock().is_behind() {
        return None;
    }
    let context = PageContext { bad_evidence: BadEvidence::Hold, ..*context };
    let evidence = evidence.into_iter().map(|block| (block.height, block)).collect();
    let mut walk = Walk::new(&context, policy, lane, evidence, None);
    let Leaf::Record(record) = statement.leaf() else { return None };
    let outcome = match walk.record(index, record) {
        Ok(verified) => LeafOutcome::Record(Box::new(verified)),
        Err(Stop::Held(held)) => LeafOutcome::Held(held),
        Err(Stop::Waits(_) | Stop::Refused(_) | Stop::Later) => return None,
    };
    let evidence = walk.kept_evidence.into_values().collect();
    Some(Release { lane: lane.lane.clone(), index, outcome, evidence, at: context.now })
}

/// This gateway's clock, and the latest time it has acted at.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// What the clock says.
    pub now: Timestamp,
    /// The high water (decision 9).
    pub high_water: Timestamp,
}

impl Clock {
    /// A clock below what this gateway has already acted at was set back: times cannot be judged by it (decision 9).
    fn is_behind(self) -> bool {
        self.now.plus(CLOCK_DRIFT_SECONDS) < self.high_water
    }
}

impl PageContext<'_> {
    const fn clock(&self) -> Clock {
        Clock { now: self.now, high_water: self.high_water }
    }
}

/// Whether a page is signed by whom the policy trusts and leads from this lane's leaves to the signed root: what a caller
/// asks before it looks anything up because of what the page says.
///
/// # Errors
/// As [`verify`], for everything that needs no leaf.
pub fn closes(page: &Page, state: &LaneState, policy: &TrustPolicy, clock: Clock) -> Result<(), PageRejection> {
    let (_, checkpoint) = admit_checkpoint(page, state, policy, clock)?;
    close(page, state, &checkpoint)
}
