//! Reads a CometBFT ledger over its RPC from several nodes. Trusted for nothing.
//!
//! In scope: `status`, `commit`, `validators` (all pages), `block`, `block_results` and `abci_query` with proofs, in
//! JSON-RPC over HTTP with limits on everything a node may do to us; announcements of new headers over WebSocket as a
//! hint to ask; headers passed over where the anchor allows it; telling good nodes from bad ones. What a node says is
//! checked against itself and against what the light client trusts: hashes are recomputed, validators must hash to what
//! their header names, evidence must close under the trusted block.
//!
//! Out of scope: deciding finality or inclusion (hufu-cometbft-light-client); data over WebSocket, which is never used;
//! sending transactions.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | which ledger, which nodes, how much is asked |
//! | `settings` | the same as an operator writes it |
//! | `rpc` | requests to bytes, answers from bytes; the words in which nodes refuse |
//! | `heads` | how nodes announce new headers |
//! | `node` | one node: what is asked of it, several requests at a time |
//! | `sets` | validator sets, known by their hash |
//! | `steps` | steps of each height, or of those that a jump needs (bisection) |
//! | `evidence` | what shows a lane's items in a block |
//! | `state` | proofs of keys and of running numbers |
//! | [`source`] | the [`Source`](hufu_adapters_source::Source) over all nodes |
//!
//! What every family needs of nodes (transport, pauses, pace, benches, announcements, TLS) is in hufu-adapters-nodes.

pub mod config;
mod evidence;
mod heads;
mod node;
mod rpc;
mod sets;
mod settings;
pub mod source;
mod state;
mod steps;

pub use config::{CometbftSourceConfig, ConfigFault, Limits, NodeConfig, Patience, Secret};
pub use source::CometbftSource;

/// For fuzzing alone: everything that is done with the bytes of a node's answer before anybody judges them.
#[doc(hidden)]
pub mod fuzzing {
    use hufu_cometbft_light_client::rpc::{evidence, light};

    /// Reads a body as a message of a socket, and as the answer to each call.
    pub fn answer(body: &[u8]) {
        hufu_adapters_nodes::hint::hear(crate::heads::DIALECT, body);
        let Ok(Ok(result)) = crate::rpc::read(body) else { return };
        let _ = crate::node::Claim::read(&result);
        let _ = light::signed_header(&result);
        let _ = light::validators(std::slice::from_ref(&result));
        let _ = evidence::executed(&result, &result);
        let _ = evidence::queried(&result);
    }
}
