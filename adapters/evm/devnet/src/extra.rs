//! The QBFT extraData: `RLP[vanity, [validators], vote, round, [seals]]`.
//!
//! A vote is the empty list, or `[candidate, 0xff]` to add and `[candidate, 0]` to remove. The round is a scalar.

use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Error, Result};

use crate::keys::Seal;
use crate::rlp;

const ADD: u8 = 0xff;
const REMOVE: u8 = 0;

/// A proposer's wish about one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// Whom it is about.
    pub candidate: Address,
    /// Into the set, or out of it.
    pub add: bool,
}

/// The parts of extraData.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra {
    /// 32 bytes of the operator's choice.
    pub vanity: B256,
    /// The set that seals this block, ascending by address.
    pub validators: Vec<Address>,
    /// The proposer's vote.
    pub vote: Option<Vote>,
    /// The consensus round in which the block was made.
    pub round: u32,
    /// The committed seals as this node holds them.
    pub seals: Vec<Seal>,
}

impl Extra {
    /// What the block hash is taken over: neither round nor seals.
    pub fn for_hash(&self) -> Self {
        Self { round: 0, seals: Vec::new(), ..self.clone() }
    }

    /// What the seals are made over: the round, but no seals.
    pub fn for_seals(&self) -> Self {
        Self { seals: Vec::new(), ..self.clone() }
    }

    /// The bytes as they stand in the header.
    pub fn encode(&self) -> Vec<u8> {
        rlp::list(|out| {
            self.vanity.encode(out);
            out.extend(rlp::list_of(&self.validators));
            out.extend(encode_vote(self.vote));
            self.round.encode(out);
            out.extend(rlp::list_of(&self.seals));
        })
    }

    /// Reads the bytes of a header.
    ///
    /// # Errors
    /// On anything that [`Extra::encode`] would not write, an item too many included.
    pub fn decode(mut input: &[u8]) -> Result<Self> {
        let mut items = rlp::take_list(&mut input)?;
        rlp::finish(input)?;
        let extra = Self {
            vanity: B256::decode(&mut items)?,
            validators: Vec::decode(&mut items)?,
            vote: decode_vote(&mut items)?,
            round: u32::decode(&mut items)?,
            seals: Vec::decode(&mut items)?,
        };
        rlp::finish(items)?;
        Ok(extra)
    }
}

fn encode_vote(vote: Option<Vote>) -> Vec<u8> {
    rlp::list(|out| {
        let Some(vote) = vote else { return };
        vote.candidate.encode(out);
        (if vote.add { ADD } else { REMOVE }).encode(out);
    })
}

fn decode_vote(input: &mut &[u8]) -> Result<Option<Vote>> {
    let mut items = rlp::take_list(input)?;
    if items.is_empty() {
        return Ok(None);
    }
    let candidate = Address::decode(&mut items)?;
    let add = match u8::decode(&mut items)? {
        ADD => true,
        REMOVE => false,
        _ => return Err(Error::Custom("a vote is 0xff or 0")),
    };
    rlp::finish(items)?;
    Ok(Some(Vote { candidate, add }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn votes_have_the_recorded_encodings() {
        let candidate = Address::repeat_byte(0x9c);
        let hex = |add| hex::encode(encode_vote(Some(Vote { candidate, add })));
        assert_eq!(hex(true), format!("d794{}81ff", "9c".repeat(20)));
        assert_eq!(hex(false), format!("d694{}80", "9c".repeat(20)));
        assert_eq!(hex::encode(encode_vote(None)), "c0");
    }

    #[test]
    fn extra_data_with_a_sixth_item_is_refused() {
        let good = Extra::default().encode();
        let mut input = good.as_slice();
        let items = rlp::take_list(&mut input).unwrap();
        let bad = rlp::list(|out| {
            out.extend_from_slice(items);
            out.push(0x80);
        });
        assert!(Extra::decode(&good).is_ok());
        assert!(Extra::decode(&bad).is_err());
    }

    proptest! {
        #[test]
        fn extra_data_comes_back(
            vanity: [u8; 32],
            validators in prop::collection::vec(any::<[u8; 20]>(), 0..8),
            vote in prop::option::of(any::<([u8; 20], bool)>()),
            round: u32,
            seals in prop::collection::vec(prop::collection::vec(any::<u8>(), 65), 0..8),
        ) {
            let extra = Extra {
                vanity: vanity.into(),
                validators: validators.into_iter().map(Address::from).collect(),
                vote: vote.map(|(candidate, add)| Vote { candidate: candidate.into(), add }),
                round,
                seals: seals.iter().map(|s| Seal::from_slice(s)).collect(),
            };
            let bytes = extra.encode();
            prop_assert_eq!(Extra::decode(&bytes), Ok(extra));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(extra) = Extra::decode(&bytes) {
                prop_assert_eq!(extra.encode(), bytes);
            }
        }
    }
}
