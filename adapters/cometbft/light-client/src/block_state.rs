//! What is kept of a trusted block so that items can be proven in it later.
//!
//! A header says what came *before* it: the state and the results after block H stand in the header of H + 1. A block is
//! therefore trusted together with what the header above it commits to, and every proof of block H closes under
//! this one state.

use crate::fault::{Fault, Reason};
use crate::hash::{Hash32, sha256};
use crate::header::Header;
use crate::text;
use serde::{Deserialize, Serialize};

/// What is kept of one trusted block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockState {
    /// Who signed it.
    pub validators_hash: Hash32,
    /// Root over its transactions.
    #[serde(with = "text::or_empty")]
    pub data_hash: Option<Hash32>,
    /// Root over their results, from the header above.
    #[serde(with = "text::or_empty")]
    pub results_hash: Option<Hash32>,
    /// State before the block, from its own header.
    #[serde(with = "text::upper_hex")]
    pub app_hash_before: Vec<u8>,
    /// State after the block, from the header above.
    #[serde(with = "text::upper_hex")]
    pub app_hash: Vec<u8>,
}

impl BlockState {
    /// What is kept of the block of `header` once `above` is trusted too.
    pub fn of(header: &Header, above: &Header) -> Self {
        Self {
            validators_hash: header.validators_hash,
            data_hash: header.data_hash,
            results_hash: above.last_results_hash,
            app_hash_before: header.app_hash.clone(),
            app_hash: above.app_hash.clone(),
        }
    }

    /// The bytes to keep.
    pub fn write(&self) -> Vec<u8> {
        // A struct of strings always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Restores what [`BlockState::write`] wrote.
    ///
    /// # Errors
    /// [`Fault`] if the bytes are anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(bytes)
            .map_err(|fault| Fault::new(Reason::BlockState, "a state this client wrote", fault))
    }

    /// Whether the block has no transactions: its root is that of the empty tree, which has no other preimage known.
    pub fn has_no_transactions(&self) -> bool {
        self.data_hash.is_none_or(|root| root == sha256(b""))
    }

    /// Whether the block left the state as it was.
    pub fn left_state_alone(&self) -> bool {
        self.app_hash_before == self.app_hash
    }
}
