//! What stands on a simulated ledger, and the bytes it is hashed over.

use std::collections::{BTreeMap, BTreeSet};

use hufu_adapters_light_client::Rejection;
use hufu_schemas_core::canonical::{parse_canonical, to_canonical};
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_core::merkle::{Edge, leaf_hash};
use hufu_schemas_core::{BlockHash, Digest, Height, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bounds on a step or on a block's evidence: tests do not need more.
const LIMITS: JsonLimits = JsonLimits { bytes: 4 << 20, depth: 32, string: 64 << 10, items: 20_000 };

/// One event as a contract of the simulated ledger emitted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimItem {
    /// Index of the transaction in its block.
    pub transaction: u32,
    /// Index of the event in its transaction.
    pub event: u32,
    /// Who spoke.
    pub contract: String,
    /// The event's name.
    pub name: String,
    /// What it said.
    pub body: Value,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimHeader {
    /// Height.
    pub number: Height,
    /// Hash of the block before; in genesis the digest of what the operator named.
    pub parent: Digest,
    /// Seconds since 1970.
    pub time: Timestamp,
    /// Root of the items.
    pub items: Digest,
    /// Every contract that spoke in the block: lets a block exclude a selector.
    pub contracts: BTreeSet<String>,
}

/// A header with its seals: name of the validator to 128 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimStep {
    /// The header.
    pub header: SimHeader,
    /// Seals by validator.
    pub seals: BTreeMap<String, String>,
}

impl SimHeader {
    /// The block's identity.
    pub fn hash(&self) -> BlockHash {
        BlockHash::from_bytes(*Digest::of(&encode(self)).as_bytes())
    }
}

impl SimStep {
    /// The bytes of a step.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the bytes of a step: canonical, and nothing else.
    ///
    /// # Errors
    /// [`Rejection`] `step-malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        decode(bytes, "step-malformed", "a header with its seals")
    }
}

/// What a seal signs: the genesis hash is in it, so that one key on two ledgers never signs for both.
pub(super) fn seal_message(genesis: &BlockHash, hash: &BlockHash) -> Vec<u8> {
    [b"hufu-sim-seal".as_slice(), genesis.as_bytes(), hash.as_bytes()].concat()
}

/// Root over the items.
pub(super) fn items_root(items: &[SimItem]) -> Digest {
    let mut edge = Edge::empty();
    for item in items {
        edge.append(leaf_hash(&encode(item)));
    }
    edge.root()
}

/// A block's evidence.
pub(super) fn write_items(items: &[SimItem]) -> Vec<u8> {
    encode(&items)
}

pub(super) fn read_items(bytes: &[u8]) -> Result<Vec<SimItem>, Rejection> {
    decode(bytes, "evidence-malformed", "a list of items")
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Structs of strings, numbers and JSON always serialise.
    to_canonical(&serde_json::to_value(value).unwrap_or_default())
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], reason: &'static str, expected: &str) -> Result<T, Rejection> {
    let value = parse_canonical(bytes, &LIMITS).map_err(|fault| Rejection::new(reason, expected, fault.to_string()))?;
    serde_json::from_value(value).map_err(|fault| Rejection::new(reason, expected, fault.to_string()))
}
