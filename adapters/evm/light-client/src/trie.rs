//! The root of a Merkle-Patricia trie over a block's receipts or transactions.
//!
//! Keys are RLP(index), values the raw (typed) bytes. The root is rebuilt from *all* values, so an item that is left out,
//! added, changed or moved gives another root. A node shorter than 32 bytes stands in its parent as it is, any other by
//! its hash. Source: yellow paper, appendix D.

use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::rlp;

/// Items of the largest trie rebuilt here: more receipts than fit into a block's evidence ([`crate::receipt`]). Of 21,000
/// gas each they would need 2.7 billion gas, which some networks give a block.
pub const MAX_ITEMS: usize = 131_072;

/// Root of the trie with nothing in it: Keccak-256 of the RLP of the empty string.
pub const EMPTY_ROOT: Hash32 = Hash32::new([
    0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6, 0xff, 0x83, 0x45, 0xe6, 0x92, 0xc0, 0xf8, 0x6e, 0x5b, 0x48, 0xe0,
    0x1b, 0x99, 0x6c, 0xad, 0xc0, 0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21,
]);

/// Root of the trie that maps RLP(0), RLP(1), … to `values` in order.
///
/// # Errors
/// [`Fault`] if there are more than [`MAX_ITEMS`].
pub fn ordered_root(values: &[&[u8]]) -> Result<Hash32, Fault> {
    if values.len() > MAX_ITEMS {
        return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_ITEMS} items"), values.len()));
    }
    let mut leaves: Vec<Leaf<'_>> = (0u64..).zip(values).map(|(index, value)| Leaf::new(index, value)).collect();
    leaves.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    if leaves.is_empty() {
        return Ok(EMPTY_ROOT);
    }
    Ok(keccak256(&node(&leaves, 0)))
}

struct Leaf<'a> {
    /// The key in nibbles. At most 4 bytes of key for [`MAX_ITEMS`], so at most 8 nibbles: recursion is that deep.
    path: Vec<u8>,
    value: &'a [u8],
}

impl<'a> Leaf<'a> {
    fn new(index: u64, value: &'a [u8]) -> Self {
        let mut key = Vec::with_capacity(4);
        rlp::write_u64(index, &mut key);
        Self { path: key.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect(), value }
    }

    fn nibble(&self, depth: usize) -> Option<u8> {
        self.path.get(depth).copied()
    }

    fn rest(&self, depth: usize) -> &[u8] {
        self.path.get(depth..).unwrap_or_default()
    }
}

/// The RLP of the node that holds `leaves`, which are sorted, not empty, and agree in their first `depth` nibbles.
/// RLP(index) is prefix-free, so no key ends where another goes on and no branch holds a value.
fn node(leaves: &[Leaf<'_>], depth: usize) -> Vec<u8> {
    let mut items = Vec::new();
    match leaves {
        [] => return vec![0x80],
        [leaf] => {
            rlp::write_string(&hex_prefix(leaf.rest(depth), true), &mut items);
            rlp::write_string(leaf.value, &mut items);
        }
        [first, .., last] => {
            let shared = first.rest(depth).iter().zip(last.rest(depth)).take_while(|(one, other)| one == other).count();
            if shared > 0 {
                let path = first.rest(depth).get(..shared).unwrap_or_default();
                rlp::write_string(&hex_prefix(path, false), &mut items);
                write_child(&node(leaves, depth + shared), &mut items);
            } else {
                write_branch(leaves, depth, &mut items);
            }
        }
    }
    let mut out = Vec::with_capacity(items.len() + 4);
    rlp::write_list(&items, &mut out);
    out
}

fn write_branch(leaves: &[Leaf<'_>], depth: usize, items: &mut Vec<u8>) {
    let mut rest = leaves;
    for nibble in 0..16u8 {
        let here = rest.iter().take_while(|leaf| leaf.nibble(depth) == Some(nibble)).count();
        let (children, after) = rest.split_at_checked(here).unwrap_or((&[], rest));
        rest = after;
        if children.is_empty() {
            rlp::write_string(&[], items);
        } else {
            write_child(&node(children, depth + 1), items);
        }
    }
    rlp::write_string(&[], items);
}

fn write_child(node: &[u8], items: &mut Vec<u8>) {
    if node.len() < 32 {
        items.extend_from_slice(node);
    } else {
        rlp::write_string(keccak256(node).as_bytes(), items);
    }
}

/// Nibbles packed into bytes, with a first nibble that says whether they end in a leaf and whether they are odd.
fn hex_prefix(nibbles: &[u8], leaf: bool) -> Vec<u8> {
    let flag = if leaf { 0x20 } else { 0x00 };
    let (first, pairs) = match nibbles.split_first() {
        Some((odd, rest)) if nibbles.len() % 2 == 1 => (flag | 0x10 | odd, rest),
        _ => (flag, nibbles),
    };
    let packed = pairs.as_chunks::<2>().0.iter().map(|[high, low]| (high << 4) | low);
    std::iter::once(first).chain(packed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rlp::BufMut;
    use proptest::prelude::*;

    fn oracle(values: &[Vec<u8>]) -> [u8; 32] {
        alloy_trie::root::ordered_trie_root_with_encoder(values, |value, out| out.put_slice(value)).0
    }

    fn ours(values: &[Vec<u8>]) -> [u8; 32] {
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        *ordered_root(&values).unwrap().as_bytes()
    }

    #[test]
    fn nothing() {
        assert_eq!(ordered_root(&[]).unwrap(), EMPTY_ROOT);
        assert_eq!(keccak256(&[0x80]), EMPTY_ROOT);
    }

    #[test]
    fn too_many_items() {
        assert_eq!(ordered_root(&vec![&[1u8][..]; MAX_ITEMS + 1]).unwrap_err().reason(), "too-large");
    }

    #[test]
    fn around_the_lengths_where_keys_change_form() {
        for count in [1, 2, 16, 17, 127, 128, 129, 255, 256, 257, 700] {
            let values: Vec<Vec<u8>> = (0..count).map(|number: u16| number.to_be_bytes().repeat(9)).collect();
            assert_eq!(ours(&values), oracle(&values), "{count} items");
        }
    }

    proptest! {
        #[test]
        fn roots_are_those_of_the_oracle(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..300)
        ) {
            prop_assert_eq!(ours(&values), oracle(&values));
        }

        #[test]
        fn another_order_is_another_root(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 2..40), at in any::<usize>()
        ) {
            let mut other = values.clone();
            let at = at % (values.len() - 1);
            other.swap(at, at + 1);
            prop_assert_eq!(ours(&values) == ours(&other), values == other);
        }
    }
}
