//! Which validators may seal the next block: the list of each header must be what the votes before it lead to.
//!
//! Votes pending *before* an anchor are unknown: if they let the set change later than this client can see, the next
//! header's list is not the expected one and is refused. That stops the ledger until an operator anchors it at an epoch
//! block or after the change; it never lets a set in that was not voted for in headers seen here.
//!
//! A vote inside an epoch block is counted by GoQuorum and passed over by Besu. Both readings are kept until a header's
//! list tells them apart; either needs a majority of real votes.

use super::{Ballot, Block, Layout};
use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::tally::{Tally, Vote};
use hufu_adapters_light_client::{Budget, Rejection};
use hufu_schemas_core::Quorum;
use serde::{Deserialize, Serialize};

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
    pub fn at_anchor<L: Layout + ?Sized>(
        block: &Block<L>,
        epoch: u64,
        validators: Option<&[Address]>,
        budget: &mut Budget,
    ) -> Result<Self, Rejection> {
        let before = Self { readings: vec![Tally::new(block.validators().to_vec())?] };
        let after = if block.header().fields().number == 0 {
            block.extra().check_genesis()?;
            before
        } else {
            let proposer = block.judge(budget)?;
            before.after(block, proposer, epoch)?
        };
        match validators {
            None => Ok(after),
            Some(named) => after.named_by_operator(block, named).map_err(Rejection::from),
        }
    }

    fn named_by_operator<L: Layout + ?Sized>(self, block: &Block<L>, named: &[Address]) -> Result<Self, Fault> {
        if self.readings.iter().any(|tally| tally.members() == named) {
            return Ok(self);
        }
        // A vote in the anchor block may have passed with votes from before it, which the operator has seen.
        let changed = block.extra().ballot(block.header()).is_some_and(|vote| {
            let mut set = block.validators().to_vec();
            set.retain(|address| *address != vote.candidate);
            if vote.add {
                set.push(vote.candidate);
                set.sort_unstable();
            }
            set == named
        });
        if !changed {
            let expected = format!("the validators after the anchor block: {:?}", block.validators());
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
    pub fn advance<L: Layout + ?Sized>(
        &self,
        block: &Block<L>,
        epoch: u64,
        budget: &mut Budget,
    ) -> Result<Self, Rejection> {
        let listed = block.validators();
        let matching: Vec<Tally> = self.readings.iter().filter(|tally| tally.members() == listed).cloned().collect();
        if matching.is_empty() {
            let expected = format!("{:?}", self.validators());
            return Err(Fault::new(Reason::ValidatorsUnexpected, expected, format!("{listed:?}")).into());
        }
        let proposer = block.judge(budget)?;
        Ok(Self { readings: matching }.after(block, proposer, epoch)?)
    }

    /// Whether this is the list of the next block, by the votes that were seen.
    pub(crate) fn expects(&self, listed: &[Address]) -> bool {
        self.readings.iter().any(|tally| tally.members() == listed)
    }

    /// Whether a block that lists these validators could be sealed by `need` of those in force here: what can be said
    /// before any signer is recovered.
    pub(crate) fn may_vouch(&self, listed: &[Address], need: impl Fn(usize) -> usize) -> bool {
        self.readings.iter().all(|tally| {
            let shared = tally.members().iter().filter(|member| listed.binary_search(member).is_ok()).count();
            shared >= need(tally.members().len())
        })
    }

    /// The state after a block that need not stand on the one this state stands after: its own list sealed it, and so
    /// did `need` (of n) of the validators in force here. `None` if these are too few. What votes were pending is
    /// unknown, as at an anchor.
    ///
    /// Whether it may be believed at all, by age and distance, is for the caller to say.
    ///
    /// # Errors
    /// [`Rejection`] if its form, its proposer or its seals are not what its own list demands.
    pub(crate) fn skip<L: Layout + ?Sized>(
        &self,
        block: &Block<L>,
        epoch: u64,
        need: impl Fn(usize) -> usize,
        budget: &mut Budget,
    ) -> Result<Option<Self>, Rejection> {
        let proposer = block.judge(budget)?;
        let signers = block.signers().map_err(Fault::from)?;
        for tally in &self.readings {
            let members = tally.members();
            let vouching = Quorum::new(members.iter().copied(), need(members.len()))
                .map_err(|fault| Fault::new(Reason::ValidatorsCount, "a validator set", fault))?;
            if vouching.require_among(signers.iter().copied()).is_err() {
                return Ok(None);
            }
        }
        let before = Self { readings: vec![Tally::new(block.validators().to_vec())?] };
        Ok(Some(before.after(block, proposer, epoch)?))
    }

    fn after<L: Layout + ?Sized>(self, block: &Block<L>, proposer: Address, epoch: u64) -> Result<Self, Fault> {
        let at_epoch = block.header().fields().number.checked_rem(epoch) == Some(0);
        let ballot = block.extra().ballot(block.header());
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
            let Some(Ballot { candidate, add }) = ballot else {
                keep(tally);
                continue;
            };
            let mut counted = tally.clone();
            counted.cast(Vote { voter: proposer, candidate, add })?;
            keep(counted);
            if at_epoch {
                keep(tally);
            }
        }
        Ok(Self { readings })
    }
}

#[cfg(test)]
impl State {
    /// A set without pending votes.
    pub(crate) fn of(validators: Vec<Address>) -> Self {
        let mut sorted = validators;
        sorted.sort_unstable();
        Self { readings: vec![Tally::new(sorted).unwrap()] }
    }

    pub(crate) fn readings(&self) -> &[Tally] {
        &self.readings
    }
}
