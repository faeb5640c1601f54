//! The one module that mints [`Verified`].
//!
//! Whoever holds a `Verified<T>` can name every check that was made: its constructor is visible in this crate alone, and
//! this crate calls it in two places, [`crate::page`] (what a peer sent) and [`crate::origin`] (what this gateway read
//! itself). `Store::admit` takes nothing else.

use hufu_adapters_light_client::{Control, Finality};
use hufu_schemas_core::{BlockHash, Digest, LaneId, LedgerId, Position, Record, Timestamp};
use hufu_schemas_registry::QualityNote;

use crate::assurance::{Assurance, Completeness};

/// Something that was verified, with why it is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified<T> {
    value: T,
    basis: Basis,
}

/// Why and whence.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// The lane it came by.
    pub lane: LaneId,
    /// Its leaf.
    pub sequence: u64,
    /// The ledger it stands on.
    pub ledger: LedgerId,
    /// Where on it.
    pub position: Position,
    /// Which of the events its native item decodes to.
    pub item: u32,
    /// Identity of its block.
    pub block_hash: BlockHash,
    /// The ledger's own time of its block.
    pub block_time: Timestamp,
    /// How firmly its block is settled.
    pub finality: Finality,
    /// Why it is believed.
    pub assurance: Assurance,
    /// Who can change the code that made the item.
    pub control: Control,
    /// What is known not to be missing.
    pub completeness: Completeness,
    /// The vendor's own bytes.
    pub native: Vec<u8>,
    /// Digest of the policy under which it was believed.
    pub policy: Digest,
    /// When the origin says it saw it.
    pub observed_at: Timestamp,
    /// What the receiver recomputed about its quality (check digits and the like).
    pub quality: Vec<QualityNote>,
}

impl<T> Verified<T> {
    pub(crate) const fn mint(value: T, basis: Basis) -> Self {
        Self { value, basis }
    }

    /// What was verified.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// Why and whence.
    pub const fn basis(&self) -> &Basis {
        &self.basis
    }
}

impl Verified<Record> {
    /// The record.
    pub const fn record(&self) -> &Record {
        &self.value
    }
}

/// `Verified` cannot be made elsewhere:
///
/// ```compile_fail
/// use hufu_gateway_verify::Verified;
/// let forged = Verified { value: 1, basis: todo!() };
/// ```
///
/// ```compile_fail
/// use hufu_gateway_verify::Verified;
/// let forged = Verified::mint(1, todo!());
/// ```
#[cfg(doctest)]
struct CannotBeForged;
