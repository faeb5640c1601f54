//! A simple Merkle map and its ICS-23 proofs: leaves in the order of their keys, leaf SHA-256(00 ‖ length ‖ key ‖ length ‖
//! SHA-256(value)). ICS-23 calls it the "tendermint" specification; its messages are `cosmos/ics23/v1/proofs.proto`.

use crate::merkle::{self, Hash, path, sha256};
use crate::wire::{Message, prefixed};

/// A simple Merkle map.
#[derive(Debug, Clone)]
pub struct Tree {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    leaves: Vec<Hash>,
}

impl Tree {
    /// Of entries whose keys rise.
    pub fn new(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let hash =
            |(key, value): &(Vec<u8>, Vec<u8>)| merkle::leaf(&[prefixed(key), prefixed(&sha256(&[value]))].concat());
        Self { leaves: entries.iter().map(hash).collect(), entries }
    }

    /// The root.
    pub fn root(&self) -> Hash {
        merkle::root(&self.leaves)
    }

    /// `CommitmentProof`: `exist = 1` where the key is there, otherwise `nonexist = 2` with its neighbours.
    pub fn prove(&self, key: &[u8]) -> Vec<u8> {
        let at = self.entries.partition_point(|(it, _)| it.as_slice() < key);
        if self.entries.get(at).is_some_and(|(it, _)| it == key) {
            return Message::new().embedded(1, &self.exist(at).unwrap_or_default()).finish();
        }
        // `NonExistenceProof{key = 1, left = 2, right = 3}`.
        let mut absent = Message::new().embedded(1, key);
        if let Some(left) = at.checked_sub(1).and_then(|at| self.exist(at)) {
            absent = absent.embedded(2, &left);
        }
        if let Some(right) = self.exist(at) {
            absent = absent.embedded(3, &right);
        }
        Message::new().embedded(2, &absent.finish()).finish()
    }

    /// `ExistenceProof{key = 1, value = 2, leaf = 3, path = 4}`.
    fn exist(&self, index: usize) -> Option<Vec<u8>> {
        const SHA256: u64 = 1;
        const VAR_PROTO: u64 = 1;
        let (key, value) = self.entries.get(index)?;
        // `LeafOp{hash = 1, prehash_value = 3, length = 4, prefix = 5}`; the key is taken as it is.
        let leaf = Message::new().number(1, SHA256).number(3, SHA256).number(4, VAR_PROTO).bytes(5, &[0]).finish();
        let mut proof = Message::new().embedded(1, key).embedded(2, value).embedded(3, &leaf);
        for aunt in path(&self.leaves, index) {
            // `InnerOp{hash = 1, prefix = 2, suffix = 3}`: what stands before and after the child.
            let inner = Message::new().number(1, SHA256);
            let inner = match aunt.is_left {
                true => inner.bytes(2, &[&[1], aunt.hash.as_slice()].concat()),
                false => inner.bytes(2, &[1]).bytes(3, &aunt.hash),
            };
            proof = proof.embedded(4, &inner.finish());
        }
        Some(proof.finish())
    }
}
