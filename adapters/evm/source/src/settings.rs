//! The operator's settings of a source, as they stand in the gateway's configuration:
//!
//! ```toml
//! source = { family = "evm", nodes = [{ name = "a", url = "http://127.0.0.1:8545" }], poll_milliseconds = 250 }
//! ```
//!
//! A node may carry `headers`, `ws` (where it announces new heads) and `requests_per_second` (what its operator allows).
//!
//! Which ledger the nodes must be on does not stand there: it comes from the operator's anchor.

use std::time::Duration;

use hufu_adapters_nodes::NodeSettings;
use hufu_evm_light_client::Anchor;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{ConfigFault, EvmSourceConfig, NodeConfig};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(rename = "family")]
    _family: String,
    nodes: Vec<NodeSettings>,
    poll_milliseconds: Option<u64>,
    request_milliseconds: Option<u64>,
}

/// A poll more often than this only loads the node.
const POLL_LEAST: u64 = 20;

impl EvmSourceConfig {
    /// Reads the `source` table of a configuration; `anchor` is the operator's anchor of the same ledger.
    ///
    /// # Errors
    /// What is unknown, missing or cannot work.
    pub fn from_json(settings: &Value, anchor: &Value) -> Result<Self, ConfigFault> {
        let settings: Settings = serde_json::from_value(settings.clone())
            .map_err(|fault| ConfigFault::of_settings("family, nodes = [{name, url, ws, headers, requests_per_second}], poll_milliseconds, request_milliseconds", &fault))?;
        let nodes = settings.nodes.into_iter().map(NodeConfig::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut config = Self::new(nodes, genesis(anchor)?);
        config.chain_id = anchor.get("chain_id").and_then(Value::as_u64);
        config.reorganises = Anchor::parse(anchor).is_ok_and(|anchor| anchor.consensus().reorganises());
        if let Some(poll) = settings.poll_milliseconds {
            config.patience.poll = Duration::from_millis(poll.max(POLL_LEAST));
        }
        if let Some(request) = settings.request_milliseconds {
            config.patience.request = Duration::from_millis(request);
        }
        config.check()?;
        Ok(config)
    }
}

/// The genesis hash of the anchored ledger: its own member, or the anchor's hash at height 0.
fn genesis(anchor: &Value) -> Result<[u8; 32], ConfigFault> {
    let text = anchor.get("genesis").or_else(|| anchor.get("hash")).and_then(Value::as_str).unwrap_or_default();
    let mut hash = [0; 32];
    hex::decode_to_slice(text.trim_start_matches("0x"), &mut hash)
        .map_err(|_| ConfigFault::new("anchor", "the hash of block 0, 0x and 64 hex digits", &text))?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn anchor() -> Value {
        json!({"family": "evm", "chain_id": 7, "height": 0, "hash": format!("0x{}", "ab".repeat(32))})
    }

    #[test]
    fn settings_of_an_operator() {
        let settings = json!({
            "family": "evm", "nodes": [{"name": "a", "url": "http://127.0.0.1:8545", "headers": {"authorization": "x"},
                "ws": "ws://127.0.0.1:8546", "requests_per_second": 25}],
            "poll_milliseconds": 100,
        });
        let config = EvmSourceConfig::from_json(&settings, &anchor()).unwrap();
        assert_eq!((config.genesis, config.chain_id), ([0xab; 32], Some(7)));
        assert_eq!(config.patience.poll, Duration::from_millis(100));
        let node = config.nodes.first().unwrap();
        assert_eq!((node.headers.len(), node.requests_per_second), (1, Some(25)));
        assert_eq!(node.ws.as_ref().map(url::Url::as_str), Some("ws://127.0.0.1:8546/"));
    }

    #[test]
    fn a_typo_an_empty_list_and_an_anchor_without_genesis_are_refused() {
        for settings in [
            json!({"family": "evm", "nodes": [{"name": "a", "url": "http://a", "ulr": "x"}]}),
            json!({"family": "evm", "nodes": [{"name": "a", "url": "http://a", "ws": "http://a"}]}),
            json!({"family": "evm", "nodes": [{"name": "a", "url": "http://a", "requests_per_second": 0}]}),
            json!({"family": "evm", "nodes": []}),
            json!({"family": "evm"}),
        ] {
            assert!(EvmSourceConfig::from_json(&settings, &anchor()).is_err(), "{settings}");
        }
        let good = json!({"family": "evm", "nodes": [{"name": "a", "url": "http://a"}]});
        assert!(EvmSourceConfig::from_json(&good, &json!({"family": "evm"})).is_err());
    }
}
