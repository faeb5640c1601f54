//! The one table of ledger families. Nothing else in the gateway names a vendor.

use std::sync::Arc;

use hufu_adapters_light_client::Family;
use hufu_adapters_source::Source;
use hufu_evm_light_client::EvmFamily;
use hufu_evm_source::{EvmSource, EvmSourceConfig};
use hufu_gateway_verify::Families;
use serde_json::Value;

/// Every family of this build.
pub fn families() -> Families {
    let evm: Arc<dyn Family> = Arc::new(EvmFamily);
    Families::new([evm])
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
        other => {
            let known = families().names().collect::<Vec<_>>().join(", ");
            Err(format!("expected source.family to be one of {known}, got {}", other.unwrap_or("none")))
        }
    }
}
