//! IBFT 2.0 (Besu): final when ceil(2n/3) of the validators sealed a block.
//!
//! extraData is `RLP[vanity(32), [validators], vote, round, [seals]]`, exactly five items. Two of them differ from QBFT: a
//! vote is the empty string, or `[candidate, ff]` for in and `[candidate, 00]` for out; the round has four bytes always.
//! The block hash is taken over the first three items, the seal digest over the first four. The hash of *genesis* is that
//! of the header as it stands. What it shares with the other kinds is in [`crate::bft`]. Source: ledgers.md 3.2.
//!
//! **Tried against less than the other kinds.** Of real data there are two genesis extraData; no captured block with seals
//! was found, so both digests rest on the published encoding and on blocks that the tests make themselves.

use crate::address::Address;
use crate::bft::{self, Ballot, Layout, lists};
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::Hash32;
use crate::rlp::{self, Item, Reader};
use crate::seal::Seal;
use crate::tally::check_ascending;

/// An IBFT 2.0 header with its extraData read.
pub type Block = bft::Block<ExtraData>;

/// extraData of an IBFT 2.0 header.
#[derive(Debug, Clone)]
pub struct ExtraData {
    vanity: [u8; 32],
    validators: Vec<Address>,
    vote: Option<Ballot>,
    round: [u8; 4],
    seals: Vec<Seal>,
}

impl ExtraData {
    /// Reads exactly five items.
    ///
    /// # Errors
    /// [`Fault`] for any other layout, a sixth item, a round of another length, a set out of order, or lists beyond their
    /// limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut items = Reader::whole_list(bytes)?;
        let vanity = items.fixed()?;
        let validators = lists::read_validators(items.list()?)?;
        let vote = read_vote(items.item()?)?;
        let round = items.fixed()?;
        let seals = lists::read_seals(items.list()?)?;
        lists::require_end(&items, "five")?;
        check_ascending(&validators)?;
        Ok(Self { vanity, validators, vote, round, seals })
    }

    /// The round in which the block was agreed.
    pub fn round(&self) -> u32 {
        u32::from_be_bytes(self.round)
    }

    /// The first three items, and the round where it is given.
    fn encode(&self, round: Option<&[u8; 4]>) -> Vec<u8> {
        let mut items = Vec::with_capacity(64 + self.validators.len() * 21);
        rlp::write_string(&self.vanity, &mut items);
        lists::write_addresses(&self.validators, &mut items);
        write_vote(self.vote, &mut items);
        if let Some(round) = round {
            rlp::write_string(round, &mut items);
        }
        let mut out = Vec::with_capacity(items.len() + 4);
        rlp::write_list(&items, &mut out);
        out
    }
}

impl Layout for ExtraData {
    fn read(header: &Header) -> Result<Self, Fault> {
        Self::parse(&header.fields().extra_data)
    }

    fn validators(&self) -> &[Address] {
        &self.validators
    }

    fn seals(&self) -> &[Seal] {
        &self.seals
    }

    fn hash(&self, header: &Header) -> Hash32 {
        if header.fields().number == 0 {
            return header.raw_hash();
        }
        header.hash_with_extra(&self.encode(None))
    }

    fn seal_digest(&self, header: &Header, _: Hash32) -> Hash32 {
        header.hash_with_extra(&self.encode(Some(&self.round)))
    }

    fn ballot(&self, _: &Header) -> Option<Ballot> {
        self.vote
    }

    fn check_genesis(&self) -> Result<(), Fault> {
        if self.round() != 0 || self.vote.is_some() || !self.seals.is_empty() {
            let got = format!("round {}, vote {:?}, {} seals", self.round(), self.vote, self.seals.len());
            return Err(Fault::new(Reason::ExtraData, "genesis without round, vote and seals", got));
        }
        Ok(())
    }
}

fn read_vote(item: Item<'_>) -> Result<Option<Ballot>, Fault> {
    let fault = |got: String| Fault::new(Reason::Vote, "no vote, or one of ff (in) or 00 (out)", got);
    let mut list = match item {
        Item::String([]) => return Ok(None),
        Item::String(other) => return Err(fault(format!("{other:02x?}"))),
        Item::List(list) => list,
    };
    if list.is_empty() {
        return Err(fault("an empty list".to_owned()));
    }
    let candidate = Address::new(list.fixed()?);
    let add = match list.item()? {
        Item::String([0xff]) => true,
        Item::String([0x00]) => false,
        other => return Err(fault(format!("{other:02x?}"))),
    };
    list.end()?;
    Ok(Some(Ballot { candidate, add }))
}

fn write_vote(vote: Option<Ballot>, out: &mut Vec<u8>) {
    let Some(vote) = vote else { return rlp::write_string(&[], out) };
    let mut list = Vec::with_capacity(23);
    rlp::write_string(vote.candidate.as_bytes(), &mut list);
    rlp::write_string(if vote.add { &[0xff] } else { &[0x00] }, &mut list);
    rlp::write_list(&list, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bft::{Kind, State};
    use crate::testing::{BftDraft, keys};
    use hufu_adapters_light_client::Budget;

    /// A vanity, one validator, the vote, the round and no seals.
    fn extra(vote: &[u8], round: &[u8]) -> Vec<u8> {
        let mut items = [&[0xa0][..], &[0; 32], &[0xd5, 0x94], &[7; 20]].concat();
        items.extend_from_slice(&[vote, round, &[0xc0]].concat());
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    const ROUND: [u8; 5] = [0x84, 0, 0, 1, 2];

    #[test]
    fn votes_and_rounds_of_the_due_form() {
        let read = ExtraData::parse(&extra(&[0x80], &ROUND)).unwrap();
        assert_eq!((read.round(), read.vote), (258, None));
        for (byte, add) in [(&[0x81, 0xff][..], true), (&[0x00], false)] {
            let vote = [&[0xc0 + 21 + u8::try_from(byte.len()).unwrap(), 0x94], &[9; 20][..], byte].concat();
            let read = ExtraData::parse(&extra(&vote, &ROUND)).unwrap();
            assert_eq!(read.vote, Some(Ballot { candidate: Address::new([9; 20]), add }));
            let mut written = Vec::new();
            write_vote(read.vote, &mut written);
            assert_eq!(written, vote);
        }
    }

    #[test]
    fn a_vote_that_is_neither_in_nor_out() {
        let of_qbft = [&[0xd6, 0x94], &[9; 20][..], &[0x80]].concat();
        for vote in [vec![0xc0], vec![0x01], of_qbft, [&[0xd6, 0x94], &[9; 20][..], &[0x01]].concat()] {
            let refused = ExtraData::parse(&extra(&vote, &ROUND)).unwrap_err();
            assert_eq!(refused.reason(), "vote-malformed", "{vote:02x?}");
        }
    }

    #[test]
    fn a_round_that_is_not_four_bytes() {
        for round in [&[0x80][..], &[0x83, 0, 0, 1], &[0x85, 0, 0, 0, 0, 1]] {
            assert!(ExtraData::parse(&extra(&[0x80], round)).is_err(), "{round:02x?}");
        }
    }

    #[test]
    fn genesis_is_hashed_as_it_stands_and_later_blocks_over_three_items() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Ibft2, &keys, &[]);
        let later = draft.block().unwrap();
        assert_ne!(later.hash(), later.header().raw_hash());
        draft.header.number = 0;
        let genesis = draft.block().unwrap();
        assert_eq!(genesis.hash(), genesis.header().raw_hash());
    }

    #[test]
    fn seals_over_five_items_as_qbft_signs_them() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Ibft2, &keys, &keys);
        draft.seals_over_five_items = true;
        let state = State::of(draft.validators.clone());
        let refused = state.advance(&draft.block().unwrap(), 100, &mut Budget::for_update()).unwrap_err();
        assert_eq!(refused.reason(), "signer-not-a-member");
    }
}
