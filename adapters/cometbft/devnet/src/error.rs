//! What can go wrong when the ledger is told to do something.

/// Why the development ledger refused.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// The configuration makes no ledger.
    #[error("configuration: expected {expected}, got {got}")]
    Config {
        /// What a good value looks like.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// Too little of the power would vote for the block. What is queued stays queued.
    #[error("no block: more than 2/3 of the power {total} must vote for it, {voting} do")]
    NoQuorum {
        /// Power of the set in force.
        total: i64,
        /// Power of those that run and vote for blocks.
        voting: i64,
    },
    /// The queued transactions change validators in a way at which a real network halts. They stay queued.
    #[error("no block: {0}")]
    Halted(String),
    /// The application could not read such a transaction.
    #[error("transaction: {0}")]
    Transaction(String),
    /// A height that the ledger has not reached, or at which this cannot be done.
    #[error("height: expected {low} to {high}, got {got}")]
    Height {
        /// The lowest that would do.
        low: u64,
        /// The highest.
        high: u64,
        /// The height asked for.
        got: u64,
    },
    /// No validator has this index.
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
