//! QBFT in header mode (Besu, GoQuorum): final when ceil(2n/3) of the validators sealed a block.
//!
//! extraData is `RLP[vanity(32), [validators], vote, round, [seals]]`, exactly five items. The block hash is taken with
//! round 0 and no seals, so one block can carry other seals on other nodes; the seal digest is taken with the real round
//! and no seals. Sources: ledgers.md 3.2, 3.3 and 3.5.
//!
//! The list in header N must equal the set that the votes up to N-1 lead to. Votes pending *before* an anchor are
//! unknown: if they let the set change later than this client can see, the next header's list is not the expected one
//! and is refused. That stops the ledger until an operator anchors it at an epoch block or after the change; it never
//! lets a set in that was not voted for in headers seen here.
//!
//! A vote inside an epoch block is counted by GoQuorum and passed over by Besu. Both readings are kept until a header's
//! list tells them apart; either needs a majority of real votes.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::{Hash32, keccak256};
use crate::rlp::{self, Item, Reader, RlpFault};
use crate::seal::Seal;
use crate::tally::{MAX_VALIDATORS, Tally, Vote, check_ascending};
use crate::uint::U256;
use hufu_adapters_light_client::{Budget, Rejection};
use hufu_schemas_core::Quorum;
use hufu_schemas_core::quorum::NoQuorum;
use serde::{Deserialize, Serialize};

/// mixHash of every QBFT block: the text "ctical byzantine fault tolerance".
pub const MIX_HASH: Hash32 = Hash32::new([
    0x63, 0x74, 0x69, 0x63, 0x61, 0x6c, 0x20, 0x62, 0x79, 0x7a, 0x61, 0x6e, 0x74, 0x69, 0x6e, 0x65, 0x20, 0x66, 0x61,
    0x75, 0x6c, 0x74, 0x20, 0x74, 0x6f, 0x6c, 0x65, 0x72, 0x61, 0x6e, 0x63, 0x65,
]);
/// A round is a number of at most so many bytes. Rounds are seconds to minutes long, so 32 bits last for ever.
const ROUND_BYTES: usize = 4;

/// What a proposer votes in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// About whom.
    pub candidate: Address,
    /// In or out.
    pub add: bool,
}

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
        let validators = read_addresses(items.list()?)?;
        let vote = read_vote(items.list()?)?;
        let round = read_round(&mut items)?;
        let seals = read_seals(items.list()?)?;
        if !items.is_empty() {
            let got = format!("{} more bytes", items.rest().len());
            return Err(Fault::new(Reason::ExtraData, "five items in extraData", got));
        }
        if validators.is_empty() {
            let expected = "validators listed in extraData (a set kept by a contract is not supported)";
            return Err(Fault::new(Reason::ValidatorsCount, expected, "an empty list"));
        }
        check_ascending(&validators)?;
        Ok(Self { vanity, validators, vote, round, seals })
    }

    /// The set that seals this block, ascending.
    pub fn validators(&self) -> &[Address] {
        &self.validators
    }

    /// The proposer's vote.
    pub fn vote(&self) -> Option<Ballot> {
        self.vote
    }

    /// The round in which the block was agreed.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// The committed seals, in the order of this copy of the block.
    pub fn seals(&self) -> &[Seal] {
        &self.seals
    }

    /// extraData with another round and without seals: what both digests are taken over.
    fn without_seals(&self, round: u32) -> Vec<u8> {
        self.encode(round, &[])
    }

    fn encode(&self, round: u32, seals: &[Seal]) -> Vec<u8> {
        let mut items = Vec::with_capacity(64 + self.validators.len() * 21 + seals.len() * 67);
        rlp::write_string(&self.vanity, &mut items);
        rlp::write_list(&encode_addresses(&self.validators), &mut items);
        rlp::write_list(&self.vote.map(encode_vote).unwrap_or_default(), &mut items);
        rlp::write_u64(u64::from(round), &mut items);
        let mut list = Vec::new();
        seals.iter().for_each(|seal| rlp::write_string(seal.as_bytes(), &mut list));
        rlp::write_list(&list, &mut items);
        let mut out = Vec::with_capacity(items.len() + 4);
        rlp::write_list(&items, &mut out);
        out
    }
}

fn read_addresses(mut list: Reader<'_>) -> Result<Vec<Address>, Fault> {
    let mut addresses = Vec::new();
    while !list.is_empty() {
        if addresses.len() == MAX_VALIDATORS {
            return Err(RlpFault::TooMany { expected: MAX_VALIDATORS }.into());
        }
        addresses.push(Address::new(list.fixed()?));
    }
    Ok(addresses)
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

fn read_seals(mut list: Reader<'_>) -> Result<Vec<Seal>, Fault> {
    let mut seals = Vec::new();
    while !list.is_empty() {
        if seals.len() == MAX_VALIDATORS {
            return Err(RlpFault::TooMany { expected: MAX_VALIDATORS }.into());
        }
        seals.push(Seal::parse(list.string()?)?);
    }
    Ok(seals)
}

fn encode_addresses(addresses: &[Address]) -> Vec<u8> {
    let mut out = Vec::with_capacity(addresses.len() * 21);
    addresses.iter().for_each(|address| rlp::write_string(address.as_bytes(), &mut out));
    out
}

fn encode_vote(vote: Ballot) -> Vec<u8> {
    let mut out = Vec::with_capacity(23);
    rlp::write_string(vote.candidate.as_bytes(), &mut out);
    rlp::write_string(if vote.add { &[0xff] } else { &[] }, &mut out);
    out
}

/// Digest of a validator set: Keccak-256 of the RLP list of its addresses.
pub fn set_digest(validators: &[Address]) -> Hash32 {
    let mut list = Vec::new();
    rlp::write_list(&encode_addresses(validators), &mut list);
    keccak256(&list)
}

/// A header with its extraData read: enough to compute its hash, not yet believed.
#[derive(Debug, Clone)]
pub struct Block {
    header: Header,
    extra: ExtraData,
}

impl Block {
    /// Reads the extraData of a header.
    ///
    /// # Errors
    /// As for [`ExtraData::parse`].
    pub fn read(header: Header) -> Result<Self, Fault> {
        let extra = ExtraData::parse(&header.fields().extra_data)?;
        Ok(Self { header, extra })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its extraData.
    pub fn extra(&self) -> &ExtraData {
        &self.extra
    }

    /// The block's identity: taken with round 0 and no seals.
    pub fn hash(&self) -> Hash32 {
        self.header.hash_with_extra(&self.extra.without_seals(0))
    }

    /// What the seals sign: taken with the real round and no seals.
    pub fn seal_digest(&self) -> Hash32 {
        self.header.hash_with_extra(&self.extra.without_seals(self.extra.round))
    }

    /// Who sealed this block: at least ceil(2n/3) of its own list, each once and nobody else. Whether that list is
    /// the one to trust is for the caller to say.
    ///
    /// # Errors
    /// [`Rejection`] if a seal names nobody, an outsider, or a validator for the second time, or if they are too few.
    pub fn require_quorum(&self, budget: &mut Budget) -> Result<Vec<Address>, Rejection> {
        budget.signatures(self.extra.seals.len())?;
        budget.hashed_bytes(self.header.raw().len())?;
        let digest = self.seal_digest();
        let recovered: Result<Vec<Address>, _> = self.extra.seals.iter().map(|seal| seal.recover(&digest)).collect();
        let signers = recovered.map_err(Fault::from)?;
        let quorum = Quorum::two_thirds(self.extra.validators.iter().copied())
            .map_err(|fault| Fault::new(Reason::ValidatorsCount, "a validator set", fault))?;
        quorum.require_exactly_members(&signers).map_err(|fault| {
            let expected = format!("seals of {} of {} validators", quorum.need(), quorum.members().len());
            let got = match &fault {
                NoQuorum::Below { have, .. } => format!("{have}"),
                other => other.to_string(),
            };
            Fault::new(Reason::Quorum(fault.reason()), expected, got)
        })?;
        Ok(signers)
    }

    /// What the consensus kind fixes in every block but genesis.
    fn check_form(&self) -> Result<(), Fault> {
        let fields = self.header.fields();
        self.header.check_fixed(MIX_HASH)?;
        if fields.nonce != [0; 8] {
            return Err(Fault::new(Reason::FixedField, "nonce 0", format!("0x{}", hex::encode(fields.nonce))));
        }
        if fields.difficulty != U256::from(1) {
            return Err(Fault::new(Reason::FixedField, "difficulty 1", fields.difficulty));
        }
        if self.extra.validators.binary_search(&fields.coinbase).is_err() {
            return Err(Fault::new(Reason::AuthorNotValidator, "a proposer among the validators", fields.coinbase));
        }
        Ok(())
    }
}

/// The validator set in force for the next block, with the votes pending about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// One tally, or two where an epoch block's own vote can be read both ways. Never empty.
    readings: Vec<Tally>,
}

impl State {
    /// The state after the anchor block, whose hash the caller has compared with the operator's.
    ///
    /// `validators` is the set in force after the block, where the operator named it.
    ///
    /// # Errors
    /// [`Rejection`] if the block is not well formed, is not sealed by its own list (genesis has no seals), or if its
    /// list cannot lead to the set that the operator named.
    pub fn at_anchor(
        block: &Block,
        epoch: u64,
        validators: Option<&[Address]>,
        budget: &mut Budget,
    ) -> Result<Self, Rejection> {
        let before = Self { readings: vec![Tally::new(block.extra.validators.clone())?] };
        let after = if block.header.fields().number == 0 {
            check_genesis(block)?;
            before
        } else {
            block.check_form()?;
            block.require_quorum(budget)?;
            before.after(block, epoch)?
        };
        match validators {
            None => Ok(after),
            Some(named) => after.named_by_operator(block, named).map_err(Rejection::from),
        }
    }

    fn named_by_operator(self, block: &Block, named: &[Address]) -> Result<Self, Fault> {
        if self.readings.iter().any(|tally| tally.members() == named) {
            return Ok(self);
        }
        // A vote in the anchor block may have passed with votes from before it, which the operator has seen.
        let changed = block.extra.vote.is_some_and(|vote| {
            let mut set = block.extra.validators.clone();
            set.retain(|address| *address != vote.candidate);
            if vote.add {
                set.push(vote.candidate);
                set.sort_unstable();
            }
            set == named
        });
        if !changed {
            let expected = format!("the validators after the anchor block: {:?}", block.extra.validators);
            return Err(Fault::new(Reason::AnchorValidators, expected, format!("{named:?}")));
        }
        Ok(Self { readings: vec![Tally::new(named.to_vec())?] })
    }

    /// Who seals the next block. Where two readings stand, the first.
    pub fn validators(&self) -> &[Address] {
        self.readings.first().map(Tally::members).unwrap_or_default()
    }

    /// Judges a block that links to the block this state stands after, and yields the state after it.
    ///
    /// # Errors
    /// [`Rejection`] if its form, its list, its proposer or its seals are not what this state demands.
    pub fn advance(&self, block: &Block, epoch: u64, budget: &mut Budget) -> Result<Self, Rejection> {
        let matching: Vec<Tally> =
            self.readings.iter().filter(|tally| tally.members() == block.extra.validators).cloned().collect();
        if matching.is_empty() {
            let expected = format!("{:?}", self.validators());
            let got = format!("{:?}", block.extra.validators);
            return Err(Fault::new(Reason::ValidatorsUnexpected, expected, got).into());
        }
        block.check_form()?;
        block.require_quorum(budget)?;
        Ok(Self { readings: matching }.after(block, epoch)?)
    }

    fn after(self, block: &Block, epoch: u64) -> Result<Self, Fault> {
        let fields = block.header.fields();
        let at_epoch = fields.number.checked_rem(epoch) == Some(0);
        let mut readings: Vec<Tally> = Vec::new();
        let mut keep = |tally: Tally| {
            if !readings.contains(&tally) {
                readings.push(tally);
            }
        };
        for mut tally in self.readings {
            if at_epoch {
                tally.reset();
            }
            let Some(Ballot { candidate, add }) = block.extra.vote else {
                keep(tally);
                continue;
            };
            let mut counted = tally.clone();
            counted.cast(Vote { voter: fields.coinbase, candidate, add })?;
            keep(counted);
            if at_epoch {
                keep(tally);
            }
        }
        Ok(Self { readings })
    }
}

/// A genesis block has no round, vote or seals, so that its hash is the same by either way of taking it.
fn check_genesis(block: &Block) -> Result<(), Fault> {
    let extra = &block.extra;
    if extra.round != 0 || extra.vote.is_some() || !extra.seals.is_empty() {
        let got = format!("round {}, vote {:?}, {} seals", extra.round, extra.vote, extra.seals.len());
        return Err(Fault::new(Reason::ExtraData, "genesis without round, vote and seals", got));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Key, QbftDraft, keys};

    fn budget() -> Budget {
        Budget::for_update()
    }

    fn state(keys: &[Key]) -> State {
        State { readings: vec![Tally::new(keys.iter().map(Key::address).collect()).unwrap()] }
    }

    fn refused(keys: &[Key], draft: QbftDraft) -> &'static str {
        match draft.block() {
            Err(fault) => fault.reason(),
            Ok(block) => state(keys).advance(&block, 100, &mut budget()).unwrap_err().reason(),
        }
    }

    #[test]
    fn quorum_seals_a_block() {
        let keys = keys(4);
        for signers in [3, 4] {
            let block = QbftDraft::new(&keys, &keys[..signers]).block().unwrap();
            state(&keys).advance(&block, 100, &mut budget()).unwrap();
        }
    }

    #[test]
    fn seals_below_quorum() {
        let keys = keys(4);
        assert_eq!(refused(&keys, QbftDraft::new(&keys, &keys[..2])), "below-quorum");
        assert_eq!(refused(&keys, QbftDraft::new(&keys, &[])), "below-quorum");
    }

    #[test]
    fn one_seal_repeated() {
        let keys = keys(4);
        let signers = [keys[0].clone(), keys[1].clone(), keys[1].clone()];
        assert_eq!(refused(&keys, QbftDraft::new(&keys, &signers)), "signer-repeated");
        let enough_and_one_twice = [keys[0].clone(), keys[1].clone(), keys[2].clone(), keys[2].clone()];
        assert_eq!(refused(&keys, QbftDraft::new(&keys, &enough_and_one_twice)), "signer-repeated");
    }

    #[test]
    fn one_signer_with_two_spellings_of_its_seal() {
        let keys = keys(4);
        let mut draft = QbftDraft::new(&keys, &keys[..2]);
        draft.high_s_twin_of = Some(keys[1].clone());
        assert_eq!(refused(&keys, draft), "signer-repeated");
    }

    #[test]
    fn seal_of_an_outsider() {
        let keys = keys(4);
        let signers = [keys[0].clone(), keys[1].clone(), keys[2].clone(), Key::number(99)];
        assert_eq!(refused(&keys, QbftDraft::new(&keys, &signers)), "signer-not-a-member");
    }

    #[test]
    fn extra_item_in_extra_data() {
        let keys = keys(4);
        let mut draft = QbftDraft::new(&keys, &keys);
        draft.extra_item = true;
        assert_eq!(refused(&keys, draft), "extra-data");
    }

    #[test]
    fn changed_round() {
        let keys = keys(4);
        let mut draft = QbftDraft::new(&keys, &keys[..3]);
        draft.round_after_sealing = Some(1);
        let changed = draft.block().unwrap();
        assert_eq!(changed.hash(), QbftDraft::new(&keys, &keys[..3]).block().unwrap().hash());
        assert_eq!(refused(&keys, draft), "signer-not-a-member");
    }

    #[test]
    fn a_round_of_five_bytes() {
        let keys = keys(4);
        let mut draft = QbftDraft::new(&keys, &keys[..3]);
        draft.round = 1 << 32;
        assert_eq!(refused(&keys, draft), "round-too-large");
    }

    #[test]
    fn unsorted_validators() {
        let mut keys = keys(4);
        keys.swap(0, 1);
        assert_eq!(refused(&keys, QbftDraft::new(&keys, &keys)), "validators-out-of-order");
    }

    #[test]
    fn a_list_of_its_own() {
        let all = keys(5);
        assert_eq!(refused(&all[..4], QbftDraft::new(&all, &all)), "validators-unexpected");
    }

    #[test]
    fn fields_that_the_consensus_kind_fixes() {
        let keys = keys(4);
        for field in ["mix_hash", "nonce", "difficulty", "ommers"] {
            let mut draft = QbftDraft::new(&keys, &keys);
            match field {
                "mix_hash" => draft.header.mix_hash = Hash32::ZERO,
                "nonce" => draft.header.nonce = [0xff; 8],
                "difficulty" => draft.header.difficulty = 2,
                _ => draft.header.ommers_hash = Hash32::ZERO,
            }
            assert_eq!(refused(&keys, draft), "header-fixed-field", "{field}");
        }
    }

    #[test]
    fn a_proposer_from_outside() {
        let keys = keys(4);
        let mut draft = QbftDraft::new(&keys, &keys);
        draft.header.coinbase = Key::number(99).address();
        assert_eq!(refused(&keys, draft), "author-not-a-validator");
    }

    #[test]
    fn a_set_kept_by_a_contract() {
        let bytes =
            hex::decode("e5a00000000000000000000000000000000000000000000000000000000000000000c0c080c0").unwrap();
        assert_eq!(ExtraData::parse(&bytes).unwrap_err().reason(), "validators-count");
    }

    #[test]
    fn a_vote_in_an_epoch_block_can_be_read_both_ways_until_a_list_decides() {
        let keys = keys(1);
        let newcomer = Key::number(50).address();
        let mut draft = QbftDraft::new(&keys, &keys);
        draft.vote = Some(Ballot { candidate: newcomer, add: true });
        draft.header.number = 100;
        let block = draft.block().unwrap();
        let after = state(&keys).advance(&block, 100, &mut budget()).unwrap();
        assert_eq!(after.readings.len(), 2);
        let quiet = QbftDraft::new(&keys, &keys).block().unwrap();
        let settled = after.advance(&quiet, 100, &mut budget()).unwrap();
        assert_eq!(settled.readings.len(), 1);
        assert_eq!(settled.validators(), state(&keys).validators());
    }

    #[test]
    fn what_was_read_is_written_back_byte_for_byte() {
        let keys = keys(4);
        let mut draft = QbftDraft::new(&keys, &keys);
        draft.vote = Some(Ballot { candidate: Key::number(9).address(), add: false });
        draft.round = 3;
        let block = draft.block().unwrap();
        let extra = block.extra();
        assert_eq!(extra.encode(extra.round, &extra.seals), block.header().fields().extra_data);
    }

    #[test]
    fn seals_cost_budget() {
        let keys = keys(4);
        let block = QbftDraft::new(&keys, &keys).block().unwrap();
        let refused = state(&keys).advance(&block, 100, &mut Budget::new(3, 1 << 20)).unwrap_err();
        assert_eq!(refused.reason(), "budget-exhausted");
    }
}
