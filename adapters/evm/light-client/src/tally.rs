//! Votes that change a validator set, as both QBFT and Clique count them.
//!
//! Rules (go-ethereum and GoQuorum snapshots, Besu's vote tally; ledgers.md 3.3 and 3.5): a validator has one vote for
//! each candidate, its last; a vote that would change nothing is dropped; more than n/2 votes change the set from the
//! next block on; with a change all votes about the candidate fall, and a removed validator's own votes fall with it;
//! all votes fall at each epoch block.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use serde::{Deserialize, Serialize};

/// Validators of the largest set.
pub const MAX_VALIDATORS: usize = 1_024;
/// Votes that may be pending: more than one a block of the usual epoch of 30,000.
pub const MAX_PENDING_VOTES: usize = 65_536;

/// One validator's standing vote about one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Whose vote.
    pub voter: Address,
    /// About whom.
    pub candidate: Address,
    /// In or out.
    pub add: bool,
}

/// A validator set with the votes that are pending about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    members: Vec<Address>,
    votes: Vec<Vote>,
}

impl Tally {
    /// A set with no votes pending.
    ///
    /// # Errors
    /// [`Fault`] if the list is empty, too long, or not strictly ascending.
    pub fn new(members: Vec<Address>) -> Result<Self, Fault> {
        if members.is_empty() || members.len() > MAX_VALIDATORS {
            return Err(Fault::new(
                Reason::ValidatorsCount,
                format!("1 to {MAX_VALIDATORS} validators"),
                members.len(),
            ));
        }
        check_ascending(&members)?;
        Ok(Self { members, votes: Vec::new() })
    }

    /// The set, ascending by address.
    pub fn members(&self) -> &[Address] {
        &self.members
    }

    /// The votes pending.
    pub fn votes(&self) -> &[Vote] {
        &self.votes
    }

    /// Whether the address is in the set.
    pub fn contains(&self, address: &Address) -> bool {
        self.members.binary_search(address).is_ok()
    }

    /// Lets all votes fall, as an epoch block does.
    pub fn reset(&mut self) {
        self.votes.clear();
    }

    /// Counts a validator's vote and changes the set if it passed.
    ///
    /// # Errors
    /// [`Fault`] if the set would become empty or too large, or too many votes are pending.
    pub fn cast(&mut self, vote: Vote) -> Result<(), Fault> {
        self.votes.retain(|old| (old.voter, old.candidate) != (vote.voter, vote.candidate));
        if self.contains(&vote.candidate) == vote.add {
            return Ok(());
        }
        if self.votes.len() >= MAX_PENDING_VOTES {
            return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_PENDING_VOTES} pending votes"), "one more"));
        }
        self.votes.push(vote);
        // Votes about one candidate all point the same way: the other way would change nothing and was dropped.
        let votes = self.votes.iter().filter(|other| other.candidate == vote.candidate).count();
        if votes > self.members.len() / 2 {
            self.change(vote)?;
        }
        Ok(())
    }

    fn change(&mut self, vote: Vote) -> Result<(), Fault> {
        match self.members.binary_search(&vote.candidate) {
            Err(place) if vote.add && self.members.len() < MAX_VALIDATORS => self.members.insert(place, vote.candidate),
            Ok(place) if !vote.add && self.members.len() > 1 => {
                self.members.remove(place);
                self.votes.retain(|other| other.voter != vote.candidate);
            }
            _ => {
                let expected = format!("a set that keeps 1 to {MAX_VALIDATORS} validators");
                return Err(Fault::new(Reason::ValidatorsCount, expected, format!("a vote about {}", vote.candidate)));
            }
        }
        self.votes.retain(|other| other.candidate != vote.candidate);
        Ok(())
    }
}

/// Asserts that addresses are strictly ascending, which also makes them distinct.
///
/// # Errors
/// [`Fault`] with the first pair that is not.
pub fn check_ascending(addresses: &[Address]) -> Result<(), Fault> {
    match addresses.iter().zip(addresses.iter().skip(1)).find(|(one, next)| one >= next) {
        None => Ok(()),
        Some((one, next)) => {
            Err(Fault::new(Reason::ValidatorsOrder, "validators strictly ascending", format!("{one} before {next}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(number: u8) -> Address {
        Address::new([number; 20])
    }

    fn vote(voter: u8, candidate: u8, add: bool) -> Vote {
        Vote { voter: address(voter), candidate: address(candidate), add }
    }

    fn tally(members: &[u8]) -> Tally {
        Tally::new(members.iter().map(|number| address(*number)).collect()).unwrap()
    }

    #[test]
    fn more_than_half_changes_the_set() {
        let mut set = tally(&[1, 2, 3, 4]);
        set.cast(vote(1, 9, true)).unwrap();
        set.cast(vote(2, 9, true)).unwrap();
        assert_eq!(set.members().len(), 4, "two of four are not more than half");
        set.cast(vote(3, 9, true)).unwrap();
        assert!(set.contains(&address(9)));
        assert!(set.votes().is_empty());
    }

    #[test]
    fn one_vote_cast_three_times_counts_once() {
        let mut set = tally(&[1, 2, 3, 4]);
        for _ in 0..3 {
            set.cast(vote(1, 9, true)).unwrap();
        }
        assert!(!set.contains(&address(9)));
    }

    #[test]
    fn a_vote_taken_back_does_not_count() {
        let mut set = tally(&[1, 2, 3]);
        set.cast(vote(1, 9, true)).unwrap();
        set.cast(vote(1, 9, false)).unwrap();
        set.cast(vote(2, 9, true)).unwrap();
        assert!(!set.contains(&address(9)));
    }

    #[test]
    fn retired_validators_votes_fall_with_it() {
        let mut set = tally(&[1, 2, 3, 4]);
        set.cast(vote(4, 9, true)).unwrap();
        for voter in [1, 2, 3] {
            set.cast(vote(voter, 4, false)).unwrap();
        }
        assert!(!set.contains(&address(4)));
        set.cast(vote(1, 9, true)).unwrap();
        assert!(!set.contains(&address(9)), "one of three: the vote of the retired validator is gone");
        set.cast(vote(2, 9, true)).unwrap();
        assert!(set.contains(&address(9)));
    }

    #[test]
    fn an_epoch_drops_votes() {
        let mut set = tally(&[1, 2, 3]);
        set.cast(vote(1, 9, true)).unwrap();
        set.reset();
        set.cast(vote(2, 9, true)).unwrap();
        assert!(!set.contains(&address(9)));
    }

    #[test]
    fn the_last_validator_cannot_be_voted_out() {
        assert_eq!(tally(&[1]).cast(vote(1, 1, false)).unwrap_err().reason(), "validators-count");
    }

    #[test]
    fn unsorted_or_doubled_validators() {
        assert_eq!(Tally::new(vec![address(2), address(1)]).unwrap_err().reason(), "validators-out-of-order");
        assert_eq!(Tally::new(vec![address(1), address(1)]).unwrap_err().reason(), "validators-out-of-order");
        assert_eq!(Tally::new(Vec::new()).unwrap_err().reason(), "validators-count");
    }

    proptest! {
        #[test]
        fn the_set_stays_sorted_and_votes_stay_of_members(
            votes in proptest::collection::vec((0u8..5, 0u8..8, any::<bool>()), 0..60)
        ) {
            let mut set = tally(&[0, 1, 2, 3, 4]);
            for (voter, candidate, add) in votes {
                let before = set.members().to_vec();
                if !set.contains(&address(voter)) || set.cast(vote(voter, candidate, add)).is_err() {
                    continue;
                }
                prop_assert!(check_ascending(set.members()).is_ok());
                prop_assert!(set.members().len().abs_diff(before.len()) <= 1);
                prop_assert!(set.votes().iter().all(|vote| set.contains(&vote.voter)));
                prop_assert!(set.votes().iter().all(|vote| set.contains(&vote.candidate) != vote.add));
            }
        }
    }
}
