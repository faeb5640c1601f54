//! The source against nodes: of an in-process ledger that can be told to misbehave, and against a server that gives
//! real nodes' recorded answers byte for byte.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests state facts too")]

mod bad_nodes;
mod fake;
mod ledger;
mod recorded;
mod support;
mod witnesses;
