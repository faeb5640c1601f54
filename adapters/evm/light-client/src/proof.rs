//! Proofs that a Merkle-Patricia trie holds a value under a key, or nothing under it.
//!
//! A proof is the raw nodes from the root down, each named by its hash in the one before it; a node shorter than 32
//! bytes stands inside its parent and is no node of the proof. What the walk finds decides, never what came with it:
//! - a value is proven by the leaf in which the key's path ends;
//! - absence is proven by *divergence*: a branch without a child there, or a path that differs from the key's in a
//!   nibble. Nodes that merely stop prove nothing. An empty proof speaks for the empty root alone.
//!
//! Roots come from an honest quorum, so a node that a trie of these keys cannot hold (a branch with one child, a value
//! in a branch, an extension of nothing or above a leaf, a child inlined or hashed against its size) is a forgery or a
//! misreading, and is refused. Which of the three kinds a node is stands in its number of items and its first nibble:
//! never in its length, so 64 bytes are no pair of hashes and a leaf's 32-byte value is no child.
//!
//! Keys are prefix-free: all of one length (state, storage) or RLP (receipts, transactions).
//! Source: yellow paper, appendices C and D.

use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::rlp::{self, Reader};
use crate::trie::EMPTY_ROOT;
use hufu_adapters_light_client::Budget;

/// Bytes of the longest key: a Keccak-256 hash.
pub const MAX_KEY_BYTES: usize = 32;
/// Nodes of the longest proof: one a nibble, and the leaf.
pub const MAX_NODES: usize = 2 * MAX_KEY_BYTES + 1;
/// Bytes of one node. A branch has at most 532; a leaf is as large as its receipt or transaction.
pub const MAX_NODE_BYTES: usize = 64 << 10;

/// A node this short or longer is named by its hash; a shorter one stands in its parent.
const HASHED_FROM: usize = 32;

/// What the trie under `root` holds at `key`: `Some` value, or `None` where absence is proven.
///
/// `nodes` run from the root down. Every byte of them is hashed, and counted against `budget`.
///
/// # Errors
/// [`Fault`] with a `proof-…` reason if the nodes prove neither, if any of them is not reached, or beyond the limits.
pub fn verify_inclusion<'a, N: AsRef<[u8]>>(
    root: Hash32,
    key: &[u8],
    nodes: &'a [N],
    budget: &mut Budget,
) -> Result<Option<&'a [u8]>, Fault> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Fault::new(Reason::TooLarge, format!("a key of 1 to {MAX_KEY_BYTES} bytes"), key.len()));
    }
    charge(nodes, budget)?;
    if root == Hash32::ZERO {
        return Err(Fault::new(Reason::ProofZeroHash, "the root of a trie", root));
    }
    if root == EMPTY_ROOT {
        return of_nothing(nodes);
    }
    let nibbles: Vec<u8> = key.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect();
    let mut rest = nodes.iter().map(N::as_ref);
    let first = rest.next().ok_or_else(|| Fault::new(Reason::ProofEmpty, format!("nodes under {root}"), "none"))?;
    let found = walk(named(first, root)?, &nibbles, &mut rest)?;
    match rest.len() {
        0 => Ok(found),
        more => Err(unused(more)),
    }
}

/// What the receipts or transactions trie under `root` holds at `index`: raw (typed) bytes, or `None` where there is no
/// such item. A receipt does not name its transaction: the two belong together by equal indexes under roots of one header.
///
/// # Errors
/// As for [`verify_inclusion`].
pub fn verify_item<'a, N: AsRef<[u8]>>(
    root: Hash32,
    index: u64,
    nodes: &'a [N],
    budget: &mut Budget,
) -> Result<Option<&'a [u8]>, Fault> {
    let mut key = Vec::with_capacity(9);
    rlp::write_u64(index, &mut key);
    verify_inclusion(root, &key, nodes, budget)
}

fn charge<N: AsRef<[u8]>>(nodes: &[N], budget: &mut Budget) -> Result<(), Fault> {
    if nodes.len() > MAX_NODES {
        return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_NODES} nodes"), nodes.len()));
    }
    for node in nodes {
        let size = node.as_ref().len();
        if size > MAX_NODE_BYTES {
            return Err(Fault::new(Reason::TooLarge, format!("a node of at most {MAX_NODE_BYTES} bytes"), size));
        }
        hash_bytes(size, budget)?;
    }
    Ok(())
}

/// Spends `count` hashed bytes.
pub(crate) fn hash_bytes(count: usize, budget: &mut Budget) -> Result<(), Fault> {
    budget.hashed_bytes(count).map_err(|no| Fault::new(Reason::Budget, no.expected(), no.got()))
}

/// The empty trie holds nothing. Some nodes give its one node, the empty string, in place of no node: it hashes to the root.
fn of_nothing<'a, N: AsRef<[u8]>>(nodes: &[N]) -> Result<Option<&'a [u8]>, Fault> {
    match nodes {
        [] => Ok(None),
        [only] if only.as_ref() == [0x80] => Ok(None),
        _ => Err(unused(nodes.len())),
    }
}

fn unused(count: usize) -> Fault {
    Fault::new(Reason::ProofUnused, "nodes on the key's path alone", format!("{count} more"))
}

/// `raw`, if it hashes to `name`.
fn named(raw: &[u8], name: Hash32) -> Result<&[u8], Fault> {
    let hash = keccak256(raw);
    if hash == name {
        return Ok(raw);
    }
    Err(Fault::new(Reason::ProofHash, format!("node {name}"), hash))
}

/// Follows `key` from the node `raw`. Each turn takes a nibble of the key at least, so there are no more turns than that.
fn walk<'a>(
    mut raw: &'a [u8],
    mut key: &[u8],
    rest: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<Option<&'a [u8]>, Fault> {
    let mut below_extension = false;
    let whole = key.len();
    loop {
        let node = Node::parse(raw, whole - key.len())?;
        if below_extension && !matches!(node, Node::Branch(_)) {
            return Err(form("a branch below an extension", "another node"));
        }
        below_extension = matches!(node, Node::Extension { .. });
        let child = match node {
            Node::Leaf { path, value } => return path.ends(key, value),
            Node::Extension { path, child } => match path.strip_from(key)? {
                None => return Ok(None),
                Some(after) => {
                    key = after;
                    child
                }
            },
            Node::Branch(children) => {
                let (nibble, after) = key.split_first().ok_or_else(|| leftover("a branch below the key's end"))?;
                key = after;
                children.get(usize::from(*nibble)).copied().unwrap_or(Child::None)
            }
        };
        raw = match child {
            Child::None => return Ok(None),
            Child::Inlined(raw) => raw,
            Child::Hashed(name) => take(rest, name)?,
        };
    }
}

fn take<'a>(rest: &mut impl Iterator<Item = &'a [u8]>, name: Hash32) -> Result<&'a [u8], Fault> {
    let raw = rest.next();
    let raw = raw.ok_or_else(|| Fault::new(Reason::ProofTruncated, format!("node {name}"), "the proof's end"))?;
    let raw = named(raw, name)?;
    if raw.len() < HASHED_FROM {
        return Err(form("a node below 32 bytes in its parent", format!("{} bytes under a hash", raw.len())));
    }
    Ok(raw)
}

fn form(expected: &str, got: impl std::fmt::Display) -> Fault {
    Fault::new(Reason::ProofForm, expected, got)
}

fn leftover(got: &str) -> Fault {
    Fault::new(Reason::ProofPath, "paths that end where keys end", got)
}

/// How a node names the one below it.
#[derive(Debug, Clone, Copy)]
enum Child<'a> {
    None,
    Inlined(&'a [u8]),
    Hashed(Hash32),
}

impl<'a> Child<'a> {
    /// Reads the name of a node that stands below `depth` nibbles of keys. One that is inlined is read too, whether the
    /// key leads to it or not: absence must not rest on a node that no trie holds. It has less than 32 bytes and each
    /// level of it takes one at least, so this goes no deeper than that.
    fn read(items: &mut Reader<'a>, depth: usize) -> Result<Self, Fault> {
        let raw = items.raw()?;
        if raw.first().is_some_and(|prefix| *prefix >= 0xc0) {
            if raw.len() >= HASHED_FROM {
                return Err(form("a node of 32 bytes or more by its hash", format!("{} bytes inlined", raw.len())));
            }
            Node::parse(raw, depth)?;
            return Ok(Self::Inlined(raw));
        }
        let name = Reader::new(raw).string()?;
        if name.is_empty() {
            return Ok(Self::None);
        }
        let bytes: [u8; 32] = name.try_into().map_err(|_| {
            Fault::new(Reason::ProofNode, "a child of 32 bytes, inlined, or none", format!("{} bytes", name.len()))
        })?;
        let name = Hash32::new(bytes);
        if name == Hash32::ZERO {
            return Err(Fault::new(Reason::ProofZeroHash, "a child's hash", name));
        }
        Ok(Self::Hashed(name))
    }
}

/// One node, borrowed from the proof.
enum Node<'a> {
    Leaf { path: Path<'a>, value: &'a [u8] },
    Extension { path: Path<'a>, child: Child<'a> },
    Branch(Vec<Child<'a>>),
}

impl<'a> Node<'a> {
    /// Reads the node that stands below `depth` nibbles of keys.
    fn parse(raw: &'a [u8], depth: usize) -> Result<Self, Fault> {
        // Canonical all through, so also in what is inlined beside the path.
        rlp::check(raw)?;
        let items = Reader::whole_list(raw)?;
        match count(items.clone())? {
            2 => Self::parse_short(items, depth),
            17 => Self::parse_branch(items, depth + 1),
            other => Err(Fault::new(Reason::ProofNode, "a list of 2 or 17 items", format!("{other} items"))),
        }
    }

    fn parse_short(mut items: Reader<'a>, depth: usize) -> Result<Self, Fault> {
        let (path, leaf) = Path::parse(items.string()?)?;
        if depth + path.len() > 2 * MAX_KEY_BYTES {
            return Err(leftover("a path longer than any key"));
        }
        if leaf {
            let value = items.string()?;
            if value.is_empty() {
                return Err(form("a leaf with a value", "an empty one"));
            }
            return Ok(Self::Leaf { path, value });
        }
        if path.len() == 0 {
            return Err(Fault::new(Reason::ProofExtension, "an extension of one nibble or more", "none"));
        }
        match Child::read(&mut items, depth + path.len())? {
            Child::None => Err(form("an extension with a child", "none")),
            Child::Inlined(raw) if count(Reader::whole_list(raw)?)? != 17 => {
                Err(form("a branch below an extension", "another node"))
            }
            child => Ok(Self::Extension { path, child }),
        }
    }

    /// Reads a branch whose children stand below `depth` nibbles.
    fn parse_branch(mut items: Reader<'a>, depth: usize) -> Result<Self, Fault> {
        let children = (0..16).map(|_| Child::read(&mut items, depth)).collect::<Result<Vec<_>, _>>()?;
        if !items.string()?.is_empty() {
            return Err(form("no value in a branch, since keys are prefix-free", "a value"));
        }
        let used = children.iter().filter(|child| !matches!(child, Child::None)).count();
        if used < 2 {
            return Err(form("a branch with two children or more", used));
        }
        Ok(Self::Branch(children))
    }
}

/// Items of a list, counted up to one more than any node has.
fn count(mut items: Reader<'_>) -> Result<usize, Fault> {
    let mut count = 0;
    while !items.is_empty() && count < 18 {
        items.raw()?;
        count += 1;
    }
    Ok(count)
}

/// Nibbles in hex-prefix form: an odd first one, then two a byte.
#[derive(Debug, Clone, Copy)]
struct Path<'a> {
    odd: Option<u8>,
    pairs: &'a [u8],
}

impl<'a> Path<'a> {
    /// The path, and whether it ends in a leaf.
    fn parse(bytes: &'a [u8]) -> Result<(Self, bool), Fault> {
        let bad = |got: String| Fault::new(Reason::ProofNode, "a path in hex-prefix form", got);
        let (first, pairs) = bytes.split_first().ok_or_else(|| bad("no bytes".to_owned()))?;
        let odd = match (first >> 4, first & 0x0f) {
            (0 | 2, 0) => None,
            (1 | 3, nibble) => Some(nibble),
            _ => return Err(bad(format!("first byte {first:02x}"))),
        };
        Ok((Self { odd, pairs }, first & 0x20 != 0))
    }

    fn len(&self) -> usize {
        usize::from(self.odd.is_some()) + 2 * self.pairs.len()
    }

    fn nibbles(&self) -> impl Iterator<Item = u8> {
        self.odd.into_iter().chain(self.pairs.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]))
    }

    /// What of `key` follows this path; `None` where they differ in a nibble.
    fn strip_from<'k>(&self, key: &'k [u8]) -> Result<Option<&'k [u8]>, Fault> {
        if self.nibbles().zip(key).any(|(ours, theirs)| ours != *theirs) {
            return Ok(None);
        }
        // No nibble differs, so a key that is shorter ends on the way: neither there nor elsewhere.
        key.get(self.len()..).map(Some).ok_or_else(|| leftover("a key that ends inside a path"))
    }

    /// The leaf's `value` if `key` is this path; `None` where they differ in a nibble.
    fn ends<'v>(&self, key: &[u8], value: &'v [u8]) -> Result<Option<&'v [u8]>, Fault> {
        match self.strip_from(key)? {
            None => Ok(None),
            Some([]) => Ok(Some(value)),
            Some(_) => Err(leftover("a key that goes on below a leaf")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, Bytes};
    use alloy_trie::proof::{ProofRetainer, verify_proof};
    use alloy_trie::{HashBuilder, Nibbles};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Leaves = BTreeMap<Vec<u8>, Vec<u8>>;

    /// Root and proof as the oracle makes them. It keeps inlined nodes too, which belong to no proof.
    fn oracle(leaves: &Leaves, key: &[u8]) -> (Hash32, Vec<Vec<u8>>) {
        let retainer = ProofRetainer::from_iter([Nibbles::unpack(key)]);
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        for (key, value) in leaves {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = Hash32::new(builder.root().0);
        let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().enumerate();
        let nodes = nodes.filter(|(at, (_, raw))| *at == 0 || raw.len() >= HASHED_FROM);
        (root, nodes.map(|(_, (_, raw))| raw.to_vec()).collect())
    }

    fn prove<'a>(root: Hash32, key: &[u8], nodes: &'a [Vec<u8>]) -> Result<Option<&'a [u8]>, Fault> {
        verify_inclusion(root, key, nodes, &mut Budget::for_evidence())
    }

    fn refused(root: Hash32, key: &[u8], nodes: &[Vec<u8>]) -> &'static str {
        prove(root, key, nodes).unwrap_err().reason()
    }

    /// A proof of the one node `raw`, under its own hash.
    fn alone(key: &[u8], raw: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let nodes = [raw.to_vec()];
        let found = prove(keccak256(raw), key, &nodes).map_err(|fault| fault.reason())?;
        Ok(found.map(<[u8]>::to_vec))
    }

    /// A list of strings and, where they are lists already, nodes.
    fn node(items: &[&[u8]]) -> Vec<u8> {
        let mut payload = Vec::new();
        for item in items {
            match Reader::whole_list(item) {
                Ok(_) => payload.extend_from_slice(item),
                Err(_) => rlp::write_string(item, &mut payload),
            }
        }
        let mut out = Vec::new();
        rlp::write_list(&payload, &mut out);
        out
    }

    fn branch(children: &[(usize, &[u8])], value: &[u8]) -> Vec<u8> {
        let mut items: Vec<&[u8]> = vec![&[]; 16];
        children.iter().for_each(|(at, child)| items[*at] = child);
        items.push(value);
        node(&items)
    }

    /// Receipts of a block of 200: enough for branches, extensions and keys of one and two bytes.
    fn receipts() -> Leaves {
        (0u64..200).map(|index| (index_key(index), vec![u8::try_from(index).unwrap(); 40])).collect()
    }

    fn index_key(index: u64) -> Vec<u8> {
        let mut key = Vec::new();
        rlp::write_u64(index, &mut key);
        key
    }

    #[test]
    fn every_item_of_a_block_and_none_beyond() {
        let leaves = receipts();
        for index in 0..300 {
            let (root, nodes) = oracle(&leaves, &index_key(index));
            let found = verify_item(root, index, &nodes, &mut Budget::for_evidence()).unwrap();
            assert_eq!(found, leaves.get(&index_key(index)).map(Vec::as_slice), "item {index}");
        }
    }

    #[test]
    fn receipt_proof_under_another_index() {
        let leaves = receipts();
        for (index, other) in [(0u64, 1u64), (1, 0), (127, 128), (128, 127), (199, 198), (5, 200)] {
            let (root, nodes) = oracle(&leaves, &index_key(index));
            let due = leaves.get(&index_key(other)).map(Vec::as_slice);
            let outcome = verify_item(root, other, &nodes, &mut Budget::for_evidence());
            assert!(outcome.is_err() && due != Some(&[u8::try_from(index).unwrap(); 40][..]), "{index} as {other}");
        }
    }

    #[test]
    fn node_of_64_bytes_taken_for_a_hash_pair() {
        // Two hashes side by side, as inner nodes of binary trees are.
        let leaf = node(&[&[0x20], &[9; 40]]);
        let pair = [keccak256(&leaf).as_bytes().as_slice(), keccak256(b"other").as_bytes()].concat();
        assert_eq!(pair.len(), 64);
        let nodes = [pair.clone(), leaf.clone()];
        assert!(refused(keccak256(&pair), &[0x01], &nodes).starts_with("rlp-"));
        // The same two as items of a list: the first is a path, and no hash has the form of one by its length.
        let listed = node(&[&pair[..32], &pair[32..]]);
        let nodes = [listed.clone(), leaf.clone()];
        let reason = refused(keccak256(&listed), &[0x01], &nodes);
        assert!(["proof-node-malformed", "proof-unused-nodes"].contains(&reason), "{reason}");
    }

    #[test]
    fn value_of_32_bytes_taken_for_a_child() {
        // Whoever writes values could write the hash of a node of his own: it is a value and is not followed.
        let own = node(&[&[0x20], &[9; 40]]);
        let hash = keccak256(&own);
        let leaf = node(&[&[0x20, 0xab], hash.as_bytes()]);
        assert_eq!(alone(&[0xab], &leaf).unwrap().unwrap(), hash.as_bytes());
        assert_eq!(refused(keccak256(&leaf), &[0xab], &[leaf.clone(), own]), "proof-unused-nodes");
        assert_eq!(refused(keccak256(&leaf), &[0xab, 0xcd], &[leaf]), "proof-path-leftover");
    }

    #[test]
    fn empty_proof() {
        let none: [Vec<u8>; 0] = [];
        assert_eq!(prove(EMPTY_ROOT, &[1], &none).unwrap(), None);
        assert_eq!(prove(EMPTY_ROOT, &[1], &[vec![0x80]]).unwrap(), None);
        assert_eq!(refused(keccak256(b"any"), &[1], &none), "proof-empty");
        assert_eq!(refused(oracle(&receipts(), &[1]).0, &[1], &none), "proof-empty");
        assert_eq!(refused(keccak256(b"any"), &[1], &[vec![0x80]]), "proof-node-hash");
    }

    #[test]
    fn nodes_under_the_empty_root() {
        let (_, nodes) = oracle(&receipts(), &[1]);
        assert_eq!(refused(EMPTY_ROOT, &[1], &nodes), "proof-unused-nodes");
        assert_eq!(refused(EMPTY_ROOT, &[1], &[vec![0x80], vec![0x80]]), "proof-unused-nodes");
    }

    #[test]
    fn zero_hash() {
        let none: [Vec<u8>; 0] = [];
        assert_eq!(refused(Hash32::ZERO, &[1], &none), "proof-zero-hash");
        let raw = branch(&[(0, &[0; 32]), (1, &[7; 32])], &[]);
        assert_eq!(alone(&[0x00], &raw), Err("proof-zero-hash"));
        assert_eq!(alone(&[0x30], &raw), Err("proof-zero-hash"));
        assert_eq!(alone(&[0x10], &node(&[&[0x11], &[0; 32]])), Err("proof-zero-hash"));
    }

    #[test]
    fn extension_node_of_zero_length() {
        let below = branch(&[(0, &[7; 32]), (1, &[8; 32])], &[]);
        let raw = node(&[&[0x00], keccak256(&below).as_bytes()]);
        assert_eq!(refused(keccak256(&raw), &[0x20], &[raw.clone(), below]), "proof-extension-empty");
    }

    #[test]
    fn proof_with_unused_nodes() {
        let leaves = receipts();
        for key in [index_key(3), index_key(250)] {
            let (root, mut nodes) = oracle(&leaves, &key);
            nodes.push(oracle(&leaves, &index_key(9)).1.pop().unwrap());
            assert_eq!(refused(root, &key, &nodes), "proof-unused-nodes");
        }
    }

    #[test]
    fn truncated() {
        let leaves = receipts();
        for index in [0, 3, 130] {
            let (root, nodes) = oracle(&leaves, &index_key(index));
            for kept in 1..nodes.len() {
                assert_eq!(refused(root, &index_key(index), &nodes[..kept]), "proof-truncated");
            }
            let mut short = nodes;
            short.last_mut().unwrap().pop();
            assert_eq!(refused(root, &index_key(index), &short), "proof-node-hash");
        }
    }

    #[test]
    fn absence_claimed_for_a_present_key() {
        // No proof of another key, present or absent, whole or cut, says that a present key is absent.
        let leaves = receipts();
        let present = index_key(3);
        for other in 0..260 {
            let (root, nodes) = oracle(&leaves, &index_key(other));
            for kept in 0..=nodes.len() {
                let outcome = prove(root, &present, &nodes[..kept]);
                assert!(!matches!(outcome, Ok(None)), "the proof of {other}, {kept} nodes of it");
            }
        }
    }

    #[test]
    fn presence_claimed_for_absent() {
        let mut fewer = receipts();
        let key = index_key(3);
        let (_, of_present) = oracle(&fewer, &key);
        fewer.remove(&key);
        let (root, of_absent) = oracle(&fewer, &key);
        assert_eq!(prove(root, &key, &of_absent).unwrap(), None);
        assert_eq!(refused(root, &key, &of_present), "proof-node-hash");
        // The present leaf under the absent key's branch.
        let spliced = [&of_absent[..], &of_present[of_present.len() - 1..]].concat();
        assert_eq!(refused(root, &key, &spliced), "proof-unused-nodes");
    }

    #[test]
    fn path_with_leftover_nibbles() {
        let leaf = node(&[&[0x20, 0xab], &[9]]);
        assert_eq!(alone(&[0xab], &leaf), Ok(Some(vec![9])));
        assert_eq!(alone(&[0xac], &leaf), Ok(None));
        assert_eq!(alone(&[0xab, 0x00], &leaf), Err("proof-path-leftover"));
        let longer = node(&[&[0x20, 0xab, 0xcd], &[9]]);
        assert_eq!(alone(&[0xab], &longer), Err("proof-path-leftover"));
        let below = branch(&[(0, &node(&[&[0x30], &[1]])), (1, &node(&[&[0x30], &[2]]))], &[]);
        let raw = branch(&[(0, &below), (1, &below)], &[]);
        // A leaf inlined in a branch inlined in a branch: three nibbles, and keys of four.
        assert_eq!(alone(&[0x00, 0x50], &raw), Ok(None));
        assert_eq!(alone(&[0x00, 0x00], &raw), Err("proof-path-leftover"));
        let deep = branch(&[(0, &[7; 32]), (1, &[8; 32])], &[]);
        let over = node(&[&[0x00, 0xab], keccak256(&deep).as_bytes()]);
        assert_eq!(refused(keccak256(&over), &[0xab], &[over.clone(), deep]), "proof-path-leftover");
        let endless = node(&[&[&[0x20][..], &[0; 33]].concat(), &[9]]);
        assert_eq!(alone(&[0; 32], &endless), Err("proof-path-leftover"));
        // A nibble of the key is behind, and the leaf below has 64 more: it differs from the key, and is no leaf of any.
        let below = node(&[&[&[0x20, 0xff][..], &[0; 31]].concat(), &[9; 32]]);
        let raw = branch(&[(0, keccak256(&below).as_bytes()), (1, &[7; 32])], &[]);
        assert_eq!(refused(keccak256(&raw), &[0; 32], &[raw.clone(), below]), "proof-path-leftover");
    }

    #[test]
    fn a_path_not_in_hex_prefix_form() {
        for first in [0x01, 0x21, 0x2f, 0x40, 0x51, 0x80, 0xf0] {
            assert_eq!(alone(&[0xab], &node(&[&[first, 0xab], &[9; 32]])), Err("proof-node-malformed"), "{first:02x}");
        }
        assert_eq!(alone(&[0xab], &node(&[&[], &[9; 32]])), Err("proof-node-malformed"));
    }

    #[test]
    fn a_node_of_another_number_of_items() {
        let wide: Vec<&[u8]> = vec![&[]; 18];
        for raw in [node(&[]), node(&[&[0x20]]), node(&[&[0x20], &[1], &[1]]), node(&wide[..16]), node(&wide)] {
            assert_eq!(alone(&[0xab], &raw), Err("proof-node-malformed"));
        }
        assert_eq!(alone(&[0xab], &[0x83, 1, 2, 3]), Err("rlp-expected-list"));
        // Inlined below an extension whose path is not the key's, and in a branch where the key does not go.
        let three = node(&[&[0x20], &[1], &[1]]);
        assert_eq!(alone(&[0xab], &node(&[&[0x1c], &three])), Err("proof-node-malformed"));
        assert_eq!(alone(&[0xab], &branch(&[(0, &three), (1, &[7; 32])], &[])), Err("proof-node-malformed"));
    }

    #[test]
    fn a_child_that_is_no_hash() {
        for size in [1, 20, 31, 33, 64] {
            let child = vec![7; size];
            assert_eq!(alone(&[0x00], &branch(&[(0, &child), (1, &[8; 32])], &[])), Err("proof-node-malformed"));
        }
    }

    #[test]
    fn a_node_that_no_trie_holds() {
        let small = node(&[&[0x30], &[9]]);
        let large = node(&[&[0x30], &[9; 40]]);
        let short_branch = branch(&[(0, &small), (1, &small)], &[]);
        for (what, nodes) in [
            ("one child", vec![branch(&[(0, &small)], &[])]),
            ("no child", vec![branch(&[], &[])]),
            ("a value in a branch", vec![branch(&[(0, &small), (1, &small)], &[5])]),
            ("a long child inlined", vec![branch(&[(0, &large), (1, &small)], &[])]),
            ("a leaf below an extension", vec![node(&[&[0x10], &small])]),
            ("an extension of nothing", vec![node(&[&[0x10], &[]])]),
            ("an empty value", vec![node(&[&[0x20, 0x00], &[]])]),
            ("a leaf below an extension beside the key's path", vec![node(&[&[0x15], &small])]),
            ("an empty value beside the key's path", vec![branch(&[(0, &small), (1, &node(&[&[0x20], &[]]))], &[])]),
            (
                "a short child by hash",
                vec![branch(&[(0, keccak256(&short_branch).as_bytes()), (1, &small)], &[]), short_branch.clone()],
            ),
        ] {
            assert_eq!(refused(keccak256(&nodes[0]), &[0x00], &nodes), "proof-not-canonical", "{what}");
        }
    }

    #[test]
    fn rlp_that_is_not_canonical() {
        // A leaf with its one-byte value wrapped, and the same inlined beside the path.
        assert_eq!(alone(&[0xab], &[0xc5, 0x82, 0x20, 0xab, 0x81, 0x09]), Err("rlp-not-minimal"));
        let beside = branch(&[(0, &node(&[&[0x30], &[9]])), (1, &[0xc3, 0x30, 0x81, 0x09])], &[]);
        assert_eq!(alone(&[0x00], &beside), Err("rlp-not-minimal"));
        let mut trailing = node(&[&[0x20, 0xab], &[9]]);
        trailing.push(0);
        assert_eq!(alone(&[0xab], &trailing), Err("rlp-trailing-bytes"));
    }

    #[test]
    fn beyond_the_limits() {
        let none: [Vec<u8>; 0] = [];
        assert_eq!(refused(EMPTY_ROOT, &[0; MAX_KEY_BYTES + 1], &none), "too-large");
        assert_eq!(refused(EMPTY_ROOT, &[], &none), "too-large");
        assert_eq!(refused(EMPTY_ROOT, &[1], &vec![Vec::new(); MAX_NODES + 1]), "too-large");
        assert_eq!(refused(EMPTY_ROOT, &[1], &[vec![0; MAX_NODE_BYTES + 1]]), "too-large");
        let (root, nodes) = oracle(&receipts(), &[1]);
        let total: u64 = nodes.iter().map(|raw| raw.len() as u64).sum();
        assert!(verify_inclusion(root, &[1], &nodes, &mut Budget::new(0, total)).is_ok());
        let short = verify_inclusion(root, &[1], &nodes, &mut Budget::new(0, total - 1)).unwrap_err();
        assert_eq!(short.reason(), "budget-exhausted");
    }

    /// Keys of one length that share much, so that extensions, inlined nodes and deep branches come about.
    fn leaves() -> impl Strategy<Value = Leaves> {
        let key = prop_oneof![
            proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0x11)], 4),
            proptest::collection::vec(any::<u8>(), 4),
        ];
        proptest::collection::btree_map(key, proptest::collection::vec(any::<u8>(), 1..50), 1..60)
    }

    fn pick(leaves: &Leaves, at: usize, other: [u8; 4]) -> Vec<u8> {
        leaves.keys().nth(at % (leaves.len() * 2)).cloned().unwrap_or_else(|| other.to_vec())
    }

    #[derive(Debug, Clone)]
    enum Change {
        Flip(usize, usize, u8),
        Drop(usize),
        Repeat(usize),
        Swap(usize, usize),
        Cut(usize, usize),
        Insert(usize, usize, u8),
        Foreign(usize, usize),
        Append(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let at = any::<usize>;
        prop_oneof![
            (at(), at(), 1u8..).prop_map(|(one, two, bits)| Change::Flip(one, two, bits)),
            at().prop_map(Change::Drop),
            at().prop_map(Change::Repeat),
            (at(), at()).prop_map(|(one, two)| Change::Swap(one, two)),
            (at(), at()).prop_map(|(one, two)| Change::Cut(one, two)),
            (at(), at(), any::<u8>()).prop_map(|(one, two, byte)| Change::Insert(one, two, byte)),
            (at(), at()).prop_map(|(one, two)| Change::Foreign(one, two)),
            at().prop_map(Change::Append),
        ]
    }

    /// `nodes` after `change`; `foreign` are the nodes of another key's proof in the same trie.
    fn apply(change: &Change, nodes: &[Vec<u8>], foreign: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut out = nodes.to_vec();
        let one = |at: &usize| at % nodes.len();
        match change {
            Change::Flip(at, byte, bits) => {
                let raw = &mut out[one(at)];
                let byte = byte % raw.len();
                raw[byte] ^= bits;
            }
            Change::Drop(at) => drop(out.remove(one(at))),
            Change::Repeat(at) => out.insert(one(at), nodes[one(at)].clone()),
            Change::Swap(at, other) => out.swap(one(at), one(other)),
            Change::Cut(at, byte) => {
                let raw = &mut out[one(at)];
                raw.truncate(byte % raw.len());
            }
            Change::Insert(at, byte, value) => {
                let raw = &mut out[one(at)];
                raw.insert(byte % (raw.len() + 1), *value);
            }
            Change::Foreign(at, other) => out[one(at)] = foreign[other % foreign.len()].clone(),
            Change::Append(at) => out.push(foreign[at % foreign.len()].clone()),
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn proofs_of_the_oracle_close(leaves in leaves(), at in any::<usize>(), other in any::<[u8; 4]>()) {
            let key = pick(&leaves, at, other);
            let (root, nodes) = oracle(&leaves, &key);
            let found = prove(root, &key, &nodes).unwrap();
            prop_assert_eq!(found, leaves.get(&key).map(Vec::as_slice));
            // The oracle makes a root of less than 32 bytes and its hash, but its verifier does not take one.
            if nodes[0].len() >= HASHED_FROM {
                let theirs: Vec<Bytes> = nodes.iter().cloned().map(Into::into).collect();
                let (root, expected) = (B256::from(*root.as_bytes()), leaves.get(&key).cloned());
                prop_assert_eq!(verify_proof(root, Nibbles::unpack(&key), expected, &theirs), Ok(()));
            }
        }

        #[test]
        fn no_changed_proof_says_anything_else(
            leaves in leaves(), at in any::<usize>(), other in any::<[u8; 4]>(), next in any::<usize>(),
            changes in proptest::collection::vec(change(), 1..4)
        ) {
            let key = pick(&leaves, at, other);
            let (root, honest) = oracle(&leaves, &key);
            let foreign = oracle(&leaves, &pick(&leaves, next, other)).1;
            let mut nodes = honest.clone();
            for change in &changes {
                if !nodes.is_empty() && nodes.iter().all(|raw| !raw.is_empty()) {
                    nodes = apply(change, &nodes, &foreign);
                }
            }
            if let Ok(found) = prove(root, &key, &nodes) {
                prop_assert_eq!(&nodes, &honest, "one proof a key");
                prop_assert_eq!(found, leaves.get(&key).map(Vec::as_slice));
            }
        }

        #[test]
        fn any_bytes_as_nodes(nodes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 1..4)) {
            // Random bytes hash to their own root, and hold no value that is not in them.
            if let Ok(Some(value)) = prove(keccak256(&nodes[0]), &[0; 32], &nodes) {
                prop_assert!(nodes.concat().windows(value.len()).any(|window| window == value));
            }
        }
    }
}
