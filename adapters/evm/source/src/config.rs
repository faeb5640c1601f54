//! Which ledger is read, from which nodes, and with what bounds.

pub use hufu_adapters_nodes::config::{ConfigFault, MAX_NODES, NodeConfig, Patience, Secret};

use hufu_adapters_nodes::config::check_nodes;

/// Bounds on what is asked for and on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one answer. The largest evidence (32 MiB) is 64 MiB in hex; a busy block of 2,000 receipts is about
    /// 4 MiB in JSON.
    pub response_bytes: usize,
    /// Bytes of all answers that are held at once for one question to one node: two of the largest.
    pub held_bytes: usize,
    /// Batches that one node is asked at a time.
    pub in_flight: usize,
    /// Requests of one batch of headers or single receipts. 64 headers of 2 KiB are 256 KiB in hex.
    pub batch: usize,
    /// Blocks whose receipts one batch asks for.
    pub receipts_batch: usize,
    /// Headers of one [`steps`](hufu_adapters_source::Source::steps) call, whatever the caller asks for.
    pub steps: usize,
    /// A node so many blocks below the best is `behind`.
    pub lag: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            response_bytes: 72 << 20,
            held_bytes: 144 << 20,
            in_flight: 4,
            batch: 64,
            receipts_batch: 8,
            steps: 1_024,
            lag: 8,
        }
    }
}

/// An EVM ledger as an operator describes it.
#[derive(Debug, Clone)]
pub struct EvmSourceConfig {
    /// The nodes, in the order of preference.
    pub nodes: Vec<NodeConfig>,
    /// Hash of block 0: what decides whether a node belongs to this ledger.
    pub genesis: [u8; 32],
    /// What `eth_chainId` must answer. Proves nothing (chain ids repeat), but catches mistakes.
    pub chain_id: Option<u64>,
    /// Whether blocks that were trusted may be undone on this ledger. Then a node on another branch is no fault by itself:
    /// the light client decides between branches.
    pub reorganises: bool,
    /// How patient we are.
    pub patience: Patience,
    /// What is asked for at most.
    pub limits: Limits,
}

impl EvmSourceConfig {
    /// With the default patience and limits.
    pub fn new(nodes: Vec<NodeConfig>, genesis: [u8; 32]) -> Self {
        Self {
            nodes,
            genesis,
            chain_id: None,
            reorganises: false,
            patience: Patience::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigFault> {
        check_nodes(&self.nodes)?;
        let limits = &self.limits;
        let counts = [limits.batch, limits.receipts_batch, limits.steps, limits.response_bytes, limits.in_flight];
        if counts.contains(&0) || limits.held_bytes < limits.response_bytes {
            return Err(ConfigFault::new(
                "limits",
                "limits above 0, held_bytes not below response_bytes",
                &format!("{limits:?}"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_that_cannot_work() {
        let node = || NodeConfig::new("a", "http://user:password@host/key").unwrap();
        assert!(EvmSourceConfig::new(Vec::new(), [0; 32]).check().is_err());
        assert!(EvmSourceConfig::new(vec![node(), node()], [0; 32]).check().is_err());
        let mut config = EvmSourceConfig::new(vec![node()], [0; 32]);
        assert_eq!(config.check(), Ok(()));
        assert!(!format!("{config:?}").contains("host"));
        config.limits.batch = 0;
        assert!(config.check().is_err());
    }
}
