//! Leaves that are taken back: on a ledger that is never final, blocks that a lane spoke of may be undone.
//!
//! What the log must satisfy: a `retract` leaf names a leaf that stands, by its sequence and statement; and the lane's
//! positions go back to `from` only once no leaf at or above it stands. What this receiver must find: its own light
//! client holds another block where the named leaf stood. As long as that may still come, the leaf is waited for; once
//! it cannot, the leaf is held, and what it would take back stays believed.

use std::collections::{BTreeMap, BTreeSet};

use hufu_adapters_light_client::{Finality, Shortfall, TrustedBlock};
use hufu_schemas_core::page::Page;
use hufu_schemas_core::statement::{Leaf, Retract, Statement};
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId, Position, RecordId};

use super::walk::{Stop, Walk, fault, hold};
use super::{PageRejection, Waiting};
use crate::admission::{LaneState, LeafOutcome};

/// A leaf that speaks of a block and was not taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingLeaf {
    /// Sequence number.
    pub sequence: u64,
    /// The ledger.
    pub ledger: LedgerId,
    /// The lowest height that it speaks of: of a `covered` leaf the first block.
    pub lowest: Height,
    /// The height of the block that it names.
    pub height: Height,
    /// Identity of that block.
    pub hash: BlockHash,
    /// Digest of its statement.
    pub statement: Digest,
    /// Its record, where it is a record leaf.
    pub record: Option<RecordId>,
    /// Whether it covers blocks.
    pub covers: bool,
}

impl StandingLeaf {
    /// Of a statement; `None` where that speaks of no block.
    pub fn of(sequence: u64, statement: &Statement) -> Option<Self> {
        let digest = statement.digest();
        let at = |ledger: &LedgerId, height: Height, hash: BlockHash| Self {
            sequence,
            ledger: ledger.clone(),
            lowest: height,
            height,
            hash,
            statement: digest,
            record: None,
            covers: false,
        };
        match statement.leaf() {
            Leaf::Record(it) => {
                let place = &it.origin;
                Some(Self { record: Some(it.id), ..at(&place.ledger, place.position.height, place.block_hash) })
            }
            Leaf::Skipped(it) => Some(at(&it.ledger, it.position.height, it.block_hash)),
            Leaf::Covered(it) => Some(Self { lowest: it.from, covers: true, ..at(&it.ledger, it.to, it.to_hash) }),
            Leaf::Definition(_) | Leaf::Retract(_) | Leaf::Key(_) => None,
        }
    }
}

/// Leaves that stand, by sequence.
pub type StandingLeaves = BTreeMap<u64, StandingLeaf>;

/// From which height on a page takes leaves back, if it does: the caller then gives
/// [`PageContext::standing`](super::PageContext) all leaves of the lane that stand at or above it. Unverified.
pub fn taken_back_from(page: &Page) -> Option<Height> {
    let statements = page.opened.iter().filter_map(|leaf| Statement::parse(leaf.statement.as_bytes()).ok());
    let retracts = statements.filter_map(|statement| match statement.leaf() {
        Leaf::Retract(it) => Some(it.from),
        _ => None,
    });
    retracts.min()
}

impl LaneState {
    /// Goes on at `from`, all leaves at or above it being taken back.
    pub(crate) fn go_back(&mut self, from: Height) {
        let below = from.get().checked_sub(1).map(Height::new);
        // Above every place of the block below, below every place of the block itself.
        let end = |height| (Position { height, transaction: u32::MAX, event: u32::MAX }, u32::MAX);
        if self.last.is_some_and(|(last, _)| last.height >= from) {
            self.last = below.map(end);
        }
        self.uncover(from);
    }

    /// Blocks from `from` on are no longer covered.
    fn uncover(&mut self, from: Height) {
        if self.covered.is_some_and(|covered| covered >= from) {
            self.covered = from.get().checked_sub(1).map(Height::new);
        }
    }
}

/// What one walk knows of leaves that are taken back.
#[derive(Default)]
pub(super) struct Undoing {
    /// Leaves at or above the lowest height that the page goes back to; with those that it brings.
    standing: StandingLeaves,
    /// Leaves that the page takes back.
    named: BTreeSet<u64>,
}

impl Undoing {
    pub(super) fn of(page: Option<&Page>, standing: &StandingLeaves) -> Self {
        let Some(page) = page else { return Self::default() };
        let statements = page.opened.iter().filter_map(|leaf| Statement::parse(leaf.statement.as_bytes()).ok());
        let named: BTreeSet<u64> = statements
            .filter_map(|statement| match statement.leaf() {
                Leaf::Retract(it) => Some(it.sequence),
                _ => None,
            })
            .collect();
        let standing = if named.is_empty() { StandingLeaves::new() } else { standing.clone() };
        Self { standing, named }
    }
}

impl Walk<'_> {
    /// A `retract` leaf names a leaf that stands, as it stands.
    pub(super) fn require_standing(&self, index: u64, retract: &Retract) -> Result<(), PageRejection> {
        let found = self.undoing.standing.get(&retract.sequence);
        let same = |leaf: &&StandingLeaf| {
            leaf.statement == retract.statement && leaf.record == retract.record && leaf.height >= retract.from
        };
        if found.filter(same).is_some() || (found.is_none() && self.policy.sealed) {
            return Ok(());
        }
        let expected = format!("a leaf that stands at or above height {}, by its statement", retract.from);
        Err(fault(index, "retract-of-nothing", expected, format!("leaf {}", retract.sequence)))
    }

    /// Takes back what the ledger took back.
    pub(super) fn retract(&self, index: u64, retract: &Retract) -> Result<LeafOutcome, Stop> {
        self.require_own_ledger(index, &retract.ledger)?;
        // Nothing is known of a sealed leaf, so nothing believed rests on it.
        let Some(leaf) = self.undoing.standing.get(&retract.sequence) else {
            return Ok(LeafOutcome::Retracted(retract.clone()));
        };
        let block = self.trusted_block(&leaf.ledger, leaf.height)?;
        if block.hash() != leaf.hash && may_be_undone(block) {
            return Ok(LeafOutcome::Retracted(retract.clone()));
        }
        if let Some(waiting) = self.may_reorganise(block) {
            return Err(Stop::Waits(waiting));
        }
        let words = format!(
            "leaf {} is of block {} at height {}; expected that block to be undone, got {} there for good",
            leaf.sequence,
            leaf.hash,
            leaf.height,
            block.hash()
        );
        hold("retract-not-justified", words)
    }

    /// A leaf of another branch than this gateway trusts is waited for while the ledger may still follow it. Where the
    /// page itself takes it back, or nothing can change any more, it is held.
    pub(super) fn require_branch(&self, index: u64, statement: &Statement) -> Result<(), Stop> {
        let Some(leaf) = StandingLeaf::of(index, statement) else { return Ok(()) };
        let Some(snapshot) = self.context.ledgers.get(&leaf.ledger) else { return Ok(()) };
        let Some(block) = snapshot.blocks.get(&leaf.height).filter(|block| block.hash() != leaf.hash) else {
            return Ok(());
        };
        if !may_be_undone(block) {
            return Ok(());
        }
        if !self.undoing.named.contains(&index)
            && let Some(waiting) = self.may_reorganise(block)
        {
            return Err(Stop::Waits(waiting));
        }
        hold("block-differs", format!("expected block {} at height {}, got {}", block.hash(), leaf.height, leaf.hash))
    }

    /// What is waited for while a trusted block may still give way to another branch.
    fn may_reorganise(&self, block: &TrustedBlock) -> Option<Waiting> {
        let snapshot = self.context.ledgers.get(block.ledger())?;
        let loose = may_be_undone(block) && snapshot.firm.is_some_and(|firm| block.height() > firm);
        let shortfall = Shortfall::Headers { from: snapshot.head.wants };
        loose.then(|| Waiting::Ledger { ledger: block.ledger().clone(), shortfall })
    }

    /// What a leaf changes about which leaves stand, and where the lane goes on.
    pub(super) fn note_standing(&mut self, sequence: u64, statement: &Statement) {
        let Leaf::Retract(retract) = statement.leaf() else {
            if !self.undoing.named.is_empty() {
                self.undoing.standing.extend(StandingLeaf::of(sequence, statement).map(|leaf| (sequence, leaf)));
            }
            return;
        };
        let Some(gone) = self.undoing.standing.remove(&retract.sequence) else { return };
        if gone.covers {
            self.after.uncover(retract.from);
        }
        if !self.undoing.standing.values().any(|leaf| leaf.height >= retract.from) {
            self.after.go_back(retract.from);
            let stretch = self.after.stretch_at(sequence);
            self.after.derivation.rewind(retract.from, stretch);
        }
    }
}

fn may_be_undone(block: &TrustedBlock) -> bool {
    match block.finality() {
        Finality::BftFinal | Finality::Authority => false,
        Finality::Probabilistic | Finality::Unsealed => true,
    }
}
