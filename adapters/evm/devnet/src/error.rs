//! What can go wrong when the ledger is told to do something.

use crate::abi::AbiError;

/// Why the development ledger refused.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// The configuration makes no ledger.
    #[error("configuration: expected {expected}, got {got}")]
    Config {
        /// What a good value looks like.
        expected: &'static str,
        /// What was given.
        got: u64,
    },
    /// Fewer validators run than a block needs seals.
    #[error("no block: {needed} validators must run, {live} do")]
    NoQuorum {
        /// Seals a block needs: ceil(2n/3).
        needed: usize,
        /// Validators of the set in force that run.
        live: usize,
    },
    /// The event call cannot be encoded.
    #[error(transparent)]
    Abi(#[from] AbiError),
    /// A height that the ledger has not reached, or genesis where a mined block was needed.
    #[error("height: expected 1 to {head}, got {got}")]
    Height {
        /// The last block.
        head: u64,
        /// The height asked for.
        got: u64,
    },
    /// No validator or node has this index.
    #[error("index: expected below {count}, got {got}")]
    Index {
        /// How many there are.
        count: usize,
        /// The index asked for.
        got: usize,
    },
    /// The loopback port could not be opened.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] std::io::Error),
}
