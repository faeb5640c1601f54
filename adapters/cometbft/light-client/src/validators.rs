//! A validator set: keys with their powers, in the order in which the ledger keeps them.

use crate::fault::{Fault, Reason};
use crate::hash::{Address, Hash32};
use crate::keys::{Kind, PublicKey};
use crate::merkle;
use crate::proto::Message;
use serde::{Deserialize, Serialize};

/// Validators of the largest set. CometBFT itself stops at 10,000 votes (types.MaxVotesCount); the largest public set
/// known has 180. 1,024 signatures of 64 bytes with addresses and times stay below 1 MiB of JSON.
pub const MAX_VALIDATORS: usize = 1_024;
/// All powers together: `types.MaxTotalVotingPower`, 2^60 - 1. With this bound sums of powers fit in 64 bits.
pub const MAX_TOTAL_POWER: u64 = (i64::MAX / 8).cast_unsigned();

/// One validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Its key.
    pub pub_key: PublicKey,
    /// Its power, above 0.
    #[serde(rename = "voting_power", with = "crate::text::decimal")]
    pub power: u64,
}

/// A set in the ledger's order (power falling, then address), each validator once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Validator>", into = "Vec<Validator>")]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    addresses: Vec<Address>,
    total: u64,
    hash: Hash32,
}

impl ValidatorSet {
    /// A set of these validators.
    ///
    /// # Errors
    /// [`Fault`] if there are none or more than [`MAX_VALIDATORS`], if one stands twice, if a power is 0, or if all
    /// together go beyond [`MAX_TOTAL_POWER`]: such a set could make a threshold that somebody's arithmetic gets wrong.
    pub fn new(validators: Vec<Validator>) -> Result<Self, Fault> {
        if validators.is_empty() || validators.len() > MAX_VALIDATORS {
            let expected = format!("1 to {MAX_VALIDATORS} validators");
            return Err(Fault::new(Reason::ValidatorsCount, expected, validators.len()));
        }
        let mut total = 0_u64;
        for validator in &validators {
            total = match total.checked_add(validator.power) {
                Some(sum) if validator.power > 0 && sum <= MAX_TOTAL_POWER => sum,
                _ => {
                    let expected = format!("powers above 0, at most {MAX_TOTAL_POWER} together");
                    return Err(Fault::new(Reason::Power, expected, format!("{} after {total}", validator.power)));
                }
            };
        }
        let addresses: Vec<Address> = validators.iter().map(|validator| validator.pub_key.address()).collect();
        let mut sorted = addresses.clone();
        sorted.sort_unstable();
        if let Some([twice, _]) = sorted.array_windows().find(|[a, b]| a == b) {
            return Err(Fault::new(Reason::ValidatorRepeated, "each validator once", format!("{twice} twice")));
        }
        let leaves: Vec<Vec<u8>> = validators.iter().map(leaf).collect();
        Ok(Self { hash: merkle::root(&leaves), validators, addresses, total })
    }

    /// The validators.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The validator at an index, with the address that its key gives.
    pub fn at(&self, index: usize) -> Option<(&Validator, Address)> {
        Some((self.validators.get(index)?, *self.addresses.get(index)?))
    }

    /// Addresses, in the set's order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Sum of all powers.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// What headers name the set by.
    pub const fn hash(&self) -> Hash32 {
        self.hash
    }

    /// Asserts that every key is of a kind that the anchor allows.
    pub(crate) fn require_kinds(&self, allowed: &[Kind]) -> Result<(), Fault> {
        let stray =
            self.validators.iter().map(|validator| validator.pub_key.kind()).find(|kind| !allowed.contains(kind));
        let Some(stray) = stray else { return Ok(()) };
        let names: Vec<&str> = allowed.iter().map(|kind| kind.as_str()).collect();
        Err(Fault::new(Reason::KeyKind, format!("keys of the anchor's kinds ({})", names.join(", ")), stray.as_str()))
    }
}

/// `SimpleValidator{pub_key = 1, voting_power = 2}`.
fn leaf(validator: &Validator) -> Vec<u8> {
    Message::new().message(1, &validator.pub_key.encode()).uint(2, validator.power).done()
}

impl TryFrom<Vec<Validator>> for ValidatorSet {
    type Error = Fault;

    fn try_from(validators: Vec<Validator>) -> Result<Self, Fault> {
        Self::new(validators)
    }
}

impl From<ValidatorSet> for Vec<Validator> {
    fn from(set: ValidatorSet) -> Self {
        set.validators
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validator(number: u8, power: u64) -> Validator {
        Validator { pub_key: PublicKey::Ed25519([number; 32]), power }
    }

    #[test]
    fn validators_page_that_repeats() {
        let page = [validator(1, 5), validator(2, 5)];
        let twice = ValidatorSet::new([page.clone(), page].concat()).unwrap_err();
        assert_eq!(twice.reason(), "validator-repeated");
    }

    #[test]
    fn powers_that_overflow_or_are_zero() {
        for powers in [
            vec![0],
            vec![u64::MAX, 2],
            vec![MAX_TOTAL_POWER, 1],
            vec![MAX_TOTAL_POWER + 1],
            // p and p - 2^64 hash alike where powers are read as signed.
            vec![1_u64.wrapping_neg()],
        ] {
            let set = (1_u8..).zip(&powers).map(|(number, power)| validator(number, *power)).collect();
            assert_eq!(ValidatorSet::new(set).unwrap_err().reason(), "voting-power", "{powers:?}");
        }
        assert_eq!(ValidatorSet::new(vec![validator(1, MAX_TOTAL_POWER)]).unwrap().total(), MAX_TOTAL_POWER);
    }

    #[test]
    fn a_set_of_nobody_or_of_too_many() {
        assert_eq!(ValidatorSet::new(Vec::new()).unwrap_err().reason(), "validators-count");
        let many = vec![validator(1, 1); MAX_VALIDATORS + 1];
        assert_eq!(ValidatorSet::new(many).unwrap_err().reason(), "validators-count");
    }

    #[test]
    fn the_hash_covers_key_power_and_order() {
        let hash = |validators: &[Validator]| ValidatorSet::new(validators.to_vec()).unwrap().hash();
        let (one, two) = (validator(1, 5), validator(2, 5));
        let base = hash(&[one.clone(), two.clone()]);
        assert_ne!(base, hash(&[two.clone(), one.clone()]));
        assert_ne!(base, hash(&[one.clone(), validator(2, 6)]));
        assert_ne!(base, hash(&[one, validator(3, 5)]));
    }
}
