//! What verification hands to the store: leaves with their outcomes, and the lane's state before and after. The store
//! writes it in one transaction, by compare-and-swap on the state before.

use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::merkle::Edge;
use hufu_schemas_core::page::Document;
use hufu_schemas_core::statement::{Covered, Definition, Retract, Skipped, Statement};
use hufu_schemas_core::{BlockHash, Digest, Height, LaneId, LedgerId, Position, Record, Timestamp};
use serde_json::Value;

use crate::derivation::Derivation;
use crate::verified::Verified;

/// What is known of a lane, at its origin or at a receiver: small, and all that verification of the next leaf needs.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneState {
    /// The lane.
    pub lane: LaneId,
    /// The right edge of the log so far; its size is the next leaf.
    pub edge: Edge,
    /// The largest checkpoint that was verified (at the origin: signed), with its note.
    pub seen: Option<(Checkpoint, String)>,
    /// (position, decoded index) of the last leaf that has one: positions rise strictly.
    pub last: Option<(Position, u32)>,
    /// The last block that a `covered` leaf covers.
    pub covered: Option<Height>,
    /// How far a receiver has derived the blocks by itself. An origin derives nothing: it read them.
    pub derivation: Derivation,
    /// Definitions in leaf order.
    pub definitions: Vec<LaneDefinition>,
    /// Why the lane is frozen, if it is.
    pub frozen: Option<String>,
}

/// A definition with its leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneDefinition {
    /// The leaf.
    pub sequence: u64,
    /// What it fixes.
    pub definition: Definition,
}

impl LaneState {
    /// A lane of which nothing is known yet.
    pub fn new(lane: LaneId) -> Self {
        let (edge, definitions, derivation) = (Edge::empty(), Vec::new(), Derivation::default());
        Self { lane, edge, seen: None, last: None, covered: None, derivation, definitions, frozen: None }
    }

    /// The first block that no `covered` leaf covers yet, for leaf `sequence`: where its stretch begins. `None` before the
    /// first definition.
    pub fn stretch_at(&self, sequence: u64) -> Option<Height> {
        match self.covered {
            Some(covered) => covered.next(),
            None => self.definition_at(sequence).map(|known| known.definition.from_height),
        }
    }

    /// The definition in force for leaf `sequence`: the last one before it.
    pub fn definition_at(&self, sequence: u64) -> Option<&LaneDefinition> {
        self.definitions.iter().rev().find(|definition| definition.sequence < sequence)
    }
}

/// What one transaction of the store takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    pub(crate) before: u64,
    pub(crate) after: LaneState,
    pub(crate) leaves: Vec<AdmittedLeaf>,
    pub(crate) documents: Vec<Document>,
    pub(crate) evidence: Vec<KeptEvidence>,
}

impl Admission {
    /// The lane's size before: what compare-and-swap compares.
    pub const fn before(&self) -> u64 {
        self.before
    }

    /// The lane's state after.
    pub const fn after(&self) -> &LaneState {
        &self.after
    }

    /// The leaves `before ..`, in order.
    pub fn leaves(&self) -> &[AdmittedLeaf] {
        &self.leaves
    }

    /// Mappings and schemas to keep, whose digests were recomputed.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Block evidence to keep for evidence files and for held leaves.
    pub fn evidence(&self) -> &[KeptEvidence] {
        &self.evidence
    }
}

/// One leaf with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmittedLeaf {
    /// Sequence number.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// Its statement, where it was opened.
    pub statement: Option<Statement>,
    /// What became of it.
    pub outcome: LeafOutcome,
}

/// What became of a leaf.
#[derive(Debug, Clone, PartialEq)]
pub enum LeafOutcome {
    /// A record that is believed.
    Record(Box<Verified<Record>>),
    /// A leaf that is not believed yet, with its reason; tried again after an operator or an update acts.
    Held(Held),
    /// Not opened to this receiver.
    Sealed,
    /// A definition.
    Definition(Digest),
    /// Blocks that were read whole.
    Covered(Covered),
    /// What the origin could not map.
    Skipped(Skipped),
    /// An earlier leaf of the lane no longer holds: its block was undone.
    Retracted(Retract),
}

/// Why a leaf is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The metric label.
    pub reason: &'static str,
    /// In words: expected and got.
    pub detail: String,
    /// The record as it travelled, where it did.
    pub record: Option<Value>,
}

/// Evidence of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvidence {
    /// The ledger.
    pub ledger: LedgerId,
    /// The height.
    pub height: Height,
    /// Identity of the block.
    pub hash: BlockHash,
    /// The family's evidence.
    pub bytes: Vec<u8>,
}

/// A held leaf that became believed after all: what `Store::release` takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    pub(crate) lane: LaneId,
    pub(crate) index: u64,
    pub(crate) outcome: LeafOutcome,
    pub(crate) evidence: Vec<KeptEvidence>,
    pub(crate) at: Timestamp,
}

impl Release {
    /// The lane.
    pub const fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// The leaf.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// [`LeafOutcome::Record`], or [`LeafOutcome::Held`] with a fresh reason.
    pub const fn outcome(&self) -> &LeafOutcome {
        &self.outcome
    }

    /// Evidence that came with the second try.
    pub fn evidence(&self) -> &[KeptEvidence] {
        &self.evidence
    }

    /// When it was tried.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// What an origin signed and what cannot be true beside it: another checkpoint, or the ledger. The lane freezes and both
/// are kept, so that a third party can judge them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misconduct {
    /// The lane.
    pub lane: LaneId,
    /// The label, such as `equivocation` or `omitted-event`.
    pub reason: &'static str,
    /// In words.
    pub detail: String,
    /// The leaf that it shows at, where it is one.
    pub sequence: Option<u64>,
    /// What was signed: a checkpoint's note, or the page whose leaf it is with the edge it continues.
    pub signed: Value,
    /// What contradicts it: another note, or a trusted block with its evidence and the item in it.
    pub against: Value,
}

impl Misconduct {
    /// Both artefacts, to be kept.
    pub fn artefacts(&self) -> Value {
        serde_json::json!({
            "reason": self.reason, "detail": self.detail, "leaf": self.sequence,
            "first": self.signed, "second": self.against,
        })
    }
}
