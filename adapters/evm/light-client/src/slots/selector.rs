//! Which slots a lane follows.

use super::{Place, place_of};
use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::uint::U256;
use hufu_adapters_light_client::Selector;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Slots of one lane: proven twice a block, each by up to ten nodes of 532 bytes, they are 1.3 MiB of evidence.
pub const MAX_SLOTS: usize = 128;
/// Bytes of a word.
const WORD: u8 = 32;

/// The part of a word that a value takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    offset: u8,
    bytes: u8,
}

impl Part {
    /// `bytes` bytes that begin `offset` bytes above the word's low end.
    ///
    /// # Errors
    /// [`Fault`] if they do not fit.
    pub fn new(offset: usize, bytes: usize) -> Result<Self, Fault> {
        let fits = bytes >= 1 && offset.saturating_add(bytes) <= usize::from(WORD);
        match (u8::try_from(offset), u8::try_from(bytes)) {
            (Ok(offset), Ok(bytes)) if fits => Ok(Self { offset, bytes }),
            _ => {
                Err(Fault::new(Reason::Selector, "a part of a word of 32 bytes", format!("{bytes} bytes at {offset}")))
            }
        }
    }

    /// Bytes below it.
    pub const fn offset(self) -> u8 {
        self.offset
    }

    /// Bytes of it.
    pub const fn bytes(self) -> u8 {
        self.bytes
    }

    /// This part of a word.
    pub fn of(self, word: &U256) -> &[u8] {
        let end = usize::from(WORD).saturating_sub(usize::from(self.offset));
        word.as_bytes().get(end.saturating_sub(usize::from(self.bytes))..end).unwrap_or_default()
    }
}

/// Slots of one contract. As JSON: `{"contract": "0x…", "slots": ["0x…", …], "part": {"offset": 0, "bytes": 32}}`, slots
/// before hashing and strictly ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSelector {
    contract: Address,
    part: Part,
    slots: Vec<Hash32>,
    /// Slots by the place of their changes.
    places: BTreeMap<Place, Hash32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelled {
    contract: Address,
    slots: Vec<Hash32>,
    part: Part,
}

impl SlotSelector {
    /// Slots of `contract`, in any order.
    ///
    /// # Errors
    /// [`Fault`] if there is none, one twice, more than [`MAX_SLOTS`], or two whose changes would share a place.
    pub fn new(contract: Address, mut slots: Vec<Hash32>, part: Part) -> Result<Self, Fault> {
        let given = slots.len();
        slots.sort_unstable();
        slots.dedup();
        if slots.is_empty() || given > MAX_SLOTS || slots.len() != given {
            return Err(Fault::new(Reason::Selector, format!("1 to {MAX_SLOTS} slots, each once"), given));
        }
        let part = Part::new(usize::from(part.offset), usize::from(part.bytes))?;
        let mut places = BTreeMap::new();
        for slot in &slots {
            if let Some(other) = places.insert(place_of(contract, *slot, part)?, *slot) {
                return Err(Fault::new(Reason::Selector, format!("another place than slot {other} has"), slot));
            }
        }
        Ok(Self { contract, part, slots, places })
    }

    /// Whether a selector is about slots.
    pub fn is_meant(selector: &Selector) -> bool {
        selector.value().get("slots").is_some()
    }

    /// Reads the family's selector.
    ///
    /// # Errors
    /// [`Fault`] if it has another shape or spelling.
    pub fn read(selector: &Selector) -> Result<Self, Fault> {
        let spelled = Spelled::deserialize(selector.value())
            .map_err(|fault| Fault::new(Reason::Selector, "{contract, slots, part}", fault))?;
        let read = Self::new(spelled.contract, spelled.slots, spelled.part)?;
        if read.to_selector() != *selector {
            return Err(Fault::new(Reason::Selector, "slots strictly ascending", "another spelling"));
        }
        Ok(read)
    }

    /// The form that stands in a lane's definition.
    pub fn to_selector(&self) -> Selector {
        Selector::new(json!({ "contract": self.contract, "slots": self.slots, "part": self.part }))
    }

    /// The contract.
    pub const fn contract(&self) -> Address {
        self.contract
    }

    /// What of each word is followed.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// The slots, ascending: the order of proofs.
    pub fn slots(&self) -> &[Hash32] {
        &self.slots
    }

    /// Slots by the place of their changes, in order of places.
    pub const fn places(&self) -> &BTreeMap<Place, Hash32> {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::super::FIRST_PLACE;
    use super::*;
    use proptest::prelude::*;

    fn whole() -> Part {
        Part::new(0, 32).unwrap()
    }

    #[test]
    fn one_spelling() {
        let (one, two) = (Hash32::new([1; 32]), Hash32::new([2; 32]));
        let selector = SlotSelector::new(Address::ZERO, vec![two, one], whole()).unwrap();
        assert_eq!(SlotSelector::read(&selector.to_selector()).unwrap(), selector);
        assert!(SlotSelector::is_meant(&selector.to_selector()));
        let part = json!({ "offset": 0, "bytes": 32 });
        for value in [
            json!({ "contract": Address::ZERO, "slots": [two, one], "part": part }),
            json!({ "contract": Address::ZERO, "slots": [one, one], "part": part }),
            json!({ "contract": Address::ZERO, "slots": [], "part": part }),
            json!({ "contract": Address::ZERO, "slots": [one] }),
            json!({ "contract": Address::ZERO, "slots": [one], "part": { "offset": 1, "bytes": 32 } }),
            json!({ "contract": Address::ZERO, "slots": [one], "part": { "offset": 0, "bytes": 0 } }),
            json!({ "contract": Address::ZERO, "slots": [one], "part": part, "topics": [] }),
        ] {
            let refused = SlotSelector::read(&Selector::new(value.clone())).unwrap_err();
            assert_eq!(refused.reason(), "selector-malformed", "{value}");
        }
        let many: Vec<Hash32> = (0..=128u8).map(|number| Hash32::new([number; 32])).collect();
        assert!(SlotSelector::new(Address::ZERO, many, whole()).is_err());
    }

    proptest! {
        #[test]
        fn places_are_those_of_a_position_behind_every_transaction(slot in any::<[u8; 32]>(), contract in any::<[u8; 20]>()) {
            let (transaction, event) = place_of(Address::new(contract), Hash32::new(slot), whole()).unwrap();
            prop_assert!((FIRST_PLACE..1_000_000).contains(&transaction) && event < 1_000_000);
            let part = Part::new(0, 1).unwrap();
            prop_assert_ne!(place_of(Address::new(contract), Hash32::new(slot), part).unwrap(), (transaction, event));
        }
    }
}
