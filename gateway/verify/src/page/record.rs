//! A record leaf: proven by this gateway's own light client, read anew, compared with what the origin said.

use hufu_adapters_light_client::{Budget, Control, Outcome, Proven, Rejection, TrustedBlock};
use hufu_schemas_core::page::PageBlock;
use hufu_schemas_core::statement::{Definition, Leaf, RecordLeaf, Statement};
use hufu_schemas_core::{Position, Record};

use super::walk::{Stop, Walk, hold, not_anchored};
use super::{BadEvidence, PageRejection};
use crate::admission::KeptEvidence;
use crate::assurance::Assurance;
use crate::origin::{CODE_CHANGED, CODE_CHANGED_WORDS};
use crate::reader::{LaneReader, Reading};
use crate::verified::{Basis, Verified};

/// The label of an item that reads to no record here.
pub(super) const NOT_CONFORMANT: &str = "record-not-conformant";
/// The label of a leaf that says another thing than its item reads to: held, or misconduct where the stretch is derived.
pub(super) const RECORD_DIFFERS: &str = "record-differs";
/// The label of a leaf about a place where nothing stands.
const NOT_IN_BLOCK: &str = "event-not-in-block";
/// What evidence that nothing commits to may only seem to show.
const TOLD: [&str; 3] = [NOT_CONFORMANT, RECORD_DIFFERS, NOT_IN_BLOCK];

impl Walk<'_> {
    /// Everything that makes a record believed, in order; each step names what it expected.
    pub(super) fn record(&mut self, index: u64, leaf: &RecordLeaf) -> Result<Verified<Record>, Stop> {
        let Some(known) = self.after.definition_at(index) else {
            return hold("lane-without-definition", "no definition before this leaf");
        };
        let definition = known.definition.clone();
        let digest = definition.digest();
        let reader = self.reader(&digest)?;
        require_defined(leaf, &definition, &reader)?;
        // Before the definition is looked at: evidence that a courier altered must not be what waits for the operator.
        let position = leaf.origin.position;
        let proven = self.proven(index, position, &leaf.origin.block_hash, &definition, &reader);
        let proven = self.or_told_otherwise(index, position, &definition, &reader, proven)?;
        self.require_accepted(&digest)?;
        if proven.control() == Control::Changed {
            return hold(CODE_CHANGED, CODE_CHANGED_WORDS);
        }
        let record = read_record(self.readings(digest, &reader, &proven), leaf);
        let record = self.or_told_otherwise(index, position, &definition, &reader, record)?;
        let completeness = self.after.derivation.completeness_at(leaf.origin.position.height);
        let authority = self.policy.authorises(&record).and_then(|()| {
            self.policy.accepts(Assurance::of(&proven), proven.control(), proven.finality(), completeness)
        });
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
            assurance: Assurance::of(&proven),
            control: proven.control(),
            completeness,
            native: proven.native().to_vec(),
            policy: self.context.policy.digest(),
            observed_at: leaf.origin.observed_at,
            quality: reader.registry().quality(&record),
        };
        Ok(Verified::mint(record, basis))
    }

    /// Where the ledger does not commit to a lane's items, evidence that tells another story than the leaf is as likely the
    /// courier's doing as the origin's: it is bad evidence, and another courier may bring better.
    fn or_told_otherwise<T>(
        &self,
        index: u64,
        position: Position,
        definition: &Definition,
        reader: &LaneReader,
        result: Result<T, Stop>,
    ) -> Result<T, Stop> {
        let snapshot = self.context.ledgers.get(&definition.ledger);
        let committed = snapshot.is_none_or(|it| it.client.commits(reader.selector()));
        match result {
            Err(Stop::Held(held)) if !committed && TOLD.contains(&held.reason) => {
                if self.context.bad_evidence == BadEvidence::Hold {
                    return hold("bad-evidence", held.detail);
                }
                let fault = Rejection::new("told-otherwise", "evidence that tells what the leaf states", held.detail);
                Err(PageRejection::Evidence { sequence: index, height: position.height, fault }.into())
            }
            other => other,
        }
    }

    /// The native item at a position, proven by this gateway's own light client.
    pub(super) fn proven(
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
                _ => hold(NOT_IN_BLOCK, format!("no event of this lane stands at {position}")),
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
    pub(super) fn matching(
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
                // What a quiet block's evidence shows is known now; nothing will ask for it again.
                self.keep(block, carried.filter(|_| !items.is_empty()));
                Ok(items)
            }
            Outcome::NotYet(shortfall) => {
                Err(Rejection::new("evidence-missing", "the evidence of this block", shortfall.to_string()))
            }
            Outcome::Reject(rejection) => Err(rejection),
        })
    }

    pub(super) fn keep(&mut self, block: &TrustedBlock, carried: Option<&PageBlock>) {
        let Some(carried) = carried else { return };
        let (ledger, height, hash) = (block.ledger().clone(), block.height(), block.hash());
        // In place of what a held leaf may have claimed about the same height.
        self.kept_evidence.insert(height, KeptEvidence { ledger, height, hash, bytes: carried.evidence.clone() });
    }

    /// Keeps what a held leaf will need when it is tried again. Nothing here is verified; the second try does that.
    pub(super) fn keep_for_retry(&mut self, statement: &Option<Statement>) {
        let Some(Leaf::Record(record)) = statement.as_ref().map(Statement::leaf) else { return };
        let (height, hash) = (record.origin.position.height, record.origin.block_hash);
        let Some(carried) = self.evidence.get(&height).filter(|carried| carried.hash == hash) else { return };
        let (ledger, bytes) = (record.origin.ledger.clone(), carried.evidence.clone());
        self.kept_evidence.entry(height).or_insert(KeptEvidence { ledger, height, hash, bytes });
    }
}

/// The leaf may say nothing that its definition does not fix (decision 2).
pub(super) fn require_defined(leaf: &RecordLeaf, definition: &Definition, reader: &LaneReader) -> Result<(), Stop> {
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

/// Takes the record as it was read anew, where the origin said the same.
fn read_record(readings: &[Reading], leaf: &RecordLeaf) -> Result<Record, Stop> {
    let reading = readings.iter().find(|reading| reading.item == leaf.origin.item);
    let record = match reading.map(|reading| &reading.result) {
        Some(Ok(record)) => record,
        Some(Err(unreadable)) => return hold(NOT_CONFORMANT, unreadable.to_string()),
        None => return hold(NOT_IN_BLOCK, format!("the item decodes to no event {}", leaf.origin.item)),
    };
    if !is_said_by(record, leaf) {
        let words = format!("expected {} as recomputed from the ledger, got {}", record.id(), leaf.id);
        return hold(RECORD_DIFFERS, words);
    }
    Ok(record.clone())
}

pub(super) fn is_said_by(record: &Record, leaf: &RecordLeaf) -> bool {
    record.id() == leaf.id && record.key() == &leaf.key
}
