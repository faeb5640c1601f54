//! What a gateway believes and what it refuses, on the simulated ledger. Tests are named after what they refuse.
//!
//! - `log_faults`: a page that the log itself forbids is refused whole;
//! - `leaf_faults`: one bad leaf is held, the lane moves on;
//! - `shortfalls`: headers, heads and clocks that make a page wait;
//! - `evidence`: evidence files;
//! - `decisions`: the decisions of the design that this crate carries out, by number;
//! - `properties`: damaged bytes;
//! - `told`: items that nodes merely tell;
//! - `withheld`: what an origin leaves out of its lane.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod control;
mod decisions;
mod evidence;
mod leaf_faults;
mod log_faults;
mod properties;
mod shortfalls;
mod support;
mod told;
mod withheld;
