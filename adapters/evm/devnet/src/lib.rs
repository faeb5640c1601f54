//! A small in-process QBFT ledger with real RLP, seals and tries, that can be told to misbehave.
//!
//! [`Devnet::start`] runs n validators inside the calling process: no consensus messages are exchanged, but what
//! comes out is what a GoQuorum network makes, byte for byte in form: headers of 15 fields, QBFT extraData with
//! committed seals, votes, epochs, round-robin proposers, tries of transactions, receipts and state, and JSON-RPC over
//! HTTP and WebSocket on the loopback interface. It is held to blocks recorded from a real network (`tests/recorded.rs`).
//!
//! [`Devnet::add_node`] opens further endpoints of the same network. Each holds its own choice of seals, as real
//! nodes do, and each can be told to lie ([`Misbehave`]).
//!
//! The modules below `devnet` and `http` are pure: time is an argument, keys come from the seed, and the same calls
//! always make the same blocks.

pub mod abi;
pub mod bare;
pub mod block;
pub mod chain;
pub mod extra;
pub mod keys;
pub mod receipt;
pub mod registry;
pub mod rlp;
pub mod state;
pub mod tally;
pub mod transaction;

mod devnet;
mod error;
mod frame;
mod http;
mod logs;
mod misbehave;
mod render;
mod rpc;
mod socket;
mod view;

pub use abi::EventCall;
pub use devnet::{Devnet, DevnetConfig, NodeHandle, run};
pub use error::DevnetError;
pub use misbehave::Misbehave;
