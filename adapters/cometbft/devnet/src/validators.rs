//! Validator sets: their hash, their order, how they change, and whose turn it is to propose (`types/validator_set.go`).

use std::cmp::Reverse;

use crate::keys::{Address, address};
use crate::merkle::{self, Hash};
use crate::wire::Message;

/// One validator of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator {
    /// Its Ed25519 key.
    pub public_key: [u8; 32],
    /// Its votes.
    pub power: i64,
    /// The highest proposes next; it moves with every block.
    pub priority: i64,
}

impl Validator {
    /// First 20 bytes of the SHA-256 of the key.
    pub fn address(&self) -> Address {
        address(&self.public_key)
    }

    /// `SimpleValidator{pub_key = 1 {ed25519 = 1}, voting_power = 2}`.
    fn encode(&self) -> Vec<u8> {
        let key = Message::new().embedded(1, &self.public_key).finish();
        Message::new().embedded(1, &key).signed(2, self.power).finish()
    }
}

/// A validator's new power; 0 removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its Ed25519 key.
    pub public_key: [u8; 32],
    /// Its votes from the block after the next on.
    pub power: i64,
}

/// Validators by falling power, then by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    proposer: usize,
}

impl ValidatorSet {
    /// The set of a genesis file, whose first proposer is chosen.
    ///
    /// # Errors
    /// What is wrong: nobody, a key twice, or a power that is not above 0.
    pub fn genesis(validators: &[Update]) -> Result<Self, String> {
        if validators.iter().any(|validator| validator.power <= 0) {
            return Err("expected powers above 0".to_owned());
        }
        let mut set = Self { validators: Vec::new(), proposer: 0 };
        set.change(validators)?;
        Ok(set.advanced())
    }

    /// The validators in order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Whose turn it is to propose in round 0.
    pub fn proposer(&self) -> Option<&Validator> {
        self.validators.get(self.proposer)
    }

    /// Sum of all powers.
    pub fn total(&self) -> i64 {
        self.validators.iter().map(|validator| validator.power).sum()
    }

    /// What headers name the set by.
    pub fn hash(&self) -> Hash {
        merkle::root_of(self.validators.iter().map(Validator::encode))
    }

    /// The same set one turn later: for the next height.
    #[must_use]
    pub fn advanced(&self) -> Self {
        self.advanced_by(1)
    }

    /// The same set so many turns later: a lost round costs a turn (`CopyIncrementProposerPriority`). None are none.
    #[must_use]
    pub fn advanced_by(&self, turns: u32) -> Self {
        let mut set = self.clone();
        if turns == 0 {
            return set;
        }
        set.rescale();
        set.center();
        for _ in 0..turns {
            set.turn();
        }
        set
    }

    /// Everybody gains its power; whoever has the most proposes, and pays for it. Goes on from [`Self::advanced`].
    pub(crate) fn turn(&mut self) {
        let total = self.total();
        for validator in &mut self.validators {
            validator.priority = validator.priority.saturating_add(validator.power);
        }
        let highest = |(_, a): &(usize, &Validator)| (a.priority, Reverse(a.address()));
        self.proposer = self.validators.iter().enumerate().max_by_key(highest).map_or(0, |(at, _)| at);
        if let Some(proposer) = self.validators.get_mut(self.proposer) {
            proposer.priority = proposer.priority.saturating_sub(total);
        }
    }

    /// The set of the next height: changed by the updates of a block, then one turn later (`state/execution.go`,
    /// `updateState`).
    ///
    /// # Errors
    /// What a real node halts at: one validator twice, the removal of a stranger, or of everybody.
    pub fn next(&self, updates: &[Update]) -> Result<Self, String> {
        let mut set = self.clone();
        if !updates.is_empty() {
            set.change(updates)?;
        }
        Ok(set.advanced())
    }

    fn change(&mut self, updates: &[Update]) -> Result<(), String> {
        let place = |set: &Self, key: &[u8; 32]| set.validators.iter().position(|it| it.public_key == *key);
        for (number, update) in updates.iter().enumerate() {
            let name = hex::encode_upper(address(&update.public_key));
            if updates.iter().take(number).any(|before| before.public_key == update.public_key) {
                return Err(format!("expected each validator once in a block, got {name} twice"));
            }
            if update.power == 0 && place(self, &update.public_key).is_none() {
                return Err(format!("failed to find validator {name} to remove"));
            }
        }
        let before_removals = self.total_before_removals(updates);
        for update in updates.iter().filter(|update| update.power > 0) {
            match place(self, &update.public_key).and_then(|at| self.validators.get_mut(at)) {
                Some(known) => known.power = update.power,
                // Somebody who leaves and comes back must not gain a turn by it.
                None => self.validators.push(Validator {
                    public_key: update.public_key,
                    power: update.power,
                    priority: -(before_removals + (before_removals >> 3)),
                }),
            }
        }
        let removed = |validator: &Validator| {
            updates.iter().any(|update| update.power == 0 && update.public_key == validator.public_key)
        };
        self.validators.retain(|validator| !removed(validator));
        if self.validators.is_empty() {
            return Err("applying the validator changes would result in empty set".to_owned());
        }
        self.rescale();
        self.center();
        self.validators.sort_by_cached_key(|validator| (Reverse(validator.power), validator.address()));
        Ok(())
    }

    fn total_before_removals(&self, updates: &[Update]) -> i64 {
        let updated = |key: &[u8; 32]| updates.iter().any(|update| update.power > 0 && update.public_key == *key);
        let kept = self.validators.iter().filter(|it| !updated(&it.public_key)).map(|it| it.power);
        kept.chain(updates.iter().map(|update| update.power)).sum()
    }

    /// Keeps priorities within twice the total power of each other.
    fn rescale(&mut self) {
        let window = self.total().saturating_mul(2);
        let priorities = || self.validators.iter().map(|validator| validator.priority);
        let (Some(lowest), Some(highest)) = (priorities().min(), priorities().max()) else { return };
        let spread = highest.saturating_sub(lowest);
        if window > 0 && spread > window {
            let ratio = spread.saturating_add(window - 1) / window;
            self.validators.iter_mut().for_each(|validator| validator.priority /= ratio);
        }
    }

    /// Moves priorities so that they lie around 0.
    fn center(&mut self) {
        let Ok(count) = i64::try_from(self.validators.len()) else { return };
        let sum: i64 = self.validators.iter().map(|validator| validator.priority).sum();
        let Some(average) = sum.checked_div_euclid(count) else { return };
        self.validators.iter_mut().for_each(|validator| validator.priority -= average);
    }
}
