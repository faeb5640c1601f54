//! Finding logs in a trusted block.

use super::EvmLightClient;
use crate::block_state::BlockState;
use crate::fault::{Fault, Reason};
use crate::receipt::{Receipt, open_evidence};
use crate::selector::LogSelector;
use crate::trie::EMPTY_ROOT;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{
    BlockFacts, Budget, Control, ItemFacts, ItemRef, Rejection, Shortfall, Standing, Wanted,
};
use hufu_schemas_core::{Height, Position};

impl EvmLightClient {
    pub(super) fn find(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<ItemFacts>, Refusal> {
        let (Wanted::Matching(selector) | Wanted::These(selector, _)) = wanted;
        let selector = LogSelector::read(selector).map_err(Rejection::from)?;
        let state = BlockState::read(&block.state).map_err(Rejection::from)?;
        let receipts = match evidence {
            Some(evidence) => {
                budget.hashed_bytes(evidence.len().saturating_mul(2))?;
                open_evidence(evidence, state.receipts_root).map_err(Rejection::from)?
            }
            None if state.receipts_root == EMPTY_ROOT || selector.is_excluded_by(&state.bloom) => Vec::new(),
            None => return Err(Shortfall::Evidence { height: block.height }.into()),
        };
        let found = match wanted {
            Wanted::Matching(_) => every_match(block.height, &receipts, &selector),
            Wanted::These(_, refs) => {
                refs.iter().map(|item| this_one(block.height, &receipts, &selector, item)).collect()
            }
        };
        found.map_err(|fault| Rejection::from(fault).at(block.height).into())
    }
}

/// Whether a block's own data lets a source skip fetching its receipts for this selector.
///
/// # Errors
/// [`Fault`] if state or selector are malformed.
pub fn needs_evidence(block_state: &[u8], selector: &hufu_adapters_light_client::Selector) -> Result<bool, Fault> {
    let state = BlockState::read(block_state)?;
    let selector = LogSelector::read(selector)?;
    Ok(state.receipts_root != EMPTY_ROOT && !selector.is_excluded_by(&state.bloom))
}
fn every_match(height: Height, receipts: &[&[u8]], selector: &LogSelector) -> Result<Vec<ItemFacts>, Fault> {
    let mut found = Vec::new();
    for (transaction, bytes) in (0u32..).zip(receipts) {
        let receipt = Receipt::parse(bytes)?;
        for (event, log) in (0u32..).zip(receipt.logs()) {
            if selector.matches(log) {
                found.push(item(height, ItemRef { transaction, event }, log.raw()));
            }
        }
    }
    Ok(found)
}

fn this_one(height: Height, receipts: &[&[u8]], selector: &LogSelector, wanted: &ItemRef) -> Result<ItemFacts, Fault> {
    let missing = || {
        let expected = format!("transaction {}, event {} in the block", wanted.transaction, wanted.event);
        Fault::new(Reason::ItemMissing, expected, format!("{} receipts without it", receipts.len()))
    };
    let bytes = place(wanted.transaction).and_then(|at| receipts.get(at)).ok_or_else(missing)?;
    let receipt = Receipt::parse(bytes)?;
    let log = place(wanted.event).and_then(|at| receipt.logs().get(at)).ok_or_else(missing)?;
    if !selector.matches(log) {
        let expected = format!("a selected event of contract {}", selector.contract());
        let got = format!("contract {}, first topic {:?}", log.address(), log.topics().first());
        return Err(Fault::new(Reason::ItemOfAnother, expected, got));
    }
    Ok(item(height, *wanted, log.raw()))
}

fn place(index: u32) -> Option<usize> {
    usize::try_from(index).ok()
}

fn item(height: Height, place: ItemRef, native: &[u8]) -> ItemFacts {
    let position = Position { height, transaction: place.transaction, event: place.event };
    // No code is pinned here: whoever may change the contract's code may emit what it likes.
    ItemFacts { position, native: native.to_vec(), standing: Standing::Proven, control: Control::IssuerControlled }
}
