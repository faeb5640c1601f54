//! Slots of a contract's storage as items: what stood in a slot before a block and what stands there after it.
//!
//! | module | subject |
//! |---|---|
//! | [`selector`] | which slots a lane follows |
//! | [`source`] | the `source` section of a mapping that names them by key |
//! | [`evidence`] | proofs at a block and at the one before |
//! | [`decoder`] | a change to vendor-neutral JSON |
//!
//! **What is an item.** A slot whose value (its part of the word) after the block is another than before it, both proven
//! under state roots; absence is zero. What a slot held *within* a block leaves no trace.
//!
//! **Its place.** A change belongs to no transaction that could be proven. So it stands after all of them: transaction
//! and event of its position are drawn from contract, slot and part, transaction from [`FIRST_PLACE`] on, which no
//! transaction of a block reaches. One slot has one place whatever lanes follow it, so that one change is one record. A
//! place names no slot for certain: 40 bits can be searched for a slot that shares it. Across lanes a change is therefore
//! told by its place *and* the digest of its native bytes, which name contract and slot.
//!
//! **Native bytes**: `RLP[contract, slot, word before, word after]`.
//!
//! **Completeness.** No filter of a block speaks of storage. But where the state root did not move nothing did, and where
//! the contract's storage root did not, none of its slots did; otherwise every slot that is followed is proven at both
//! ends. So no change of a covered block can be left out.

pub mod decoder;
pub mod evidence;
pub mod selector;
pub mod source;

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::rlp::{self, Reader};
use crate::uint::U256;

pub use decoder::EvmStorageDecoder;
pub use selector::{Part, SlotSelector};

/// The first transaction index of a change: the most transactions that a block may have here
/// ([`crate::trie::MAX_ITEMS`]).
pub const FIRST_PLACE: u32 = 131_072;
/// Indices that a position can name: six decimal digits.
const PLACES: u32 = 1_000_000;

/// Transaction and event of a position.
pub type Place = (u32, u32);

/// What changed in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Whose storage.
    pub contract: Address,
    /// The slot, before hashing.
    pub slot: Hash32,
    /// The word before the block.
    pub before: U256,
    /// The word after it.
    pub after: U256,
}

impl Change {
    /// The native bytes.
    pub fn to_native(&self) -> Vec<u8> {
        let mut items = Vec::with_capacity(128);
        rlp::write_string(self.contract.as_bytes(), &mut items);
        rlp::write_string(self.slot.as_bytes(), &mut items);
        rlp::write_string(self.before.as_bytes(), &mut items);
        rlp::write_string(self.after.as_bytes(), &mut items);
        let mut out = Vec::with_capacity(items.len() + 2);
        rlp::write_list(&items, &mut out);
        out
    }

    /// Reads native bytes.
    ///
    /// # Errors
    /// [`Fault`] if they are anything else.
    pub fn parse(native: &[u8]) -> Result<Self, Fault> {
        let mut items = Reader::whole_list(native)?;
        let change = Self {
            contract: Address::new(items.fixed()?),
            slot: Hash32::new(items.fixed()?),
            before: U256::new(items.fixed()?),
            after: U256::new(items.fixed()?),
        };
        items.end()?;
        Ok(change)
    }
}

/// Transaction and event of the position of a slot's changes. There are 9 × 10^11 places: for a thousand slots the
/// chance that two share one is one in two million, and within a lane it is refused. Whoever may choose keys can find two
/// that share one on purpose, so nothing outside a lane takes a place for the name of an event.
pub fn place_of(contract: Address, slot: Hash32, part: Part) -> Result<Place, Fault> {
    let (offset, bytes) = (part.offset().to_be_bytes(), part.bytes().to_be_bytes());
    let hash = keccak256(&[&contract.as_bytes()[..], slot.as_bytes(), &offset, &bytes].concat());
    let fault = || Fault::new(Reason::Selector, "a hash of 32 bytes", "fewer");
    let (high, rest) = hash.as_bytes().split_first_chunk::<8>().ok_or_else(fault)?;
    let (low, _) = rest.split_first_chunk::<8>().ok_or_else(fault)?;
    let within =
        |digits: &[u8; 8], most: u32| u32::try_from(u64::from_be_bytes(*digits) % u64::from(most)).unwrap_or(0);
    Ok((FIRST_PLACE + within(high, PLACES - FIRST_PLACE), within(low, PLACES)))
}
