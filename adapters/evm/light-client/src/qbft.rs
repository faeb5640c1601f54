//! QBFT in header mode (Besu, GoQuorum): final when ceil(2n/3) of the validators sealed a block.
//!
//! extraData is `RLP[vanity(32), [validators], vote, round, [seals]]`, exactly five items; a vote is `[]`, or
//! `[candidate, ff]` for in and `[candidate, empty]` for out. The block hash is taken with round 0 and no seals, so one
//! block can carry other seals on other nodes; the seal digest is taken with the real round and no seals. What it shares
//! with IBFT is in [`crate::bft`]. Sources: ledgers.md 3.2, 3.3 and 3.5.

use crate::address::Address;
use crate::bft::{self, Ballot, Layout, lists};
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::Hash32;
use crate::rlp::{self, Item, Reader};
use crate::seal::Seal;
use crate::tally::check_ascending;

/// A round is a number of at most so many bytes. Rounds are seconds to minutes long, so 32 bits last for ever.
const ROUND_BYTES: usize = 4;

/// A QBFT header with its extraData read.
pub type Block = bft::Block<ExtraData>;

/// extraData of a QBFT header.
#[derive(Debug, Clone)]
pub struct ExtraData {
    vanity: [u8; 32],
    validators: Vec<Address>,
    vote: Option<Ballot>,
    round: u32,
    seals: Vec<Seal>,
}

impl ExtraData {
    /// Reads exactly five items.
    ///
    /// # Errors
    /// [`Fault`] for any other layout, a sixth item, a set out of order, or lists beyond their limit. An empty list of
    /// validators means that a contract keeps the set, which is not supported.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut items = Reader::whole_list(bytes)?;
        let vanity = items.fixed()?;
        let validators = lists::read_validators(items.list()?)?;
        let vote = read_vote(items.list()?)?;
        let round = read_round(&mut items)?;
        let seals = lists::read_seals(items.list()?)?;
        lists::require_end(&items, "five")?;
        check_ascending(&validators)?;
        Ok(Self { vanity, validators, vote, round, seals })
    }

    /// The proposer's vote.
    pub fn vote(&self) -> Option<Ballot> {
        self.vote
    }

    /// The round in which the block was agreed.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// extraData with another round and other seals; both digests are taken over one without seals.
    fn encode(&self, round: u32, seals: &[Seal]) -> Vec<u8> {
        let mut items = Vec::with_capacity(64 + self.validators.len() * 21 + seals.len() * 67);
        rlp::write_string(&self.vanity, &mut items);
        lists::write_addresses(&self.validators, &mut items);
        rlp::write_list(&self.vote.map(encode_vote).unwrap_or_default(), &mut items);
        rlp::write_u64(u64::from(round), &mut items);
        lists::write_seals(seals, &mut items);
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
        header.hash_with_extra(&self.encode(0, &[]))
    }

    fn seal_digest(&self, header: &Header, hash: Hash32) -> Hash32 {
        // The two differ in the round alone.
        if self.round == 0 {
            return hash;
        }
        header.hash_with_extra(&self.encode(self.round, &[]))
    }

    fn ballot(&self, _: &Header) -> Option<Ballot> {
        self.vote
    }

    /// Without round, vote and seals its hash is the same by either way of taking it.
    fn check_genesis(&self) -> Result<(), Fault> {
        if self.round != 0 || self.vote.is_some() || !self.seals.is_empty() {
            let got = format!("round {}, vote {:?}, {} seals", self.round, self.vote, self.seals.len());
            return Err(Fault::new(Reason::ExtraData, "genesis without round, vote and seals", got));
        }
        Ok(())
    }
}

fn read_vote(mut list: Reader<'_>) -> Result<Option<Ballot>, Fault> {
    if list.is_empty() {
        return Ok(None);
    }
    let candidate = Address::new(list.fixed()?);
    let add = match list.item()? {
        Item::String([0xff]) => true,
        Item::String([]) => false,
        other => return Err(Fault::new(Reason::Vote, "a vote of ff (in) or empty (out)", format!("{other:02x?}"))),
    };
    list.end()?;
    Ok(Some(Ballot { candidate, add }))
}

fn read_round(items: &mut Reader<'_>) -> Result<u32, Fault> {
    let round = items.u64()?;
    u32::try_from(round)
        .map_err(|_| Fault::new(Reason::Round, format!("a round of at most {ROUND_BYTES} bytes"), round))
}

fn encode_vote(vote: Ballot) -> Vec<u8> {
    let mut out = Vec::with_capacity(23);
    rlp::write_string(vote.candidate.as_bytes(), &mut out);
    rlp::write_string(if vote.add { &[0xff] } else { &[] }, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bft::Kind;
    use crate::testing::{BftDraft, Key, keys};

    #[test]
    fn a_round_of_five_bytes() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Qbft, &keys, &keys[..3]);
        draft.round = 1 << 32;
        assert_eq!(draft.block().unwrap_err().reason(), "round-too-large");
    }

    #[test]
    fn a_set_kept_by_a_contract() {
        let bytes =
            hex::decode("e5a00000000000000000000000000000000000000000000000000000000000000000c0c080c0").unwrap();
        let refused = ExtraData::parse(&bytes).unwrap_err();
        assert_eq!(refused.reason(), "validators-in-contract");
        assert!(refused.expected().contains("contract mode is not followed"), "{refused}");
        assert!(refused.expected().contains("Ask the ledger's operators"), "{refused}");
    }

    #[test]
    fn what_was_read_is_written_back_byte_for_byte() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Qbft, &keys, &keys);
        draft.vote = Some(Ballot { candidate: Key::number(9).address(), add: false });
        draft.round = 3;
        let block = Block::read(Header::parse(&draft.encode()).unwrap()).unwrap();
        let extra = block.extra();
        assert_eq!(extra.encode(extra.round, &extra.seals), block.header().fields().extra_data);
    }
}
