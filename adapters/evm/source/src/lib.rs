//! Reads an EVM ledger over JSON-RPC from several nodes. Trusted for nothing.
//!
//! In scope: HTTP with limits on everything a node may do to us (time, bytes, batches) and on what we do to it (requests
//! a second, pauses that it asks for), announcements of new heads over WebSocket as a hint to ask, re-encoding JSON
//! answers into consensus bytes, and telling good nodes from bad ones. Nothing a node says of itself is believed: block hashes are
//! recomputed, receipts must rebuild the root of the trusted block.
//!
//! Out of scope: deciding finality or inclusion (hufu-evm-light-client); data over WebSocket, which is never used.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | which nodes, how patient |
//! | `hex_json` | `0x…` texts of JSON-RPC to bytes |
//! | `blocks` | a block's JSON to a header's bytes, and what a header's hash may be |
//! | `receipts` | a receipt's JSON to consensus bytes |
//! | `rpc` | requests, batches, answers: bytes in, bytes out |
//! | `heads` | how nodes announce new heads |
//! | `node` | one node: retries, splitting of batches, methods it lacks |
//! | [`source`] | the [`Source`](hufu_adapters_source::Source) over all nodes |
//!
//! What every family needs of nodes (transport, pauses, pace, benches, announcements, TLS) is in hufu-adapters-nodes.

mod blocks;
pub mod config;
mod control;
mod heads;
mod hex_json;
mod node;
mod receipts;
mod rpc;
mod settings;
mod slots;
pub mod source;

pub use config::{ConfigFault, EvmSourceConfig, Limits, NodeConfig, Patience, Secret};
pub use source::EvmSource;

/// For fuzzing alone: everything that is done with the bytes of a node's answer before anybody judges them.
#[doc(hidden)]
pub mod fuzzing {
    /// Reads a body as a message of a socket, and as the answer to two calls; each result as a block and as a list of receipts.
    pub fn answer(body: &[u8]) {
        hufu_adapters_nodes::hint::hear(crate::heads::DIALECT, body);
        let Ok(answers) = crate::rpc::read(body, 2) else { return };
        for result in answers.into_iter().flatten().flatten() {
            if let Ok(block) = serde_json::from_str::<crate::blocks::BlockJson<'_>>(result.get()) {
                let _ = block.to_rlp();
            }
            if let Ok(receipts) = serde_json::from_str::<Vec<crate::receipts::ReceiptJson<'_>>>(result.get()) {
                let _ = receipts.iter().map(crate::receipts::ReceiptJson::to_consensus).collect::<Result<Vec<_>, _>>();
            }
        }
    }
}
