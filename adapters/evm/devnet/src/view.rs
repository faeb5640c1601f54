//! The ledger as one node tells it: every answer is made from here, so a misbehaviour shows in all of them.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};

use crate::block::{Block, Header};
use crate::chain::{Chain, Sealed};
use crate::extra::Extra;
use crate::keys::Seal;
use crate::misbehave::Misbehave;
use crate::receipt::Receipt;

/// A chain seen through one node.
pub(crate) struct View<'a> {
    chain: &'a Chain,
    node: usize,
    faults: &'a [Misbehave],
}

/// A block as a node tells it.
pub(crate) struct Told<'a> {
    /// The block in truth.
    pub(crate) sealed: &'a Sealed,
    /// The header as told.
    pub(crate) header: Header,
    /// The receipts as told.
    pub(crate) receipts: Vec<Receipt>,
}

impl Told<'_> {
    pub(crate) fn number(&self) -> u64 {
        self.sealed.block.header.number
    }

    pub(crate) fn hash(&self) -> B256 {
        self.sealed.hash
    }

    pub(crate) fn to_block(&self) -> Block {
        Block { header: self.header.clone(), transactions: self.sealed.block.transactions.clone() }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(chain: &'a Chain, node: usize, faults: &'a [Misbehave]) -> Self {
        Self { chain, node, faults }
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.chain.chain_id()
    }

    /// The last block this node admits to.
    pub(crate) fn height(&self) -> u64 {
        self.faults.iter().fold(self.chain.height(), |height, fault| match fault {
            Misbehave::Lagging { by } => height.saturating_sub(*by),
            Misbehave::Stalled { at } => height.min(*at),
            _ => height,
        })
    }

    pub(crate) fn block(&self, height: u64) -> Option<Told<'a>> {
        if height > self.height() {
            return None;
        }
        let sealed: &'a Arc<Sealed> = self.chain.at(height)?;
        let header = sealed.header_with(&self.extra(sealed, height));
        Some(Told { sealed, header, receipts: self.receipts(sealed, height) })
    }

    pub(crate) fn block_by_hash(&self, hash: &B256) -> Option<Told<'a>> {
        self.block(self.chain.height_of(hash)?)
    }

    /// The block of a transaction, and its index there.
    pub(crate) fn transaction(&self, hash: &B256) -> Option<(Told<'a>, usize)> {
        let (height, index) = self.chain.transaction(hash)?;
        Some((self.block(height)?, index))
    }

    pub(crate) fn registrar(&self) -> alloy_primitives::Address {
        self.chain.registrar()
    }

    /// How many of a block's receipts this node hands out when asked for all.
    pub(crate) fn receipts_admitted(&self, count: usize) -> usize {
        let omits = self.faults.iter().any(|fault| matches!(fault, Misbehave::OmittedReceipts));
        if omits { count.saturating_sub(1) } else { count }
    }

    /// Leaves out what this node hides from a log search.
    pub(crate) fn admit_logs<T>(&self, logs: &mut Vec<T>) {
        if self.faults.iter().any(|fault| matches!(fault, Misbehave::OmittedLogs)) {
            logs.pop();
        }
    }

    /// Each node holds the seals that reached it first: another choice, in another order.
    fn extra(&self, sealed: &Sealed, height: u64) -> Extra {
        let turn = usize::try_from(height).unwrap_or(0).wrapping_add(self.node);
        let mut seals = sealed.seals.clone();
        if !seals.is_empty() {
            let by = turn.checked_rem(seals.len()).unwrap_or(0);
            seals.rotate_left(by);
        }
        seals.truncate(sealed.quorum);
        let mut extra = Extra { seals, ..sealed.extra.clone() };
        self.faults.iter().for_each(|fault| self.spoil_seals(fault, sealed, height, &mut extra));
        extra
    }

    /// Genesis has no seals to spoil.
    fn spoil_seals(&self, fault: &Misbehave, sealed: &Sealed, height: u64, extra: &mut Extra) {
        if height == 0 {
            return;
        }
        match fault {
            Misbehave::SealsBelowQuorum { from } if height >= *from => drop(extra.seals.pop()),
            Misbehave::SealRepeated { from } if height >= *from => {
                let first = extra.seals.first().copied();
                replace_last(&mut extra.seals, first);
            }
            Misbehave::SealOfAnOutsider { from } if height >= *from => {
                let seal = self.chain.outsider().sign(&sealed.digest);
                replace_last(&mut extra.seals, Some(seal));
            }
            Misbehave::SealsOfAnotherRound { from } if height >= *from => extra.round = extra.round.wrapping_add(1),
            _ => {}
        }
    }

    fn receipts(&self, sealed: &Sealed, height: u64) -> Vec<Receipt> {
        let mut receipts = sealed.receipts.clone();
        let forged = |fault: &Misbehave| matches!(fault, Misbehave::ForgedReceipts { from } if height >= *from);
        if !self.faults.iter().any(forged) {
            return receipts;
        }
        if let Some(log) = receipts.iter_mut().flat_map(|receipt| &mut receipt.logs).next() {
            log.data = altered(&log.data);
        }
        receipts
    }
}

fn replace_last(seals: &mut [Seal], by: Option<Seal>) {
    if let (Some(last), Some(seal)) = (seals.last_mut(), by) {
        *last = seal;
    }
}

/// Other text that still decodes: the last character that is not padding becomes its neighbour ("01" turns "02").
fn altered(data: &Bytes) -> Bytes {
    let mut bytes = data.to_vec();
    match bytes.iter_mut().rev().find(|byte| **byte != 0) {
        Some(last) if matches!(*last, b'0'..=b'8' | b'A'..=b'Y' | b'a'..=b'y') => *last += 1,
        Some(last) => *last = b'0',
        None => bytes.push(1),
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::encode_strings;

    #[test]
    fn the_altered_text_is_other_text_of_the_same_length() {
        for (text, other) in [("01", "02"), ("ok", "ol"), ("9", "0"), ("z", "0")] {
            assert_eq!(altered(&encode_strings(&[text]).into()), Bytes::from(encode_strings(&[other])));
        }
    }
}
