//! The one table of ledger families. Nothing else in the gateway names a vendor.

use std::sync::Arc;

use hufu_adapters_light_client::Family;
use hufu_adapters_source::Source;
use hufu_cometbft_light_client::CometbftFamily;
use hufu_cometbft_source::{CometbftSource, CometbftSourceConfig};
use hufu_evm_light_client::EvmFamily;
use hufu_evm_source::{EvmSource, EvmSourceConfig};
use hufu_gateway_verify::Families;
use serde_json::Value;

/// Every family of this build.
pub fn families() -> Families {
    let evm: Arc<dyn Family> = Arc::new(EvmFamily);
    let cometbft: Arc<dyn Family> = Arc::new(CometbftFamily);
    Families::new([evm, cometbft])
}

/// A source for a ledger this gateway reads itself. `settings` is the `source` table of the configuration, `anchor` the
/// operator's anchor of the same ledger: a source asks no node that is on another one.
///
/// # Errors
/// What is wrong with the settings, in words.
pub fn source(settings: &Value, anchor: &Value) -> Result<Arc<dyn Source>, String> {
    match settings.get("family").and_then(Value::as_str) {
        Some("evm") => {
            let config = EvmSourceConfig::from_json(settings, anchor).map_err(|fault| fault.to_string())?;
            Ok(Arc::new(EvmSource::new(config).map_err(|fault| fault.to_string())?))
        }
        Some("cometbft") => {
            let config = CometbftSourceConfig::from_json(settings, anchor).map_err(|fault| fault.to_string())?;
            Ok(Arc::new(CometbftSource::new(config).map_err(|fault| fault.to_string())?))
        }
        other => {
            let known = families().names().collect::<Vec<_>>().join(", ");
            Err(format!("expected source.family to be one of {known}, got {}", other.unwrap_or("none")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_family_reads_its_own_settings() {
        let node = json!({"name": "a", "url": "http://127.0.0.1:1"});
        let evm = json!({"family": "evm", "chain_id": 7, "height": 0, "hash": format!("0x{}", "ab".repeat(32))});
        let cometbft = json!({
            "family": "cometbft", "chain_id": "land-1", "height": 1, "hash": "ab".repeat(32), "trusting_period": 60,
        });
        for (family, anchor) in [("evm", evm), ("cometbft", cometbft)] {
            let settings = json!({"family": family, "nodes": [node]});
            assert_eq!(source(&settings, &anchor).unwrap().describe().family, family);
        }
        let other = source(&json!({"family": "abacus"}), &json!({})).err().unwrap();
        assert!(other.contains("evm") && other.contains("cometbft") && other.ends_with("got abacus"), "{other}");
    }
}
