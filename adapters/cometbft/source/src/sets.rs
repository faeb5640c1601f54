//! Validator sets, known by the hash that headers name them by: a set is fetched when it changes, not at each height.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use hufu_adapters_nodes::NodeFault;
use hufu_adapters_nodes::transport::Room;
use hufu_cometbft_light_client::{Hash32, ValidatorSet};

use crate::node::Node;

/// Sets that are kept: 16 of 1,024 validators, each below 256 bytes, are 4 MiB.
const KEPT: usize = 16;

/// Sets that were fetched last.
#[derive(Debug, Default)]
pub(crate) struct Sets(Mutex<VecDeque<ValidatorSet>>);

impl Sets {
    pub(crate) fn known(&self, hash: Hash32) -> Option<ValidatorSet> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = sets.iter().position(|set| set.hash() == hash)?;
        let set = sets.remove(at)?;
        sets.push_front(set.clone());
        Some(set)
    }

    /// The set that hashes to `hash`, from memory or as the node has it at `height`.
    pub(crate) async fn get(
        &self,
        node: &Node,
        height: u64,
        hash: Hash32,
        room: &Room,
    ) -> Result<ValidatorSet, NodeFault> {
        if let Some(set) = self.known(hash) {
            return Ok(set);
        }
        let set = node.validators(height, room).await?;
        if set.hash() != hash {
            let fault = format!("its validators of block {height} hash to {}, headers name {hash}", set.hash());
            return Err(NodeFault::Lying(fault));
        }
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.push_front(set.clone());
        sets.truncate(KEPT);
        Ok(set)
    }
}
