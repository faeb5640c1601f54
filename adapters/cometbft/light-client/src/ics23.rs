//! ICS-23 proofs that a tree under a root holds a value at a key, or nothing at it (cosmos/ics23).
//!
//! The crate `ics23` walks the proof; before it does, every operation must have the exact shape that its tree writes
//! ([`shape`]). The crate alone would take any prefix of a length between two bounds, any depth, and would panic where one
//! neighbour's path is the end of the other's (`ensure_left_neighbor`). Forged absence by loose prefixes was real in
//! October 2022 ("Dragonberry", cosmos/ics23 5bb1b54); IAVL's older `RangeProof`, forged in the same month, is not read at
//! all, and neither are batches and compressed batches, which nodes do not send for one key.

mod hashes;
mod shape;

use crate::fault::{Fault, Reason};
use hashes::Hashes;
use hufu_adapters_light_client::Budget;
use ics23::{CommitmentProof, ExistenceProof, NonExistenceProof, ProofSpec, commitment_proof};
use prost::Message as _;

/// Operations of the deepest path: what newer releases of the specification take where a tree names no bound. A balanced
/// tree of 2^64 leaves is not deeper than 93.
pub const MAX_DEPTH: usize = 128;
/// Bytes of one proof: two paths of 128 operations of at most 90 bytes, and two values of 64 KiB.
pub const MAX_PROOF_BYTES: usize = 256 << 10;

/// Root of either tree while it holds nothing: SHA-256 of no bytes (`merkle.emptyHash`; iavl, `ImmutableTree.Hash`).
pub const EMPTY_ROOT: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Asserts that these are the bytes of what a node can show of `key` where the tree is empty: nothing at all, or the
/// absence of the key between no neighbours. They prove nothing; that the root is [`EMPTY_ROOT`] does.
///
/// # Errors
/// [`Fault`] for any other bytes.
pub fn require_of_empty(bytes: &[u8], key: &[u8]) -> Result<(), Fault> {
    let absent = NonExistenceProof { key: key.to_vec(), left: None, right: None };
    let proof = CommitmentProof { proof: Some(commitment_proof::Proof::Nonexist(absent)) };
    if bytes.is_empty() || bytes == proof.encode_to_vec() {
        return Ok(());
    }
    Err(Fault::new(Reason::ProofBytes, "nothing between no neighbours, as the tree is empty", "another proof"))
}

/// The trees whose proofs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// A store of the Cosmos SDK.
    Iavl,
    /// The simple Merkle tree, over the roots of all stores.
    Simple,
}

impl Tree {
    /// The operator's type in a node's answer.
    pub const fn operator(self) -> &'static str {
        match self {
            Self::Iavl => "ics23:iavl",
            Self::Simple => "ics23:simple",
        }
    }

    fn spec(self) -> ProofSpec {
        match self {
            Self::Iavl => ics23::iavl_spec(),
            Self::Simple => ics23::tendermint_spec(),
        }
    }
}

/// A proof that was read and has the shape of its tree. Whether it leads to a root is another question.
#[derive(Debug, Clone)]
pub struct Proof {
    tree: Tree,
    proof: CommitmentProof,
}

impl Proof {
    /// Reads the bytes of a `CommitmentProof`.
    ///
    /// # Errors
    /// [`Fault`] if they are none, are another spelling of one, are a batch, or if any operation breaks the tree's shape.
    pub fn parse(tree: Tree, bytes: &[u8], budget: &mut Budget) -> Result<Self, Fault> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(Fault::new(
                Reason::TooLarge,
                format!("a proof of at most {MAX_PROOF_BYTES} bytes"),
                bytes.len(),
            ));
        }
        // Each byte of a proof is hashed once, and each operation hashes a child of at most 33 bytes beside its own.
        budget
            .hashed_bytes(bytes.len().saturating_mul(2))
            .map_err(|no| Fault::new(Reason::Budget, no.expected(), no.got()))?;
        let proof = CommitmentProof::decode(bytes)
            .map_err(|fault| Fault::new(Reason::ProofBytes, "a CommitmentProof", fault))?;
        if proof.encode_to_vec() != bytes {
            return Err(Fault::new(Reason::ProofBytes, "the one encoding of a proof", "another, or unknown fields"));
        }
        match &proof.proof {
            Some(commitment_proof::Proof::Exist(exist)) => shape::existence(tree, exist)?,
            Some(commitment_proof::Proof::Nonexist(absent)) => shape::absence(tree, absent)?,
            _ => return Err(Fault::new(Reason::ProofBytes, "a proof of existence or of absence", "another kind")),
        }
        Ok(Self { tree, proof })
    }

    fn existence(&self) -> Result<&ExistenceProof, Fault> {
        match &self.proof.proof {
            Some(commitment_proof::Proof::Exist(exist)) => Ok(exist),
            _ => Err(Fault::new(Reason::ProofBytes, "a proof of existence", "one of absence")),
        }
    }

    fn absence(&self) -> Result<&NonExistenceProof, Fault> {
        match &self.proof.proof {
            Some(commitment_proof::Proof::Nonexist(absent)) => Ok(absent),
            _ => Err(Fault::new(Reason::ProofBytes, "a proof of absence", "one of existence")),
        }
    }

    /// The value that the tree under `root` holds at `key`.
    ///
    /// # Errors
    /// [`Fault`] if the proof is about another key or leads to another root.
    pub fn value_at(&self, root: &[u8], key: &[u8]) -> Result<&[u8], Fault> {
        let exist = self.existence()?;
        if exist.key != key {
            return Err(Fault::new(Reason::ProofKey, hex::encode(key), hex::encode(&exist.key)));
        }
        let holds =
            ics23::verify_membership::<Hashes>(&self.proof, &self.tree.spec(), &root.to_vec(), key, &exist.value);
        if holds { Ok(&exist.value) } else { Err(wrong_root(root)) }
    }

    /// Asserts that the tree under `root` holds nothing at `key`.
    ///
    /// # Errors
    /// [`Fault`] if the proof is about another key, its neighbours are none, or it leads to another root.
    pub fn nothing_at(&self, root: &[u8], key: &[u8]) -> Result<(), Fault> {
        let absent = self.absence()?;
        if absent.key != key {
            return Err(Fault::new(Reason::ProofKey, hex::encode(key), hex::encode(&absent.key)));
        }
        let holds = ics23::verify_non_membership::<Hashes>(&self.proof, &self.tree.spec(), &root.to_vec(), key);
        if holds { Ok(()) } else { Err(wrong_root(root)) }
    }
}

fn wrong_root(root: &[u8]) -> Fault {
    Fault::new(
        Reason::ProofRoot,
        format!("a path to root {}", hex::encode(root)),
        "another root, or neighbours that are none",
    )
}

#[cfg(test)]
mod tests;
