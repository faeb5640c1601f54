//! The exact shape of operations, tree by tree, narrower than the specification's bounds.
//!
//! | tree | leaf prefix | inner, child on the left | inner, child on the right |
//! |---|---|---|---|
//! | simple | `00` | prefix `01`, suffix 32 bytes | prefix `01` and 32 bytes, no suffix |
//! | IAVL | `00 02 version` | prefix `height size version 20`, suffix `20` and 32 bytes | prefix `height size version 20`, 32 bytes, `20`; no suffix |
//!
//! IAVL numbers are zigzag varints; the height of an inner node rises at least by one on the way up and its leaf has
//! height 0 and size 1 (iavl/proof.go, `convertVarIntToBytes`; cosmos/ics23 `ops.go`).

use super::{MAX_DEPTH, Tree};
use crate::fault::{Fault, Reason};
use crate::proto::MAX_VARINT;
use ics23::{ExistenceProof, HashOp, InnerOp, LeafOp, LengthOp, NonExistenceProof};

/// The length in front of a hash inside an IAVL node.
const HASH_LENGTH: u8 = 32;

pub(super) fn existence(tree: Tree, proof: &ExistenceProof) -> Result<(), Fault> {
    if proof.path.len() > MAX_DEPTH {
        return Err(Fault::new(Reason::ProofDepth, format!("at most {MAX_DEPTH} operations"), proof.path.len()));
    }
    if proof.key.is_empty() {
        return Err(Fault::new(Reason::ProofBytes, "a key", "an empty one"));
    }
    if proof.value.is_empty() {
        let got = format!("an empty one at {}", hex::encode(proof.key.get(..64).unwrap_or(&proof.key)));
        return Err(Fault::new(Reason::ValueEmpty, "a value, as ICS-23 proves none that is empty", got));
    }
    let leaf_op = proof.leaf.as_ref().ok_or_else(|| broken("a leaf operation", "none"))?;
    leaf(tree, leaf_op)?;
    let mut below = 0;
    for op in &proof.path {
        below = inner(tree, op, below)?;
    }
    Ok(())
}

pub(super) fn absence(tree: Tree, proof: &NonExistenceProof) -> Result<(), Fault> {
    for neighbour in proof.left.iter().chain(&proof.right) {
        existence(tree, neighbour)?;
    }
    match (&proof.left, &proof.right) {
        (None, None) => Err(Fault::new(Reason::ProofBytes, "a neighbour", "none")),
        (Some(left), Some(right)) => require_parting(&left.path, &right.path),
        _ => Ok(()),
    }
}

/// Both paths must part below a common node: where one is the end of the other, one leaf would lie below another.
fn require_parting(left: &[InnerOp], right: &[InnerOp]) -> Result<(), Fault> {
    let same =
        left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a.prefix == b.prefix && a.suffix == b.suffix);
    let common = same.count();
    if common < left.len() && common < right.len() {
        return Ok(());
    }
    Err(Fault::new(Reason::ProofRoot, "neighbours whose paths part", "one path that ends the other"))
}

fn leaf(tree: Tree, op: &LeafOp) -> Result<(), Fault> {
    let sha256 = i32::from(HashOp::Sha256);
    let operations = (op.hash, op.prehash_key, op.prehash_value, op.length);
    if operations != (sha256, i32::from(HashOp::NoHash), sha256, i32::from(LengthOp::VarProto)) {
        return Err(broken("SHA-256 over the key and SHA-256 of the value, with lengths", format!("{operations:?}")));
    }
    let fits = match tree {
        Tree::Simple => op.prefix == [0],
        Tree::Iavl => {
            let mut rest = op.prefix.as_slice();
            number(&mut rest) == Some(0)
                && number(&mut rest) == Some(1)
                && number(&mut rest).is_some()
                && rest.is_empty()
        }
    };
    if fits { Ok(()) } else { Err(broken("the leaf prefix of the tree", hex::encode(&op.prefix))) }
}

/// The height of the node, where the tree says it.
fn inner(tree: Tree, op: &InnerOp, below: u64) -> Result<u64, Fault> {
    if op.hash != i32::from(HashOp::Sha256) {
        return Err(broken("SHA-256", op.hash));
    }
    let fault =
        || broken("the inner node of the tree", format!("{} … {}", hex::encode(&op.prefix), hex::encode(&op.suffix)));
    match tree {
        Tree::Simple => match (op.prefix.as_slice(), op.suffix.len()) {
            ([1], 32) => Ok(below),
            ([1, left @ ..], 0) if left.len() == 32 => Ok(below),
            _ => Err(fault()),
        },
        Tree::Iavl => {
            let mut rest = op.prefix.as_slice();
            let height = number(&mut rest).filter(|height| *height > below).ok_or_else(fault)?;
            let size = number(&mut rest).filter(|size| *size > 1);
            if size.is_none() || number(&mut rest).is_none() {
                return Err(fault());
            }
            match (rest, op.suffix.as_slice()) {
                ([HASH_LENGTH], [HASH_LENGTH, right @ ..]) if right.len() == 32 => Ok(height),
                ([HASH_LENGTH, left @ .., HASH_LENGTH], []) if left.len() == 32 => Ok(height),
                _ => Err(fault()),
            }
        }
    }
}

/// A zigzag varint that is not negative, in its shortest form.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..).step_by(7).take(MAX_VARINT) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let low = u64::from(byte & 0x7f);
        value |= low.checked_shl(shift).filter(|shifted| shifted >> shift == low)?;
        if byte & 0x80 == 0 {
            let shortest = *byte != 0 || shift == 0;
            return (shortest && value & 1 == 0).then_some(value >> 1);
        }
    }
    None
}

fn broken(expected: &str, got: impl std::fmt::Display) -> Fault {
    Fault::new(Reason::ProofSpec, expected, got)
}
