//! One test binary: recorded blocks through the devnet's types, the ledger it makes, and its misbehaviours.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests state facts, and a broken fact should stop them"
)]

mod ledger;
mod misbehaviour;
mod recorded;
mod sockets;
mod state;
mod support;
