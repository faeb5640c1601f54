//! Evidence files: one self-contained JSON that closes a record's proof offline (design, section 2).
//!
//! It carries no trust: anchors, log keys and definitions come from the verifier's policy alone (decision 10).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{JsonFault, parse, to_canonical};
use crate::digest::Digest;
use crate::ids::{BlockHash, Height, LedgerId};
use crate::limits::{JsonLimits, PageLimits};
use crate::page::{Document, bytes_in_base64};

/// An evidence file, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    /// The format's version: 1.
    pub evidence: u32,
    /// The record, envelope and body.
    pub record: Value,
    /// The record's leaf.
    pub leaf: LeafEvidence,
    /// The leaf of the definition in force.
    pub definition: LeafEvidence,
    /// The signed checkpoint that both leaves are under.
    pub checkpoint: String,
    /// The mapping, and the payload schema of a `generic` record.
    pub documents: Vec<Document>,
    /// What proves the native item on its ledger.
    pub ledger: LedgerEvidence,
}

/// A statement with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeafEvidence {
    /// Leaf index.
    pub index: u64,
    /// The statement's canonical JSON, as text.
    pub statement: String,
    /// Inclusion proof under the checkpoint.
    pub inclusion: Vec<Digest>,
}

/// Ledger bytes: updates from an anchor up to the block and beyond as far as finality needs, and the block's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LedgerEvidence {
    /// The ledger.
    pub ledger: LedgerId,
    /// The steps, by rising height.
    pub steps: Vec<WireStep>,
    /// The block that holds the item.
    pub height: Height,
    /// Its identity.
    pub hash: BlockHash,
    /// The vendor's own bytes of the item, for a reader who wants to see them; what is verified is recomputed.
    #[serde(with = "bytes_in_base64")]
    pub native: Vec<u8>,
    /// The family's block evidence.
    #[serde(with = "bytes_in_base64")]
    pub evidence: Vec<u8>,
}

/// One height of a ledger update as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireStep {
    /// The height it claims to be about.
    pub height: Height,
    /// The family's bytes.
    #[serde(with = "bytes_in_base64")]
    pub bytes: Vec<u8>,
}

/// Why bytes are not an evidence file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFault {
    /// Not strict JSON within the limits.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// JSON of another shape.
    #[error("not an evidence file: {0}")]
    Shape(String),
}

impl EvidenceFault {
    /// The label.
    pub const fn reason(&self) -> &'static str {
        "evidence-malformed"
    }
}

impl Evidence {
    /// Parses an evidence file; still unverified.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceFault> {
        let value = parse(bytes, &JsonLimits::EVIDENCE)?;
        let file: Self = serde_json::from_value(value).map_err(|fault| EvidenceFault::Shape(fault.to_string()))?;
        if file.evidence != 1 {
            return Err(EvidenceFault::Shape(format!("expected evidence version 1, got {}", file.evidence)));
        }
        let longest = file.leaf.inclusion.len().max(file.definition.inclusion.len());
        if longest > PageLimits::DEFAULT.proof_hashes {
            return Err(EvidenceFault::Shape(format!("expected proofs of at most 64 hashes, got {longest}")));
        }
        Ok(file)
    }

    /// The file as JSON bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(&serde_json::to_value(self).unwrap_or(Value::Null))
    }
}
