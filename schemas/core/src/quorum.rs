//! The one place that counts signers.
//!
//! A quorum counts *members of a trusted set*, each once, whatever number of keys or signatures a member brings
//! (design, decision 11; peers.md section 9: Ronin, Harmony, ISA-2025-003). The loop variable is the trusted set's
//! member; a threshold of zero cannot be written.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::num::NonZeroUsize;

/// A trusted set with the number of its members that must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum<M: Ord> {
    members: BTreeSet<M>,
    threshold: NonZeroUsize,
}

/// Why a trusted set cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumFault {
    /// Nobody to ask.
    #[error("expected a set of at least one member, got none")]
    Empty,
    /// One member listed twice would count twice.
    #[error("expected each member once, got {members} entries for {distinct} members")]
    Repeated {
        /// Entries given.
        members: usize,
        /// Distinct members among them.
        distinct: usize,
    },
    /// More signers asked than there are members, or none asked.
    #[error("expected a threshold between 1 and {members}, got {threshold}")]
    Threshold {
        /// Members of the set.
        members: usize,
        /// Threshold asked for.
        threshold: usize,
    },
}

/// Why a list of signers does not make the quorum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoQuorum<M: Debug> {
    /// A signer who is not a member of the trusted set.
    #[error("signer {0:?} is not a member of the trusted set")]
    Outsider(M),
    /// One member's signature came twice.
    #[error("signer {0:?} signed more than once")]
    Repeated(M),
    /// Too few.
    #[error("expected {need} distinct signers, got {have}")]
    Below {
        /// Distinct members who signed.
        have: usize,
        /// Members who must sign.
        need: usize,
    },
}

impl<M: Debug> NoQuorum<M> {
    /// The metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Outsider(_) => "signer-not-a-member",
            Self::Repeated(_) => "signer-repeated",
            Self::Below { .. } => "below-quorum",
        }
    }
}

impl<M: Ord + Clone + Debug> Quorum<M> {
    /// `threshold` of `members`.
    pub fn new(members: impl IntoIterator<Item = M>, threshold: usize) -> Result<Self, QuorumFault> {
        let mut entries = 0usize;
        let members: BTreeSet<M> = members.into_iter().inspect(|_| entries += 1).collect();
        if members.is_empty() {
            return Err(QuorumFault::Empty);
        }
        if members.len() != entries {
            return Err(QuorumFault::Repeated { members: entries, distinct: members.len() });
        }
        let fault = QuorumFault::Threshold { members: members.len(), threshold };
        let threshold = NonZeroUsize::new(threshold).filter(|t| t.get() <= members.len()).ok_or(fault)?;
        Ok(Self { members, threshold })
    }

    /// ceil(2n/3) of `members`: 3 of 4, 2 of 3, 1 of 1, 4 of 6. Never a truncating formula (ledgers.md 3.3).
    pub fn two_thirds(members: impl IntoIterator<Item = M>) -> Result<Self, QuorumFault> {
        let members: Vec<M> = members.into_iter().collect();
        let need = members.len().saturating_mul(2).div_ceil(3);
        if members.is_empty() {
            return Err(QuorumFault::Empty);
        }
        Self::new(members, need)
    }

    /// floor(n/2)+1 of `members`.
    pub fn majority(members: impl IntoIterator<Item = M>) -> Result<Self, QuorumFault> {
        let members: Vec<M> = members.into_iter().collect();
        if members.is_empty() {
            return Err(QuorumFault::Empty);
        }
        let need = members.len() / 2 + 1;
        Self::new(members, need)
    }

    /// Members who must sign.
    pub fn need(&self) -> usize {
        self.threshold.get()
    }

    /// The trusted set.
    pub const fn members(&self) -> &BTreeSet<M> {
        &self.members
    }

    /// For ledgers, whose own rules refuse a block with a foreign or doubled seal: every signer must be a member, once.
    pub fn require_exactly_members(&self, signers: &[M]) -> Result<BTreeSet<M>, NoQuorum<M>> {
        let mut seen = BTreeSet::new();
        for signer in signers {
            if !self.members.contains(signer) {
                return Err(NoQuorum::Outsider(signer.clone()));
            }
            if !seen.insert(signer.clone()) {
                return Err(NoQuorum::Repeated(signer.clone()));
            }
        }
        self.enough(seen)
    }

    /// For notes, which anybody may cosign: strangers are passed over, members count once.
    pub fn require_among(&self, signers: impl IntoIterator<Item = M>) -> Result<BTreeSet<M>, NoQuorum<M>> {
        let seen = signers.into_iter().filter(|signer| self.members.contains(signer)).collect();
        self.enough(seen)
    }

    fn enough(&self, seen: BTreeSet<M>) -> Result<BTreeSet<M>, NoQuorum<M>> {
        if seen.len() < self.need() {
            return Err(NoQuorum::Below { have: seen.len(), need: self.need() });
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_thirds_never_truncates() {
        for (n, need) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (9, 6), (10, 7), (100, 67)] {
            assert_eq!(Quorum::two_thirds(0..n).unwrap().need(), need, "n = {n}");
        }
    }

    #[test]
    fn threshold_zero_and_empty_set_cannot_be_written() {
        assert!(matches!(Quorum::new([1, 2], 0), Err(QuorumFault::Threshold { .. })));
        assert!(matches!(Quorum::new([1, 2], 3), Err(QuorumFault::Threshold { .. })));
        assert_eq!(Quorum::<u8>::two_thirds([]), Err(QuorumFault::Empty));
        assert_eq!(Quorum::<u8>::majority([]), Err(QuorumFault::Empty));
        assert!(matches!(Quorum::new([1, 1, 2], 2), Err(QuorumFault::Repeated { members: 3, distinct: 2 })));
    }

    /// Design, decision 11: an organisation counts once, however many keys it holds.
    #[test]
    fn decision_11_an_organisation_with_three_keys_counts_once() {
        let quorum = Quorum::new(["notary", "land", "tax"], 2).unwrap();
        let by_one_with_three_keys = ["notary", "notary", "notary"];
        assert_eq!(quorum.require_among(by_one_with_three_keys), Err(NoQuorum::Below { have: 1, need: 2 }));
        assert!(quorum.require_among(["notary", "stranger", "tax"]).is_ok());
    }

    #[test]
    fn one_seal_repeated_and_an_outsiders_seal_are_refused() {
        let quorum = Quorum::two_thirds([1, 2, 3, 4]).unwrap();
        assert_eq!(quorum.require_exactly_members(&[1, 2, 2]), Err(NoQuorum::Repeated(2)));
        assert_eq!(quorum.require_exactly_members(&[1, 2, 9]), Err(NoQuorum::Outsider(9)));
        assert_eq!(quorum.require_exactly_members(&[1, 2]), Err(NoQuorum::Below { have: 2, need: 3 }));
        assert_eq!(quorum.require_exactly_members(&[4, 1, 3]).unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn what_is_accepted_always_holds_enough_distinct_members(
            members in proptest::collection::btree_set(0u8..20, 1..12),
            signers in proptest::collection::vec(0u8..20, 0..30),
        ) {
            let quorum = Quorum::two_thirds(members.clone()).unwrap();
            let distinct = signers.iter().filter(|s| members.contains(s)).collect::<BTreeSet<_>>().len();
            prop_assert_eq!(quorum.require_among(signers.clone()).is_ok(), 3 * distinct >= 2 * members.len());
            if quorum.require_exactly_members(&signers).is_ok() {
                prop_assert!(3 * distinct >= 2 * members.len() && distinct == signers.len());
            }
        }
    }
}
