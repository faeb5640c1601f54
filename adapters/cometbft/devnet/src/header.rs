//! Headers and block ids (`types/block.go`).

use std::time::Duration;

use crate::merkle::{self, Hash};
use crate::time;
use crate::wire::Message;

/// The block protocol of CometBFT 0.34 to 1.x (`version/version.go`).
pub const BLOCK_PROTOCOL: u64 = 11;

/// Names a block: the hash of its header, and the parts in which it is gossiped. Empty before the first block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockId {
    /// Hash of the header, 32 bytes, or nothing.
    pub hash: Vec<u8>,
    /// Number of parts.
    pub parts: u32,
    /// Root over the parts, 32 bytes, or nothing.
    pub parts_hash: Vec<u8>,
}

impl BlockId {
    /// `BlockID{hash = 1, part_set_header = 2}`; votes write the same fields (`CanonicalBlockID`).
    pub fn encode(&self) -> Vec<u8> {
        let parts = Message::new().number(1, u64::from(self.parts)).bytes(2, &self.parts_hash).finish();
        Message::new().bytes(1, &self.hash).embedded(2, &parts).finish()
    }
}

/// The 14 fields that a block's hash covers. Hashes are 32 bytes unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the block protocol.
    pub block_version: u64,
    /// Version of the application.
    pub app_version: u64,
    /// Name of the network.
    pub chain_id: String,
    /// Height, from 1.
    pub height: u64,
    /// Time since 1970.
    pub time: Duration,
    /// The block before.
    pub last_block_id: BlockId,
    /// Root over the signatures for the block before.
    pub last_commit_hash: Vec<u8>,
    /// Root over the hashes of transactions.
    pub data_hash: Vec<u8>,
    /// Who votes at this height.
    pub validators_hash: Vec<u8>,
    /// Who votes at the next height.
    pub next_validators_hash: Vec<u8>,
    /// SHA-256 of the limits of a block.
    pub consensus_hash: Vec<u8>,
    /// State after the block before, as the application hashes it.
    pub app_hash: Vec<u8>,
    /// Root over the results of the block before.
    pub last_results_hash: Vec<u8>,
    /// Root over evidence.
    pub evidence_hash: Vec<u8>,
    /// Who proposed the block, 20 bytes.
    pub proposer_address: Vec<u8>,
}

impl Header {
    /// `Header.Hash`: root over the 14 fields, each in its own encoding.
    pub fn hash(&self) -> Hash {
        // Single values stand in a wrapper message (`types/encoding_helper.go`, `cdcEncode`).
        let wrapped = |bytes: &[u8]| Message::new().bytes(1, bytes).finish();
        merkle::root_of([
            self.version(),
            wrapped(self.chain_id.as_bytes()),
            Message::new().number(1, self.height).finish(),
            time::encode(Some(self.time)),
            self.last_block_id.encode(),
            wrapped(&self.last_commit_hash),
            wrapped(&self.data_hash),
            wrapped(&self.validators_hash),
            wrapped(&self.next_validators_hash),
            wrapped(&self.consensus_hash),
            wrapped(&self.app_hash),
            wrapped(&self.last_results_hash),
            wrapped(&self.evidence_hash),
            wrapped(&self.proposer_address),
        ])
    }

    fn version(&self) -> Vec<u8> {
        Message::new().number(1, self.block_version).number(2, self.app_version).finish()
    }

    /// `Header{…}`, as it stands in a block.
    pub fn encode(&self) -> Vec<u8> {
        Message::new()
            .embedded(1, &self.version())
            .bytes(2, self.chain_id.as_bytes())
            .number(3, self.height)
            .embedded(4, &time::encode(Some(self.time)))
            .embedded(5, &self.last_block_id.encode())
            .bytes(6, &self.last_commit_hash)
            .bytes(7, &self.data_hash)
            .bytes(8, &self.validators_hash)
            .bytes(9, &self.next_validators_hash)
            .bytes(10, &self.consensus_hash)
            .bytes(11, &self.app_hash)
            .bytes(12, &self.last_results_hash)
            .bytes(13, &self.evidence_hash)
            .bytes(14, &self.proposer_address)
            .finish()
    }
}

/// SHA-256 of `HashedParams{block_max_bytes = 1, block_max_gas = 2}` (`types/params.go`, `ConsensusParams.Hash`).
pub fn consensus_hash(max_bytes: i64, max_gas: i64) -> Hash {
    merkle::sha256(&[&Message::new().signed(1, max_bytes).signed(2, max_gas).finish()])
}
