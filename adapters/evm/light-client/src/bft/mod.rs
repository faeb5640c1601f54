//! What the three BFT kinds of EVM consortium ledgers share: a block is final when ceil(2n/3) of its validators sealed it.
//!
//! | module | subject |
//! |---|---|
//! | [`crate::qbft`], [`crate::ibft2`], [`crate::ibft1`] | one [`Layout`] each: extraData, both digests, where a vote stands |
//! | [`lists`] | the RLP lists that the layouts share |
//! | [`state`] | the set in force and the votes pending, block by block |
//!
//! A block has two digests. Its *hash* leaves out what may differ between two nodes' copies (seals, and on two kinds the
//! round); the *seal digest* is what validators sign. Taking one for the other is refused, because the seals then name
//! strangers. The quorum is ceil(2n/3) *distinct* members of the list in force, for every kind: the import checks of
//! some node software ask for fewer, this never does. Sources: ledgers.md 3.2, 3.3 and 3.5.

pub mod lists;
pub mod state;

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::Hash32;
use crate::recover::Sealed;
use crate::seal::{Seal, SealFault};
use crate::uint::U256;
use crate::{ibft1, ibft2, qbft};
use hufu_adapters_light_client::{Budget, Rejection};
use hufu_schemas_core::Quorum;
use hufu_schemas_core::quorum::NoQuorum;
use std::fmt;
use std::sync::OnceLock;

pub use lists::set_digest;
pub use state::State;

/// mixHash of every BFT block: the text "ctical byzantine fault tolerance".
pub const MIX_HASH: Hash32 = Hash32::new([
    0x63, 0x74, 0x69, 0x63, 0x61, 0x6c, 0x20, 0x62, 0x79, 0x7a, 0x61, 0x6e, 0x74, 0x69, 0x6e, 0x65, 0x20, 0x66, 0x61,
    0x75, 0x6c, 0x74, 0x20, 0x74, 0x6f, 0x6c, 0x65, 0x72, 0x61, 0x6e, 0x63, 0x65,
]);

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// QBFT.
    Qbft,
    /// IBFT 2.0.
    Ibft2,
    /// Legacy IBFT.
    Ibft1,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Qbft, Self::Ibft2, Self::Ibft1];

    /// The name in anchors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qbft => "qbft",
            Self::Ibft2 => "ibft2",
            Self::Ibft1 => "ibft1",
        }
    }

    /// Reads a header's extraData by this kind's layout.
    ///
    /// # Errors
    /// [`Fault`] if the layout is another one.
    pub fn read(self, header: Header) -> Result<Block, Fault> {
        Ok(match self {
            Self::Qbft => qbft::Block::read(header)?.of_any_kind(),
            Self::Ibft2 => ibft2::Block::read(header)?.of_any_kind(),
            Self::Ibft1 => ibft1::Block::read(header)?.of_any_kind(),
        })
    }
}

/// What a proposer votes in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// About whom.
    pub candidate: Address,
    /// In or out.
    pub add: bool,
}

/// How a block names its proposer.
#[derive(Debug, Clone)]
pub enum Proposal {
    /// By address.
    By(Address),
    /// By a seal over this digest.
    Sealed(Hash32, Seal),
    /// Not at all.
    Nobody,
}

/// What one kind puts into a header, and what is hashed and signed of it.
pub trait Layout: fmt::Debug + Send + Sync {
    /// Takes the extraData of a header apart.
    ///
    /// # Errors
    /// [`Fault`] for any other layout, anything left over, a set that is empty or out of order, or lists beyond their
    /// limit.
    fn read(header: &Header) -> Result<Self, Fault>
    where
        Self: Sized;

    /// The set that seals this block, ascending.
    fn validators(&self) -> &[Address];

    /// The committed seals, in the order of this copy of the block.
    fn seals(&self) -> &[Seal];

    /// The block's identity, the same for all copies.
    fn hash(&self, header: &Header) -> Hash32;

    /// What the committed seals sign. `hash` is the block's own, which some kinds sign.
    fn seal_digest(&self, header: &Header, hash: Hash32) -> Hash32;

    /// The proposer's vote.
    fn ballot(&self, header: &Header) -> Option<Ballot>;

    /// Whom the block names as its proposer, not yet known to be a validator: its author, unless the kind says
    /// otherwise.
    fn proposal(&self, header: &Header) -> Proposal {
        Proposal::By(header.fields().coinbase)
    }

    /// Asserts the nonce: 0, unless the kind says otherwise.
    ///
    /// # Errors
    /// [`Fault`] for another nonce.
    fn check_nonce(&self, header: &Header) -> Result<(), Fault> {
        let nonce = header.fields().nonce;
        if nonce != [0; 8] {
            return Err(Fault::new(Reason::FixedField, "nonce 0", format!("0x{}", hex::encode(nonce))));
        }
        Ok(())
    }

    /// Asserts that a genesis block carries nothing that only validators could have put there.
    ///
    /// # Errors
    /// [`Fault`] with what it carries.
    fn check_genesis(&self) -> Result<(), Fault>;
}

/// A header with its extraData read: enough to compute its hash, not yet believed. What was computed once is kept.
#[derive(Debug, Clone)]
pub struct Block<L: ?Sized = dyn Layout> {
    header: Header,
    hash: OnceLock<Hash32>,
    seal_digest: OnceLock<Hash32>,
    proposal: OnceLock<Proposal>,
    /// Of the committed seals in their order, and then of the proposer's where the kind has one.
    signers: OnceLock<Vec<Result<Address, SealFault>>>,
    extra: Box<L>,
}

impl<L: Layout> Block<L> {
    /// Reads the extraData of a header.
    ///
    /// # Errors
    /// As for [`Layout::read`].
    pub fn read(header: Header) -> Result<Self, Fault> {
        let extra = Box::new(L::read(&header)?);
        let (hash, seal_digest) = (OnceLock::new(), OnceLock::new());
        let (proposal, signers) = (OnceLock::new(), OnceLock::new());
        Ok(Self { header, hash, seal_digest, proposal, signers, extra })
    }
}

impl<L: Layout + 'static> Block<L> {
    /// The same block, for code that serves all kinds.
    pub fn of_any_kind(self) -> Block {
        let Self { header, hash, seal_digest, proposal, signers, extra } = self;
        Block { header, hash, seal_digest, proposal, signers, extra }
    }
}

impl<L: Layout + ?Sized> Block<L> {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its extraData.
    pub fn extra(&self) -> &L {
        &self.extra
    }

    /// The set that seals this block, as it says itself, ascending.
    pub fn validators(&self) -> &[Address] {
        self.extra.validators()
    }

    /// The block's identity.
    pub fn hash(&self) -> Hash32 {
        *self.hash.get_or_init(|| self.extra.hash(&self.header))
    }

    /// What the committed seals sign.
    pub fn seal_digest(&self) -> Hash32 {
        *self.seal_digest.get_or_init(|| self.extra.seal_digest(&self.header, self.hash()))
    }

    /// Whom the committed seals name, in their order, validators or not. Recovered at the first call.
    ///
    /// # Errors
    /// [`SealFault`] of the first that names nobody.
    pub fn signers(&self) -> Result<Vec<Address>, SealFault> {
        self.recovered().iter().take(self.extra.seals().len()).cloned().collect()
    }

    /// Whom those committed seals name that name anybody, for showing; what is believed asks [`Block::require_quorum`].
    pub fn named_signers(&self) -> impl Iterator<Item = Address> {
        self.recovered().iter().take(self.extra.seals().len()).filter_map(|signer| signer.as_ref().ok().copied())
    }

    /// Whom the block names as its proposer, not yet known to be a validator.
    ///
    /// # Errors
    /// [`SealFault`] if that is nobody.
    pub fn proposer(&self) -> Result<Address, SealFault> {
        match self.proposal() {
            Proposal::By(author) => Ok(*author),
            Proposal::Nobody => Err(SealFault::Length { got: 0 }),
            Proposal::Sealed(..) => match self.recovered().get(self.extra.seals().len()) {
                Some(proposer) => proposer.clone(),
                None => Err(SealFault::Length { got: 0 }),
            },
        }
    }

    fn proposal(&self) -> &Proposal {
        self.proposal.get_or_init(|| self.extra.proposal(&self.header))
    }

    fn recovered(&self) -> &[Result<Address, SealFault>] {
        self.signers.get_or_init(|| self.all_seals().iter().map(|(digest, seal)| seal.recover(digest)).collect())
    }

    fn all_seals(&self) -> Vec<(Hash32, Seal)> {
        let digest = self.seal_digest();
        let mut seals: Vec<_> = self.extra.seals().iter().map(|seal| (digest, seal.clone())).collect();
        if let Proposal::Sealed(digest, seal) = self.proposal() {
            seals.push((*digest, seal.clone()));
        }
        seals
    }

    /// Whether the seals are neither too few nor too many to be judged at all: more seals than validators hold one
    /// twice or an outsider's, and need not be recovered to say so.
    pub(crate) fn check_seal_count(&self) -> Result<(), Fault> {
        let (seals, validators) = (self.extra.seals().len(), self.validators().len());
        if seals > validators {
            let expected = format!("at most one seal of each of {validators} validators");
            return Err(Fault::new(Reason::Quorum("too-many-seals"), expected, seals));
        }
        let need = self.quorum()?.need();
        if seals < need {
            return Err(below_quorum(need, validators, seals));
        }
        Ok(())
    }

    fn quorum(&self) -> Result<Quorum<Address>, Fault> {
        Quorum::two_thirds(self.validators().iter().copied())
            .map_err(|fault| Fault::new(Reason::ValidatorsCount, "a validator set", fault))
    }

    /// Who sealed this block: at least ceil(2n/3) of its own list, each once and nobody else. Whether that list is
    /// the one to trust is for the caller to say.
    ///
    /// # Errors
    /// [`Rejection`] if a seal names nobody, an outsider, or a validator for the second time, or if they are too few.
    pub fn require_quorum(&self, budget: &mut Budget) -> Result<Vec<Address>, Rejection> {
        self.check_seal_count()?;
        budget.signatures(self.extra.seals().len())?;
        budget.hashed_bytes(self.header.raw().len())?;
        let signers = self.signers().map_err(Fault::from)?;
        let quorum = self.quorum()?;
        quorum.require_exactly_members(&signers).map_err(|fault| match &fault {
            NoQuorum::Below { have, need } => below_quorum(*need, quorum.members().len(), *have),
            other => {
                let expected = format!("seals of {} of {} validators", quorum.need(), quorum.members().len());
                Fault::new(Reason::Quorum(fault.reason()), expected, other)
            }
        })?;
        Ok(signers)
    }

    /// Judges everything but the list and the place in the ledger; yields the proposer, whose vote the block carries.
    fn judge(&self, budget: &mut Budget) -> Result<Address, Rejection> {
        self.check_form()?;
        self.check_seal_count()?;
        if let Proposal::Sealed(..) = self.proposal() {
            budget.signatures(1)?;
            budget.hashed_bytes(self.header.raw().len())?;
        }
        let proposer = self.proposer().map_err(Fault::from)?;
        if self.validators().binary_search(&proposer).is_err() {
            return Err(Fault::new(Reason::AuthorNotValidator, "a proposer among the validators", proposer).into());
        }
        self.require_quorum(budget)?;
        Ok(proposer)
    }

    /// What the consensus kind fixes in every block but genesis.
    fn check_form(&self) -> Result<(), Fault> {
        self.header.check_fixed(MIX_HASH)?;
        self.extra.check_nonce(&self.header)?;
        let difficulty = self.header.fields().difficulty;
        if difficulty != U256::from(1) {
            return Err(Fault::new(Reason::FixedField, "difficulty 1", difficulty));
        }
        Ok(())
    }
}

impl<L: Layout + ?Sized> Sealed for Block<L> {
    fn unread(&self) -> Vec<(Hash32, Seal)> {
        if self.signers.get().is_some() { Vec::new() } else { self.all_seals() }
    }

    fn keep(&self, signers: Vec<Result<Address, SealFault>>) {
        // Known already: they were recovered from the same bytes.
        let _ = self.signers.set(signers);
    }
}

fn below_quorum(need: usize, validators: usize, have: usize) -> Fault {
    let expected = format!("seals of {need} of {validators} validators");
    Fault::new(Reason::Quorum("below-quorum"), expected, have)
}

#[cfg(test)]
mod tests {
    //! Named after the attacks, each over all kinds.

    use super::*;
    use crate::testing::{BftDraft, Key, keys};
    use proptest::prelude::*;

    fn state(keys: &[Key]) -> State {
        State::of(keys.iter().map(Key::address).collect())
    }

    fn refused(keys: &[Key], draft: &BftDraft) -> &'static str {
        match draft.block() {
            Err(fault) => fault.reason(),
            Ok(block) => state(keys).advance(&block, 100, &mut Budget::for_update()).unwrap_err().reason(),
        }
    }

    /// Every kind's block by `signers` of `keys` is refused for this reason, after it was falsified.
    fn all_refused(keys: &[Key], signers: &[Key], reason: &str, falsify: impl Fn(&mut BftDraft)) {
        for kind in Kind::ALL {
            let mut draft = BftDraft::new(kind, keys, signers);
            falsify(&mut draft);
            assert_eq!(refused(keys, &draft), reason, "{kind:?}");
        }
    }

    #[test]
    fn quorum_seals_a_block() {
        for kind in Kind::ALL {
            // 5 and 6 are where 2f+1 would ask for three.
            for (count, need) in [(1, 1), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5)] {
                let keys = keys(count);
                let enough = BftDraft::new(kind, &keys, &keys[..need]).block().unwrap();
                state(&keys).advance(&enough, 100, &mut Budget::for_update()).unwrap();
                let few = BftDraft::new(kind, &keys, &keys[..need - 1]);
                assert_eq!(refused(&keys, &few), "below-quorum", "{kind:?} {count}");
            }
        }
    }

    #[test]
    fn seals_below_quorum() {
        let keys = keys(4);
        all_refused(&keys, &keys[..2], "below-quorum", |_| ());
        all_refused(&keys, &[], "below-quorum", |_| ());
    }

    #[test]
    fn one_seal_repeated() {
        let keys = keys(4);
        let signers = [keys[0].clone(), keys[1].clone(), keys[1].clone()];
        all_refused(&keys, &signers, "signer-repeated", |_| ());
        let enough_and_one_twice = [keys[0].clone(), keys[1].clone(), keys[2].clone(), keys[2].clone()];
        all_refused(&keys, &enough_and_one_twice, "signer-repeated", |_| ());
    }

    #[test]
    fn one_signer_with_two_spellings_of_its_seal() {
        let keys = keys(4);
        all_refused(&keys, &keys[..2], "signer-repeated", |draft| draft.high_s_twin_of = Some(keys[1].clone()));
    }

    #[test]
    fn seal_of_an_outsider() {
        let keys = keys(4);
        let signers = [keys[0].clone(), keys[1].clone(), keys[2].clone(), Key::number(99)];
        all_refused(&keys, &signers, "signer-not-a-member", |_| ());
    }

    #[test]
    fn seals_over_the_block_hash_instead_of_the_seal_digest() {
        let keys = keys(4);
        all_refused(&keys, &keys, "signer-not-a-member", |draft| {
            // On QBFT the two are equal at round 0.
            draft.round = 1;
            draft.seals_over_block_hash = true;
        });
    }

    #[test]
    fn extra_item_in_extra_data() {
        let keys = keys(4);
        all_refused(&keys, &keys, "extra-data", |draft| draft.extra_item = true);
    }

    #[test]
    fn changed_round() {
        let keys = keys(4);
        for kind in [Kind::Qbft, Kind::Ibft2] {
            let mut draft = BftDraft::new(kind, &keys, &keys[..3]);
            let hash = draft.block().unwrap().hash();
            draft.round_after_sealing = Some(1);
            assert_eq!(draft.block().unwrap().hash(), hash, "the round is no part of the hash");
            assert_eq!(refused(&keys, &draft), "signer-not-a-member");
        }
    }

    #[test]
    fn changed_header_after_sealing() {
        let keys = keys(4);
        for kind in Kind::ALL {
            let honest = BftDraft::new(kind, &keys, &keys);
            let mut other = honest.clone();
            other.header.timestamp += 1;
            let stolen = other.block().unwrap().header().fields().extra_data.clone();
            let forged = crate::testing::HeaderDraft { extra_data: stolen, ..honest.header.clone() };
            let block = kind.read(Header::parse(&forged.encode()).unwrap()).unwrap();
            let no = state(&keys).advance(&block, 100, &mut Budget::for_update()).unwrap_err().reason();
            let due = if kind == Kind::Ibft1 { "author-not-a-validator" } else { "signer-not-a-member" };
            assert_eq!(no, due);
        }
    }

    #[test]
    fn unsorted_validators() {
        let mut keys = keys(4);
        keys.swap(0, 1);
        all_refused(&keys.clone(), &keys, "validators-out-of-order", |_| ());
    }

    #[test]
    fn an_empty_list_of_validators() {
        let keys = keys(1);
        all_refused(&keys, &[], "validators-in-contract", |draft| draft.validators.clear());
    }

    #[test]
    fn a_list_of_its_own() {
        let all = keys(5);
        for kind in Kind::ALL {
            assert_eq!(refused(&all[..4], &BftDraft::new(kind, &all, &all)), "validators-unexpected");
        }
    }

    #[test]
    fn fields_that_the_consensus_kind_fixes() {
        let keys = keys(4);
        for field in ["mix_hash", "nonce", "difficulty", "ommers"] {
            all_refused(&keys, &keys, "header-fixed-field", |draft| match field {
                "mix_hash" => draft.header.mix_hash = Hash32::ZERO,
                // No kind knows this one; legacy IBFT knows ff…ff.
                "nonce" => draft.header.nonce = [0x0f; 8],
                "difficulty" => draft.header.difficulty = 2,
                _ => draft.header.ommers_hash = Hash32::ZERO,
            });
        }
    }

    #[test]
    fn a_proposer_from_outside() {
        let keys = keys(4);
        all_refused(&keys, &keys, "author-not-a-validator", |draft| draft.propose_as(&Key::number(99)));
    }

    #[test]
    fn a_block_of_one_kind_is_no_block_of_another() {
        let keys = keys(4);
        for kind in Kind::ALL {
            let header = Header::parse(&BftDraft::new(kind, &keys, &keys).encode()).unwrap();
            for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
                assert!(other.read(header.clone()).is_err(), "{kind:?} as {other:?}");
            }
        }
    }

    #[test]
    fn genesis_with_seals() {
        let keys = keys(4);
        for kind in Kind::ALL {
            let mut draft = BftDraft::new(kind, &keys, &[]);
            draft.header.number = 0;
            State::at_anchor(&draft.block().unwrap(), 100, None, &mut Budget::for_update()).unwrap();
            draft.signers.push(keys[0].clone());
            let block = draft.block().unwrap();
            let refused = State::at_anchor(&block, 100, None, &mut Budget::for_update()).unwrap_err();
            assert_eq!(refused.reason(), "extra-data");
        }
    }

    #[test]
    fn a_majority_votes_a_validator_in_and_out() {
        let mut members = keys(3);
        let newcomer = Key::number(50);
        for kind in Kind::ALL {
            let mut at = state(&members);
            for add in [true, false] {
                let before = at.validators().to_vec();
                for proposer in &keys(3)[..2] {
                    assert_eq!(at.validators(), before);
                    let mut draft = BftDraft::new(kind, &members, &members);
                    draft.vote = Some(Ballot { candidate: newcomer.address(), add });
                    draft.propose_as(proposer);
                    at = at.advance(&draft.block().unwrap(), 100, &mut Budget::for_update()).unwrap();
                    // Three votes are needed of four; the newcomer's own is one nobody asked for.
                    if !add && proposer.address() == keys(3)[1].address() {
                        draft.propose_as(&keys(3)[2]);
                        at = at.advance(&draft.block().unwrap(), 100, &mut Budget::for_update()).unwrap();
                    }
                }
                assert_eq!(at.validators().contains(&newcomer.address()), add, "{kind:?}");
                members = if add { [keys(3), vec![newcomer.clone()]].concat() } else { keys(3) };
                members.sort_by_key(Key::address);
            }
        }
    }

    #[test]
    fn one_proposer_that_votes_three_times() {
        let keys = keys(4);
        let newcomer = Key::number(50).address();
        for kind in Kind::ALL {
            let mut at = state(&keys);
            for _ in 0..3 {
                let mut draft = BftDraft::new(kind, &keys, &keys);
                draft.vote = Some(Ballot { candidate: newcomer, add: true });
                at = at.advance(&draft.block().unwrap(), 100, &mut Budget::for_update()).unwrap();
            }
            assert!(!at.validators().contains(&newcomer), "{kind:?}");
        }
    }

    #[test]
    fn a_vote_in_an_epoch_block_can_be_read_both_ways_until_a_list_decides() {
        let keys = keys(1);
        for kind in Kind::ALL {
            let mut draft = BftDraft::new(kind, &keys, &keys);
            draft.vote = Some(Ballot { candidate: Key::number(50).address(), add: true });
            draft.header.number = 100;
            let after = state(&keys).advance(&draft.block().unwrap(), 100, &mut Budget::for_update()).unwrap();
            assert_eq!(after.readings().len(), 2);
            let quiet = BftDraft::new(kind, &keys, &keys).block().unwrap();
            let settled = after.advance(&quiet, 100, &mut Budget::for_update()).unwrap();
            assert_eq!((settled.readings().len(), settled.validators()), (1, state(&keys).validators()));
        }
    }

    #[test]
    fn seals_cost_budget() {
        let keys = keys(4);
        for kind in Kind::ALL {
            let block = BftDraft::new(kind, &keys, &keys).block().unwrap();
            let refused = state(&keys).advance(&block, 100, &mut Budget::new(3, 1 << 20)).unwrap_err();
            assert_eq!(refused.reason(), "budget-exhausted", "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_hashes_to_what_its_writer_says(
            count in 1u8..6, round in any::<u32>(), vote in any::<Option<bool>>(), kind in 0usize..3,
        ) {
            let (keys, kind) = (keys(count), Kind::ALL[kind]);
            let mut draft = BftDraft::new(kind, &keys, &keys);
            draft.round = u64::from(round);
            draft.vote = vote.map(|add| Ballot { candidate: Key::number(50).address(), add });
            let block = draft.block().unwrap();
            prop_assert_eq!(block.validators(), &draft.validators[..]);
            prop_assert_eq!(block.extra().seals().len(), keys.len());
            prop_assert_eq!(block.hash(), draft.hash());
            // Legacy IBFT always says something; the rest of it says "nobody, out".
            let nobody = Ballot { candidate: Address::ZERO, add: false };
            let said = block.extra().ballot(block.header()).filter(|ballot| *ballot != nobody);
            prop_assert_eq!(said, draft.vote);
            prop_assert!(block.require_quorum(&mut Budget::for_update()).is_ok());
        }

        #[test]
        fn any_extra_data_is_read_or_refused(extra_data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let header = crate::testing::HeaderDraft { extra_data, ..Default::default() };
            for kind in Kind::ALL {
                let _ = kind.read(Header::parse(&header.encode()).unwrap());
            }
        }

        #[test]
        fn a_changed_byte_of_extra_data_is_refused_or_changes_nothing(at in any::<usize>(), bit in 0u8..8) {
            let keys = keys(4);
            for kind in Kind::ALL {
                let good = BftDraft::new(kind, &keys, &keys[..3]).block().unwrap();
                let mut bad = BftDraft::new(kind, &keys, &keys[..3]).header;
                bad.extra_data = good.header().fields().extra_data.clone();
                let at = at % bad.extra_data.len();
                bad.extra_data[at] ^= 1 << bit;
                let read = kind.read(Header::parse(&bad.encode()).unwrap());
                let judged = read.map_err(Rejection::from).and_then(|block| {
                    state(&keys).advance(&block, 100, &mut Budget::for_update())
                });
                prop_assert!(judged.is_err(), "{:?}: byte {} bit {}", kind, at, bit);
            }
        }
    }
}
