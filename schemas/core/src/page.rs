//! Pages: what travels between gateways (design, decision 6). Leaves `[from, to)` of one lane as 64-byte entries, the
//! statements that the receiver may open, the ledger evidence they rest on (once a block), documents they name by
//! digest, and one checkpoint with what joins `to` to its size.
//!
//! A page proves nothing by itself: [`Page::parse`] only says that it has the form and keeps the limits.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::canonical::{JsonFault, parse, to_canonical};
use crate::digest::Digest;
use crate::ids::{BlockHash, Height, LaneId};
use crate::lane::{ENTRY_BYTES, Entry};
use crate::limits::{JsonLimits, PageLimits};

/// A page of one lane, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Page {
    /// The wire version: 1.
    pub page: u32,
    /// The lane.
    pub lane: LaneId,
    /// First leaf.
    pub from: u64,
    /// The entries of leaves `from ..`, in order: 64 bytes each, in base64.
    #[serde(with = "entries_in_base64")]
    pub entries: Vec<Entry>,
    /// Statements that the receiver may open, by rising leaf index. Leaves without one are sealed.
    pub opened: Vec<OpenedLeaf>,
    /// Evidence of the blocks that opened leaves stand in, by rising height.
    pub blocks: Vec<PageBlock>,
    /// Mappings and schemas that opened definitions name by digest.
    pub documents: Vec<Document>,
    /// The signed checkpoint, of a size ≥ `to`.
    pub checkpoint: String,
    /// Consistency proof from `to` to the checkpoint's size; empty when they are equal.
    pub join: Vec<Digest>,
    /// Consistency proof from the last checkpoint the receiver said it saw, when that is beyond `to`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<SeenProof>,
}

/// A leaf with its statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenedLeaf {
    /// Sequence number of the leaf.
    pub index: u64,
    /// The statement's canonical JSON, as text.
    pub statement: String,
    /// The record, where the receiver cannot recompute it. Proven records do not travel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<Value>,
}

/// The evidence of one block, shared by every leaf of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageBlock {
    /// Its height.
    pub height: Height,
    /// Its identity.
    pub hash: BlockHash,
    /// The family's evidence, in base64.
    #[serde(with = "bytes_in_base64")]
    pub evidence: Vec<u8>,
}

/// A document named by digest: for a mapping the mapping digest, for a schema the content id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// `mapping` or `schema`.
    pub kind: DocumentKind,
    /// The digest under which a definition names it. Recomputed by the receiver, never believed.
    pub digest: Digest,
    /// The document.
    pub json: Value,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentKind {
    /// A mapping, tables and ABI inside.
    Mapping,
    /// A JSON Schema of a `generic` payload.
    Schema,
}

/// Consistency from an earlier checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeenProof {
    /// Size of the earlier checkpoint.
    pub size: u64,
    /// The proof to the page's checkpoint.
    pub proof: Vec<Digest>,
}

/// Why bytes are not a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageFault {
    /// Not strict JSON within the limits.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// JSON of another shape.
    #[error("not a page: {0}")]
    Shape(String),
    /// More of something than a page may hold.
    #[error("expected at most {most} {what} in a page, got {got}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Allowed.
        most: usize,
        /// Given.
        got: usize,
    },
    /// Parts that are out of order, doubled or about leaves that the page does not hold.
    #[error("expected {expected}, got {got}")]
    Order {
        /// What was expected.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
}

impl PageFault {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Json(_) | Self::Shape(_) => "page-malformed",
            Self::TooMany { .. } => "page-too-large",
            Self::Order { .. } => "page-out-of-order",
        }
    }
}

impl Page {
    /// Parses a page within `limits`; still unverified.
    pub fn parse(bytes: &[u8], limits: &PageLimits) -> Result<Self, PageFault> {
        let json = JsonLimits { bytes: limits.bytes, string: limits.bytes, ..JsonLimits::PAGE };
        let value = parse(bytes, &json)?;
        let page: Self = serde_json::from_value(value).map_err(|fault| PageFault::Shape(fault.to_string()))?;
        page.check_limits(limits)?;
        page.check_order()?;
        Ok(page)
    }

    /// The page as JSON bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(&serde_json::to_value(self).unwrap_or(Value::Null))
    }

    /// One past the last leaf.
    pub fn to(&self) -> u64 {
        self.from.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }

    /// Evidence by height.
    pub fn evidence(&self) -> BTreeMap<Height, &PageBlock> {
        self.blocks.iter().map(|block| (block.height, block)).collect()
    }

    fn check_limits(&self, limits: &PageLimits) -> Result<(), PageFault> {
        if self.page != 1 {
            return Err(PageFault::Shape(format!("expected page version 1, got {}", self.page)));
        }
        let proof = self.join.len().max(self.seen.as_ref().map_or(0, |seen| seen.proof.len()));
        let counts = [
            ("entries", self.entries.len(), limits.entries),
            ("opened leaves", self.opened.len(), limits.entries),
            ("blocks", self.blocks.len(), limits.blocks),
            ("documents", self.documents.len(), limits.documents),
            ("hashes of a proof", proof, limits.proof_hashes),
        ];
        match counts.into_iter().find(|(_, got, most)| got > most) {
            Some((what, got, most)) => Err(PageFault::TooMany { what, most, got }),
            None => Ok(()),
        }
    }

    fn check_order(&self) -> Result<(), PageFault> {
        let order = |expected, got: String| PageFault::Order { expected, got };
        if self.entries.is_empty() {
            return Err(order("at least one entry", "none".to_owned()));
        }
        if self.from.checked_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX)).is_none() {
            return Err(order("leaf indices below 2^64", self.from.to_string()));
        }
        let mut next = self.from;
        for leaf in &self.opened {
            if leaf.index < next || leaf.index >= self.to() {
                return Err(order("opened leaves of this page, each once, rising", leaf.index.to_string()));
            }
            next = leaf.index + 1;
        }
        let rising = self.blocks.iter().zip(self.blocks.iter().skip(1)).all(|(a, b)| a.height < b.height);
        if !rising {
            return Err(order("blocks by rising height, each once", "another order".to_owned()));
        }
        Ok(())
    }
}

mod entries_in_base64 {
    use super::*;

    pub(super) fn serialize<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
        bytes_in_base64::serialize(&bytes, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
        let bytes = bytes_in_base64::deserialize(deserializer)?;
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(de::Error::custom("expected entries of 64 bytes each"));
        }
        Ok(entries.iter().map(Entry::from_bytes).collect())
    }
}

/// Bytes as standard base64 with padding, the one spelling.
pub mod bytes_in_base64 {
    use super::*;

    /// Writes base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    /// Reads base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::KeyTag;
    use proptest::prelude::*;

    fn page() -> Page {
        Page {
            page: 1,
            lane: LaneId::parse("land.example/rights/1").unwrap(),
            from: 5,
            entries: (0..3u8).map(|i| Entry::new(KeyTag::NONE, Digest::of(&[i]))).collect(),
            opened: vec![OpenedLeaf { index: 6, statement: "{}".into(), record: None }],
            blocks: vec![PageBlock {
                height: Height::new(3),
                hash: BlockHash::from_bytes([1; 32]),
                evidence: vec![1, 2],
            }],
            documents: vec![Document {
                kind: DocumentKind::Mapping,
                digest: Digest::of(b"m"),
                json: serde_json::json!({}),
            }],
            checkpoint: "note".into(),
            join: vec![Digest::of(b"j")],
            seen: None,
        }
    }

    fn parsed(page: &Page) -> Result<Page, PageFault> {
        Page::parse(&page.to_bytes(), &PageLimits::DEFAULT)
    }

    #[test]
    fn a_page_round_trips() {
        assert_eq!(parsed(&page()), Ok(page()));
        assert_eq!(page().to(), 8);
    }

    #[test]
    fn opened_leaves_outside_the_page_doubled_or_out_of_order_are_refused() {
        for indices in [vec![4], vec![8], vec![6, 6], vec![7, 6]] {
            let opened = indices.iter().map(|i| OpenedLeaf { index: *i, statement: "{}".into(), record: None });
            let bad = Page { opened: opened.collect(), ..page() };
            assert_eq!(parsed(&bad).unwrap_err().reason(), "page-out-of-order", "{indices:?}");
        }
        let twice = Page { blocks: [page().blocks, page().blocks].concat(), ..page() };
        assert_eq!(parsed(&twice).unwrap_err().reason(), "page-out-of-order");
        assert_eq!(parsed(&Page { entries: vec![], ..page() }).unwrap_err().reason(), "page-out-of-order");
        let last = Page { from: (1 << 53) - 1, opened: vec![], ..page() };
        assert_eq!(parsed(&last), Ok(last.clone()));
    }

    #[test]
    fn a_page_of_a_million_leaves_is_refused_before_it_is_looked_at() {
        let small = PageLimits { entries: 2, ..PageLimits::DEFAULT };
        assert_eq!(Page::parse(&page().to_bytes(), &small).unwrap_err().reason(), "page-too-large");
        let short = PageLimits { bytes: 100, ..PageLimits::DEFAULT };
        assert_eq!(Page::parse(&page().to_bytes(), &short).unwrap_err().reason(), "page-malformed");
        let deep = Page { join: vec![Digest::of(b"j"); 65], ..page() };
        assert_eq!(parsed(&deep).unwrap_err().reason(), "page-too-large");
    }

    #[test]
    fn unknown_members_and_half_entries_are_refused() {
        let text = String::from_utf8(page().to_bytes()).unwrap();
        for changed in [
            text.replace("\"page\":1", "\"page\":1,\"trust\":true"),
            text.replace("\"page\":1", "\"page\":2"),
            text.replace("\"entries\":\"", "\"entries\":\"AAAA"),
        ] {
            assert!(Page::parse(changed.as_bytes(), &PageLimits::DEFAULT).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_mutated_page_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = page().to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Page::parse(&bytes, &PageLimits::DEFAULT);
        }
    }
}
