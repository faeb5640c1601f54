//! Verified misbehaviour: a second, as well signed block of a trusted height.

use super::judge::parse_step;
use super::{EvmLightClient, clique};
use crate::address::Address;
use crate::bft;
use crate::block_state::{BlockState, Sealing};
use crate::fault::Fault;
use crate::header::{Header, Link};
use crate::keccak::Hash32;
use crate::rlp::Reader;
use hufu_adapters_light_client::{BlockFacts, Budget, Misbehaviour, Rejection, Step};
use hufu_schemas_core::BlockHash;

/// Headers of the longest rival run that is looked at.
const MAX_RIVALS: usize = 2_048;

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
            Sealing::Anchor => None,
            Sealing::Bft(set) => self.bft_rival(&state, *set, other, budget)?,
            Sealing::Clique(rules) => self.clique_rival(&rules.0, &rules.1, other, budget)?,
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
        state: &BlockState,
        set: Hash32,
        other: &Step,
        budget: &mut Budget,
    ) -> Result<Option<(Hash32, Vec<Address>)>, Rejection> {
        let block = self.read_bft(parse_step(other)?)?;
        let same_place = block.header().fields().parent_hash == state.parent_hash;
        if !same_place || bft::set_digest(block.validators()) != set {
            return Ok(None);
        }
        let signers = block.require_quorum(budget)?;
        Ok(Some((block.hash(), signers)))
    }

    /// Another branch from the same parent that is confirmed by itself.
    pub(super) fn clique_rival(
        &self,
        parent: &Link,
        rules: &clique::State,
        other: &Step,
        budget: &mut Budget,
    ) -> Result<Option<(Hash32, Vec<Address>)>, Rejection> {
        let mut link = *parent;
        let mut rules = rules.clone();
        let mut rival: Option<(Hash32, clique::State)> = None;
        let mut signers = Vec::new();
        let mut rest = Reader::new(&other.bytes);
        for _ in 0..MAX_RIVALS {
            if rest.is_empty() {
                break;
            }
            let raw = rest.raw().map_err(Fault::from)?;
            budget.hashed_bytes(raw.len())?;
            let header = Header::parse(raw)?;
            header.check_follows(&link)?;
            let block = clique::Block::read(header)?;
            let (signer, after) = rules.advance(&block, self.anchor.epoch, budget)?;
            let fields = block.header().fields();
            link = Link { height: fields.number, hash: block.hash(), time: fields.timestamp };
            signers.push(signer);
            rival.get_or_insert_with(|| (block.hash(), after.clone()));
            rules = after;
        }
        let Some((hash, after)) = rival else { return Ok(None) };
        let on_top = signers.get(1..).unwrap_or_default();
        Ok(after.require_confirmed(self.asked(), on_top).is_ok().then_some((hash, signers)))
    }
}
