//! What verification of one input may cost. Hostile bytes cannot buy unbounded work: every signature and every hashed
//! byte is spent from here first.

use crate::outcome::Rejection;

/// Counters that a light client spends as it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    signatures: u64,
    hashed_bytes: u64,
}

impl Budget {
    /// For one update: 512 headers × 256 validators = 131,072 recoveries (about 4 s of one core), 128 MiB hashed.
    pub const fn for_update() -> Self {
        Self { signatures: 131_072, hashed_bytes: 128 << 20 }
    }

    /// For one block's evidence: no signatures, 64 MiB hashed (a block of 2,000 receipts of 10 KiB, three times).
    pub const fn for_evidence() -> Self {
        Self { signatures: 0, hashed_bytes: 64 << 20 }
    }

    /// A budget of one's own.
    pub const fn new(signatures: u64, hashed_bytes: u64) -> Self {
        Self { signatures, hashed_bytes }
    }

    /// Spends `count` signature checks.
    pub fn signatures(&mut self, count: usize) -> Result<(), Rejection> {
        spend(&mut self.signatures, count, "signature checks")
    }

    /// Spends `count` hashed bytes.
    pub fn hashed_bytes(&mut self, count: usize) -> Result<(), Rejection> {
        spend(&mut self.hashed_bytes, count, "hashed bytes")
    }
}

fn spend(left: &mut u64, count: usize, what: &str) -> Result<(), Rejection> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    match left.checked_sub(count) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(Rejection::new("budget-exhausted", format!("at most {left} more {what}"), count.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone() {
        let mut budget = Budget::new(3, 10);
        budget.signatures(2).unwrap();
        assert_eq!(budget.signatures(2).unwrap_err().reason(), "budget-exhausted");
        budget.signatures(1).unwrap();
        assert!(budget.hashed_bytes(11).is_err());
    }
}
