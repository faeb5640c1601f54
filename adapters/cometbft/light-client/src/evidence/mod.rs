//! Evidence of one block: what closes under its state ([`crate::block_state::BlockState`]) and yields items.
//!
//! ```json
//! {"transactions": {"whole": [{"tx": "…", "result": {…}}, …]}}
//! {"transactions": {"parts": [{"tx": "…", "proof": {…}, "result": {…}, "result_proof": {…}}]}}
//! {"state": [{"before": {"value": "…", "ops": ["…", "…"]}, "after": {…}}, …]}
//! {"sequence": {"next": "7", "before_last": {…}, "before_next": {…}, "values": [{…}], "after_next": {…}}}
//! ```

pub mod state;
pub mod transactions;

use crate::block_state::BlockState;
use crate::fault::{Fault, Reason};
use crate::native::Native;
use crate::selector::Lane;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, ItemRef, Rejection, Standing};
use serde::{Deserialize, Serialize};

/// Bytes of the largest evidence: a block of 21 MiB (the default `block.max_bytes`) is 28 MiB in base64, which leaves 4 MiB
/// for its results. An evidence file takes as much of one block (32 MiB are 43 MiB in its base64).
pub const MAX_EVIDENCE_BYTES: usize = 32 << 20;

/// Evidence of one block for one kind of lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Evidence {
    /// For lanes of transactions and events.
    Transactions(transactions::Transactions),
    /// For lanes of keys, one entry for each key of the selector, in its order.
    State(Vec<state::Change>),
    /// For lanes of running numbers.
    Sequence(state::Sequence),
}

/// One item that was found, before it is tied to its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where in the block.
    pub at: ItemRef,
    /// What it is.
    pub native: Native,
    /// Whether something that validators sign commits to it.
    pub standing: Standing,
}

impl Evidence {
    /// Reads evidence.
    ///
    /// # Errors
    /// [`Fault`] if it is longer than [`MAX_EVIDENCE_BYTES`] or not such JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > MAX_EVIDENCE_BYTES {
            let expected = format!("evidence of at most {MAX_EVIDENCE_BYTES} bytes");
            return Err(Fault::new(Reason::TooLarge, expected, bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(|fault| Fault::new(Reason::Evidence, "evidence of a block", fault))
    }

    /// The bytes that travel.
    pub fn write(&self) -> Vec<u8> {
        // Structs of strings and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Whether a block answers by itself that nothing in it matches: it has no transactions, or left the state as it was.
pub fn is_quiet(lane: &Lane, state: &BlockState) -> bool {
    match lane {
        Lane::Transactions { .. } | Lane::Events { .. } => state.has_no_transactions(),
        Lane::State { .. } | Lane::Sequence { .. } => state.left_state_alone(),
    }
}

/// Everything in the evidence that the lane is about, in the block's order. Where `whole` is asked for, it is everything
/// in the *block*.
///
/// # Errors
/// `Reject` if the evidence does not close under the block, is of another kind, or shows a part where the whole is asked.
pub fn find(
    lane: &Lane,
    state: &BlockState,
    evidence: &[u8],
    whole: bool,
    budget: &mut Budget,
) -> Result<Vec<Found>, Refusal> {
    // Once for transactions or proofs, once for results.
    budget.hashed_bytes(evidence.len().saturating_mul(2))?;
    let evidence = Evidence::parse(evidence).map_err(Rejection::from)?;
    let found = match (lane, &evidence) {
        (Lane::Transactions { messages }, Evidence::Transactions(evidence)) => {
            evidence.open(state, whole).and_then(|items| transactions::select(&items, messages.as_deref()))
        }
        (Lane::Events { types }, Evidence::Transactions(evidence)) => {
            evidence.open(state, whole).map(|items| transactions::select_events(&items, types))
        }
        (Lane::State { store, keys }, Evidence::State(changes)) => {
            state::changes(store.as_deref(), keys, changes, state, budget)
        }
        (Lane::Sequence { store, prefix, first }, Evidence::Sequence(sequence)) => {
            sequence.open(store.as_deref(), &prefix.0, *first, state, budget)
        }
        _ => Err(Fault::new(Reason::Evidence, "evidence of the lane's kind", "another kind")),
    };
    found.map_err(|fault| Rejection::from(fault).into())
}

#[cfg(test)]
mod tests;
