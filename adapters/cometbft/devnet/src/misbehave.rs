//! The ways in which one node can be told to lie or fail.

use std::time::Duration;

use crate::devnet::Devnet;

/// What a node does wrong. Several can hold at once; the ledger itself stays good, and other nodes too.
///
/// Where transactions are given for a block that shall differ and there are none, it carries `put branch=HEIGHT`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Misbehave {
    /// Commits from this height on lack votes until no more than two thirds of the power are left: the last ones are
    /// shown as absent.
    CommitBelowQuorum {
        /// First height affected.
        from: u64,
    },
    /// The first vote of each commit from this height on has one bit of its signature altered.
    ForgedSignature {
        /// First height affected.
        from: u64,
    },
    /// The validators signed a second block of this height, and this node shows that one; those above it are the
    /// ledger's own. Needs votes of the whole set.
    DoubleSign {
        /// The height, 2 to the present one.
        height: u64,
        /// Transactions of the second block.
        txs: Vec<String>,
    },
    /// The validators signed another history, which this node holds from this height on. It grows with the ledger.
    Fork {
        /// First height that differs, 2 to the present one.
        from: u64,
        /// Transactions of its first block; the later ones are empty.
        txs: Vec<String>,
    },
    /// As [`Misbehave::Fork`], but signed by the validators of an earlier height, whom its headers name.
    RetiredValidators {
        /// First height that differs, 2 to the present one.
        from: u64,
        /// Whose keys sign.
        of: u64,
        /// Transactions of its first block.
        txs: Vec<String>,
    },
    /// `/validators` answers the set of an earlier height, as if it were the one asked for.
    OldValidators {
        /// First height affected.
        from: u64,
        /// Whose set is shown.
        of: u64,
    },
    /// The first result of each block from this height on carries another code and other events; headers keep their root.
    AlteredResults {
        /// First height affected.
        from: u64,
    },
    /// The last transaction of each block from this height on is left out of `/block`, with its result.
    OmittedTransactions {
        /// First height affected.
        from: u64,
    },
    /// `/abci_query` alters the last letter of values and keeps their proofs.
    AlteredState,
    /// `/abci_query` answers from the application of that other ledger.
    OtherApplication(Devnet),
    /// `/abci_query` and `/tx` answer without proofs.
    WithoutProofs,
    /// The node belongs to that other network. Start one with the same chain id and another seed for a network that
    /// only its blocks tell apart.
    OtherNetwork(Devnet),
    /// Blocks below this height are no longer kept.
    Pruned {
        /// The lowest height that is.
        base: u64,
    },
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
    /// These methods do not exist on this node.
    WithoutMethods(Vec<String>),
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
