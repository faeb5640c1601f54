//! The Merkle tree of CometBFT: RFC 6962 hashing over SHA-256, split at the largest power of two below the number of
//! leaves (spec/core/encoding.md, crypto/merkle). Prefixes keep leaves and inner nodes apart; the empty tree is
//! SHA-256 of nothing.

use crate::fault::{Fault, Reason};
use crate::hash::{Hash32, sha256, sha256_of};
use serde::{Deserialize, Serialize};

/// Leaves of the largest tree: nodes allow 100 MiB of transactions in a block, and no transaction is shorter than a byte;
/// in practice some tens of thousands. A million leaves of 32 bytes are 32 MiB.
pub const MAX_LEAVES: usize = 1 << 20;
/// Aunts of the longest proof: what `crypto/merkle` allows.
pub const MAX_AUNTS: usize = 100;

/// Hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash32 {
    sha256_of(&[&[0], leaf])
}

fn inner_hash(left: &Hash32, right: &Hash32) -> Hash32 {
    sha256_of(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// Root over leaves.
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash32 {
    let hashes: Vec<Hash32> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    root_of_hashes(hashes)
}

/// Joins neighbours level by level; an odd last one moves up as it is. That is the same tree as the split at the largest
/// power of two, without recursion.
fn root_of_hashes(mut level: Vec<Hash32>) -> Hash32 {
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(inner_hash(left, right)),
                [last] => Some(*last),
                _ => None,
            })
            .collect();
    }
    level.first().copied().unwrap_or_else(|| sha256(b""))
}

/// A proof that a leaf stands at an index of a tree of so many leaves, as nodes write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Leaves of the tree.
    #[serde(with = "crate::text::decimal")]
    pub total: u64,
    /// Which of them.
    #[serde(with = "crate::text::decimal")]
    pub index: u64,
    /// Hash of the leaf, base64. Recomputed, and refused where it differs.
    #[serde(with = "crate::text::base64")]
    pub leaf_hash: Vec<u8>,
    /// Hashes beside the path, from the leaf up, base64.
    #[serde(default, deserialize_with = "aunts::deserialize", serialize_with = "aunts::serialize")]
    pub aunts: Vec<Hash32>,
}

impl Proof {
    /// Checks that `leaf` stands at [`Proof::index`] of a tree of [`Proof::total`] leaves under `root`.
    ///
    /// # Errors
    /// [`Fault`] if index or total cannot be, if there are more or fewer aunts than such a tree has, if the leaf hash is
    /// another, or if the path leads to another root.
    pub fn verify(&self, leaf: &[u8], root: Hash32) -> Result<(), Fault> {
        let most = MAX_LEAVES as u64;
        if self.total == 0 || self.total > most || self.index >= self.total {
            let got = format!("index {} of {}", self.index, self.total);
            return Err(Fault::new(Reason::MerkleShape, format!("an index below a total of 1 to {most}"), got));
        }
        let hash = leaf_hash(leaf);
        if self.leaf_hash != hash.as_bytes() {
            return Err(Fault::new(Reason::MerkleLeaf, hash, hex::encode_upper(&self.leaf_hash)));
        }
        let got = self.climb(hash)?;
        if got != root {
            return Err(Fault::new(Reason::MerkleRoot, root, got));
        }
        Ok(())
    }

    /// From the leaf up. On each level an index either has a neighbour or is the odd last one and moves up as it is.
    fn climb(&self, leaf: Hash32) -> Result<Hash32, Fault> {
        let (mut at, mut width, mut hash) = (self.index, self.total, leaf);
        let mut aunts = self.aunts.iter();
        while width > 1 {
            if at % 2 == 1 || at + 1 < width {
                let aunt = aunts.next().ok_or_else(|| self.shape("too few"))?;
                hash = if at % 2 == 1 { inner_hash(aunt, &hash) } else { inner_hash(&hash, aunt) };
            }
            (at, width) = (at / 2, width.div_ceil(2));
        }
        if aunts.next().is_some() {
            return Err(self.shape("too many"));
        }
        Ok(hash)
    }

    fn shape(&self, how: &str) -> Fault {
        let expected = format!("the aunts of index {} in {}", self.index, self.total);
        Fault::new(Reason::MerkleShape, expected, format!("{how}, {}", self.aunts.len()))
    }
}

/// Proofs of all leaves, in order.
pub fn prove_all<L: AsRef<[u8]>>(leaves: &[L]) -> Vec<Proof> {
    let hashes: Vec<Hash32> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    let mut proofs: Vec<Proof> = (0_u64..)
        .zip(&hashes)
        .map(|(index, hash)| Proof {
            total: hashes.len() as u64,
            index,
            leaf_hash: hash.as_bytes().to_vec(),
            aunts: Vec::new(),
        })
        .collect();
    let mut level = hashes;
    let mut height = 0;
    while level.len() > 1 {
        for (index, proof) in proofs.iter_mut().enumerate() {
            // A neighbour's index differs in the last bit; the odd last one has none.
            if let Some(aunt) = level.get(index >> height ^ 1) {
                proof.aunts.push(*aunt);
            }
        }
        level = level.chunks(2).map(|pair| root_of_hashes(pair.to_vec())).collect();
        height += 1;
    }
    proofs
}

mod aunts {
    use super::{Hash32, MAX_AUNTS};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(aunts: &[Hash32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(aunts.iter().map(|aunt| STANDARD.encode(aunt.as_bytes())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash32>, D::Error> {
        // Nodes write `null` for a tree of one leaf.
        let texts: Vec<String> = Option::deserialize(deserializer)?.unwrap_or_default();
        if texts.len() > MAX_AUNTS {
            return Err(de::Error::custom(format!("expected at most {MAX_AUNTS} aunts, got {}", texts.len())));
        }
        let hash = |text: String| STANDARD.decode(text).ok()?.try_into().ok().map(Hash32::new);
        texts
            .into_iter()
            .map(|text| hash(text).ok_or_else(|| de::Error::custom("expected 32 bytes in base64")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree as the specification words it.
    fn by_the_book(leaves: &[Vec<u8>]) -> Hash32 {
        match leaves {
            [] => sha256(b""),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                inner_hash(&by_the_book(left), &by_the_book(right))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| vec![u8::try_from(number % 251).unwrap(); number % 5 + 1]).collect()
    }

    #[test]
    fn roots_are_those_of_the_specification() {
        for count in 0..70 {
            assert_eq!(root(&leaves(count)), by_the_book(&leaves(count)), "{count}");
        }
    }

    #[test]
    fn every_leaf_is_proven_at_its_index_only() {
        for count in 1..34 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (leaf, proof) in leaves.iter().zip(prove_all(&leaves)) {
                proof.verify(leaf, root).unwrap();
                for index in (0..count as u64).filter(|index| *index != proof.index) {
                    assert!(Proof { index, ..proof.clone() }.verify(leaf, root).is_err());
                }
            }
        }
    }

    fn three() -> (Vec<Vec<u8>>, Hash32, Proof) {
        let leaves = leaves(3);
        let root = root(&leaves);
        (leaves.clone(), root, prove_all(&leaves).remove(2))
    }

    #[test]
    fn proof_with_a_wrong_total() {
        let (leaves, root, proof) = three();
        for total in [0, 2, 4, 5, 100, u64::MAX] {
            let bad = Proof { total, ..proof.clone() }.verify(&leaves[2], root).unwrap_err();
            assert_eq!(bad.reason(), "merkle-shape", "{total}");
        }
    }

    #[test]
    fn proof_with_extra_or_missing_aunts() {
        let (leaves, root, proof) = three();
        let mut more = proof.clone();
        more.aunts.push(root);
        assert_eq!(more.verify(&leaves[2], root).unwrap_err().reason(), "merkle-shape");
        let none = Proof { aunts: Vec::new(), ..proof };
        assert_eq!(none.verify(&leaves[2], root).unwrap_err().reason(), "merkle-shape");
    }

    #[test]
    fn proof_of_an_inner_node_as_a_leaf() {
        let (leaves, root, proof) = three();
        // What would be the leaf if leaves had no prefix: the two hashes of the left inner node.
        let inner = [leaf_hash(&leaves[0]).as_bytes().as_slice(), leaf_hash(&leaves[1]).as_bytes()].concat();
        let forged = Proof {
            total: 2,
            index: 0,
            leaf_hash: sha256_of(&[&[1], &inner]).as_bytes().to_vec(),
            aunts: vec![leaf_hash(&leaves[2])],
        };
        assert_eq!(forged.verify(&inner, root).unwrap_err().reason(), "merkle-leaf");
        let mut wrong = proof;
        wrong.leaf_hash = sha256_of(&[&[1], &leaves[2]]).as_bytes().to_vec();
        assert_eq!(wrong.verify(&leaves[2], root).unwrap_err().reason(), "merkle-leaf");
    }

    proptest! {
        #[test]
        fn no_other_leaf_is_proven(count in 1_usize..40, at in 0_usize..40, other in prop::collection::vec(any::<u8>(), 0..8)) {
            let leaves = leaves(count);
            let at = at % count;
            prop_assume!(leaves[at] != other);
            let mut proof = prove_all(&leaves).remove(at);
            proof.leaf_hash = leaf_hash(&other).as_bytes().to_vec();
            prop_assert!(proof.verify(&other, root(&leaves)).is_err());
        }
    }
}
