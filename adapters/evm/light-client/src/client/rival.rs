//! Verified misbehaviour: a second block of a trusted height that a quorum of the same set sealed. A branch of a ledger
//! whose blocks are only buried, or that nobody seals, is none: it is followed where it is better, and otherwise left.

use super::EvmLightClient;
use super::ahead::Candidate;
use crate::address::Address;
use crate::bft;
use crate::block_state::{BlockState, Sealing};
use crate::keccak::Hash32;
use hufu_adapters_light_client::{BlockFacts, Budget, Misbehaviour, Rejection, Step};
use hufu_schemas_core::BlockHash;

impl EvmLightClient {
    pub(super) fn rival(
        &self,
        block: &BlockFacts,
        other: &Step,
        budget: &mut Budget,
    ) -> Result<Option<Misbehaviour>, Rejection> {
        if other.height != block.height {
            return Ok(None);
        }
        let state = BlockState::read(&block.state)?;
        let found = match &state.sealing {
            Sealing::Nobody => None,
            Sealing::Bft(set) => self.bft_rival(block, &state, *set, other, budget)?,
        };
        let Some((hash, signers)) = found else { return Ok(None) };
        let hash = BlockHash::from_bytes(*hash.as_bytes());
        if hash == block.hash {
            return Ok(None);
        }
        let signers = signers.iter().map(Address::to_string).collect();
        Ok(Some(Misbehaviour { height: block.height, trusted: block.hash, other: hash, signers }))
    }

    /// Another block on the same parent, sealed by a quorum of the same set. The parent is asked for because one
    /// consortium may run two ledgers with the same keys; two honest blocks of one height on different ledgers differ
    /// in it.
    pub(super) fn bft_rival(
        &self,
        trusted: &BlockFacts,
        state: &BlockState,
        set: Hash32,
        other: &Step,
        budget: &mut Budget,
    ) -> Result<Option<(Hash32, Vec<Address>)>, Rejection> {
        let Candidate::Bft(block) = self.read(other)? else { return Err(self.of_another_anchor()) };
        // The trusted block once more, as it comes from every other node: nobody needs to recover who sealed it.
        let same_block = block.hash().as_bytes() == trusted.hash.as_bytes();
        let same_place = block.header().fields().parent_hash == state.parent_hash;
        if same_block || !same_place || bft::set_digest(block.validators()) != set {
            return Ok(None);
        }
        block.check_seal_count()?;
        budget.clone().signatures(block.validators().len())?;
        self.signers.recover(&[&block]);
        let signers = block.require_quorum(budget)?;
        Ok(Some((block.hash(), signers)))
    }
}
