//! The ways in which one node can be told to lie or fail.

use std::time::Duration;

use crate::abi::EventCall;
use crate::devnet::Devnet;

/// What a node does wrong. Several can hold at once; the ledger itself stays good, and other nodes too.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Misbehave {
    /// Headers from this height on carry one seal fewer than the block needs.
    SealsBelowQuorum {
        /// First height affected.
        from: u64,
    },
    /// As many seals as needed, but one of them twice.
    SealRepeated {
        /// First height affected.
        from: u64,
    },
    /// As many seals as needed, one of them a good signature by a key that is no validator's.
    SealOfAnOutsider {
        /// First height affected.
        from: u64,
    },
    /// The header states another round than the seals were made for. The block hash does not change.
    SealsOfAnotherRound {
        /// First height affected.
        from: u64,
    },
    /// The first log's last character is altered in every answer about receipts and logs; the header keeps its root.
    ForgedReceipts {
        /// First height affected.
        from: u64,
    },
    /// The last receipt of each block is left out where a whole block's receipts are asked for.
    OmittedReceipts,
    /// `eth_getLogs` leaves out the last log it found.
    OmittedLogs,
    /// The node is this many blocks behind.
    Lagging {
        /// Blocks missing at the top.
        by: u64,
    },
    /// The node stopped at this height.
    Stalled {
        /// Its last block.
        at: u64,
    },
    /// The validators signed twice: from this height on the node holds other blocks with good seals. The first of
    /// them carries these events, each with its contract; the later ones are empty.
    Fork {
        /// First height that differs; 1 to the present height.
        from: u64,
        /// What the first block of the branch says.
        events: Vec<([u8; 20], EventCall)>,
    },
    /// The node belongs to that other network. Start one with the same chain id and another seed for a network that
    /// only its genesis tells apart.
    OtherNetwork(Devnet),
    /// These methods do not exist on this node (code -32601).
    WithoutMethods(Vec<String>),
    /// Batches are refused (code -32600).
    WithoutBatches,
    /// An HTML page with status 200 in place of JSON.
    Html,
    /// This HTTP status and an empty body.
    Status(u16),
    /// The right answer cut off in the middle, with status 200.
    Truncated,
    /// The right answer behind so many blanks, which JSON allows.
    Oversized {
        /// Bytes put in front.
        padding: usize,
    },
    /// The right answer, so many bytes at a time.
    SlowDrip {
        /// Bytes in each piece.
        bytes: usize,
        /// Time before each piece.
        every: Duration,
    },
}
