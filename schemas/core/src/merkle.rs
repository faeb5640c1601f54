//! The RFC 6962 Merkle tree: leaf prefix 0x00, node prefix 0x01, so that a leaf is never taken for a node.
//!
//! [`Edge`] is the compact right edge that a gateway keeps: appending costs about two hashes a leaf, whatever the size.
//! Proofs are made from complete subtrees only ([`Nodes`]), so that a store may keep each node once and for ever.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Hash of a leaf: SHA-256(0x00 ‖ entry) (RFC 6962, 2.1).
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], entry])
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right) (RFC 6962, 2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root of the empty tree: SHA-256 of nothing (RFC 6962, 2.1).
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// A complete subtree: 2^level leaves from leaf `index`·2^level on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// 0 for leaves.
    pub level: u8,
    /// Position among the nodes of its level.
    pub index: u64,
}

/// Where proofs get the hashes of complete subtrees from.
pub trait Nodes {
    /// The hash of a complete subtree; `None` when it is not kept.
    fn node(&self, id: NodeId) -> Option<Digest>;
}

impl<F: Fn(NodeId) -> Option<Digest>> Nodes for F {
    fn node(&self, id: NodeId) -> Option<Digest> {
        self(id)
    }
}

/// The right edge of a tree: its size and the roots of the complete subtrees it decomposes into, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "EdgeParts", into = "EdgeParts")]
pub struct Edge {
    size: u64,
    peaks: Vec<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeParts {
    size: u64,
    peaks: Vec<Digest>,
}

/// An edge whose peaks do not fit its size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an edge of size {size} has {} peaks, got {peaks}", size.count_ones())]
pub struct NotAnEdge {
    size: u64,
    peaks: usize,
}

impl TryFrom<EdgeParts> for Edge {
    type Error = NotAnEdge;
    fn try_from(parts: EdgeParts) -> Result<Self, NotAnEdge> {
        if parts.peaks.len() != usize::try_from(parts.size.count_ones()).unwrap_or(usize::MAX) {
            return Err(NotAnEdge { size: parts.size, peaks: parts.peaks.len() });
        }
        Ok(Self { size: parts.size, peaks: parts.peaks })
    }
}

impl From<Edge> for EdgeParts {
    fn from(edge: Edge) -> Self {
        Self { size: edge.size, peaks: edge.peaks }
    }
}

impl Edge {
    /// The edge of the empty tree.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Leaves appended so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf; returns the complete subtrees that came to be, lowest first, for a store to keep.
    pub fn append(&mut self, leaf: Digest) -> Vec<(NodeId, Digest)> {
        let mut made = vec![(NodeId { level: 0, index: self.size }, leaf)];
        let mut hash = leaf;
        let mut below = self.size;
        let mut level = 0u8;
        // Each trailing one bit of the size is a peak of that level, waiting for its right sibling.
        while below & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            below >>= 1;
            level += 1;
            made.push((NodeId { level, index: below }, hash));
        }
        self.peaks.push(hash);
        self.size += 1;
        made
    }

    /// The root: the peaks folded from the right (RFC 6962, 2.1).
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Largest power of two smaller than `size`, for `size` ≥ 2.
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Root of the leaves `[from, from + size)`; `from` is a multiple of the smallest power of two ≥ `size`.
fn range_root<N: Nodes + ?Sized>(nodes: &N, from: u64, size: u64) -> Option<Digest> {
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return nodes.node(NodeId { level: u8::try_from(level).ok()?, index: from >> level });
    }
    let left = split(size);
    let right = range_root(nodes, from + left, size - left)?;
    Some(node_hash(&range_root(nodes, from, left)?, &right))
}

/// The root of the tree of `size` leaves; `None` when a node is not kept.
pub fn root<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Option<Digest> {
    if size == 0 { Some(empty_root()) } else { range_root(nodes, 0, size) }
}

/// PATH(index, D[size]) of RFC 6962, 2.1.1, from the leaf upwards. `None` when `index ≥ size` or a node is not kept.
pub fn inclusion_proof<N: Nodes + ?Sized>(nodes: &N, index: u64, size: u64) -> Option<Vec<Digest>> {
    if index >= size {
        return None;
    }
    let (mut from, mut size, mut index) = (0, size, index);
    let mut path = Vec::new();
    while size > 1 {
        let left = split(size);
        if index < left {
            path.push(range_root(nodes, from + left, size - left)?);
            size = left;
        } else {
            path.push(range_root(nodes, from, left)?);
            (from, size, index) = (from + left, size - left, index - left);
        }
    }
    path.reverse();
    Some(path)
}

/// PROOF(old, D[new]) of RFC 6962, 2.1.2. `None` when `old` is 0 or beyond `new`, or a node is not kept.
pub fn consistency_proof<N: Nodes + ?Sized>(nodes: &N, old: u64, new: u64) -> Option<Vec<Digest>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut from, mut old, mut size) = (0, old, new);
    // Whether the subtree under consideration is the whole old tree, whose root the verifier has.
    let mut known = true;
    let mut proof = Vec::new();
    while old < size {
        let left = split(size);
        if old <= left {
            proof.push(range_root(nodes, from + left, size - left)?);
            size = left;
        } else {
            proof.push(range_root(nodes, from, left)?);
            (from, size, old) = (from + left, size - left, old - left);
            known = false;
        }
    }
    if !known {
        proof.push(range_root(nodes, from, size)?);
    }
    proof.reverse();
    Some(proof)
}

/// The nodes that a proof maker will ask for: run `make` against a recorder. Which nodes are asked never depends on
/// their values, so a store may fetch them in one query first.
pub fn nodes_needed(make: impl FnOnce(&dyn Nodes) -> Option<Vec<Digest>>) -> Vec<NodeId> {
    let asked = std::cell::RefCell::new(Vec::new());
    let recorder = |id: NodeId| {
        asked.borrow_mut().push(id);
        Some(Digest::from_bytes([0; 32]))
    };
    let _ = make(&recorder);
    asked.into_inner()
}

/// A proof that does not close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// Indices or sizes that no tree has.
    #[error("no tree of {size} leaves has that leaf or older size: {index}")]
    OutOfRange {
        /// Leaf index or older size.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// Another number of hashes than the shape of the tree asks for.
    #[error("expected a proof of another length, got {got} hashes")]
    Length {
        /// Hashes given.
        got: usize,
    },
    /// The recomputed root is another.
    #[error("expected root {expected}, recomputed {got}")]
    Root {
        /// The signed root.
        expected: Digest,
        /// What the proof leads to.
        got: Digest,
    },
}

impl ProofFault {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "proof-out-of-range",
            Self::Length { .. } => "proof-length",
            Self::Root { .. } => "proof-root",
        }
    }
}

fn require_root(expected: &Digest, got: Digest) -> Result<(), ProofFault> {
    if *expected == got { Ok(()) } else { Err(ProofFault::Root { expected: *expected, got }) }
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves under `root` (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: Digest,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofFault> {
    if index >= size {
        return Err(ProofFault::OutOfRange { index, size });
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofFault::Length { got: proof.len() });
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofFault::Length { got: proof.len() });
    }
    require_root(root, hash)
}

/// Checks that the tree of `new` leaves under `new_root` begins with the tree of `old` leaves under `old_root`
/// (RFC 9162, 2.1.4.2). Equal sizes need equal roots and an empty proof; every tree begins with the empty one.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Digest,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofFault> {
    if old > new {
        return Err(ProofFault::OutOfRange { index: old, size: new });
    }
    if old == new || old == 0 {
        if !proof.is_empty() {
            return Err(ProofFault::Length { got: proof.len() });
        }
        return if old == 0 { require_root(&empty_root(), *old_root) } else { require_root(new_root, *old_root) };
    }
    let mut rest = proof.iter();
    let short = ProofFault::Length { got: proof.len() };
    // A complete old tree is itself the first node of the path.
    let first = if old.is_power_of_two() { old_root } else { rest.next().ok_or(short.clone())? };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(short);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(short);
    }
    require_root(old_root, old_hash)?;
    require_root(new_root, new_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;
    use std::collections::HashMap;

    struct Tree {
        edge: Edge,
        nodes: HashMap<NodeId, Digest>,
    }

    fn entry(i: u64) -> Vec<u8> {
        i.to_be_bytes().repeat(8)
    }

    fn tree(size: u64) -> Tree {
        let mut tree = Tree { edge: Edge::empty(), nodes: HashMap::new() };
        for i in 0..size {
            tree.nodes.extend(tree.edge.append(leaf_hash(&entry(i))));
        }
        tree
    }

    impl Nodes for Tree {
        fn node(&self, id: NodeId) -> Option<Digest> {
            self.nodes.get(&id).copied()
        }
    }

    fn oracle(size: u64) -> MemoryBackedTree<sha2::Sha256, Vec<u8>> {
        let mut tree = MemoryBackedTree::new();
        (0..size).for_each(|i| tree.push(entry(i)));
        tree
    }

    fn bytes(proof: &[Digest]) -> Vec<u8> {
        proof.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// ct-merkle, written by others, is the oracle for roots and both proofs.
        #[test]
        fn agrees_with_an_outside_crate(size in 1u64..300, a in any::<u64>(), b in any::<u64>()) {
            let (ours, theirs) = (tree(size), oracle(size));
            let (a_root, b_root) = (ours.edge.root(), theirs.root());
            prop_assert_eq!(a_root.as_bytes().as_slice(), b_root.as_bytes().as_slice());
            prop_assert_eq!(root(&ours, size), Some(ours.edge.root()));

            let index = a % size;
            let path = inclusion_proof(&ours, index, size).unwrap();
            let expected = theirs.prove_inclusion(usize::try_from(index).unwrap());
            prop_assert_eq!(bytes(&path), expected.as_bytes().to_vec());
            prop_assert_eq!(verify_inclusion(index, size, leaf_hash(&entry(index)), &path, &ours.edge.root()), Ok(()));

            let old = 1 + b % size;
            let proof = consistency_proof(&ours, old, size).unwrap();
            if old < size {
                let expected = theirs.prove_consistency(usize::try_from(size - old).unwrap());
                prop_assert_eq!(bytes(&proof), expected.as_bytes().to_vec());
            }
            prop_assert_eq!(verify_consistency(old, size, &tree(old).edge.root(), &ours.edge.root(), &proof), Ok(()));
        }

        #[test]
        fn no_changed_proof_closes(size in 2u64..120, a in any::<u64>(), b in any::<u64>(), bit in any::<u16>()) {
            let ours = tree(size);
            let root = ours.edge.root();
            let index = a % size;
            let leaf = leaf_hash(&entry(index));
            let path = inclusion_proof(&ours, index, size).unwrap();
            let flip = |proof: &[Digest]| {
                let mut proof = proof.to_vec();
                let at = usize::from(bit) % (proof.len() * 256);
                let mut changed = *proof[at / 256].as_bytes();
                changed[at % 256 / 8] ^= 1 << (at % 8);
                proof[at / 256] = Digest::from_bytes(changed);
                proof
            };
            prop_assert!(verify_inclusion(index, size, leaf, &flip(&path), &root).is_err());
            prop_assert!(verify_inclusion(index, size, leaf, &path[1..], &root).is_err());
            prop_assert!(verify_inclusion((index + 1) % size, size, leaf, &path, &root).is_err());
            let mut longer = path.clone();
            longer.push(leaf);
            prop_assert!(verify_inclusion(index, size, leaf, &longer, &root).is_err());

            let old = 1 + b % (size - 1);
            let old_root = tree(old).edge.root();
            let proof = consistency_proof(&ours, old, size).unwrap();
            prop_assert!(verify_consistency(old, size, &root, &root, &proof).is_err());
            if !proof.is_empty() {
                prop_assert!(verify_consistency(old, size, &old_root, &root, &flip(&proof)).is_err());
                prop_assert!(verify_consistency(old, size, &old_root, &root, &proof[1..]).is_err());
            }
        }

        #[test]
        fn proofs_ask_only_for_the_nodes_they_name(size in 1u64..200, a in any::<u64>()) {
            let ours = tree(size);
            let index = a % size;
            let needed = nodes_needed(|nodes| inclusion_proof(nodes, index, size));
            let kept: HashMap<_, _> = needed.iter().map(|id| (*id, ours.nodes[id])).collect();
            let path = inclusion_proof(&|id| kept.get(&id).copied(), index, size);
            prop_assert_eq!(path, inclusion_proof(&ours, index, size));
        }

        #[test]
        fn an_edge_restored_goes_on_as_before(size in 0u64..100, more in 0u64..20) {
            let edge = tree(size).edge;
            let mut restored: Edge = serde_json::from_str(&serde_json::to_string(&edge).unwrap()).unwrap();
            (size..size + more).for_each(|i| { restored.append(leaf_hash(&entry(i))); });
            prop_assert_eq!(restored, tree(size + more).edge);
        }
    }

    #[test]
    fn an_edge_with_too_few_peaks_is_refused() {
        assert!(serde_json::from_str::<Edge>(r#"{"size":3,"peaks":[]}"#).is_err());
    }

    #[test]
    fn a_leaf_is_never_a_node() {
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let inner = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_ne!(leaf_hash(&inner), node_hash(&a, &b));
    }
}
