//! Which ledger is read, from which nodes, and with what bounds.

pub use hufu_adapters_nodes::config::{ConfigFault, MAX_NODES, NodeConfig, Patience, Secret};

use hufu_adapters_nodes::config::check_nodes;
use hufu_cometbft_light_client::Anchor;
use hufu_cometbft_light_client::evidence::state::MAX_VALUES;

/// Where the store's name stands in [`CometbftSourceConfig::query_path`].
pub const STORE: &str = "{store}";

/// Bounds on what is asked for and on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one answer. The largest block by default (21 MiB) is 28 MiB in base64; its results may be as large.
    pub response_bytes: usize,
    /// Bytes of all answers that are read for one question to one node: a block with its results, both of the largest.
    pub held_bytes: usize,
    /// Requests that one node is sent at a time.
    pub in_flight: usize,
    /// Blocks whose evidence is fetched at a time.
    pub evidence_blocks: usize,
    /// Values that one block may add under running numbers; what the light client takes, at most.
    pub values: usize,
    /// Steps of one [`steps`](hufu_adapters_source::Source::steps) call, whatever the caller asks for.
    pub steps: usize,
    /// A node so many blocks below the best is `behind`.
    pub lag: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            response_bytes: 48 << 20,
            held_bytes: 96 << 20,
            in_flight: 8,
            evidence_blocks: 8,
            values: MAX_VALUES,
            steps: 1_024,
            lag: 8,
        }
    }
}

/// A CometBFT ledger as an operator describes it.
#[derive(Debug, Clone)]
pub struct CometbftSourceConfig {
    /// The nodes, in the order of preference.
    pub nodes: Vec<NodeConfig>,
    /// What the operator states about the ledger: who belongs to it, and whether heights may be passed over.
    pub anchor: Anchor,
    /// Path of `abci_query` for the keys of a store, with [`STORE`] where its name stands.
    pub query_path: String,
    /// Path of `abci_query` where the application's state is one tree without stores.
    pub query_path_without_store: String,
    /// How patient we are.
    pub patience: Patience,
    /// What is asked for at most.
    pub limits: Limits,
}

impl CometbftSourceConfig {
    /// With the default patience, limits and paths.
    pub fn new(nodes: Vec<NodeConfig>, anchor: Anchor) -> Self {
        Self {
            nodes,
            anchor,
            query_path: format!("/store/{STORE}/key"),
            query_path_without_store: "/key".to_owned(),
            patience: Patience::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigFault> {
        check_nodes(&self.nodes)?;
        if !self.query_path.contains(STORE) {
            return Err(ConfigFault::new("query_path", "a path with {store}", &format!("{:?}", self.query_path)));
        }
        let limits = &self.limits;
        let counts = [limits.evidence_blocks, limits.steps, limits.response_bytes, limits.in_flight];
        if counts.contains(&0) || limits.held_bytes < limits.response_bytes {
            let expected = "limits above 0, held_bytes not below response_bytes";
            return Err(ConfigFault::new("limits", expected, &format!("{limits:?}")));
        }
        Ok(())
    }
}
