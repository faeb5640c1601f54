//! Finding changes of slots in a trusted block.

use super::EvmLightClient;
use crate::block_state::BlockState;
use crate::fault::{Fault, Reason};
use crate::slots::{SlotSelector, evidence};
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{BlockFacts, Budget, Control, ItemFacts, Rejection, Shortfall, Standing, Wanted};
use hufu_schemas_core::{Height, Position};

impl EvmLightClient {
    pub(super) fn find_changes(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<ItemFacts>, Refusal> {
        let at = |fault: Fault| Refusal::from(Rejection::from(fault).at(block.height));
        let (Wanted::Matching(selector) | Wanted::These(selector, _)) = wanted;
        let selector = SlotSelector::read(selector).map_err(at)?;
        let state = BlockState::read(&block.state).map_err(at)?;
        let before = state.parent_state_root.ok_or_else(|| at(no_parent(block.height)))?;
        let found = match evidence {
            // Where the state did not move, no slot did.
            _ if before == state.state_root => Vec::new(),
            None => return Err(Shortfall::Evidence { height: block.height }.into()),
            Some(bytes) => evidence::changes(&selector, bytes, (before, state.state_root), budget).map_err(at)?,
        };
        let items = found.iter().map(|((transaction, event), change)| ItemFacts {
            position: Position { height: block.height, transaction: *transaction, event: *event },
            native: change.to_native(),
            standing: Standing::Proven,
            // No code is pinned for slots: whoever may change the contract's code may write what it likes.
            control: Control::IssuerControlled,
        });
        let items: Vec<ItemFacts> = items.collect();
        let Wanted::These(_, refs) = wanted else { return Ok(items) };
        let place = |item: &ItemFacts| (item.position.transaction, item.position.event);
        let one = |wanted: (u32, u32)| items.iter().find(|item| place(item) == wanted).cloned();
        refs.iter()
            .map(|item| one((item.transaction, item.event)).ok_or_else(|| at(missing(item.transaction, item.event))))
            .collect()
    }
}

/// Whether a trusted block's own data leave room for a change of these slots.
pub(super) fn may_have_changed(state: &BlockState) -> bool {
    state.parent_state_root != Some(state.state_root)
}

fn no_parent(height: Height) -> Fault {
    let expected =
        "a block whose parent was followed: a lane over slots begins above the anchor, and headers are not skipped";
    Fault::new(Reason::ParentState, expected, format!("block {height}"))
}

fn missing(transaction: u32, event: u32) -> Fault {
    Fault::new(Reason::ItemMissing, format!("a change at place {transaction}, {event}"), "none there")
}
