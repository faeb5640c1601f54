//! Vendor bytes to vendor-neutral JSON.

use hufu_schemas_core::Digest;
use hufu_schemas_core::canonical::to_canonical;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::erased::Proven;

/// Which native items a lane is about (for EVM: a contract and event topics). Canonical JSON, opaque outside the family;
/// stands in the lane's definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selector(Value);

impl Selector {
    /// Wraps the family's selector.
    pub const fn new(value: Value) -> Self {
        Self(value)
    }

    /// The family's selector.
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// What two gateways compare.
    pub fn digest(&self) -> Digest {
        Digest::of(&to_canonical(&self.0))
    }
}

/// Name and version of a decoder: part of a lane's definition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderVersion {
    /// For instance `evm-abi`.
    pub name: String,
    /// Rises when the output changes for any input.
    pub version: u32,
}

/// One event in vendor-neutral form: what a mapping reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The JSON that mapping paths point into.
    pub value: Value,
    /// The contract (or namespace) that spoke, in the ledger's text form.
    pub contract: String,
    /// The event's name.
    pub event: String,
}

/// Why proven bytes could not be decoded. The leaf is `skipped` with this reason, never dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: expected {expected}, got {got}")]
pub struct DecodeFault {
    /// The metric label, from the decoder's closed list.
    pub reason: &'static str,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// Vendor bytes to vendor-neutral JSON. Synchronous, pure; the same proven item always gives the same JSON.
pub trait Decoder: Send + Sync {
    /// Name and version, for the definition.
    fn version(&self) -> DecoderVersion;
    /// Which native items this decoder reads.
    fn selector(&self) -> &Selector;
    /// Decodes one item; most items hold one event, some none or several.
    fn decode(&self, item: &Proven) -> Result<Vec<Decoded>, DecodeFault>;
}
