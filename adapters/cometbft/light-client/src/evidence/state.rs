//! State by ICS-23 under app_hash: before a block under its own header, after it under the header above.

use super::Found;
use crate::block_state::BlockState;
use crate::fault::{Fault, Reason};
use crate::ics23::{EMPTY_ROOT, Proof, Tree, require_of_empty};
use crate::native::{Base64, Native};
use crate::selector::HexBytes;
use crate::text;
use hufu_adapters_light_client::{Budget, ItemRef, Standing};
use serde::{Deserialize, Serialize};

/// Values added in one block under running numbers.
pub const MAX_VALUES: usize = 4_096;

/// That a key holds a value, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// The value; none where the proof is one of absence.
    pub value: Option<Base64>,
    /// `CommitmentProof` bytes from the key up: in its store, and of the store under app_hash; or one where there are no
    /// stores.
    pub ops: Vec<Base64>,
}

impl StateProof {
    /// The value at `key` under `app_hash`, or `None` where its absence is shown.
    ///
    /// # Errors
    /// [`Fault`] if the operators do not lead from this key, with this value or without, to this root.
    pub fn verify(
        &self,
        store: Option<&str>,
        key: &[u8],
        app_hash: &[u8],
        budget: &mut Budget,
    ) -> Result<Option<&[u8]>, Fault> {
        match (store, self.ops.as_slice()) {
            (Some(store), [inner, outer]) => {
                // Which root the store has, the outer proof says itself; it closes under app_hash and names the store.
                let outer = Proof::parse(Tree::Simple, &outer.0, budget)?;
                let root = outer.value_at(app_hash, store.as_bytes())?;
                if root == EMPTY_ROOT {
                    return self.holds_nothing(&inner.0, key);
                }
                self.holds(in_store(&inner.0, budget)?, root, key)
            }
            (None, [only]) if app_hash == EMPTY_ROOT => self.holds_nothing(&only.0, key),
            (None, [only]) => self.holds(Proof::parse(Tree::Simple, &only.0, budget)?, app_hash, key),
            (_, ops) => {
                let expected =
                    if store.is_some() { "a proof in the store and one of the store" } else { "ics23:simple" };
                Err(Fault::new(Reason::ProofOperator, expected, format!("{} operators", ops.len())))
            }
        }
    }

    /// Under the root of an empty tree every key is absent: no leaf and no inner node hashes to it.
    fn holds_nothing(&self, inner: &[u8], key: &[u8]) -> Result<Option<&[u8]>, Fault> {
        if let Some(Base64(value)) = &self.value {
            return Err(Fault::new(Reason::ProofValue, "nothing, as the tree is empty", hex::encode(value)));
        }
        require_of_empty(inner, key)?;
        Ok(None)
    }

    fn holds(&self, proof: Proof, root: &[u8], key: &[u8]) -> Result<Option<&[u8]>, Fault> {
        let Some(Base64(value)) = &self.value else {
            proof.nothing_at(root, key)?;
            return Ok(None);
        };
        let found = proof.value_at(root, key)?;
        if found == value {
            return Ok(Some(value));
        }
        Err(Fault::new(Reason::ProofValue, hex::encode(value), hex::encode(found)))
    }

    fn present(&self, store: Option<&str>, key: &[u8], root: &[u8], budget: &mut Budget) -> Result<Vec<u8>, Fault> {
        let value = self.verify(store, key, root, budget)?;
        value
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Fault::new(Reason::ProofValue, format!("a value at {}", hex::encode(key)), "none"))
    }

    fn absent(&self, store: Option<&str>, key: &[u8], root: &[u8], budget: &mut Budget) -> Result<(), Fault> {
        match self.verify(store, key, root, budget)? {
            None => Ok(()),
            Some(_) => Err(Fault::new(Reason::ProofValue, format!("nothing at {}", hex::encode(key)), "a value")),
        }
    }
}

/// A proof within a store, which is a tree of IAVL or a simple one. It is read as what its operations are: bytes of a node
/// of the one tree are never those of a node of the other. Simple inner nodes begin with `01`, those of IAVL with an even
/// number above 0; a simple leaf that began `00 02`, as IAVL's do, would have a key of two bytes and 37 bytes in all,
/// and the shortest leaf of IAVL has 38.
fn in_store(bytes: &[u8], budget: &mut Budget) -> Result<Proof, Fault> {
    Proof::parse(Tree::Iavl, bytes, budget).or_else(|fault| match Proof::parse(Tree::Simple, bytes, budget) {
        Ok(proof) => Ok(proof),
        Err(_) => Err(fault),
    })
}

/// One key on both sides of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Before; left out where the ledger had no state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<StateProof>,
    /// After.
    pub after: StateProof,
}

/// The changes that a block made to the keys of a lane: one entry of evidence for each key, one item for each that differs.
pub(super) fn changes(
    store: Option<&str>,
    keys: &[HexBytes],
    changes: &[Change],
    state: &BlockState,
    budget: &mut Budget,
) -> Result<Vec<Found>, Fault> {
    if keys.len() != changes.len() {
        return Err(Fault::new(Reason::EvidencePart, format!("proofs of all {} keys", keys.len()), changes.len()));
    }
    let mut found = Vec::new();
    for (event, (key, change)) in (0..).zip(keys.iter().zip(changes)) {
        let before = match &change.before {
            Some(before) => before.verify(store, &key.0, &state.app_hash_before, budget)?,
            None if state.app_hash_before.is_empty() => None,
            None => return Err(Fault::new(Reason::EvidencePart, "a proof of the value before", "none")),
        };
        let after = change.after.verify(store, &key.0, &state.app_hash, budget)?;
        if before != after {
            let value = after.map(|value| Base64(value.to_vec()));
            let native = Native::State { store: store.map(str::to_owned), key: key.clone(), value };
            found.push(Found { at: ItemRef { transaction: 0, event }, native, standing: Standing::Proven });
        }
    }
    Ok(found)
}

/// What a block added under running numbers, with what shows that nothing lies before or after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The first number that was not there before the block.
    #[serde(with = "text::decimal")]
    pub next: u64,
    /// The number before it, before the block; left out where `next` is the first of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_last: Option<StateProof>,
    /// That `next` was not there before the block; left out where the ledger had no state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_next: Option<StateProof>,
    /// The values from `next` on, after the block.
    pub values: Vec<StateProof>,
    /// That the number after them is not there after the block.
    pub after_next: StateProof,
}

impl Sequence {
    /// All values that the block added. Complete where the application numbers by one and removes nothing: the first new
    /// number is fixed by its neighbours before the block, the last by its neighbours after.
    pub(super) fn open(
        &self,
        store: Option<&str>,
        prefix: &[u8],
        first: u64,
        state: &BlockState,
        budget: &mut Budget,
    ) -> Result<Vec<Found>, Fault> {
        if self.values.len() > MAX_VALUES {
            return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_VALUES} values"), self.values.len()));
        }
        let key = |number: u64| [prefix, &number.to_be_bytes()].concat();
        self.require_start(store, &key, first, state, budget)?;
        let mut found = Vec::new();
        let mut number = self.next;
        for (event, proof) in (0..).zip(&self.values) {
            let at = key(number);
            let value = Base64(proof.present(store, &at, &state.app_hash, budget)?);
            let native =
                Native::Sequence { store: store.map(str::to_owned), sequence: number, key: HexBytes(at), value };
            found.push(Found { at: ItemRef { transaction: 0, event }, native, standing: Standing::Proven });
            number =
                number.checked_add(1).ok_or_else(|| Fault::new(Reason::TooLarge, "a number of 64 bits", "more"))?;
        }
        self.after_next.absent(store, &key(number), &state.app_hash, budget)?;
        Ok(found)
    }

    fn require_start(
        &self,
        store: Option<&str>,
        key: &impl Fn(u64) -> Vec<u8>,
        first: u64,
        state: &BlockState,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let root = &state.app_hash_before;
        if self.next < first {
            return Err(Fault::new(Reason::Evidence, format!("a number from {first} on"), self.next));
        }
        match &self.before_last {
            _ if self.next == first => {}
            Some(proof) => drop(proof.present(store, &key(self.next - 1), root, budget)?),
            None => return Err(Fault::new(Reason::EvidencePart, "a proof of the number before", "none")),
        }
        match &self.before_next {
            Some(proof) => proof.absent(store, &key(self.next), root, budget),
            None if root.is_empty() => Ok(()),
            None => Err(Fault::new(Reason::EvidencePart, "a proof that the next number was not there", "none")),
        }
    }
}
