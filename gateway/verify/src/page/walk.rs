//! One walk over the leaves of a page: order, kinds, definitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use hufu_adapters_light_client::{Proven, Rejection, Shortfall, TrustedBlock};
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::merkle::Edge;
use hufu_schemas_core::page::{Document, Page, PageBlock};
use hufu_schemas_core::statement::{Covered, Definition, Leaf, Skipped, Statement, StatementFault};
use hufu_schemas_core::{Digest, Height, LedgerId, Position};

use super::covered::{Found, Under};
use super::retract::Undoing;
use super::{MOST_DEFINITIONS, PageContext, PageRejection, Readers, Waiting};
use crate::admission::{AdmittedLeaf, Held, KeptEvidence, LaneDefinition, LaneState, LeafOutcome};
use crate::policy::LanePolicy;
use crate::reader::{LaneReader, Reading, named_documents};

/// Why a leaf is not simply admitted.
pub(super) enum Stop {
    Held(Held),
    Waits(Waiting),
    Refused(PageRejection),
    /// This page has cost enough: the leaf comes again with the next one.
    Later,
}

impl From<PageRejection> for Stop {
    fn from(rejection: PageRejection) -> Self {
        Self::Refused(rejection)
    }
}

pub(super) fn hold<T>(reason: &'static str, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Held(Held { reason, detail: detail.into(), record: None }))
}

/// One walk over the leaves of a page.
pub(super) struct Walk<'a> {
    pub(super) context: &'a PageContext<'a>,
    pub(super) policy: &'a LanePolicy,
    pub(super) evidence: BTreeMap<Height, &'a PageBlock>,
    pub(super) documents: &'a [Document],
    /// The page and the edge that it continues; no page where a single leaf is tried again.
    pub(super) page: Option<&'a Page>,
    pub(super) before: Edge,
    pub(super) after: LaneState,
    pub(super) readers: Readers,
    /// Items that match, by definition and block: a block's evidence is judged once for all its leaves, so that evidence
    /// that does not close costs no more than evidence that does.
    pub(super) matches: BTreeMap<(Digest, Height), Result<Vec<Proven>, Rejection>>,
    /// The definition in force, once a leaf asked for it.
    pub(super) under: Option<Under>,
    /// The block looked into last.
    pub(super) found: Option<Found>,
    /// What the item looked at last reads to under a definition.
    pub(super) read: Option<((Digest, Position), Vec<Reading>)>,
    /// Blocks derived for this page.
    pub(super) derived: u64,
    /// Leaves that are taken back.
    pub(super) undoing: Undoing,
    pub(super) leaves: Vec<AdmittedLeaf>,
    pub(super) kept_documents: Vec<Document>,
    pub(super) kept_evidence: BTreeMap<Height, KeptEvidence>,
}

impl<'a> Walk<'a> {
    /// Before the first leaf. `evidence` may be a single block's.
    pub(super) fn new(
        context: &'a PageContext<'a>,
        policy: &'a LanePolicy,
        state: &LaneState,
        evidence: BTreeMap<Height, &'a PageBlock>,
        page: Option<&'a Page>,
    ) -> Self {
        Self {
            context,
            policy,
            evidence,
            documents: page.map_or(&[], |page| &page.documents),
            page,
            before: state.edge.clone(),
            after: state.clone(),
            readers: Readers::new(),
            matches: BTreeMap::new(),
            under: None,
            found: None,
            read: None,
            derived: 0,
            undoing: Undoing::of(page, context.standing),
            leaves: Vec::with_capacity(page.map_or(0, |page| page.entries.len())),
            kept_documents: Vec::new(),
            kept_evidence: BTreeMap::new(),
        }
    }

    /// Walks the page; ends before the first leaf that waits, or that would cost more than a page may.
    pub(super) fn leaves(&mut self, page: &Page) -> Result<Option<Waiting>, PageRejection> {
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
                Err(Stop::Later) => return Ok(None),
                Err(Stop::Refused(rejection)) => return Err(rejection),
            };
            self.advance(index, &statement);
            self.after.edge.append(entry.leaf_hash());
            self.leaves.push(AdmittedLeaf { index, entry: *entry, statement, outcome });
        }
        Ok(None)
    }

    /// The statement must be the one whose digest the log holds, and its tag the one of its key.
    pub(super) fn open(&self, index: u64, entry: &Entry, bytes: &[u8]) -> Result<Statement, PageRejection> {
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
    pub(super) fn require_order(&self, index: u64, statement: &Statement) -> Result<(), PageRejection> {
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
            Leaf::Retract(it) => self.require_standing(index, it),
            _ => Ok(()),
        }
    }

    /// Coverage begins where the definition does and goes on without a gap: blocks that nobody speaks for could hide an
    /// event.
    pub(super) fn require_no_gap(&self, index: u64, covered: &Covered) -> Result<(), PageRejection> {
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

    pub(super) fn sealed(&mut self, index: u64) -> Result<LeafOutcome, Stop> {
        if self.policy.sealed && index > 0 {
            // It may name any match of the blocks that follow: from here on nothing can be found missing.
            self.after.derivation.break_off("sealed-leaf");
            return Ok(LeafOutcome::Sealed);
        }
        let expected = "an opened leaf: the policy does not allow sealed ones on this lane";
        Err(fault(index, "leaf-sealed", expected, "a sealed leaf").into())
    }

    pub(super) fn statement(&mut self, index: u64, statement: &Statement) -> Result<LeafOutcome, Stop> {
        if let Err(stop) = self.require_branch(index, statement) {
            if let Stop::Held(held) = &stop {
                self.after.derivation.break_off(held.reason);
            }
            return Err(stop);
        }
        self.derive(index, statement)?;
        match statement.leaf() {
            Leaf::Definition(definition) => self.define(index, definition),
            Leaf::Record(record) => Ok(LeafOutcome::Record(Box::new(self.record(index, record)?))),
            Leaf::Covered(covered) => self.covered(index, covered),
            Leaf::Skipped(skipped) => self.skipped(index, statement, skipped),
            Leaf::Retract(retract) => self.retract(index, retract),
            Leaf::Key(_) => {
                hold("leaf-kind-absent", format!("this version does not act on {} leaves", statement.leaf().kind()))
            }
        }
    }

    /// What the leaf changes about the lane, whatever became of it.
    pub(super) fn advance(&mut self, sequence: u64, statement: &Option<Statement>) {
        let Some(statement) = statement else { return };
        if let Some(order) = statement.leaf().order() {
            self.after.last = Some(order);
        }
        self.note_standing(sequence, statement);
        match statement.leaf() {
            Leaf::Covered(covered) => {
                let last = self.after.last.map_or(covered.to, |(last, _)| last.height);
                let from = self.after.stretch_at(sequence).unwrap_or(covered.from);
                self.after.derivation.close(from, covered.to, last);
                self.after.covered = Some(covered.to);
            }
            Leaf::Definition(definition) => {
                self.after.definitions.push(LaneDefinition { sequence, definition: definition.clone() });
            }
            _ => {}
        }
    }

    /// Compiles the definition. A document that did not travel, or not as it is named, is the courier's fault and refuses
    /// the page. What this build cannot read is said by the records under it; the documents are kept for an update.
    pub(super) fn define(&mut self, index: u64, definition: &Definition) -> Result<LeafOutcome, Stop> {
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

    pub(super) fn reader(&self, definition: &Digest) -> Result<Arc<LaneReader>, Stop> {
        match self.readers.get(definition).or_else(|| self.context.readers.get(definition)) {
            Some(Ok(reader)) => Ok(Arc::clone(reader)),
            Some(Err(fault)) => hold(fault.reason(), fault.to_string()),
            None => hold("unknown-mapping", format!("no reader for definition {definition}")),
        }
    }

    /// The trusted block of a height; waits for headers that are still to come.
    pub(super) fn trusted_block(&self, ledger: &LedgerId, height: Height) -> Result<&TrustedBlock, Stop> {
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
    pub(super) fn require_own_ledger(&self, index: u64, ledger: &LedgerId) -> Result<(), Stop> {
        match self.after.definition_at(index).map(|known| &known.definition.ledger) {
            Some(own) if own == ledger => Ok(()),
            Some(own) => hold("leaf-disagrees-with-definition", format!("ledger: expected {own}, got {ledger}")),
            None => hold("lane-without-definition", "no definition before this leaf"),
        }
    }

    pub(super) fn covered(&self, index: u64, covered: &Covered) -> Result<LeafOutcome, Stop> {
        self.require_own_ledger(index, &covered.ledger)?;
        let block = self.trusted_block(&covered.ledger, covered.to)?;
        if block.hash() != covered.to_hash {
            let words = format!("expected block {} at height {}, got {}", block.hash(), covered.to, covered.to_hash);
            return hold("block-differs", words);
        }
        Ok(LeafOutcome::Covered(covered.clone()))
    }

    pub(super) fn skipped(
        &mut self,
        index: u64,
        statement: &Statement,
        skipped: &Skipped,
    ) -> Result<LeafOutcome, Stop> {
        self.require_own_ledger(index, &skipped.ledger)?;
        let block = self.trusted_block(&skipped.ledger, skipped.position.height)?;
        if block.hash() != skipped.block_hash {
            return hold("block-differs", format!("expected block {}, got {}", block.hash(), skipped.block_hash));
        }
        self.require_unreadable(index, statement, skipped)?;
        Ok(LeafOutcome::Skipped(skipped.clone()))
    }
}

pub(super) fn fault(sequence: u64, reason: &'static str, expected: impl ToString, got: impl ToString) -> PageRejection {
    PageRejection::Leaf { sequence, reason, expected: expected.to_string(), got: got.to_string() }
}

pub(super) fn not_anchored(ledger: &LedgerId) -> String {
    format!("the policy anchors no ledger {ledger}: add a [[ledger]] to it")
}
