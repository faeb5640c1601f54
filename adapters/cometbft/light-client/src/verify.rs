//! The rules of the light client (spec/light-client/verification; light/verifier.go), as predicates over a trusted header.
//!
//! One after the other: the trusted header is within its trusting period; the new one is of this network, higher, later,
//! and what its commit signs; its validators are those it names, and every vote stands under its own validator's
//! address; then, where it is the next height, its validators are those that the trusted header named, and otherwise
//! more than the trust level of *those* signed it; more than two thirds of its own validators signed it; it is not ahead
//! of the clock.
//!
//! Where this differs from `tendermint-light-client-verifier`, docs/cometbft.md says so, and each difference has a test.

use crate::canonical_vote::VoteBytes;
use crate::commit::Flag;
use crate::fault::{Fault, Reason};
use crate::hash::{Address, Hash32};
use crate::keys::{self, Claim, Kind};
use crate::step::SignedHeader;
use crate::time::Time;
use crate::validators::ValidatorSet;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Rejection, Shortfall};
use hufu_schemas_core::{Height, Timestamp};
use std::collections::BTreeSet;

/// The part of a trusted set that must have signed a header that is not the next one: at least a third (so that one of
/// them is honest), at most all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustLevel {
    numerator: u64,
    denominator: u64,
}

impl TrustLevel {
    /// More than a third.
    pub const THIRD: Self = Self { numerator: 1, denominator: 3 };
    const TWO_THIRDS: Self = Self { numerator: 2, denominator: 3 };

    /// `None` below a third, above one, and for numbers beyond 1,000.
    pub const fn new(numerator: u64, denominator: u64) -> Option<Self> {
        if denominator == 0 || denominator > 1_000 || numerator > denominator || numerator * 3 < denominator {
            return None;
        }
        Some(Self { numerator, denominator })
    }

    /// Strictly more than this part of `total`. Powers are below 2^60 and parts below 2^10, so 128 bits hold the products.
    fn is_exceeded(self, power: u64, total: u64) -> bool {
        u128::from(power) * u128::from(self.denominator) > u128::from(total) * u128::from(self.numerator)
    }
}

/// What the operator's anchor fixes about judging headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The network's name.
    pub chain_id: String,
    /// Kinds of keys that may vote.
    pub kinds: Vec<Kind>,
    /// How much of a trusted set must have signed a header that is not the next one.
    pub trust_level: TrustLevel,
    /// Seconds after a header's time in which others may be judged by it. Shorter than the time in which validators who
    /// signed two blocks can still be made to pay for it.
    pub trusting_period: u64,
    /// Seconds by which a header may be ahead of the caller's clock.
    pub clock_drift: u64,
}

/// The header that is believed, by which another is judged.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a> {
    /// Its height.
    pub height: u64,
    /// Its time.
    pub time: Time,
    /// Who signs the next height.
    pub next_validators_hash: Hash32,
    /// The same as a set, where it is known. Its hash is compared here: nobody else has to remember to.
    pub next_validators: Option<&'a ValidatorSet>,
}

impl Rules {
    /// The last whole second at which a header of this time may still be used to judge others: its time and the trusting
    /// period must lie *after* the clock (light/verifier.go, `HeaderExpired`).
    pub fn trusted_until(&self, time: Time) -> Option<Timestamp> {
        let end = time.plus(self.trusting_period);
        let whole = if end.nanos() > 0 { end.seconds() } else { end.seconds().checked_sub(1)? };
        Timestamp::from_seconds(u64::try_from(whole).ok()?)
    }

    fn require_fresh(&self, trusted: &Trusted<'_>, now: Timestamp) -> Result<(), Shortfall> {
        match self.trusted_until(trusted.time) {
            Some(until) if now <= until => Ok(()),
            Some(until) => Err(Shortfall::Expired { until, now }),
            None => Err(Shortfall::Expired { until: now, now }),
        }
    }

    /// Asserts that a block's time is before the caller's clock and the drift.
    ///
    /// # Errors
    /// [`Shortfall::Ahead`].
    pub fn require_not_ahead(&self, time: Time, now: Timestamp) -> Result<(), Refusal> {
        let seconds = u64::try_from(time.seconds()).ok().and_then(Timestamp::from_seconds);
        let Some(block) = seconds else {
            return Err(Rejection::from(Fault::new(Reason::Time, "a time after 1970", time)).into());
        };
        if block < now.plus(self.clock_drift) { Ok(()) } else { Err(Shortfall::Ahead { block, now }.into()) }
    }

    /// Checks what holds for a signed header by itself, before any signature.
    ///
    /// # Errors
    /// [`Fault`] that names the first predicate that does not hold.
    pub fn check_block(&self, signed: &SignedHeader, validators: &ValidatorSet) -> Result<(), Fault> {
        let SignedHeader { header, commit } = signed;
        header.check(&self.chain_id)?;
        if commit.height != header.height {
            return Err(Fault::new(Reason::CommitHeight, header.height, commit.height));
        }
        let hash = header.hash();
        if commit.block_id.hash != Some(hash) {
            let got = commit.block_id.hash.map_or_else(|| "no block".to_owned(), |hash| hash.to_string());
            return Err(Fault::new(Reason::CommitBlock, hash, got));
        }
        if validators.hash() != header.validators_hash {
            return Err(Fault::new(Reason::ValidatorsHash, header.validators_hash, validators.hash()));
        }
        validators.require_kinds(&self.kinds)?;
        commit.check(validators)
    }

    /// Judges a signed header by a trusted one.
    ///
    /// # Errors
    /// `NotYet` when the trusted header is too old, when too little of the trusted set signed (a nearer header may do), or
    /// when the new one is ahead of the clock; `Reject` otherwise.
    pub fn verify(
        &self,
        trusted: &Trusted<'_>,
        signed: &SignedHeader,
        validators: &ValidatorSet,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        self.require_fresh(trusted, now)?;
        self.check_block(signed, validators).map_err(Rejection::from)?;
        require_after(trusted, signed).map_err(Rejection::from)?;
        if signed.header.height == trusted.height.saturating_add(1) {
            if signed.header.validators_hash != trusted.next_validators_hash {
                let (expected, got) = (trusted.next_validators_hash, signed.header.validators_hash);
                return Err(Rejection::from(Fault::new(Reason::ValidatorsUnexpected, expected, got)).into());
            }
            self.require_signed(signed, validators, None, budget)?;
        } else {
            let nearer = Shortfall::Headers { from: Height::new(trusted.height.saturating_add(1)) };
            let Some(set) = trusted.next_validators else { return Err(nearer.into()) };
            if set.hash() != trusted.next_validators_hash {
                let (expected, got) = (trusted.next_validators_hash, set.hash());
                return Err(Rejection::from(Fault::new(Reason::NextValidatorsHash, expected, got)).into());
            }
            self.require_signed(signed, validators, Some((set, nearer)), budget)?;
        }
        self.require_not_ahead(signed.header.time, now)
    }

    /// Asserts that more than two thirds of `validators` signed and, where a trusted set is given, more than the trust
    /// level of it. Power is counted first; then only as many signatures are checked as the thresholds need, in the
    /// set's order, each once.
    ///
    /// # Errors
    /// The given shortfall when too little of the trusted set signed; `Reject` when the two thirds are missing or a
    /// signature that is counted is none.
    pub fn require_signed(
        &self,
        signed: &SignedHeader,
        validators: &ValidatorSet,
        trusted: Option<(&ValidatorSet, Shortfall)>,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        let mut counted = BTreeSet::new();
        if let Some((set, shortfall)) = trusted {
            // Powers are those of the trusted set, whatever the new one says.
            let power = |address: Address| {
                let index = set.addresses().iter().position(|known| *known == address)?;
                set.at(index).map(|(validator, _)| validator.power)
            };
            if !count(signed, validators, set.total(), self.trust_level, power, &mut counted) {
                return Err(shortfall.into());
            }
        }
        let powers = validators.addresses().iter().zip(validators.validators());
        let mut own: Vec<(Address, u64)> = powers.map(|(address, validator)| (*address, validator.power)).collect();
        own.sort_unstable();
        let power = |address: Address| {
            let index = own.binary_search_by_key(&address, |(address, _)| *address).ok()?;
            own.get(index).map(|(_, power)| *power)
        };
        if !count(signed, validators, validators.total(), TrustLevel::TWO_THIRDS, power, &mut counted) {
            let expected = format!("votes of more than two thirds of {}", validators.total());
            return Err(Rejection::from(Fault::new(Reason::Quorum, expected, voted(signed, validators))).into());
        }
        budget.signatures(counted.len())?;
        let bytes = VoteBytes::of(&signed.commit, &self.chain_id);
        let claims: Vec<Claim<'_>> = counted
            .iter()
            .filter_map(|index| {
                let (validator, _) = validators.at(*index)?;
                let entry = signed.commit.signatures.get(*index)?;
                Some(Claim { key: &validator.pub_key, message: bytes.at(entry.timestamp), signature: &entry.signature })
            })
            .collect();
        keys::verify_all(&claims).map_err(|fault| Rejection::from(fault).into())
    }
}

/// Adds to `counted` the indexes of votes for the block until their power exceeds the level; whether it does.
///
/// [`crate::commit::Commit::check`] has shown that each index holds the vote of its own validator and sets hold each
/// validator once, so that no power is added twice.
fn count(
    signed: &SignedHeader,
    validators: &ValidatorSet,
    total: u64,
    level: TrustLevel,
    power: impl Fn(Address) -> Option<u64>,
    counted: &mut BTreeSet<usize>,
) -> bool {
    let mut sum = 0_u64;
    for (index, (entry, address)) in signed.commit.signatures.iter().zip(validators.addresses()).enumerate() {
        if entry.flag != Flag::Commit {
            continue;
        }
        let Some(power) = power(*address) else { continue };
        // Below 2^60 by the set's own bound.
        sum = sum.saturating_add(power);
        counted.insert(index);
        if level.is_exceeded(sum, total) {
            return true;
        }
    }
    false
}

/// The power of all votes for the block.
fn voted(signed: &SignedHeader, validators: &ValidatorSet) -> u64 {
    let votes = signed.commit.signatures.iter().zip(validators.validators());
    votes
        .filter(|(entry, _)| entry.flag == Flag::Commit)
        .map(|(_, validator)| validator.power)
        .fold(0, u64::saturating_add)
}

fn require_after(trusted: &Trusted<'_>, signed: &SignedHeader) -> Result<(), Fault> {
    let header = &signed.header;
    if header.height <= trusted.height {
        return Err(Fault::new(Reason::Height, format!("a height above {}", trusted.height), header.height));
    }
    if header.time <= trusted.time {
        return Err(Fault::new(Reason::Time, format!("a time after {}", trusted.time), header.time));
    }
    Ok(())
}
