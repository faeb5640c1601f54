//! One test binary: recordings of real networks through the devnet's types, the ledger it makes, what its nodes answer, its
//! misbehaviours, and the light client that follows it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests state facts, and a broken fact should stop them"
)]

mod follow;
mod ledger;
mod misbehaviour;
mod proofs;
mod recorded;
mod shapes;
mod sockets;
mod support;
