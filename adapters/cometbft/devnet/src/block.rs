//! Whole blocks: their roots, their bytes and the parts in which they are gossiped (`types/block.go`, `types/part_set.go`).

use std::sync::Arc;
use std::time::Duration;

use crate::app::TxResult;
use crate::commit::Commit;
use crate::header::{BlockId, Header};
use crate::merkle::{self, Hash, sha256};
use crate::validators::{Update, ValidatorSet};
use crate::wire::Message;

/// Bytes of one part (`types/params.go`, `BlockPartSizeBytes`).
const PART_BYTES: usize = 65_536;

/// A block as the ledger keeps it, with what it led to.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its header.
    pub header: Header,
    /// Its transactions.
    pub txs: Vec<Vec<u8>>,
    /// The votes for the block before.
    pub last_commit: Commit,
    /// Its name.
    pub id: BlockId,
    /// Length of its bytes.
    pub size: usize,
    /// Who votes at its height.
    pub validators: Arc<ValidatorSet>,
    /// The votes for it.
    pub commit: Commit,
    /// When they were given.
    pub voted_at: Duration,
    /// What became of its transactions.
    pub results: Vec<TxResult>,
    /// The changes of powers it asked for.
    pub updates: Vec<Update>,
    /// Hash of the state after it, which the next header carries.
    pub app_hash: Hash,
}

/// `data_hash`: leaves are the hashes of transactions (`types/tx.go`).
pub fn data_hash(txs: &[Vec<u8>]) -> Hash {
    merkle::root_of(txs.iter().map(|tx| sha256(&[tx])))
}

/// `last_results_hash` of the next header (`types/results.go`).
pub fn results_hash(results: &[TxResult]) -> Hash {
    merkle::root_of(results.iter().map(TxResult::encode))
}

/// `Block{header = 1, data = 2 {txs = 1}, evidence = 3, last_commit = 4}`.
pub fn encode(header: &Header, txs: &[Vec<u8>], last_commit: &Commit) -> Vec<u8> {
    let data = txs.iter().fold(Message::new(), |data, tx| data.embedded(1, tx)).finish();
    Message::new()
        .embedded(1, &header.encode())
        .embedded(2, &data)
        .embedded(3, &[])
        .embedded(4, &last_commit.encode())
        .finish()
}

/// The name of a block: its header's hash, and the root over its bytes cut into parts.
pub fn block_id(header: &Header, bytes: &[u8]) -> BlockId {
    let parts = bytes.chunks(PART_BYTES);
    BlockId {
        hash: header.hash().to_vec(),
        parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        parts_hash: merkle::root_of(parts).to_vec(),
    }
}
