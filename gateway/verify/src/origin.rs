//! The origin's side of a lane: proven items become leaves, in one batch with the blocks they cover.
//!
//! The batch is an [`Admission`] like a receiver's: statement, record and source cursor (the `covered` leaf) move in one
//! transaction of the store. Then the gateway signs a checkpoint.

use hufu_adapters_light_client::{Control, Proven, TrustedBlock};
use hufu_schemas_core::lane::TagKey;
use hufu_schemas_core::page::Document;
use hufu_schemas_core::statement::{
    Covered, Definition, Leaf, RecordLeaf, RecordOrigin, Retract, RetractReason, Skipped, Statement, StatementFault,
};
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId, Position, Record, Timestamp};

use crate::admission::{Admission, AdmittedLeaf, KeptEvidence, LaneDefinition, LaneState, LeafOutcome};
use crate::assurance::{Assurance, Completeness};
use crate::page::{MOST_DEFINITIONS, StandingLeaves};
use crate::reader::{LaneReader, Reading, Unreadable};
use crate::verified::{Basis, Verified};

/// The label of a `skipped` leaf about an item whose block's evidence is more than a page carries: no receiver can judge
/// such a block.
pub const EVIDENCE_TOO_LARGE: &str = "evidence-too-large";
/// The label of a `skipped` leaf about a whole block: its evidence is beyond what is read at all, so that nobody knows what
/// it holds of the lane. It stands at the block's first position, and its native digest is the block's hash. A receiver
/// counts the stretch as `log`.
pub const BLOCK_TOO_LARGE: &str = "block-too-large";
/// The label of what code other than the pinned one said: at an origin a `skipped` leaf, at a receiver a held one. No
/// later proof makes it good; an operator pins the new code, from a height on.
pub const CODE_CHANGED: &str = "code-changed";
pub(crate) const CODE_CHANGED_WORDS: &str =
    "expected the code that the definition pins, at this block and at the one before, got other code at one of them";
/// Characters of a `skipped` leaf's detail.
const DETAIL_MOST: usize = 400;

/// Builds one batch of leaves on top of a lane's state.
pub struct OriginBatch<'a, S> {
    reader: &'a LaneReader,
    now: Timestamp,
    salt: S,
    before: u64,
    state: LaneState,
    leaves: Vec<AdmittedLeaf>,
    documents: Vec<Document>,
    evidence: Vec<KeptEvidence>,
}

/// Why a batch cannot be built. Our own bug or a lane that is in no state to go on; never caused by a ledger's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginFault {
    /// A leaf cannot be written.
    #[error(transparent)]
    Statement(#[from] StatementFault),
    /// A batch without a definition in the lane.
    #[error("expected a definition as the lane's first leaf, got none: define the lane first")]
    Undefined,
    /// Items must come in ledger order, after everything in the lane.
    #[error("expected an item after {last}, got {got}")]
    OutOfOrder {
        /// Position of the last leaf.
        last: String,
        /// Position given.
        got: String,
    },
    /// The lane's definition is of another ledger than the item.
    #[error("expected an item of ledger {expected}, got one of {got}")]
    OtherLedger {
        /// As defined.
        expected: String,
        /// The item's.
        got: String,
    },
    /// Every receiver would refuse one more.
    #[error("a lane holds at most {MOST_DEFINITIONS} definitions: begin a new epoch")]
    TooManyDefinitions,
    /// No sequence numbers are left.
    #[error("a lane holds at most 2^53 leaves")]
    Full,
}

/// What an origin states of a proven item, one leaf each: this, and nothing else, a receiver expects.
pub(crate) fn stated(reader: &LaneReader, proven: &Proven) -> Vec<Reading> {
    if proven.control() == Control::Changed {
        let (reason, detail) = (CODE_CHANGED.to_owned(), CODE_CHANGED_WORDS.to_owned());
        return vec![Reading { item: 0, result: Err(Unreadable { reason, detail }) }];
    }
    reader.read(proven)
}

/// How many leaves [`stated`] makes, without making them.
pub(crate) fn stated_count(reader: &LaneReader, proven: &Proven) -> u32 {
    if proven.control() == Control::Changed { 1 } else { reader.count(proven) }
}

impl<'a, S: FnMut() -> [u8; 16]> OriginBatch<'a, S> {
    /// Starts a batch. `salt` draws 16 random bytes a leaf.
    pub fn new(reader: &'a LaneReader, state: LaneState, now: Timestamp, salt: S) -> Self {
        let before = state.edge.size();
        Self { reader, now, salt, before, state, leaves: Vec::new(), documents: Vec::new(), evidence: Vec::new() }
    }

    /// Appends a definition leaf: the lane's first, or a new one after an operator changed the mapping.
    pub fn define(&mut self, definition: Definition) -> Result<(), OriginFault> {
        if self.state.definitions.len() >= MOST_DEFINITIONS {
            return Err(OriginFault::TooManyDefinitions);
        }
        let digest = definition.digest();
        let sequence = self.state.edge.size();
        self.push(Leaf::Definition(definition.clone()), |_| Ok(LeafOutcome::Definition(digest)))?;
        self.state.definitions.push(LaneDefinition { sequence, definition });
        self.documents.extend(self.reader.documents().iter().cloned());
        Ok(())
    }

    /// Appends what one proven item reads to: records, or `skipped` leaves with their reasons (decision 3).
    pub fn item(&mut self, proven: &Proven) -> Result<(), OriginFault> {
        self.require_own(proven)?;
        for Reading { item, result } in stated(self.reader, proven) {
            self.require_after(proven, item)?;
            match result {
                Ok(record) => self.record(proven, item, record)?,
                Err(unreadable) => self.skip(proven, item, unreadable)?,
            }
            self.state.last = Some((proven.position(), item));
        }
        Ok(())
    }

    /// Appends a `skipped` leaf for an item that this gateway proved and cannot pass on, with the reason (decision 3).
    pub fn skip_item(&mut self, proven: &Proven, reason: &str, detail: String) -> Result<(), OriginFault> {
        self.require_own(proven)?;
        self.require_after(proven, 0)?;
        self.skip(proven, 0, Unreadable { reason: reason.to_owned(), detail })?;
        self.state.last = Some((proven.position(), 0));
        Ok(())
    }

    /// Appends a `skipped` leaf about a block that cannot be read at all, so that the lane goes on and says so. The caller
    /// closes the stretch before it: only this block is then in doubt.
    pub fn skip_block(&mut self, block: &TrustedBlock, detail: &str) -> Result<(), OriginFault> {
        self.require_ledger(block.ledger())?;
        let position = Position { height: block.height(), transaction: 0, event: 0 };
        self.require_place(position, 0)?;
        let skipped = Skipped {
            ledger: block.ledger().clone(),
            position,
            block_hash: block.hash(),
            item: 0,
            native: Digest::from_bytes(*block.hash().as_bytes()),
            reason: BLOCK_TOO_LARGE.to_owned(),
            detail: detail.chars().take(DETAIL_MOST).collect(),
        };
        self.push(Leaf::Skipped(skipped.clone()), |_| Ok(LeafOutcome::Skipped(skipped)))?;
        self.state.last = Some((position, 0));
        Ok(())
    }

    /// Keeps a block's evidence for pages and evidence files.
    pub fn keep(&mut self, evidence: KeptEvidence) {
        self.evidence.push(evidence);
    }

    /// Appends a `covered` leaf: blocks up to `to` were read whole and held `matches` items.
    pub fn cover(&mut self, from: Height, to: Height, to_hash: BlockHash, matches: u64) -> Result<(), OriginFault> {
        if let Some(covered) = self.state.covered.filter(|covered| covered.next() != Some(from)) {
            let (last, got) = (format!("block {covered}, which is covered"), format!("blocks from {from} on"));
            return Err(OriginFault::OutOfOrder { last, got });
        }
        let ledger = self.definition()?.ledger.clone();
        let covered = Covered { ledger, from, to, to_hash, matches };
        self.push(Leaf::Covered(covered.clone()), |_| Ok(LeafOutcome::Covered(covered)))?;
        self.state.covered = Some(to);
        Ok(())
    }

    /// Takes leaves back whose blocks were undone, the newest first, and goes on at `from`: `undone` must be all leaves of
    /// the lane that stand at or above it.
    pub fn take_back(&mut self, from: Height, undone: &StandingLeaves) -> Result<(), OriginFault> {
        let ledger = self.definition()?.ledger.clone();
        for leaf in undone.values().rev() {
            let (sequence, statement, record) = (leaf.sequence, leaf.statement, leaf.record);
            let reason = RetractReason::Reorganised;
            let retract = Retract { ledger: ledger.clone(), from, sequence, statement, record, reason };
            self.push(Leaf::Retract(retract.clone()), |_| Ok(LeafOutcome::Retracted(retract)))?;
        }
        self.state.go_back(from);
        Ok(())
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The batch, for the store.
    pub fn finish(self) -> Admission {
        let Self { before, state: after, leaves, documents, evidence, .. } = self;
        Admission { before, after, leaves, documents, evidence }
    }

    fn definition(&self) -> Result<&Definition, OriginFault> {
        self.state.definitions.last().map(|it| &it.definition).ok_or(OriginFault::Undefined)
    }

    fn tag_key(&self) -> TagKey {
        // Before the first definition there is nothing to tag.
        self.state.definitions.last().map_or(TagKey::from_bytes([0; 32]), |it| it.definition.tag_key)
    }

    fn require_own(&self, proven: &Proven) -> Result<(), OriginFault> {
        self.require_ledger(proven.ledger())
    }

    fn require_ledger(&self, ledger: &LedgerId) -> Result<(), OriginFault> {
        let expected = &self.definition()?.ledger;
        if ledger == expected {
            return Ok(());
        }
        Err(OriginFault::OtherLedger { expected: expected.to_string(), got: ledger.to_string() })
    }

    fn require_after(&self, proven: &Proven, item: u32) -> Result<(), OriginFault> {
        self.require_place(proven.position(), item)
    }

    fn require_place(&self, position: Position, item: u32) -> Result<(), OriginFault> {
        // Every receiver would refuse the page, for ever: better that the lane stops here, where it can be mended.
        if let Some(covered) = self.state.covered.filter(|covered| position.height <= *covered) {
            let (last, got) = (format!("block {covered}, which is covered"), position.to_string());
            return Err(OriginFault::OutOfOrder { last, got });
        }
        match self.state.last {
            Some((last, index)) if (position, item) <= (last, index) => {
                Err(OriginFault::OutOfOrder { last: last.to_string(), got: position.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn record(&mut self, proven: &Proven, item: u32, record: Record) -> Result<(), OriginFault> {
        let definition = self.definition()?;
        let origin = RecordOrigin {
            ledger: proven.ledger().clone(),
            position: proven.position(),
            block_hash: proven.block_hash(),
            item,
            schema: record.schema().clone(),
            decoder: definition.decoder.clone(),
            mapping: definition.mapping,
            observed_at: self.now,
        };
        let leaf = RecordLeaf { key: record.key().clone(), id: record.id(), origin };
        let basis = Basis {
            lane: self.state.lane.clone(),
            sequence: self.state.edge.size(),
            ledger: proven.ledger().clone(),
            position: proven.position(),
            item,
            block_hash: proven.block_hash(),
            block_time: proven.time(),
            finality: proven.finality(),
            // The origin's own light client proved it and this gateway mapped it.
            assurance: Assurance::of(proven),
            control: proven.control(),
            completeness: Completeness::Ledger,
            native: proven.native().to_vec(),
            policy: Digest::of(b"own ledger"),
            observed_at: self.now,
            quality: self.reader.registry().quality(&record),
        };
        let verified = Verified::mint(record, basis);
        self.push(Leaf::Record(leaf), |_| Ok(LeafOutcome::Record(Box::new(verified))))
    }

    fn skip(&mut self, proven: &Proven, item: u32, unreadable: Unreadable) -> Result<(), OriginFault> {
        // A pointer may hold a name that the ledger's own text chose, of any length; it must not outgrow a statement.
        let detail = unreadable.detail.chars().take(DETAIL_MOST).collect();
        let skipped = Skipped {
            ledger: proven.ledger().clone(),
            position: proven.position(),
            block_hash: proven.block_hash(),
            item,
            native: proven.native_digest(),
            reason: unreadable.reason,
            detail,
        };
        self.push(Leaf::Skipped(skipped.clone()), |_| Ok(LeafOutcome::Skipped(skipped)))
    }

    fn push(
        &mut self,
        leaf: Leaf,
        outcome: impl FnOnce(&Statement) -> Result<LeafOutcome, OriginFault>,
    ) -> Result<(), OriginFault> {
        let index = self.state.edge.size();
        if index >= hufu_schemas_core::canonical::MAX_SAFE_INTEGER {
            return Err(OriginFault::Full);
        }
        let statement = Statement::make(leaf, (self.salt)())?;
        let outcome = outcome(&statement)?;
        let entry = statement.entry(&self.tag_key());
        self.state.edge.append(entry.leaf_hash());
        self.leaves.push(AdmittedLeaf { index, entry, statement: Some(statement), outcome });
        Ok(())
    }
}
