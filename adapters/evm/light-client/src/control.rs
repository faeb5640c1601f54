//! Who controls the code that spoke: the part of a block's evidence that shows it, and what it shows.
//!
//! Evidence of a block in which a contract spoke whose code the lane pins is
//! `RLP[receipts, [address, code, now, before], …]`, one entry a contract, ascending by address. `receipts` is the list
//! that stands alone where nothing is pinned. `now` and `before` are `[account, slot, implementation]`, each the nodes of
//! a proof under the state root of this block and of the one before: of the contract's account, of its proxy slot, of the
//! account of the contract behind it; the last two are empty where nothing of the kind is pinned. `code` is the code that
//! decides whether the contract can become another one; empty where a slot decides ([`Pin::decisive`]).
//!
//! What stands in the state at two ends of a block says nothing of what stood there between. So code that can be changed
//! is never more than `issuer-controlled`, however many proofs there are: it may have been swapped, have spoken, and have
//! been put back within the block. Only code that nobody can change is `fixed` ([`crate::bytecode`]).

use crate::account::verify_account;
use crate::account::verify_slot;
use crate::address::Address;
use crate::bytecode::{MAX_CODE_BYTES, mutability};
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::pin::{Pin, word_of};
use crate::proof::{MAX_NODES, hash_bytes};
use crate::receipt::MAX_EVIDENCE_BYTES;
use crate::rlp::{self, Reader, RlpFault};
use crate::selector::MAX_CONTRACTS;
use crate::trie::EMPTY_ROOT;
use hufu_adapters_light_client::{Budget, Control};

/// Nodes of the proofs under one state root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateProof<'a> {
    /// Of the contract's account.
    pub account: Vec<&'a [u8]>,
    /// Of the slot that names the contract behind a proxy.
    pub slot: Vec<&'a [u8]>,
    /// Of the account of that contract.
    pub implementation: Vec<&'a [u8]>,
}

/// What evidence shows of one contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeProof<'a> {
    /// The contract that spoke.
    pub address: Address,
    /// The code that decides whether it can become another.
    pub code: &'a [u8],
    /// The state after the block.
    pub now: StateProof<'a>,
    /// The state that the block began with.
    pub before: StateProof<'a>,
}

/// The roots of the state before and after a block.
#[derive(Debug, Clone, Copy)]
pub struct StateRoots {
    /// After it.
    pub now: Hash32,
    /// Before it; `None` where the header below was not followed.
    pub before: Option<Hash32>,
}

/// What a proof shows of a pinned contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// This.
    Control(Control),
    /// Everything closes, and the code that decides did not come.
    CodeMissing,
}

/// The receipts' own list, and what else the evidence holds, in order.
///
/// # Errors
/// [`Fault`] if it is too large, not of the shape above, or not ascending.
pub fn split(evidence: &[u8]) -> Result<(&[u8], Vec<CodeProof<'_>>), Fault> {
    if evidence.len() > MAX_EVIDENCE_BYTES {
        let expected = format!("evidence of at most {MAX_EVIDENCE_BYTES} bytes");
        return Err(Fault::new(Reason::TooLarge, expected, evidence.len()));
    }
    let mut items = Reader::whole_list(evidence)?;
    // Receipts are strings: a list in the first place is all of them, with something to follow.
    if items.rest().first().is_none_or(|prefix| *prefix < 0xc0) {
        return Ok((evidence, Vec::new()));
    }
    let receipts = items.raw()?;
    let mut proofs: Vec<CodeProof<'_>> = Vec::new();
    while !items.is_empty() {
        if proofs.len() == MAX_CONTRACTS {
            return Err(RlpFault::TooMany { expected: MAX_CONTRACTS }.into());
        }
        let proof = CodeProof::read(items.list()?)?;
        if proofs.last().is_some_and(|last| last.address >= proof.address) {
            return Err(Fault::new(Reason::ProofUnused, "contracts strictly ascending", proof.address));
        }
        proofs.push(proof);
    }
    if proofs.is_empty() {
        return Err(Fault::new(Reason::ProofUnused, "receipts alone where no code is shown", "a list around them"));
    }
    Ok((receipts, proofs))
}

/// Evidence of a block: its receipts' list, and what shows the code of contracts that spoke, ascending by address.
pub fn join(receipts: &[u8], proofs: &[CodeProof<'_>]) -> Vec<u8> {
    if proofs.is_empty() {
        return receipts.to_vec();
    }
    let mut entries = Vec::new();
    proofs.iter().for_each(|proof| proof.write(&mut entries));
    let mut out = Vec::with_capacity(receipts.len() + entries.len() + 5);
    rlp::write_list_of(&[receipts, &entries], &mut out);
    out
}

impl<'a> CodeProof<'a> {
    fn read(mut items: Reader<'a>) -> Result<Self, Fault> {
        let address = Address::new(items.fixed()?);
        let code = items.string()?;
        if code.len() > MAX_CODE_BYTES {
            return Err(Fault::new(Reason::TooLarge, format!("code of at most {MAX_CODE_BYTES} bytes"), code.len()));
        }
        let (now, before) = (StateProof::read(items.list()?)?, StateProof::read(items.list()?)?);
        items.end()?;
        Ok(Self { address, code, now, before })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut items = Vec::new();
        rlp::write_string(self.address.as_bytes(), &mut items);
        rlp::write_string(self.code, &mut items);
        self.now.write(&mut items);
        self.before.write(&mut items);
        rlp::write_list(&items, out);
    }

    /// What this shows of the contract that `pin` is about.
    ///
    /// # Errors
    /// [`Fault`] if a proof does not close, or if what came is not the code that is pinned.
    pub fn judge(&self, pin: &Pin, roots: StateRoots, budget: &mut Budget) -> Result<Shown, Fault> {
        let now = self.now.holds(self.address, pin, roots.now, budget)?;
        let before = roots.before.map(|root| self.before.holds(self.address, pin, root, budget)).transpose()?;
        if !now || before == Some(false) {
            return Ok(Shown::Control(Control::Changed));
        }
        let (Some(true), Some((_, pinned))) = (before, pin.decisive(self.address)) else {
            return Ok(Shown::Control(Control::IssuerControlled));
        };
        if self.code.is_empty() {
            return Ok(Shown::CodeMissing);
        }
        hash_bytes(self.code.len(), budget)?;
        let hash = keccak256(self.code);
        if hash != pinned {
            return Err(Fault::new(Reason::CodeHash, pinned, hash));
        }
        Ok(Shown::Control(if mutability(self.code).is_none() { Control::Fixed } else { Control::IssuerControlled }))
    }
}

impl<'a> StateProof<'a> {
    fn read(mut items: Reader<'a>) -> Result<Self, Fault> {
        let proof = Self {
            account: read_nodes(items.list()?)?,
            slot: read_nodes(items.list()?)?,
            implementation: read_nodes(items.list()?)?,
        };
        items.end()?;
        Ok(proof)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut lists = Vec::new();
        for nodes in [&self.account, &self.slot, &self.implementation] {
            let mut items = Vec::new();
            nodes.iter().for_each(|node| rlp::write_string(node, &mut items));
            rlp::write_list(&items, &mut lists);
        }
        rlp::write_list(&lists, out);
    }

    /// Whether the state under `root` is what the pin says. Every proof is closed first, so that one which does not is
    /// never taken for a change.
    fn holds(&self, contract: Address, pin: &Pin, root: Hash32, budget: &mut Budget) -> Result<bool, Fault> {
        let account = verify_account(root, contract, &self.account, budget)?;
        let mut holds = account.is_some_and(|account| account.code_hash() == pin.code());
        match pin.implementation().map(|behind| (behind, behind.slot.slot())) {
            None => require_none(&self.slot, &self.implementation)?,
            Some((behind, slot)) => {
                match slot {
                    None => require_none(&self.slot, &[])?,
                    Some(slot) => {
                        let storage = account.map_or(EMPTY_ROOT, |account| account.storage_root());
                        holds &= verify_slot(storage, slot, &self.slot, budget)? == word_of(behind.address);
                    }
                }
                let implementation = verify_account(root, behind.address, &self.implementation, budget)?;
                holds &= implementation.is_some_and(|account| account.code_hash() == behind.code);
            }
        }
        Ok(holds)
    }
}

fn require_none(slot: &[&[u8]], implementation: &[&[u8]]) -> Result<(), Fault> {
    match slot.len() + implementation.len() {
        0 => Ok(()),
        more => Err(Fault::new(Reason::ProofUnused, "proofs of what is pinned alone", format!("{more} nodes more"))),
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

#[cfg(test)]
mod tests;
