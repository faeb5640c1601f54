//! How a ledger family presents itself to the gateway.

use serde_json::Value;

use crate::decoder::Decoder;
use crate::erased::DynLightClient;

/// A mistake in an operator's anchor or in a mapping's `source` section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: expected {expected}, got {got}")]
pub struct ConfigurationFault {
    /// Where in the given value, as a JSON Pointer.
    pub pointer: String,
    /// What was expected.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

/// A ledger family: one entry of the server's table (`gateway/server/src/families.rs`), the only place that names vendors.
pub trait Family: Send + Sync {
    /// The name in ledger ids, anchors and mappings: `evm`.
    fn name(&self) -> &'static str;
    /// A light client for the ledger that `anchor` (the operator's, as JSON) names.
    fn client(&self, anchor: &Value) -> Result<Box<dyn DynLightClient>, ConfigurationFault>;
    /// A decoder for a mapping's `source` section.
    fn decoder(&self, source: &Value) -> Result<Box<dyn Decoder>, ConfigurationFault>;
}
