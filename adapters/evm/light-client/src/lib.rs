//! EVM consortium ledgers: what makes their headers final and their logs included.
//!
//! In scope: canonical RLP, headers up to Prague, QBFT, IBFT 2.0, legacy IBFT and Clique with votes followed header by
//! header, receipts tries rebuilt whole, events of one or several contracts decoded by pinned ABIs, proofs of accounts
//! and slots for who controls the code that spoke ([`control`]), proofs of single items ([`proof`]: a library that no lane
//! uses as yet), changes of storage slots as items ([`slots`]). [`EvmFamily`] is the door for the gateway.
//!
//! Out of scope: validator sets kept by a contract, which are refused (docs/evm.md).
//!
//! Pure: no I/O, no clock, no randomness; every list from outside has a named limit.

pub mod abi;
pub mod account;
pub mod address;
pub mod anchor;
pub mod bft;
pub mod block_state;
pub mod bloom;
pub mod body;
pub mod bytecode;
pub mod client;
pub mod clique;
pub mod control;
pub mod decoder;
pub mod fault;
pub mod get_proof;
pub mod header;
pub mod ibft1;
pub mod ibft2;
pub mod keccak;
pub mod lane_source;
pub mod pin;
pub mod proof;
pub mod qbft;
pub mod receipt;
pub mod recover;
pub mod rlp;
pub mod seal;
pub mod selector;
pub mod slots;
pub mod tally;
pub mod trie;
pub mod uint;

#[cfg(test)]
mod testing;

pub use address::Address;
pub use anchor::Anchor;
pub use client::{EvmLightClient, needs_evidence, pinned_speakers};
pub use decoder::{EvmDecoder, EvmFamily};
pub use fault::Fault;
pub use header::Header;
pub use keccak::{Hash32, keccak256};
pub use selector::LogSelector;
