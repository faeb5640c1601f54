//! The one tree of CometBFT (`crypto/merkle/tree.go`): leaf SHA-256(00 ‖ x), inner node SHA-256(01 ‖ left ‖ right), split
//! at the largest power of two below the number of leaves; nothing at all hashes as SHA-256 of nothing.

use sha2::{Digest, Sha256};

/// A digest of SHA-256.
pub type Hash = [u8; 32];

/// SHA-256 over the parts in a row.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// The hash of one leaf's bytes.
pub fn leaf(bytes: &[u8]) -> Hash {
    sha256(&[&[0], bytes])
}

/// Root over the hashes of leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [only] => *only,
        _ => {
            let (left, right) = halves(leaves);
            sha256(&[&[1], &root(left), &root(right)])
        }
    }
}

/// Root over leaves as they are, before their own hash.
pub fn root_of<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Hash {
    let leaves: Vec<Hash> = items.into_iter().map(|item| leaf(item.as_ref())).collect();
    root(&leaves)
}

/// A node beside the path from a leaf to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aunt {
    /// Its hash.
    pub hash: Hash,
    /// Whether it stands left of the path.
    pub is_left: bool,
}

/// The nodes beside the path of the leaf at `index`, from the leaf up; none where there is no such leaf.
pub fn path(leaves: &[Hash], index: usize) -> Vec<Aunt> {
    if leaves.len() <= 1 || index >= leaves.len() {
        return Vec::new();
    }
    let (left, right) = halves(leaves);
    if index < left.len() {
        let mut below = path(left, index);
        below.push(Aunt { hash: root(right), is_left: false });
        return below;
    }
    let mut below = path(right, index - left.len());
    below.push(Aunt { hash: root(left), is_left: true });
    below
}

/// Split at the largest power of two below the length, which is 2 or more.
fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_from_each_leaf_to_the_root() {
        for count in 1..20_u8 {
            let leaves: Vec<Hash> = (0..count).map(|number| leaf(&[number])).collect();
            for (index, start) in leaves.iter().enumerate() {
                let join = |below: Hash, aunt: &Aunt| match aunt.is_left {
                    true => sha256(&[&[1], &aunt.hash, &below]),
                    false => sha256(&[&[1], &below, &aunt.hash]),
                };
                assert_eq!(path(&leaves, index).iter().fold(*start, join), root(&leaves), "{index} of {count}");
            }
            assert!(path(&leaves, leaves.len()).is_empty());
        }
    }

    #[test]
    fn an_empty_tree_is_the_hash_of_nothing() {
        assert_eq!(hex::encode(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
