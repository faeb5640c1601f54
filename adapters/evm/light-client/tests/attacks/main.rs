//! Attacks on headers, each over every consensus kind that it can be made on, through the door that the gateway uses.
//! docs/evm-attacks.md lists them beside those on proofs, receipts and exports; `table` holds that list to the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

mod headers;
#[path = "../ledger/mod.rs"]
mod ledger;
mod retired;
mod table;
#[path = "../../src/testing.rs"]
#[allow(dead_code, reason = "the builders of the unit tests, of which this file uses a part")]
mod testing;

// What the builders of the unit tests name by `crate::`.
use hufu_evm_light_client::{address, bft, clique, fault, header, keccak, rlp, seal, trie};
