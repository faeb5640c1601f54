//! The operator's settings of a source, as they stand in the gateway's configuration:
//!
//! ```toml
//! source = { family = "cometbft", nodes = [{ name = "a", url = "http://127.0.0.1:26657" }], poll_milliseconds = 250 }
//! ```
//!
//! A node may carry `headers`, `ws` (`ws://…/websocket`, where it announces new headers) and `requests_per_second`. The
//! first node that serves is the primary, the others are its witnesses. `query_path` and `query_path_without_store` say
//! where an application answers for keys, if not at `/store/{store}/key` and `/key`.
//!
//! Which ledger the nodes must be on does not stand there: it comes from the operator's anchor.

use std::time::Duration;

use hufu_adapters_nodes::NodeSettings;
use hufu_cometbft_light_client::Anchor;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{CometbftSourceConfig, ConfigFault, NodeConfig};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(rename = "family")]
    _family: String,
    nodes: Vec<NodeSettings>,
    poll_milliseconds: Option<u64>,
    request_milliseconds: Option<u64>,
    query_path: Option<String>,
    query_path_without_store: Option<String>,
}

const KEYS: &str = "family, nodes = [{name, url, ws, headers, requests_per_second}], poll_milliseconds, \
                    request_milliseconds, query_path, query_path_without_store";

/// A poll more often than this only loads the node.
const POLL_LEAST: u64 = 20;

impl CometbftSourceConfig {
    /// Reads the `source` table of a configuration; `anchor` is the operator's anchor of the same ledger.
    ///
    /// # Errors
    /// What is unknown, missing or cannot work.
    pub fn from_json(settings: &Value, anchor: &Value) -> Result<Self, ConfigFault> {
        let settings: Settings =
            serde_json::from_value(settings.clone()).map_err(|fault| ConfigFault::of_settings(KEYS, &fault))?;
        let nodes = settings.nodes.into_iter().map(NodeConfig::try_from).collect::<Result<Vec<_>, _>>()?;
        let anchor = Anchor::parse(anchor)
            .map_err(|fault| ConfigFault::new(&format!("anchor{}", fault.pointer), &fault.expected, &fault.got))?;
        let mut config = Self::new(nodes, anchor);
        if let Some(poll) = settings.poll_milliseconds {
            config.patience.poll = Duration::from_millis(poll.max(POLL_LEAST));
        }
        if let Some(request) = settings.request_milliseconds {
            config.patience.request = Duration::from_millis(request);
        }
        config.query_path = settings.query_path.unwrap_or(config.query_path);
        config.query_path_without_store = settings.query_path_without_store.unwrap_or(config.query_path_without_store);
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn anchor() -> Value {
        json!({"family": "cometbft", "chain_id": "land-1", "height": 1, "hash": "ab".repeat(32), "trusting_period": 60})
    }

    #[test]
    fn settings_of_an_operator() {
        let settings = json!({
            "family": "cometbft", "nodes": [{"name": "a", "url": "http://127.0.0.1:26657", "headers": {"x-key": "x"},
                "ws": "ws://127.0.0.1:26657/websocket", "requests_per_second": 25}],
            "poll_milliseconds": 1, "request_milliseconds": 700, "query_path": "/custom/{store}",
        });
        let config = CometbftSourceConfig::from_json(&settings, &anchor()).unwrap();
        assert_eq!(config.patience.poll, Duration::from_millis(POLL_LEAST));
        assert_eq!(config.patience.request, Duration::from_millis(700));
        assert_eq!((config.query_path.as_str(), config.query_path_without_store.as_str()), ("/custom/{store}", "/key"));
        assert_eq!(config.anchor.rules().chain_id, "land-1");
        assert_eq!(config.nodes.first().unwrap().requests_per_second, Some(25));
    }

    #[test]
    fn a_typo_an_empty_list_a_path_without_store_and_an_anchor_that_is_none_are_refused() {
        let node = json!({"name": "a", "url": "http://a"});
        for settings in [
            json!({"family": "cometbft", "nodes": [{"name": "a", "url": "http://a", "ulr": "x"}]}),
            json!({"family": "cometbft", "nodes": [node], "polling": 1}),
            json!({"family": "cometbft", "nodes": [node], "query_path": "/store/land/key"}),
            json!({"family": "cometbft", "nodes": [node, node]}),
            json!({"family": "cometbft", "nodes": []}),
            json!({"family": "cometbft"}),
        ] {
            assert!(CometbftSourceConfig::from_json(&settings, &anchor()).is_err(), "{settings}");
        }
        let good = json!({"family": "cometbft", "nodes": [node]});
        assert!(CometbftSourceConfig::from_json(&good, &anchor()).is_ok());
        let fault = CometbftSourceConfig::from_json(&good, &json!({"family": "cometbft"})).unwrap_err();
        assert!(fault.to_string().starts_with("anchor/"), "{fault}");
    }
}
