//! What shows changes of storage slots: proofs of a contract's account and slots at a block and at the one before.

use hufu_adapters_light_client::{Budget, Selector, TrustedBlock};
use hufu_evm_light_client::Hash32;
use hufu_evm_light_client::block_state::BlockState;
use hufu_evm_light_client::get_proof::GetProof;
use hufu_evm_light_client::slots::SlotSelector;
use hufu_evm_light_client::slots::evidence::{End, changes, write};

use crate::control::{get_proof, not_kept};
use crate::node::{Node, NodeFault};

/// The slots that a lane follows, and the state roots of one block.
pub(crate) struct Slots {
    selector: SlotSelector,
    roots: (Hash32, Hash32),
}

impl Slots {
    /// What is to be shown of a block for this selector; `None` where it is not about slots.
    pub(crate) fn of(block: &TrustedBlock, selector: &Selector) -> Option<Self> {
        // What cannot be read, and a block whose parent is not known, the light client will refuse with its reason.
        let selector = SlotSelector::read(selector).ok()?;
        let state = BlockState::read(block.state()).ok()?;
        Some(Self { selector, roots: (state.parent_state_root?, state.state_root) })
    }

    /// The block's evidence.
    pub(crate) async fn show(&self, node: &Node, height: u64) -> Result<Vec<u8>, NodeFault> {
        let before = height.checked_sub(1).ok_or_else(|| not_kept(height))?;
        let (contract, slots) = (self.selector.contract(), self.selector.slots());
        let after = get_proof(node, height, contract, slots).await?;
        let before = get_proof(node, before, contract, slots).await?;
        let evidence = [true, false]
            .into_iter()
            .map(|with_slots| write(&self.end(&before, with_slots), &self.end(&after, with_slots)))
            .find(|evidence| changes(&self.selector, evidence, self.roots, &mut Budget::for_evidence()).is_ok());
        evidence.ok_or_else(|| {
            NodeFault::Lying(format!("storage of {contract} at block {height}: its proofs do not close"))
        })
    }

    /// Proofs of slots travel only where the contract's storage moved at all.
    fn end<'a>(&self, proof: &'a GetProof, with_slots: bool) -> End<'a> {
        let slots = self.selector.slots().iter().filter(|_| with_slots);
        End { account: proof.account_nodes(), slots: slots.map(|slot| proof.slot_nodes(*slot)).collect() }
    }
}
