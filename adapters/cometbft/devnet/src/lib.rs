//! A small in-process CometBFT ledger with real headers, commits and state proofs, that can be told to misbehave.
//!
//! [`Devnet::start`] runs n Ed25519 validators inside the calling process: no consensus messages are exchanged, but what
//! comes out is what a network of CometBFT 0.38 makes: headers of 14 fields, commits of signed canonical votes with
//! absent and nil entries, proposers by priority, validator updates in force two blocks later, results and state under the
//! next header, ICS-23 proofs of keys and of their absence, and the RPC over HTTP and WebSocket on the loopback
//! interface. It is held to recordings of real networks (`tests/suite/recorded.rs`).
//!
//! [`Devnet::add_node`] opens further endpoints of the same network; each can be told to lie ([`Misbehave`]).
//!
//! The modules below `devnet` and `http` are pure: time is an argument, keys come from the seed, and the same calls
//! always make the same blocks.

pub mod app;
pub mod block;
pub mod chain;
pub mod commit;
pub mod header;
pub mod keys;
pub mod merkle;
pub mod render;
pub mod time;
pub mod tree;
pub mod validators;
pub mod wire;

mod devnet;
mod error;
mod frame;
mod http;
mod misbehave;
mod params;
mod rpc;
mod socket;
mod view;

pub use devnet::{Devnet, DevnetConfig, NodeHandle, TRUSTING_PERIOD, run};
pub use error::DevnetError;
pub use misbehave::Misbehave;
