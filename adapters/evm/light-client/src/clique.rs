//! Clique (proof of authority): signers take turns; nothing is ever final, only buried.
//!
//! extraData is `vanity(32) ‖ signers(20 each, in epoch blocks only) ‖ seal(65)`. The block hash is that of the header as
//! it stands; the seal is over the header with the last 65 bytes of extraData taken off. Source: EIP-225, ledgers.md 3.2.
//!
//! A block is trusted once at least floor(n/2)+1 *distinct* signers of the set after it have signed blocks on top, or
//! more if the operator asked for more. What lies above is judged anew with each update and never kept, so a
//! reorganisation above the trusted height does no harm.
//!
//! An anchor above genesis must be an epoch block: it lists the signers and no vote is pending there, so nothing from
//! before it can change the set. Which signers signed just before it is not known; the rule against signing too often
//! starts with the first block after it. No block becomes trusted by that rule, it only refuses.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::Hash32;
use crate::recover::Sealed;
use crate::seal::{SEAL_BYTES, Seal, SealFault};
use crate::tally::{Tally, Vote};
use crate::uint::U256;
use hufu_adapters_light_client::{Budget, Rejection};
use hufu_schemas_core::Quorum;
use hufu_schemas_core::quorum::NoQuorum;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

const VANITY_BYTES: usize = 32;
const VOTE_IN: [u8; 8] = [0xff; 8];
const VOTE_OUT: [u8; 8] = [0; 8];

/// A header with its extraData taken apart; not yet believed. What was computed once is kept.
#[derive(Debug, Clone)]
pub struct Block {
    header: Header,
    unsealed_extra: Vec<u8>,
    listed: Vec<Address>,
    seal: Seal,
    hash: OnceLock<Hash32>,
    signer: OnceLock<Result<Address, SealFault>>,
}

impl Block {
    /// Takes the extraData of a header apart.
    ///
    /// # Errors
    /// [`Fault`] if it is too short or its middle is not a whole number of addresses.
    pub fn read(header: Header) -> Result<Self, Fault> {
        let extra = &header.fields().extra_data;
        let fault = || Fault::new(Reason::ExtraData, "extraData of 32 + 20 k + 65 bytes", extra.len());
        let (unsealed, seal) = extra.split_last_chunk::<SEAL_BYTES>().ok_or_else(fault)?;
        let (_, middle) = unsealed.split_at_checked(VANITY_BYTES).ok_or_else(fault)?;
        let (listed, rest) = middle.as_chunks::<20>();
        if !rest.is_empty() {
            return Err(fault());
        }
        let listed = listed.iter().copied().map(Address::new).collect();
        let (unsealed_extra, seal) = (unsealed.to_vec(), Seal::parse(seal)?);
        Ok(Self { header, unsealed_extra, listed, seal, hash: OnceLock::new(), signer: OnceLock::new() })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The signers that the block lists; empty but in genesis and epoch blocks.
    pub fn listed(&self) -> &[Address] {
        &self.listed
    }

    /// The block's identity.
    pub fn hash(&self) -> Hash32 {
        *self.hash.get_or_init(|| self.header.raw_hash())
    }

    /// What the seal signs.
    pub fn seal_digest(&self) -> Hash32 {
        self.header.hash_with_extra(&self.unsealed_extra)
    }

    /// Who signed the block. Recovered at the first call.
    ///
    /// # Errors
    /// [`Fault`] if the seal names nobody.
    pub fn signer(&self) -> Result<Address, Fault> {
        Ok(self.signer.get_or_init(|| self.seal.recover(&self.seal_digest())).clone()?)
    }
}

impl Sealed for Block {
    fn unread(&self) -> Vec<(Hash32, Seal)> {
        if self.signer.get().is_some() { Vec::new() } else { vec![(self.seal_digest(), self.seal.clone())] }
    }

    fn keep(&self, signers: Vec<Result<Address, SealFault>>) {
        if let Some(signer) = signers.into_iter().next() {
            // Known already: it was recovered from the same bytes.
            let _ = self.signer.set(signer);
        }
    }
}

/// One of the latest blocks with its signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recent {
    height: u64,
    signer: Address,
}

/// The signers in force for the next block, the votes pending, and who signed lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    tally: Tally,
    recents: Vec<Recent>,
}

impl State {
    /// The state after the anchor block, whose hash the caller has compared with the operator's.
    ///
    /// # Errors
    /// [`Rejection`] if the block is neither genesis nor a well-formed epoch block, if its seal is not of a listed
    /// signer (genesis has none), or if the operator named other signers.
    pub fn at_anchor(
        block: &Block,
        epoch: u64,
        validators: Option<&[Address]>,
        budget: &mut Budget,
    ) -> Result<Self, Rejection> {
        let number = block.header.fields().number;
        if number.checked_rem(epoch) != Some(0) {
            let expected = format!("an anchor at genesis or an epoch block (a multiple of {epoch})");
            return Err(Fault::new(Reason::Anchor, expected, number).into());
        }
        let mut listed = block.listed.clone();
        if number == 0 {
            // Software sorts the genesis list itself; its order there is the operator's own.
            listed.sort_unstable();
        }
        if validators.is_some_and(|named| named != listed) {
            return Err(Fault::new(Reason::AnchorValidators, format!("{listed:?}"), format!("{validators:?}")).into());
        }
        let before = Self { tally: Tally::new(listed)?, recents: Vec::new() };
        if number == 0 {
            return Ok(before);
        }
        before.advance(block, epoch, budget).map(|(_, after)| after)
    }

    /// Who may sign the next block, ascending.
    pub fn signers(&self) -> &[Address] {
        self.tally.members()
    }

    /// Judges a block that links to the block this state stands after; yields its signer and the state after it.
    ///
    /// # Errors
    /// [`Rejection`] if its form, signer, turn or list are not what this state demands.
    pub fn advance(&self, block: &Block, epoch: u64, budget: &mut Budget) -> Result<(Address, Self), Rejection> {
        budget.signatures(1)?;
        budget.hashed_bytes(2 * block.header.raw().len())?;
        let at_epoch = block.header.fields().number.checked_rem(epoch) == Some(0);
        self.check_form(block, at_epoch)?;
        let signer = block.signer()?;
        self.check_turn(block, signer)?;
        Ok((signer, self.after(block, signer, at_epoch)?))
    }

    fn check_form(&self, block: &Block, at_epoch: bool) -> Result<(), Fault> {
        let fields = block.header.fields();
        block.header.check_fixed(Hash32::ZERO)?;
        let due: &[Address] = if at_epoch { self.signers() } else { &[] };
        if block.listed != due {
            return Err(Fault::new(Reason::ValidatorsUnexpected, format!("{due:?}"), format!("{:?}", block.listed)));
        }
        let no_candidate = fields.coinbase == Address::ZERO;
        let vote_fault = |expected: &str| {
            let got = format!("candidate {}, nonce 0x{}", fields.coinbase, hex::encode(fields.nonce));
            Err(Fault::new(Reason::Vote, expected, got))
        };
        if at_epoch && (!no_candidate || fields.nonce != VOTE_OUT) {
            return vote_fault("no vote in an epoch block");
        }
        if fields.nonce != VOTE_IN && fields.nonce != VOTE_OUT {
            return vote_fault("nonce ff…ff (in) or 00…00 (out)");
        }
        if no_candidate && fields.nonce == VOTE_IN {
            return vote_fault("a candidate that somebody holds");
        }
        Ok(())
    }

    fn check_turn(&self, block: &Block, signer: Address) -> Result<(), Fault> {
        let number = block.header.fields().number;
        let Ok(index) = self.signers().binary_search(&signer) else {
            return Err(Fault::new(Reason::AuthorNotValidator, format!("one of {:?}", self.signers()), signer));
        };
        let limit = recent_limit(self.signers());
        if let Some(recent) = self.recents.iter().find(|recent| recent.signer == signer)
            && recent.height.saturating_add(limit) > number
        {
            let expected = format!("a signer who did not sign any of the {} blocks before", limit.saturating_sub(1));
            return Err(Fault::new(Reason::SignedRecently, expected, format!("{signer} of block {}", recent.height)));
        }
        let turn = number.checked_rem(count(self.signers()));
        let due = if turn == u64::try_from(index).ok() { 2u64 } else { 1 };
        if block.header.fields().difficulty != U256::from(due) {
            let got = block.header.fields().difficulty;
            return Err(Fault::new(Reason::Difficulty, format!("difficulty {due} of signer {signer}"), got));
        }
        Ok(())
    }

    fn after(&self, block: &Block, signer: Address, at_epoch: bool) -> Result<Self, Fault> {
        let fields = block.header.fields();
        let mut after = self.clone();
        if at_epoch {
            after.tally.reset();
        }
        if fields.coinbase != Address::ZERO {
            let add = fields.nonce == VOTE_IN;
            after.tally.cast(Vote { voter: signer, candidate: fields.coinbase, add })?;
        }
        after.recents.retain(|recent| recent.signer != signer);
        after.recents.push(Recent { height: fields.number, signer });
        let limit = recent_limit(after.signers());
        after.recents.retain(|recent| recent.height.saturating_add(limit) > fields.number);
        Ok(after)
    }

    /// How many distinct signers must have signed on top of the block that this state stands after: a majority, or as
    /// many as the operator asked for, never more than there are.
    pub fn confirmations(&self, asked: usize) -> usize {
        let signers = self.signers().len();
        (signers / 2 + 1).max(asked.min(signers))
    }

    /// Whether the block that this state stands after is confirmed by the signers of the blocks on top of it.
    ///
    /// # Errors
    /// [`Unconfirmed`] with how many of the set have signed on top and how many must.
    pub fn require_confirmed(&self, asked: usize, on_top: &[Address]) -> Result<(), Unconfirmed> {
        let need = self.confirmations(asked);
        let quorum = Quorum::new(self.signers().iter().copied(), need).map_err(|_| Unconfirmed { have: 0, need })?;
        match quorum.require_among(on_top.iter().copied()) {
            Ok(_) => Ok(()),
            Err(NoQuorum::Below { have, need }) => Err(Unconfirmed { have, need }),
            Err(_) => Err(Unconfirmed { have: 0, need }),
        }
    }
}

/// Too few distinct signers of a set have signed on top of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Distinct signers so far.
    pub have: usize,
    /// Distinct signers needed.
    pub need: usize,
}

fn count(signers: &[Address]) -> u64 {
    u64::try_from(signers.len()).unwrap_or(u64::MAX)
}

/// A signer may sign one block in so many.
fn recent_limit(signers: &[Address]) -> u64 {
    count(signers) / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CliqueDraft, Key, keys};

    const EPOCH: u64 = 100;

    fn state(keys: &[Key]) -> State {
        State { tally: Tally::new(keys.iter().map(Key::address).collect()).unwrap(), recents: Vec::new() }
    }

    fn run(state: &State, draft: &CliqueDraft) -> Result<State, &'static str> {
        let block = draft.block().map_err(|fault| fault.reason())?;
        state.advance(&block, EPOCH, &mut Budget::for_update()).map(|(_, after)| after).map_err(|no| no.reason())
    }

    /// A block of the right difficulty by `keys[signer]`.
    fn draft(keys: &[Key], number: u64, signer: usize) -> CliqueDraft {
        let in_turn = number % keys.len() as u64 == signer as u64;
        let mut draft = CliqueDraft::new(&keys[signer]);
        draft.header.number = number;
        draft.header.difficulty = if in_turn { 2 } else { 1 };
        draft
    }

    #[test]
    fn signers_in_turn_and_out_of_turn() {
        let keys = keys(3);
        let one = run(&state(&keys), &draft(&keys, 1, 1)).unwrap();
        let two = run(&one, &draft(&keys, 2, 0)).unwrap();
        run(&two, &draft(&keys, 3, 2)).unwrap();
    }

    #[test]
    fn difficulty_out_of_turn() {
        let keys = keys(3);
        for (signer, difficulty) in [(1, 1), (0, 2), (1, 3), (0, 0)] {
            let mut draft = draft(&keys, 1, signer);
            draft.header.difficulty = difficulty;
            assert_eq!(run(&state(&keys), &draft), Err("difficulty-out-of-turn"), "{signer} {difficulty}");
        }
    }

    #[test]
    fn recent_signer_twice() {
        let keys = keys(3);
        let one = run(&state(&keys), &draft(&keys, 1, 1)).unwrap();
        assert_eq!(run(&one, &draft(&keys, 2, 1)), Err("signer-too-recent"));
        let two = run(&one, &draft(&keys, 2, 2)).unwrap();
        run(&two, &draft(&keys, 3, 1)).expect("one in two blocks is allowed to each of three");
    }

    #[test]
    fn seal_of_an_outsider() {
        let keys = keys(3);
        let mut draft = draft(&keys, 1, 1);
        draft.key = Key::number(99);
        assert_eq!(run(&state(&keys), &draft), Err("author-not-a-validator"));
    }

    #[test]
    fn signers_listed_outside_an_epoch_block_and_others_inside() {
        let keys = keys(3);
        let addresses: Vec<Address> = keys.iter().map(Key::address).collect();
        let mut listing = draft(&keys, 1, 1);
        listing.listed = addresses.clone();
        assert_eq!(run(&state(&keys), &listing), Err("validators-unexpected"));
        let mut epoch = draft(&keys, EPOCH, 1);
        assert_eq!(run(&state(&keys), &epoch), Err("validators-unexpected"));
        epoch.listed = addresses[..2].to_vec();
        assert_eq!(run(&state(&keys), &epoch), Err("validators-unexpected"));
        epoch.listed = addresses;
        run(&state(&keys), &epoch).unwrap();
        epoch.header.coinbase = Key::number(7).address();
        assert_eq!(run(&state(&keys), &epoch), Err("vote-malformed"));
    }

    #[test]
    fn a_nonce_that_is_no_vote_and_a_vote_for_nobody() {
        let keys = keys(3);
        let mut odd = draft(&keys, 1, 1);
        odd.header.nonce = [1; 8];
        assert_eq!(run(&state(&keys), &odd), Err("vote-malformed"));
        odd.header.nonce = VOTE_IN;
        assert_eq!(run(&state(&keys), &odd), Err("vote-malformed"));
    }

    #[test]
    fn fields_that_the_consensus_kind_fixes() {
        let keys = keys(3);
        let mut mixed = draft(&keys, 1, 1);
        mixed.header.mix_hash = Hash32::new([1; 32]);
        assert_eq!(run(&state(&keys), &mixed), Err("header-fixed-field"));
        let mut ommers = draft(&keys, 1, 1);
        ommers.header.ommers_hash = Hash32::ZERO;
        assert_eq!(run(&state(&keys), &ommers), Err("header-fixed-field"));
    }

    #[test]
    fn a_majority_votes_a_signer_in_and_an_epoch_drops_votes() {
        let three = keys(3);
        let newcomer = Key::number(50).address();
        let voting = |number, signer| {
            let mut draft = draft(&three, number, signer);
            draft.header.coinbase = newcomer;
            draft.header.nonce = VOTE_IN;
            draft
        };
        let one = run(&state(&three), &voting(1, 1)).unwrap();
        assert_eq!(one.signers().len(), 3);
        let two = run(&one, &voting(2, 0)).unwrap();
        assert!(two.signers().contains(&newcomer));

        let before = run(&state(&three), &voting(EPOCH - 1, 0)).unwrap();
        let mut epoch = draft(&three, EPOCH, 1);
        epoch.listed = three.iter().map(Key::address).collect();
        let at = run(&before, &epoch).unwrap();
        let after = run(&at, &voting(EPOCH + 1, 2)).unwrap();
        assert!(!after.signers().contains(&newcomer));
    }

    #[test]
    fn confirmations_are_distinct_signers_of_the_set() {
        let keys = keys(4);
        let state = state(&keys);
        let [a, b, c] = [keys[0].address(), keys[1].address(), keys[2].address()];
        assert!(state.require_confirmed(0, &[a, b, c]).is_ok());
        let two = Err(Unconfirmed { have: 2, need: 3 });
        assert_eq!(state.require_confirmed(0, &[a, b, a, b]), two, "two signers are two, however many blocks");
        assert_eq!(state.require_confirmed(0, &[a, b, Key::number(99).address()]), two);
        let more = Err(Unconfirmed { have: 3, need: 4 });
        assert_eq!(state.require_confirmed(4, &[a, b, c]), more, "the operator asked for more");
    }

    #[test]
    fn extra_data_of_another_length() {
        let keys = keys(3);
        let mut header = draft(&keys, 1, 1).header;
        for length in [0, 64, 96, 98, 116] {
            header.extra_data = vec![0; length];
            let fault = Block::read(Header::parse(&header.encode()).unwrap()).unwrap_err();
            assert_eq!(fault.reason(), "extra-data", "{length} bytes");
        }
    }

    #[test]
    fn an_anchor_between_epochs() {
        let keys = keys(3);
        let block = draft(&keys, 5, 2).block().unwrap();
        let refused = State::at_anchor(&block, EPOCH, None, &mut Budget::for_update()).unwrap_err();
        assert_eq!(refused.reason(), "anchor-unusable");
    }
}
