//! A store of the Cosmos SDK under an app hash, with proofs of what is there and what is not.

use crate::evidence::state::StateProof;
use crate::hash::sha256_of;
use crate::native::Base64;
use ics23::{CommitmentProof, ExistenceProof, HashOp, InnerOp, LeafOp, LengthOp, NonExistenceProof, commitment_proof};
use prost::Message as _;
use std::collections::BTreeMap;

fn sha(parts: &[&[u8]]) -> Vec<u8> {
    sha256_of(parts).as_bytes().to_vec()
}

/// A proof under way, with height and size of the subtree it reaches.
#[derive(Clone)]
struct Branch {
    hash: Vec<u8>,
    height: u8,
    size: u8,
    leaves: Vec<ExistenceProof>,
}

/// One IAVL store beside another one, under an app hash.
pub(crate) struct Tree {
    store: String,
    branch: Branch,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn leaf_op(prefix: &[u8]) -> LeafOp {
    LeafOp {
        hash: HashOp::Sha256.into(),
        prehash_key: HashOp::NoHash.into(),
        prehash_value: HashOp::Sha256.into(),
        length: LengthOp::VarProto.into(),
        prefix: prefix.to_vec(),
    }
}

fn inner_op(prefix: Vec<u8>, suffix: Vec<u8>) -> InnerOp {
    InnerOp { hash: HashOp::Sha256.into(), prefix, suffix }
}

fn leaf_hash(prefix: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    sha(&[prefix, &[u8::try_from(key.len()).unwrap()], key, &[32], &sha(&[value])])
}

fn leaf(key: &[u8], value: &[u8]) -> Branch {
    let prefix = [0, 2, 2];
    let proof =
        ExistenceProof { key: key.to_vec(), value: value.to_vec(), leaf: Some(leaf_op(&prefix)), path: Vec::new() };
    Branch { hash: leaf_hash(&prefix, key, value), height: 0, size: 1, leaves: vec![proof] }
}

fn join(left: Branch, right: Branch) -> Branch {
    let (height, size) = (left.height.max(right.height) + 1, left.size + right.size);
    let prefix = [height * 2, size * 2, 2, 32];
    assert!(size < 64, "numbers of one byte");
    let mut leaves = left.leaves;
    for leaf in &mut leaves {
        leaf.path.push(inner_op(prefix.to_vec(), [&[32], right.hash.as_slice()].concat()));
    }
    for mut leaf in right.leaves {
        leaf.path.push(inner_op([&prefix, left.hash.as_slice(), &[32]].concat(), Vec::new()));
        leaves.push(leaf);
    }
    Branch { hash: sha(&[&prefix, &left.hash, &[32], &right.hash]), height, size, leaves }
}

impl Tree {
    pub(crate) fn new(store: &str, pairs: &[(&[u8], &[u8])]) -> Self {
        let values: BTreeMap<Vec<u8>, Vec<u8>> =
            pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let mut level: Vec<Branch> = values.iter().map(|(key, value)| leaf(key, value)).collect();
        while level.len() > 1 {
            let mut above = Vec::new();
            let mut rest = level.into_iter();
            while let Some(left) = rest.next() {
                above.push(match rest.next() {
                    Some(right) => join(left, right),
                    None => left,
                });
            }
            level = above;
        }
        let empty = || Branch { hash: sha(&[]), height: 0, size: 0, leaves: Vec::new() };
        Self { store: store.to_owned(), branch: level.pop().unwrap_or_else(empty), values }
    }

    /// The other store, on the right.
    fn other(&self) -> Vec<u8> {
        leaf_hash(&[0], b"zz", &[9; 32])
    }

    pub(crate) fn app_hash(&self) -> Vec<u8> {
        sha(&[&[1], &leaf_hash(&[0], self.store.as_bytes(), &self.branch.hash), &self.other()])
    }

    pub(crate) fn prove(&self, key: &[u8]) -> StateProof {
        let at = |key: &[u8]| self.branch.leaves.iter().find(|leaf| leaf.key == key).cloned();
        let (value, inner) = match self.values.get(key) {
            Some(value) => (Some(Base64(value.clone())), commitment_proof::Proof::Exist(at(key).unwrap())),
            None => {
                let left = self.values.range(..key.to_vec()).next_back().and_then(|(key, _)| at(key));
                let right = self.values.range(key.to_vec()..).next().and_then(|(key, _)| at(key));
                let absent = NonExistenceProof { key: key.to_vec(), left, right };
                (None, commitment_proof::Proof::Nonexist(absent))
            }
        };
        let outer = commitment_proof::Proof::Exist(ExistenceProof {
            key: self.store.as_bytes().to_vec(),
            value: self.branch.hash.clone(),
            leaf: Some(leaf_op(&[0])),
            path: vec![inner_op(vec![1], self.other())],
        });
        let encode = |proof| Base64(CommitmentProof { proof: Some(proof) }.encode_to_vec());
        StateProof { value, ops: vec![encode(inner), encode(outer)] }
    }
}
