//! Blocks and items: what a family states as facts, and what the rest of the house may hold.

use hufu_schemas_core::{BlockHash, Height, LedgerId, Position, Timestamp};
use serde::{Deserialize, Serialize};

/// How firmly a ledger's own rules settle a block. Shown beside the assurance, never merged with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finality {
    /// More than two thirds of a known validator set signed this block; it cannot be undone while fewer than a third
    /// are faulty.
    BftFinal,
    /// A known authority signed it (for instance one orderer of Raft).
    Authority,
    /// It may be undone, with a chance that falls with every block on top.
    Probabilistic,
    /// Nobody signs blocks here: a node says so, and what stands in the block is as good as the node's word.
    Unsealed,
}

impl Finality {
    /// The text form used in records, policies and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BftFinal => "bft-final",
            Self::Authority => "authority",
            Self::Probabilistic => "probabilistic",
            Self::Unsealed => "unsealed",
        }
    }
}

/// Name and version of a light client: what stored heads and trusted blocks are tagged with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientVersion {
    /// For instance `evm-qbft`.
    pub name: String,
    /// Rises when the head's format or a rule changes.
    pub version: u32,
}

/// One height's worth of update: for header-by-header clients the header as the node serves it. Opaque outside the
/// family; untrusted until [`crate::LightClient::advance`] has judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The height it is about, as claimed by whoever sent it.
    pub height: Height,
    /// The family's own bytes.
    pub bytes: Vec<u8>,
}

/// What a family states of a block it found final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockFacts {
    /// Its height.
    pub height: Height,
    /// Its identity, recomputed.
    pub hash: BlockHash,
    /// The ledger's own time of the block.
    pub time: Timestamp,
    /// How firmly it is settled.
    pub finality: Finality,
    /// The family's roots and filters (for EVM: receipts root, bloom, sealing set), opaque elsewhere.
    #[serde(with = "hex_bytes")]
    pub state: Vec<u8>,
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de};

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
        let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fault = || de::Error::custom("expected an even number of hex digits");
        if !text.is_ascii() || text.len() % 2 != 0 {
            return Err(fault());
        }
        (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(fault))
            .collect()
    }
}

/// A block that a light client found final on a named ledger. Minted in [`crate::erased`] alone, or restored from this
/// gateway's own database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedBlock {
    pub(crate) ledger: LedgerId,
    pub(crate) client: ClientVersion,
    pub(crate) facts: BlockFacts,
}

impl TrustedBlock {
    /// The ledger it belongs to.
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// The client that found it final.
    pub const fn client(&self) -> &ClientVersion {
        &self.client
    }

    /// Its height.
    pub const fn height(&self) -> Height {
        self.facts.height
    }

    /// Its identity.
    pub const fn hash(&self) -> BlockHash {
        self.facts.hash
    }

    /// The ledger's own time of the block.
    pub const fn time(&self) -> Timestamp {
        self.facts.time
    }

    /// How firmly it is settled.
    pub const fn finality(&self) -> Finality {
        self.facts.finality
    }

    /// The family's roots and filters, for the family's own source; opaque elsewhere.
    pub fn state(&self) -> &[u8] {
        &self.facts.state
    }

    /// The bytes to keep in this gateway's database.
    pub fn to_stored(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Restores what [`TrustedBlock::to_stored`] wrote. Only bytes from this gateway's own database may come here: the
    /// database is inside the trust boundary, a message is not (decision 13).
    pub fn from_stored(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// Names one native item of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRef {
    /// Index of the transaction in its block.
    pub transaction: u32,
    /// Index of the event in its transaction.
    pub event: u32,
}

/// What a family states of one item it found included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFacts {
    /// Where it stands.
    pub position: Position,
    /// The vendor's own bytes of the item (for EVM: the RLP of the log).
    pub native: Vec<u8>,
    /// Whether the block's own roots commit to it.
    pub standing: Standing,
    /// Who can change what makes such items.
    pub control: Control,
}

/// Whether a block's own roots commit to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The nodes asked say so; nothing that the ledger signs commits to it (for instance events of CometBFT).
    Said,
    /// A root of the block commits to it, and the proof closes.
    Proven,
}

/// Who can change the code that makes items of this kind. Shown beside the assurance, never merged with it: an item may
/// well be proven to stand on the ledger, and yet have been put there by code that its owner had swapped for one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// The code is not, or before this block was not, the one that the definition pins: such an item is never believed.
    /// No policy can ask for so little.
    #[serde(skip_deserializing)]
    Changed,
    /// Somebody may change or replace the code, or nothing proves that nobody can.
    IssuerControlled,
    /// The code is the one that the definition pins, and by the ledger's own rules nobody can change it.
    Fixed,
}

impl Control {
    /// The text form used in records, policies and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::IssuerControlled => "issuer-controlled",
            Self::Fixed => "fixed",
        }
    }
}
