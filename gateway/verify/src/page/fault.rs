//! Why a leaf waits, and why a page is refused.

use hufu_adapters_light_client::{Rejection, Shortfall};
use hufu_schemas_core::checkpoint::CheckpointFault;
use hufu_schemas_core::merkle::ProofFault;
use hufu_schemas_core::{Height, LaneId, LedgerId, Timestamp};

use crate::admission::Misconduct;

/// Why a leaf waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// The light client needs more.
    #[error("ledger {ledger}: {shortfall}")]
    Ledger {
        /// The ledger.
        ledger: LedgerId,
        /// What it needs.
        shortfall: Shortfall,
    },
    /// The ledger is frozen; an operator must look.
    #[error("ledger {ledger} is frozen: {reason}")]
    Frozen {
        /// The ledger.
        ledger: LedgerId,
        /// Why.
        reason: String,
    },
}

impl Waiting {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Ledger { shortfall, .. } => shortfall.reason(),
            Self::Frozen { .. } => "ledger-frozen",
        }
    }

    /// The ledger that must move first.
    pub const fn ledger(&self) -> &LedgerId {
        match self {
            Self::Ledger { ledger, .. } | Self::Frozen { ledger, .. } => ledger,
        }
    }
}

/// Why a page is refused whole. Nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageRejection {
    /// The operator's policy does not name the lane.
    #[error("expected a lane that the policy names, got {0}: add a [[lane]] to the policy to take it in")]
    LaneNotTrusted(LaneId),
    /// The lane is frozen.
    #[error("lane {lane} is frozen: {reason}")]
    Frozen {
        /// The lane.
        lane: LaneId,
        /// Why.
        reason: String,
    },
    /// This gateway's clock was set back.
    #[error("this gateway's clock says {now}, but it has already acted at {high_water}: set the clock right")]
    ClockBehind {
        /// The clock.
        now: Timestamp,
        /// The high-water.
        high_water: Timestamp,
    },
    /// The page does not begin at the leaf wanted.
    #[error("expected a page that begins at leaf {expected}, got {got}")]
    Gap {
        /// The leaf wanted.
        expected: u64,
        /// The page's first.
        got: u64,
    },
    /// The checkpoint is malformed, of another lane, or not signed by a trusted key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointFault),
    /// The checkpoint is smaller than the page or than one seen before, or its time goes back or ahead.
    #[error("checkpoint: expected {expected}, got {got}")]
    CheckpointOrder {
        /// The label.
        reason: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// The page's leaves do not lead to the signed root.
    #[error("the leaves do not lead to the signed root: {0}")]
    Join(ProofFault),
    /// The checkpoint does not continue the one seen before.
    #[error("the checkpoint does not continue the one of size {size} seen before: {fault}")]
    Inconsistent {
        /// Size of the one seen before.
        size: u64,
        /// Why.
        fault: ProofFault,
    },
    /// The origin signed what cannot be true: the lane freezes.
    #[error("{}: {}", .0.reason, .0.detail)]
    Misconduct(Box<Misconduct>),
    /// A leaf that the log itself forbids.
    #[error("leaf {sequence}: expected {expected}, got {got}")]
    Leaf {
        /// The leaf.
        sequence: u64,
        /// The label.
        reason: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// Ledger evidence that does not close. It is not signed: the courier may have altered it.
    #[error("leaf {sequence}: the evidence of block {height} does not close: {fault}")]
    Evidence {
        /// The leaf.
        sequence: u64,
        /// The block.
        height: Height,
        /// The light client's words.
        fault: Rejection,
    },
}

impl PageRejection {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LaneNotTrusted(_) => "lane-not-trusted",
            Self::Frozen { .. } => "lane-frozen",
            Self::ClockBehind { .. } => "clock-behind",
            Self::Gap { .. } => "leaf-gap",
            Self::Checkpoint(fault) => fault.reason(),
            Self::CheckpointOrder { reason, .. } | Self::Leaf { reason, .. } => reason,
            Self::Join(_) => "join-does-not-close",
            Self::Inconsistent { .. } => "checkpoint-inconsistent",
            Self::Misconduct(misconduct) => misconduct.reason,
            Self::Evidence { fault, .. } => fault.reason(),
        }
    }

    /// The leaf it is about, where it is about one.
    pub const fn sequence(&self) -> Option<u64> {
        match self {
            Self::Leaf { sequence, .. } | Self::Evidence { sequence, .. } => Some(*sequence),
            Self::Misconduct(misconduct) => misconduct.sequence,
            _ => None,
        }
    }
}
