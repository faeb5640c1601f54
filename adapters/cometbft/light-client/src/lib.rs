//! CometBFT ledgers: what makes their headers final, and their transactions, results and state included.
//!
//! Pure: no I/O, no clock, no randomness; every list from outside has a named limit.

pub mod anchor;
pub mod block_state;
pub mod canonical_vote;
pub mod client;
pub mod commit;
pub mod cosmos;
pub mod decoder;
pub mod evidence;
pub mod fault;
pub mod hash;
pub mod header;
pub mod ics23;
pub mod keys;
pub mod merkle;
pub mod native;
pub mod protobuf;
pub mod results;
pub mod rpc;
pub mod selector;
pub mod step;
pub mod time;
pub mod validators;
pub mod verify;

mod proto;
mod text;
mod wire;

#[cfg(test)]
extern crate self as hufu_cometbft_light_client;
#[cfg(test)]
mod testing;

pub use anchor::Anchor;
pub use client::{CometbftLightClient, needs_evidence};
pub use decoder::{CometbftDecoder, CometbftFamily};
pub use evidence::Evidence;
pub use fault::Fault;
pub use hash::{Address, Hash32};
pub use header::Header;
pub use step::{LightStep, SignedHeader};
pub use time::Time;
pub use validators::{Validator, ValidatorSet};
