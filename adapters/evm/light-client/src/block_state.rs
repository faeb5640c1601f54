//! What is kept of a trusted block so that items can be proven in it later: roots, the logs filter, and who may seal a
//! rival of it. Written as RLP into [`BlockFacts::state`](hufu_adapters_light_client::BlockFacts).

use crate::bloom::Bloom;
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::Hash32;
use crate::rlp::{self, Item, Reader};

/// What is kept of one trusted block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockState {
    /// Hash of the block before.
    pub parent_hash: Hash32,
    /// Root of the accounts trie, for account proofs.
    pub state_root: Hash32,
    /// Root of the accounts trie that the block began with. `None` for the anchor itself, after headers that were skipped,
    /// and for blocks kept before it was kept.
    pub parent_state_root: Option<Hash32>,
    /// Root of the transactions trie.
    pub transactions_root: Hash32,
    /// Root of the receipts trie.
    pub receipts_root: Hash32,
    /// Filter over the logs.
    pub bloom: Bloom,
    /// Who could seal a rival.
    pub sealing: Sealing,
}

/// Who could seal a rival of a trusted block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// Nobody: the block is the anchor itself, or of a kind whose blocks are not sealed by a quorum. There a second branch
    /// is a reorganisation and no misbehaviour.
    Nobody,
    /// A quorum of the set with this digest ([`crate::bft::set_digest`]).
    Bft(Hash32),
}

impl BlockState {
    /// What is kept of a block with this header.
    pub fn of(header: &Header, parent_state_root: Option<Hash32>, sealing: Sealing) -> Self {
        let fields = header.fields();
        Self {
            parent_hash: fields.parent_hash,
            state_root: fields.state_root,
            parent_state_root,
            transactions_root: fields.transactions_root,
            receipts_root: fields.receipts_root,
            bloom: fields.bloom.clone(),
            sealing,
        }
    }

    /// `RLP[parentHash, stateRoot, transactionsRoot, receiptsRoot, bloom, sealing, parentStateRoot]`. The filter of a block
    /// without logs is an empty string; sealing is empty or 32 bytes; an unknown last item is left
    /// out, as it is in blocks kept before there was one.
    pub fn write(&self) -> Vec<u8> {
        let mut items = Vec::with_capacity(512);
        for root in [&self.parent_hash, &self.state_root, &self.transactions_root, &self.receipts_root] {
            rlp::write_string(root.as_bytes(), &mut items);
        }
        let quiet = self.bloom == Bloom::empty();
        rlp::write_string(if quiet { &[] } else { self.bloom.as_bytes() }, &mut items);
        match &self.sealing {
            Sealing::Nobody => rlp::write_string(&[], &mut items),
            Sealing::Bft(digest) => rlp::write_string(digest.as_bytes(), &mut items),
        }
        if let Some(root) = &self.parent_state_root {
            rlp::write_string(root.as_bytes(), &mut items);
        }
        let mut out = Vec::with_capacity(items.len() + 4);
        rlp::write_list(&items, &mut out);
        out
    }

    /// Restores what [`BlockState::write`] wrote.
    ///
    /// # Errors
    /// [`Fault`] if the bytes are anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut items = Reader::whole_list(bytes)?;
        let mut root = || items.fixed().map(Hash32::new);
        let (parent_hash, state_root, transactions_root, receipts_root) = (root()?, root()?, root()?, root()?);
        let bloom = read_bloom(items.string()?)?;
        let sealing = read_sealing(items.item()?)?;
        let parent_state_root = if items.is_empty() { None } else { Some(Hash32::new(items.fixed()?)) };
        items.end()?;
        Ok(Self { parent_hash, state_root, parent_state_root, transactions_root, receipts_root, bloom, sealing })
    }
}

fn read_bloom(bytes: &[u8]) -> Result<Bloom, Fault> {
    if bytes.is_empty() {
        return Ok(Bloom::empty());
    }
    bytes.try_into().map(Bloom::new).map_err(|_| Fault::new(Reason::BlockState, "a filter of 256 bytes", bytes.len()))
}

fn read_sealing(item: Item<'_>) -> Result<Sealing, Fault> {
    let fault = |got: String| Fault::new(Reason::BlockState, "who could seal a rival", got);
    let Item::String(bytes) = item else { return Err(fault("a list".to_owned())) };
    if bytes.is_empty() {
        return Ok(Sealing::Nobody);
    }
    let digest = <[u8; 32]>::try_from(bytes).map_err(|_| fault(format!("{} bytes", bytes.len())))?;
    Ok(Sealing::Bft(Hash32::new(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::HeaderDraft;

    #[test]
    fn what_was_written_is_read_back() {
        for sealing in [Sealing::Nobody, Sealing::Bft(Hash32::new([3; 32]))] {
            for bloom in [[0; 256], [1; 256]] {
                let header = Header::parse(&HeaderDraft { bloom, ..HeaderDraft::default() }.encode()).unwrap();
                for parent in [None, Some(Hash32::new([4; 32]))] {
                    let state = BlockState::of(&header, parent, sealing.clone());
                    assert_eq!(BlockState::read(&state.write()).unwrap(), state);
                }
            }
        }
    }

    #[test]
    fn bytes_of_another_kind() {
        assert!(BlockState::read(b"").is_err());
        assert!(BlockState::read(&[0xc0]).is_err());
    }
}
