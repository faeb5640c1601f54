//! Proofs of slots at the two ends of a block: `RLP[before, after]`, each end `[account, [slot, …]]` in nodes.
//!
//! Slots come in the selector's order. Where the contract's storage root is the same at both ends no slot's proof comes.

use super::{Change, Place, SlotSelector};
use crate::account::{verify_account, verify_slot};
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::proof::MAX_NODES;
use crate::receipt::MAX_EVIDENCE_BYTES;
use crate::rlp::{self, Reader, RlpFault};
use crate::slots::selector::MAX_SLOTS;
use crate::trie::EMPTY_ROOT;
use hufu_adapters_light_client::Budget;

/// Nodes that prove slots under one state root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End<'a> {
    /// Of the contract's account.
    pub account: Vec<&'a [u8]>,
    /// Of each slot.
    pub slots: Vec<Vec<&'a [u8]>>,
}

/// Writes evidence.
pub fn write(before: &End<'_>, after: &End<'_>) -> Vec<u8> {
    let mut items = Vec::new();
    before.write(&mut items);
    after.write(&mut items);
    let mut out = Vec::with_capacity(items.len() + 5);
    rlp::write_list(&items, &mut out);
    out
}

/// Reads evidence, of which nothing is believed.
///
/// # Errors
/// [`Fault`] if it is too large or of another shape.
pub fn read(evidence: &[u8]) -> Result<(End<'_>, End<'_>), Fault> {
    if evidence.len() > MAX_EVIDENCE_BYTES {
        let expected = format!("evidence of at most {MAX_EVIDENCE_BYTES} bytes");
        return Err(Fault::new(Reason::TooLarge, expected, evidence.len()));
    }
    let mut items = Reader::whole_list(evidence)?;
    let ends = (End::read(items.list()?)?, End::read(items.list()?)?);
    items.end()?;
    Ok(ends)
}

/// What changed of the selector's slots between two state roots, in order of places.
///
/// # Errors
/// [`Fault`] if a proof does not close, is missing, or is one too many.
pub fn changes(
    selector: &SlotSelector,
    evidence: &[u8],
    roots: (Hash32, Hash32),
    budget: &mut Budget,
) -> Result<Vec<(Place, Change)>, Fault> {
    let (before, after) = read(evidence)?;
    let contract = selector.contract();
    let storage = |end: &End<'_>, root, budget: &mut Budget| {
        let account = verify_account(root, contract, &end.account, budget)?;
        Ok::<_, Fault>(account.map_or(EMPTY_ROOT, |account| account.storage_root()))
    };
    let storages = (storage(&before, roots.0, budget)?, storage(&after, roots.1, budget)?);
    let due = if storages.0 == storages.1 { 0 } else { selector.slots().len() };
    for end in [&before, &after] {
        if end.slots.len() != due {
            return Err(Fault::new(Reason::ItemMissing, format!("proofs of {due} slots"), end.slots.len()));
        }
    }
    let mut found = Vec::new();
    for (slot, (old, new)) in selector.slots().iter().zip(before.slots.iter().zip(&after.slots)) {
        let before = verify_slot(storages.0, *slot, old, budget)?;
        let after = verify_slot(storages.1, *slot, new, budget)?;
        if selector.part().of(&before) != selector.part().of(&after) {
            let place = super::place_of(contract, *slot, selector.part())?;
            found.push((place, Change { contract, slot: *slot, before, after }));
        }
    }
    found.sort_unstable_by_key(|(place, _)| *place);
    Ok(found)
}

impl<'a> End<'a> {
    fn read(mut items: Reader<'a>) -> Result<Self, Fault> {
        let account = read_nodes(items.list()?)?;
        let mut list = items.list()?;
        items.end()?;
        let mut slots = Vec::new();
        while !list.is_empty() {
            if slots.len() == MAX_SLOTS {
                return Err(RlpFault::TooMany { expected: MAX_SLOTS }.into());
            }
            slots.push(read_nodes(list.list()?)?);
        }
        Ok(Self { account, slots })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut slots = Vec::new();
        self.slots.iter().for_each(|nodes| write_nodes(nodes, &mut slots));
        let mut items = Vec::new();
        write_nodes(&self.account, &mut items);
        rlp::write_list(&slots, &mut items);
        rlp::write_list(&items, out);
    }
}

fn read_nodes(mut list: Reader<'_>) -> Result<Vec<&[u8]>, Fault> {
    let mut nodes = Vec::new();
    while !list.is_empty() {
        if nodes.len() == MAX_NODES {
            return Err(RlpFault::TooMany { expected: MAX_NODES }.into());
        }
        nodes.push(list.string()?);
    }
    Ok(nodes)
}

fn write_nodes(nodes: &[&[u8]], out: &mut Vec<u8>) {
    let mut items = Vec::new();
    nodes.iter().for_each(|node| rlp::write_string(node, &mut items));
    rlp::write_list(&items, out);
}
