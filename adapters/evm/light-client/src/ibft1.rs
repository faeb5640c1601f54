//! Legacy IBFT (GoQuorum): blocks with ceil(2n/3) committed seals, and with the proposer's own seal in the hash.
//!
//! extraData is `vanity(32) ‖ RLP[[validators], proposerSeal(65), [committedSeals]]`. The block hash is taken without
//! committed seals and *with* the proposer's. Committed seals sign `keccak(hash ‖ 02)`, the proposer's signs the Keccak-256
//! of the hash taken without any seal. The proposer is who that seal names: `miner` is not the author but the candidate of
//! its vote, nonce ff…ff for in and 00…00 for out. What it shares with the other kinds is in [`crate::bft`]. Sources:
//! ledgers.md 3.2 and 3.5.
//!
//! **Known safety faults.** Its rule of locked blocks can let honest validators commit two blocks of one height, or none;
//! IBFT 2.0 and QBFT were made to mend that. Blocks are called final here because a quorum committed to them. Should the
//! ledger show a second committed block, that is found as misbehaviour like any other and stops the lane, but a lane
//! cannot tell which of the two the network keeps. For anything of weight ask the ledger's operators to move to QBFT.
//!
//! Networks that never set `ceil2Nby3Block` commit with 2f+1 seals, which for 5, 6 and some larger sets are fewer than
//! ceil(2n/3). Such blocks are refused: two sets of that size need not share an honest validator.

use crate::address::Address;
use crate::bft::{self, Ballot, Layout, Proposal, lists};
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::{Hash32, keccak256};
use crate::rlp::{self, Reader};
use crate::seal::Seal;
use crate::tally::check_ascending;

const VANITY_BYTES: usize = 32;
const VOTE_IN: [u8; 8] = [0xff; 8];
const VOTE_OUT: [u8; 8] = [0; 8];
/// What stands after the hash in what a committed seal signs: the number of the commit message.
const COMMIT: u8 = 2;

/// A legacy IBFT header with its extraData read.
pub type Block = bft::Block<ExtraData>;

/// extraData of a legacy IBFT header.
#[derive(Debug, Clone)]
pub struct ExtraData {
    vanity: [u8; VANITY_BYTES],
    /// In the order of the header; of genesis in the operator's own.
    listed: Vec<Address>,
    validators: Vec<Address>,
    /// Absent in genesis alone.
    proposer_seal: Option<Seal>,
    seals: Vec<Seal>,
}

impl ExtraData {
    /// Both digests are taken over extraData without committed seals.
    fn encode(&self, proposer_seal: Option<&Seal>) -> Vec<u8> {
        let mut items = Vec::with_capacity(80 + self.listed.len() * 21);
        lists::write_addresses(&self.listed, &mut items);
        rlp::write_string(proposer_seal.map(|seal| &seal.as_bytes()[..]).unwrap_or_default(), &mut items);
        lists::write_seals(&[], &mut items);
        let mut out = self.vanity.to_vec();
        rlp::write_list(&items, &mut out);
        out
    }
}

impl Layout for ExtraData {
    fn read(header: &Header) -> Result<Self, Fault> {
        let bytes = &header.fields().extra_data;
        let (vanity, list) = bytes
            .split_first_chunk::<VANITY_BYTES>()
            .ok_or_else(|| Fault::new(Reason::ExtraData, "32 bytes before a list", format!("{} bytes", bytes.len())))?;
        let mut items = Reader::whole_list(list)?;
        let listed = lists::read_validators(items.list()?)?;
        let proposer_seal = match items.string()? {
            [] => None,
            seal => Some(Seal::parse(seal)?),
        };
        let seals = lists::read_seals(items.list()?)?;
        lists::require_end(&items, "three")?;
        let mut validators = listed.clone();
        if header.fields().number == 0 {
            // Software sorts the genesis list itself; its order there is the operator's own.
            validators.sort_unstable();
        }
        check_ascending(&validators)?;
        Ok(Self { vanity: *vanity, listed, validators, proposer_seal, seals })
    }

    fn validators(&self) -> &[Address] {
        &self.validators
    }

    fn seals(&self) -> &[Seal] {
        &self.seals
    }

    fn hash(&self, header: &Header) -> Hash32 {
        header.hash_with_extra(&self.encode(self.proposer_seal.as_ref()))
    }

    fn seal_digest(&self, _: &Header, hash: Hash32) -> Hash32 {
        keccak256(&[&hash.as_bytes()[..], &[COMMIT]].concat())
    }

    /// Every header carries a vote; one that nobody cast is for nobody, out, and changes nothing.
    fn ballot(&self, header: &Header) -> Option<Ballot> {
        let fields = header.fields();
        Some(Ballot { candidate: fields.coinbase, add: fields.nonce == VOTE_IN })
    }

    fn proposal(&self, header: &Header) -> Proposal {
        match &self.proposer_seal {
            None => Proposal::Nobody,
            Some(seal) => {
                let unsealed = header.hash_with_extra(&self.encode(None));
                Proposal::Sealed(keccak256(unsealed.as_bytes()), seal.clone())
            }
        }
    }

    fn check_nonce(&self, header: &Header) -> Result<(), Fault> {
        let nonce = header.fields().nonce;
        if nonce != VOTE_IN && nonce != VOTE_OUT {
            let got = format!("0x{}", hex::encode(nonce));
            return Err(Fault::new(Reason::FixedField, "nonce ff…ff (in) or 00…00 (out)", got));
        }
        Ok(())
    }

    fn check_genesis(&self) -> Result<(), Fault> {
        if !self.seals.is_empty() {
            let got = format!("{} seals", self.seals.len());
            return Err(Fault::new(Reason::ExtraData, "genesis without committed seals", got));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bft::{Kind, State};
    use crate::testing::{BftDraft, Key, keys};
    use hufu_adapters_light_client::Budget;

    fn refused(draft: &BftDraft) -> &'static str {
        let state = State::of(draft.validators.clone());
        match draft.block() {
            Err(fault) => fault.reason(),
            Ok(block) => state.advance(&block, 100, &mut Budget::for_update()).unwrap_err().reason(),
        }
    }

    #[test]
    fn proposer_seal_of_an_outsider() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Ibft1, &keys, &keys);
        draft.proposer = Key::number(99);
        assert_eq!(refused(&draft), "author-not-a-validator");
    }

    #[test]
    fn proposer_seal_left_out() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Ibft1, &keys, &keys);
        draft.without_proposer_seal = true;
        assert_eq!(refused(&draft), "seal-length");
    }

    #[test]
    fn proposer_seal_over_one_hash_instead_of_two() {
        let keys = keys(4);
        let mut draft = BftDraft::new(Kind::Ibft1, &keys, &keys);
        draft.proposer_seal_hashed_once = true;
        assert_eq!(refused(&draft), "author-not-a-validator");
    }

    #[test]
    fn the_vote_is_the_proposers_and_the_miner_is_its_candidate() {
        let keys = keys(2);
        let newcomer = Key::number(50);
        let mut at = State::of(keys.iter().map(Key::address).collect());
        for proposer in &keys {
            assert_eq!(at.validators().len(), 2);
            let mut draft = BftDraft::new(Kind::Ibft1, &keys, &keys);
            (draft.header.coinbase, draft.header.nonce) = (newcomer.address(), VOTE_IN);
            draft.proposer = proposer.clone();
            at = at.advance(&draft.block().unwrap(), 100, &mut Budget::for_update()).unwrap();
        }
        assert!(at.validators().contains(&newcomer.address()));
    }

    #[test]
    fn committed_seals_are_no_part_of_the_hash_and_the_proposers_is() {
        let keys = keys(4);
        let hash = |falsify: &dyn Fn(&mut BftDraft)| {
            let mut draft = BftDraft::new(Kind::Ibft1, &keys, &keys);
            falsify(&mut draft);
            draft.block().unwrap().hash()
        };
        let honest = hash(&|_| ());
        assert_eq!(hash(&|draft| draft.signers.truncate(3)), honest);
        assert_ne!(hash(&|draft| draft.proposer = keys[1].clone()), honest);
    }

    #[test]
    fn a_genesis_list_in_the_operators_own_order() {
        let mut keys = keys(4);
        keys.swap(0, 3);
        let mut draft = BftDraft::new(Kind::Ibft1, &keys, &[]);
        assert_eq!(draft.block().unwrap_err().reason(), "validators-out-of-order");
        draft.header.number = 0;
        draft.without_proposer_seal = true;
        let block = draft.block().unwrap();
        assert_eq!(block.hash(), block.header().raw_hash());
        assert!(check_ascending(block.validators()).is_ok());
        draft.validators[1] = draft.validators[0];
        assert_eq!(draft.block().unwrap_err().reason(), "validators-out-of-order");
    }

    #[test]
    fn extra_data_shorter_than_its_vanity() {
        let keys = keys(1);
        let header = BftDraft::new(Kind::Ibft1, &keys, &keys).header;
        let header = crate::testing::HeaderDraft { extra_data: vec![0; 31], ..header };
        let refused = Block::read(Header::parse(&header.encode()).unwrap()).unwrap_err();
        assert_eq!(refused.reason(), "extra-data");
    }
}
