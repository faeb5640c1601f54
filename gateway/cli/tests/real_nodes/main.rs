//! The suite with real ledger nodes: what is proved here was sealed by a vendor's own program, not by our devnet.
//!
//! Compiled always, run only with `HUFU_REAL_NODES=1` (`cargo test -p hufu-gateway-cli --test real_nodes -- --nocapture`);
//! otherwise each test prints why it was skipped. Nodes live in a folder of their own that is gone afterwards, listen on
//! loopback only, and, where the kernel permits, in a network namespace of their own.
//!
//! A test begins with [`guard::enter`] and starts a [`geth::CliqueNetwork`] with what that returns, or with
//! [`guard::enter_with`] and starts an [`anvil::Anvil`] or a [`cometbft::network::Network`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stdout, reason = "which process was killed and how long things took is what a reader comes for")]

mod anvil;
mod city;
mod clique;
mod cometbft;
mod departments;
mod geth;
mod guard;
mod node;
mod ports;
mod program;
mod registry;
mod rpc;
mod samples;
mod signers;
mod unsealed;
mod viem;
mod wait;
