//! Nothing withheld: what a lane's blocks hold is derived here, by this gateway's own light client, and compared with the
//! leaves (design, decision 3).
//!
//! Positions rise strictly in a lane, so a match that a leaf passes over can never be named later: it is left out for
//! good, under the origin's signature. That is misconduct and freezes the lane. It is found before anything of the page
//! is believed. What cannot be judged (evidence that never came, blocks before this gateway's anchor, sealed leaves) is
//! no misconduct: the stretch counts as `log` ([`crate::derivation`]).

use std::sync::Arc;

use hufu_adapters_light_client::{Control, Proven, TrustedBlock};
use hufu_schemas_core::page::Page;
use hufu_schemas_core::statement::{Covered, Definition, Leaf, Skipped, Statement};
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId, Position};
use serde_json::{Value, json};

use super::record::{NOT_CONFORMANT, RECORD_DIFFERS, is_said_by, require_defined};
use super::walk::{Stop, Walk, hold};
use super::{BadEvidence, PageRejection};
use crate::admission::Misconduct;
use crate::origin::{BLOCK_TOO_LARGE, CODE_CHANGED, CODE_CHANGED_WORDS, EVIDENCE_TOO_LARGE, stated, stated_count};
use crate::reader::{LaneReader, Reading};

/// Blocks derived for one page. A quiet block costs a look into its filter (about a microsecond) and a trusted block of
/// about 1 KiB in memory: 4 MiB, as much as the evidence of a page. Origins of ours cover at most 320 blocks a leaf.
pub const DERIVED_BLOCKS_MOST: u64 = 4_096;

/// A definition in force, with what reads by it. Made once for all leaves under it.
#[derive(Clone)]
pub(super) struct Under {
    sequence: u64,
    digest: Digest,
    definition: Arc<Definition>,
    reader: Arc<LaneReader>,
}

/// What one block holds of a lane: the places of all readings, rising, and the number of items.
pub(super) struct Found {
    of: (Digest, Height),
    readings: Vec<(Position, u32)>,
    items: u64,
}

impl Found {
    fn first_after(&self, last: Option<(Position, u32)>) -> Option<(Position, u32)> {
        let from = last.map_or(0, |last| self.readings.partition_point(|reading| *reading <= last));
        self.readings.get(from).copied()
    }
}

/// What a leaf says of a block.
struct Place<'a> {
    ledger: &'a LedgerId,
    height: Height,
    hash: BlockHash,
}

impl<'a> Place<'a> {
    fn of(leaf: &'a Leaf) -> Option<Self> {
        Some(match leaf {
            Leaf::Record(it) => {
                Self { ledger: &it.origin.ledger, height: it.origin.position.height, hash: it.origin.block_hash }
            }
            Leaf::Skipped(it) => Self { ledger: &it.ledger, height: it.position.height, hash: it.block_hash },
            Leaf::Covered(it) => Self { ledger: &it.ledger, height: it.to, hash: it.to_hash },
            Leaf::Definition(_) | Leaf::Retract(_) | Leaf::Key(_) => return None,
        })
    }
}

impl Walk<'_> {
    /// Derives the blocks up to where the leaf stands, and compares.
    pub(super) fn derive(&mut self, index: u64, statement: &Statement) -> Result<(), Stop> {
        if self.after.derivation.broken().is_some() {
            return Ok(());
        }
        if let Leaf::Definition(_) = statement.leaf() {
            if self.is_within_a_stretch(index) {
                self.after.derivation.break_off("definition-changed");
            }
            return Ok(());
        }
        let Some(place) = Place::of(statement.leaf()) else { return Ok(()) };
        match self.derive_up_to(index, statement, &place) {
            Err(Stop::Held(held)) => {
                self.after.derivation.break_off(held.reason);
                Ok(())
            }
            other => other,
        }
    }

    fn is_within_a_stretch(&self, index: u64) -> bool {
        let Some(start) = self.after.stretch_at(index) else { return false };
        let derived = self.after.derivation.frontier().is_some_and(|next| next > start);
        derived || self.after.last.is_some_and(|(last, _)| last.height >= start)
    }

    fn derive_up_to(&mut self, index: u64, statement: &Statement, place: &Place<'_>) -> Result<(), Stop> {
        if let Leaf::Skipped(skipped) = statement.leaf()
            && let Some(reason) = [EVIDENCE_TOO_LARGE, BLOCK_TOO_LARGE].into_iter().find(|it| *it == skipped.reason)
        {
            return hold(reason, "the block's evidence does not travel");
        }
        let under = self.under(index)?;
        // What matches an origin may not choose: blocks that it passes by under a definition of its own could hide an event.
        self.require_accepted(&under.digest)?;
        if *place.ledger != under.definition.ledger || place.height < under.definition.from_height {
            return hold("leaf-disagrees-with-definition", "another ledger, or a block before the definition's first");
        }
        self.require_committed(&under)?;
        // The leaf's own block first: where it is another than ours, the blocks before it may be others too.
        let block = self.trusted_block(place.ledger, place.height)?;
        if block.hash() != place.hash {
            return hold("block-differs", format!("expected block {}, got {}", block.hash(), place.hash));
        }
        let start = self.frontier(index, &under)?;
        self.spend(place.height.get().saturating_sub(start.get()))?;
        while let Some(next) = self.after.derivation.frontier().filter(|next| *next < place.height) {
            self.finish(index, statement, next, &under)?;
        }
        match statement.leaf() {
            Leaf::Covered(covered) => self.require_count(index, statement, covered, &under),
            leaf => {
                self.require_next(index, statement, leaf.order(), &under)?;
                self.require_same(index, statement, &under)
            }
        }
    }

    /// What nodes merely tell is under nobody's root: a courier may have left some of it out, or put some in, and the origin
    /// would answer for it.
    fn require_committed(&self, under: &Under) -> Result<(), Stop> {
        let snapshot = self.context.ledgers.get(&under.definition.ledger);
        if snapshot.is_none_or(|it| it.client.commits(under.reader.selector())) {
            return Ok(());
        }
        hold("not-committed", "the ledger does not commit to such items")
    }

    pub(super) fn require_accepted(&self, definition: &Digest) -> Result<(), Stop> {
        if self.policy.definitions.contains(definition) {
            return Ok(());
        }
        let words = format!("the policy does not name definition {definition}: read it, then `hufu lane accept`");
        hold("definition-not-accepted", words)
    }

    /// Where derivation goes on; begins it at the lane's first leaf about a block.
    fn frontier(&mut self, index: u64, under: &Under) -> Result<Height, Stop> {
        let next = self.after.derivation.frontier().or(self.after.stretch_at(index));
        let Some(next) = next else { return hold("lane-without-definition", "no definition before this leaf") };
        // Up to the lane's last leaf everything was compared, or nothing can be said of what follows.
        let begun = self.after.derivation.frontier().is_some();
        if self.after.last.is_some_and(|(last, _)| last.height > next || (last.height == next && !begun)) {
            return hold("leaves-not-derived", "leaves of these blocks were taken in without being compared");
        }
        if !begun {
            self.after.derivation.begin(next);
        }
        if next < under.definition.from_height {
            return hold("block-before-definition", "blocks between two definitions are of neither");
        }
        Ok(next)
    }

    fn spend(&mut self, blocks: u64) -> Result<(), Stop> {
        if blocks >= DERIVED_BLOCKS_MOST {
            return hold("range-too-long", format!("expected less than {DERIVED_BLOCKS_MOST} blocks, got {blocks}"));
        }
        let spent = self.derived.saturating_add(blocks);
        if spent >= DERIVED_BLOCKS_MOST {
            return Err(Stop::Later);
        }
        self.derived = spent;
        Ok(())
    }

    fn under(&mut self, index: u64) -> Result<Under, Stop> {
        let Some(known) = self.after.definition_at(index) else {
            return hold("lane-without-definition", "no definition before this leaf");
        };
        if let Some(under) = self.under.as_ref().filter(|under| under.sequence == known.sequence) {
            return Ok(under.clone());
        }
        let (sequence, digest) = (known.sequence, known.definition.digest());
        let (definition, reader) = (Arc::new(known.definition.clone()), self.reader(&digest)?);
        let under = Under { sequence, digest, definition, reader };
        self.under = Some(under.clone());
        Ok(under)
    }

    /// The block at the frontier is left behind: every reading of it is a leaf by now, or never will be.
    fn finish(&mut self, index: u64, statement: &Statement, height: Height, under: &Under) -> Result<(), Stop> {
        self.look_into(index, height, under)?;
        let last = self.after.last;
        let Some(found) = &self.found else { return hold("not-derived", "the block was not looked into") };
        let (items, left) = (found.items, found.first_after(last));
        if let Some(left) = left {
            return Err(self.omitted(index, statement, left, under));
        }
        self.after.derivation.finish(items);
        Ok(())
    }

    /// Between the lane's last leaf and this one no reading of the block may stand.
    fn require_next(
        &mut self,
        index: u64,
        statement: &Statement,
        order: Option<(Position, u32)>,
        under: &Under,
    ) -> Result<(), Stop> {
        let Some(order) = order else { return Ok(()) };
        self.look_into(index, order.0.height, under)?;
        let next = self.found.as_ref().and_then(|found| found.first_after(self.after.last));
        match next.filter(|next| *next < order) {
            Some(left) => Err(self.omitted(index, statement, left, under)),
            None => Ok(()),
        }
    }

    /// A record leaf stands for the reading at its place: a leaf that says another thing leaves the true one out, as surely
    /// as no leaf would. Who is to be believed, and of what, is no matter here: an origin reads its ledger by this very code,
    /// so what it states honestly is what is read here, whatever the policy makes of it. A leaf about a place where nothing
    /// stands leaves nothing out; it is held.
    fn require_same(&mut self, index: u64, statement: &Statement, under: &Under) -> Result<(), Stop> {
        let Leaf::Record(leaf) = statement.leaf() else { return Ok(()) };
        require_defined(leaf, &under.definition, &under.reader)?;
        let (position, item) = (leaf.origin.position, leaf.origin.item);
        let named = |proven: &&Proven| proven.position() == position;
        let Some(proven) = self.items(under, position.height).iter().find(named).cloned() else { return Ok(()) };
        let reading = self.readings(under.digest, &under.reader, &proven).iter().find(|reading| reading.item == item);
        let (key, id) = match reading.map(|reading| &reading.result) {
            Some(Ok(record)) if is_said_by(record, leaf) => return Ok(()),
            Some(Ok(record)) => (record.key().clone(), record.id()),
            // Another build may read it, or another gateway not have seen the change: nothing to compare with here.
            Some(Err(unreadable)) if unreadable.reason == CODE_CHANGED => {
                return hold(CODE_CHANGED, CODE_CHANGED_WORDS);
            }
            Some(Err(unreadable)) => return hold(NOT_CONFORMANT, unreadable.to_string()),
            None => return Ok(()),
        };
        let detail = format!(
            "block {}, transaction {}, event {}, item {item} reads as {key} ({id}): leaf {index} says {} ({})",
            position.height, position.transaction, position.event, leaf.key, leaf.id
        );
        let native = proven.native_digest();
        let against = json!({"position": position, "item": item, "native": native, "recordKey": key, "recordId": id});
        Err(self.misconduct(RECORD_DIFFERS, index, statement, position.height, detail, against))
    }

    /// What an item reads to. That of the item looked at last is remembered: a leaf is compared with it, then believed.
    pub(super) fn readings(&mut self, definition: Digest, reader: &LaneReader, proven: &Proven) -> &[Reading] {
        let of = (definition, proven.position());
        let (known, readings) = self.read.get_or_insert_with(|| (of, stated(reader, proven)));
        if *known != of {
            (*known, *readings) = (of, stated(reader, proven));
        }
        readings
    }

    fn require_count(
        &mut self,
        index: u64,
        statement: &Statement,
        covered: &Covered,
        under: &Under,
    ) -> Result<(), Stop> {
        match self.after.derivation.frontier() {
            Some(next) if next == covered.to => self.finish(index, statement, next, under)?,
            // A leaf of the very next block stands before this one: the blocks up to here are finished all the same.
            Some(next) if Some(next) == covered.to.next() => {}
            _ => return hold("leaf-beyond-coverage", "leaves of later blocks stand before this one"),
        }
        if !self.after.derivation.spans(covered.from) {
            return hold("leaves-not-derived", "the stretch began before derivation did");
        }
        let matched = self.after.derivation.matched();
        if matched == covered.matches {
            return Ok(());
        }
        let detail = format!(
            "leaf {index} says that blocks {} to {} hold {} matching items, they hold {matched}",
            covered.from, covered.to, covered.matches
        );
        let against = json!({"from": covered.from, "to": covered.to, "hash": covered.to_hash, "matched": matched});
        Err(self.misconduct("covered-count-differs", index, statement, covered.to, detail, against))
    }

    /// A `skipped` leaf may hide nothing: what it names is there, and cannot be read, for the reason it gives. Where the
    /// stretch is not derived there is nothing to compare it with.
    pub(super) fn require_unreadable(
        &mut self,
        index: u64,
        statement: &Statement,
        skipped: &Skipped,
    ) -> Result<(), Stop> {
        if self.after.derivation.broken().is_some() {
            return Ok(());
        }
        let under = self.under(index)?;
        let (position, item) = (skipped.position, skipped.item);
        let named = |proven: &&Proven| proven.position() == position && proven.native_digest() == skipped.native;
        let proven = self.items(&under, position.height).iter().find(named).cloned();
        if skipped.reason == CODE_CHANGED && proven.as_ref().is_some_and(|proven| self.may_have_changed(proven, &under))
        {
            // The origin may have seen a change that cannot be seen from here; how many readings it stood for, neither.
            self.after.derivation.break_off("parent-state-unknown");
            return Ok(());
        }
        let reading = proven.and_then(|it| stated(&under.reader, &it).into_iter().find(|reading| reading.item == item));
        match reading.map(|reading| reading.result) {
            Some(Err(unreadable)) if unreadable.reason == skipped.reason => Ok(()),
            Some(Err(unreadable)) => {
                hold("skipped-reason-differs", format!("expected {unreadable}, got {}", skipped.reason))
            }
            Some(Ok(record)) => {
                let key = record.key();
                let detail = format!("leaf {index} skips item {item} at {position} ({key}), which reads well");
                let against = json!({"position": position, "item": item, "recordKey": key});
                let height = position.height;
                Err(self.misconduct("readable-event-skipped", index, statement, height, detail, against))
            }
            None => {
                let detail = format!("leaf {index} skips item {item} at {position}, where no such item stands");
                let against = json!({"position": position, "item": item, "native": skipped.native});
                Err(self.misconduct("skipped-event-not-in-block", index, statement, position.height, detail, against))
            }
        }
    }

    /// Whether a gateway that followed the block's parent could see changed code where this one sees none.
    fn may_have_changed(&self, proven: &Proven, under: &Under) -> bool {
        let Some(snapshot) = self.context.ledgers.get(&under.definition.ledger) else { return false };
        let Some(block) = snapshot.blocks.get(&proven.position().height) else { return false };
        proven.control() == Control::IssuerControlled
            && !snapshot.client.sees_code_changes(block, under.reader.selector())
    }

    /// Finds what the block holds of the lane, unless it is the block looked into last.
    fn look_into(&mut self, index: u64, height: Height, under: &Under) -> Result<(), Stop> {
        let of = (under.digest, height);
        if self.found.as_ref().is_some_and(|found| found.of == of) {
            return Ok(());
        }
        if !self.matches.contains_key(&of) {
            let block = self.trusted_block(&under.definition.ledger, height)?.clone();
            let items = self.matching(&block, &under.definition, &under.reader)?;
            self.matches.insert(of, items);
        }
        match self.matches.get(&of) {
            Some(Err(fault)) if self.context.bad_evidence == BadEvidence::Refuse => {
                return Err(PageRejection::Evidence { sequence: index, height, fault: fault.clone() }.into());
            }
            Some(Err(fault)) => return hold(fault.reason(), fault.to_string()),
            _ => {}
        }
        let items = self.items(under, height);
        let places = |proven: &Proven| {
            let position = proven.position();
            (0..stated_count(&under.reader, proven)).map(move |item| (position, item))
        };
        let readings = items.iter().flat_map(places).collect();
        self.found = Some(Found { of, readings, items: u64::try_from(items.len()).unwrap_or(u64::MAX) });
        Ok(())
    }

    fn items(&self, under: &Under, height: Height) -> &[Proven] {
        match self.matches.get(&(under.digest, height)) {
            Some(Ok(items)) => items,
            _ => &[],
        }
    }

    fn omitted(&self, index: u64, statement: &Statement, left: (Position, u32), under: &Under) -> Stop {
        let (position, item) = left;
        let proven = self.items(under, position.height).iter().find(|proven| proven.position() == position);
        let mut readings = proven.map_or_else(Vec::new, |proven| stated(&under.reader, proven)).into_iter();
        let reading = readings.find(|reading| reading.item == item).map(|reading| reading.result);
        let what = match &reading {
            Some(Ok(record)) => record.key().to_string(),
            Some(Err(unreadable)) => format!("not readable: {unreadable}"),
            None => "unknown".to_owned(),
        };
        let (kind, height) = (statement.leaf().kind(), position.height);
        let detail = format!(
            "block {height}, transaction {}, event {}, item {item} ({what}) was left out: the {kind} leaf {index} goes past it and no leaf names it",
            position.transaction, position.event
        );
        let against = json!({
            "position": position,
            "item": item,
            "native": proven.map(Proven::native_digest),
            "recordKey": reading.and_then(Result::ok).map(|record| record.key().clone()),
        });
        self.misconduct("omitted-event", index, statement, height, detail, against)
    }

    /// Both sides: the page cut down to the leaf, with the edge that it continues; the block with its evidence.
    fn misconduct(
        &self,
        reason: &'static str,
        index: u64,
        statement: &Statement,
        height: Height,
        detail: String,
        mut against: Value,
    ) -> Stop {
        let opened = |page: &Page| page.opened.iter().filter(|leaf| leaf.index == index).cloned().collect();
        let cut =
            |page: &Page| Page { opened: opened(page), blocks: Vec::new(), documents: Vec::new(), ..page.clone() };
        let statement = String::from_utf8_lossy(statement.bytes());
        let signed = json!({"edge": self.before, "page": self.page.map(cut), "statement": statement});
        if let Some(members) = against.as_object_mut() {
            let hash = self.block(height).map(TrustedBlock::hash);
            members.insert("block".to_owned(), json!({"height": height, "hash": hash}));
            members.insert("evidence".to_owned(), json!(self.evidence.get(&height)));
        }
        let (lane, sequence) = (self.after.lane.clone(), Some(index));
        PageRejection::Misconduct(Box::new(Misconduct { lane, reason, detail, sequence, signed, against })).into()
    }

    fn block(&self, height: Height) -> Option<&TrustedBlock> {
        let ledger = self.under.as_ref().map(|under| &under.definition.ledger)?;
        self.context.ledgers.get(ledger)?.blocks.get(&height)
    }
}
