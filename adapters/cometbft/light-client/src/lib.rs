//! CometBFT ledgers: what makes their headers final, and their transactions, results and state included.
//!
//! Pure: no I/O, no clock, no randomness; every list from outside has a named limit.

pub mod commit;
pub mod fault;
pub mod hash;
pub mod header;
pub mod keys;
pub mod merkle;
pub mod rpc;
pub mod step;
pub mod time;
pub mod validators;
pub mod verify;

mod canonical_vote;
mod proto;
mod text;

pub use fault::Fault;
pub use hash::{Address, Hash32};
pub use header::Header;
pub use step::{LightStep, SignedHeader};
pub use time::Time;
pub use validators::{Validator, ValidatorSet};
