//! Who may seal the next block: the validator set, and the votes that change it.
//!
//! Rules as recorded from a real network: a vote belongs to the block's proposer; a candidate's place changes once
//! more than half of the set in force voted for it, from the next block on; pending votes fall at each epoch block;
//! votes cast by a validator that leaves fall with it.

use alloy_primitives::Address;

use crate::extra::Vote;

/// Seals a block needs: ceil(2n/3).
pub fn quorum(validators: usize) -> usize {
    (2 * validators).div_ceil(3)
}

/// The set in force and the votes that are pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    validators: Vec<Address>,
    votes: Vec<(Address, Vote)>,
}

impl Tally {
    /// A set without votes.
    pub fn new(mut validators: Vec<Address>) -> Self {
        validators.sort_unstable();
        validators.dedup();
        Self { validators, votes: Vec::new() }
    }

    /// The set, ascending by address.
    pub fn validators(&self) -> &[Address] {
        &self.validators
    }

    /// Whether a vote asks for something that is not so already.
    pub fn is_open(&self, vote: &Vote) -> bool {
        vote.add != self.validators.contains(&vote.candidate)
    }

    /// Whether this validator's vote for it is already counted.
    pub fn has_voted(&self, voter: Address, vote: &Vote) -> bool {
        self.votes.contains(&(voter, *vote))
    }

    /// The proposer of the next block: the one after the last, and one further for each round.
    pub fn proposer(&self, last: Address, round: u32) -> Option<Address> {
        let count = self.validators.len();
        let round = usize::try_from(round).ok()?;
        let next = if last.is_zero() {
            round
        } else {
            // A proposer that has left the set counts as the first place.
            self.validators.iter().position(|v| *v == last).unwrap_or(0) + 1 + round
        };
        self.validators.get(next.checked_rem(count)?).copied()
    }

    /// The tally after block `number`.
    #[must_use]
    pub fn after(&self, number: u64, proposer: Address, vote: Option<Vote>, epoch: u64) -> Self {
        let mut next = self.clone();
        if number.checked_rem(epoch) == Some(0) {
            next.votes.clear();
        }
        let Some(vote) = vote.filter(|vote| next.is_open(vote) && next.validators.contains(&proposer)) else {
            return next;
        };
        next.votes.retain(|(voter, old)| *voter != proposer || old.candidate != vote.candidate);
        next.votes.push((proposer, vote));
        next.settle(vote);
        next
    }

    fn settle(&mut self, vote: Vote) {
        let count = self.votes.iter().filter(|(_, cast)| *cast == vote).count();
        if 2 * count <= self.validators.len() {
            return;
        }
        if vote.add {
            self.validators.push(vote.candidate);
            self.validators.sort_unstable();
        } else {
            self.validators.retain(|v| *v != vote.candidate);
        }
        self.votes.retain(|(voter, cast)| cast.candidate != vote.candidate && (vote.add || *voter != vote.candidate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    fn four() -> Tally {
        Tally::new(vec![at(1), at(2), at(3), at(4)])
    }

    const ADD_9: Option<Vote> = Some(Vote { candidate: Address::repeat_byte(9), add: true });

    #[test]
    fn quorum_is_two_thirds_rounded_up() {
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(quorum), [1, 2, 2, 3, 4, 4, 5]);
    }

    #[test]
    fn half_the_set_is_not_enough() {
        let two = four().after(1, at(1), ADD_9, 100).after(2, at(2), ADD_9, 100);
        assert_eq!(two.validators().len(), 4);
        assert_eq!(two.after(3, at(3), ADD_9, 100).validators().len(), 5);
    }

    #[test]
    fn one_proposer_voting_thrice_counts_once() {
        let tally = (1..4).fold(four(), |tally, number| tally.after(number, at(1), ADD_9, 100));
        assert_eq!(tally.validators().len(), 4);
    }

    #[test]
    fn an_epoch_block_drops_pending_votes() {
        let two = four().after(1, at(1), ADD_9, 5).after(2, at(2), ADD_9, 5);
        let after_epoch = two.after(5, at(3), None, 5);
        assert_eq!(after_epoch.after(6, at(3), ADD_9, 5).validators().len(), 4);
    }

    #[test]
    fn votes_of_one_who_leaves_fall_with_it() {
        let out = Some(Vote { candidate: at(4), add: false });
        let tally = four().after(1, at(4), ADD_9, 100);
        let tally = (1u8..4).fold(tally, |tally, voter| tally.after(1 + u64::from(voter), at(voter), out, 100));
        assert_eq!(tally.validators(), [at(1), at(2), at(3)]);
        // Of three, two are needed: the one that left must not be the second.
        assert_eq!(tally.after(9, at(1), ADD_9, 100).validators().len(), 3);
    }

    #[test]
    fn proposers_take_turns_and_a_round_passes_one_over() {
        let tally = four();
        assert_eq!(tally.proposer(Address::ZERO, 0), Some(at(1)));
        assert_eq!(tally.proposer(Address::ZERO, 1), Some(at(2)));
        assert_eq!(tally.proposer(at(2), 0), Some(at(3)));
        assert_eq!(tally.proposer(at(4), 1), Some(at(2)));
    }
}
