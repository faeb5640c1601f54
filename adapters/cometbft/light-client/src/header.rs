//! A block header and its hash (spec/core/data_structures.md; types/block.go of 0.34, 0.37, 0.38 and 1.x, whose headers
//! hash alike).

use crate::fault::{Fault, Reason};
use crate::hash::Hash32;
use crate::merkle;
use crate::proto::Message;
use crate::text;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Letters of the longest chain id: `types.MaxChainIDLen`.
pub const MAX_CHAIN_ID: usize = 50;
/// Bytes of the longest app hash. The SDK's are 32; applications of their own have 8 and more.
pub const MAX_APP_HASH: usize = 128;
/// The block protocol of all releases from 0.34 on. Headers of 0.33 and before (10 and less) hash in another encoding.
const BLOCK_PROTOCOL: u64 = 11;

/// Names a block: the header's hash, and the parts in which the block was gossiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockId {
    /// Hash of the header; none before the first block.
    #[serde(with = "text::or_empty")]
    pub hash: Option<Hash32>,
    /// The parts.
    pub parts: Parts,
}

/// The parts of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// How many.
    pub total: u32,
    /// Root over them.
    #[serde(with = "text::or_empty")]
    pub hash: Option<Hash32>,
}

impl BlockId {
    /// `BlockID{hash = 1, part_set_header = 2}`, the latter never left out.
    fn encode(&self) -> Vec<u8> {
        let hash = self.hash.as_ref().map_or(&[][..], |hash| hash.as_bytes());
        Message::new().bytes(1, hash).message(2, &self.parts.encode()).done()
    }
}

impl Parts {
    /// `PartSetHeader{total = 1, hash = 2}`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let hash = self.hash.as_ref().map_or(&[][..], |hash| hash.as_bytes());
        Message::new().uint(1, u64::from(self.total)).bytes(2, hash).done()
    }
}

/// Versions of block format and application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Block protocol.
    #[serde(with = "text::decimal")]
    pub block: u64,
    /// Application.
    #[serde(default, with = "text::decimal")]
    pub app: u64,
}

/// A header, as nodes write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Versions.
    pub version: Version,
    /// The network's name, which every header carries.
    pub chain_id: String,
    /// Height, above 0.
    #[serde(with = "text::decimal")]
    pub height: u64,
    /// The ledger's own time.
    pub time: Time,
    /// The block before.
    pub last_block_id: BlockId,
    /// Root over the commit of the block before.
    #[serde(with = "text::or_empty")]
    pub last_commit_hash: Option<Hash32>,
    /// Root over this block's transactions.
    #[serde(with = "text::or_empty")]
    pub data_hash: Option<Hash32>,
    /// Who signs this block.
    pub validators_hash: Hash32,
    /// Who signs the next one.
    pub next_validators_hash: Hash32,
    /// Hash of the consensus parameters.
    #[serde(with = "text::or_empty")]
    pub consensus_hash: Option<Hash32>,
    /// The application's state after the block *before*.
    #[serde(with = "text::upper_hex")]
    pub app_hash: Vec<u8>,
    /// Root over the results of the block *before*.
    #[serde(with = "text::or_empty")]
    pub last_results_hash: Option<Hash32>,
    /// Root over evidence of misbehaviour.
    #[serde(with = "text::or_empty")]
    pub evidence_hash: Option<Hash32>,
    /// Who proposed it.
    #[serde(with = "text::upper_hex")]
    pub proposer_address: Vec<u8>,
}

impl Header {
    /// The hash that validators sign, recomputed from the fields.
    pub fn hash(&self) -> Hash32 {
        let optional = |hash: &Option<Hash32>| wrapped(hash.as_ref().map_or(&[][..], |hash| hash.as_bytes()));
        merkle::root(&[
            Message::new().uint(1, self.version.block).uint(2, self.version.app).done(),
            wrapped(self.chain_id.as_bytes()),
            Message::new().uint(1, self.height).done(),
            encode_time(self.time),
            self.last_block_id.encode(),
            optional(&self.last_commit_hash),
            optional(&self.data_hash),
            wrapped(self.validators_hash.as_bytes()),
            wrapped(self.next_validators_hash.as_bytes()),
            optional(&self.consensus_hash),
            wrapped(&self.app_hash),
            optional(&self.last_results_hash),
            optional(&self.evidence_hash),
            wrapped(&self.proposer_address),
        ])
    }

    /// Checks what holds for a header by itself.
    ///
    /// # Errors
    /// [`Fault`] if it is of another network, of an unknown block protocol, at height 0 or beyond 2^63, or has fields
    /// beyond their limits.
    pub fn check(&self, chain_id: &str) -> Result<(), Fault> {
        if self.chain_id != chain_id {
            return Err(Fault::new(Reason::ChainId, chain_id, self.chain_id.chars().take(80).collect::<String>()));
        }
        if self.version.block != BLOCK_PROTOCOL {
            return Err(Fault::new(
                Reason::BlockVersion,
                format!("block protocol {BLOCK_PROTOCOL}"),
                self.version.block,
            ));
        }
        if self.height == 0 || i64::try_from(self.height).is_err() {
            return Err(Fault::new(Reason::Height, "a height from 1 to 2^63 - 1", self.height));
        }
        if self.app_hash.len() > MAX_APP_HASH || self.proposer_address.len() > 20 {
            let got = format!("{} and {}", self.app_hash.len(), self.proposer_address.len());
            return Err(Fault::new(
                Reason::TooLarge,
                format!("app hash and address of {MAX_APP_HASH} and 20 bytes"),
                got,
            ));
        }
        if self.time.seconds() < 0 {
            return Err(Fault::new(Reason::Time, "a time after 1970", self.time));
        }
        Ok(())
    }
}

/// `StringValue` or `BytesValue` with field 1; nothing at all where the value is empty (types/encoding_helper.go).
fn wrapped(value: &[u8]) -> Vec<u8> {
    Message::new().bytes(1, value).done()
}

/// `google.protobuf.Timestamp{seconds = 1, nanos = 2}`.
pub(crate) fn encode_time(time: Time) -> Vec<u8> {
    Message::new().int(1, time.seconds()).uint(2, u64::from(time.nanos())).done()
}
