//! Finding logs in a trusted block.

use super::EvmLightClient;
use crate::address::Address;
use crate::block_state::BlockState;
use crate::control::{self, CodeProof, Shown, StateRoots};
use crate::fault::{Fault, Reason};
use crate::pin::Pin;
use crate::receipt::{Log, Receipt, open_evidence};
use crate::selector::LogSelector;
use crate::slots::SlotSelector;
use crate::trie::EMPTY_ROOT;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{
    BlockFacts, Budget, Control, ItemFacts, ItemRef, Rejection, Selector, Shortfall, Standing, Wanted,
};
use hufu_schemas_core::{Height, Position};
use std::collections::BTreeMap;

impl EvmLightClient {
    pub(super) fn find(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<ItemFacts>, Refusal> {
        let (Wanted::Matching(selector) | Wanted::These(selector, _)) = wanted;
        if SlotSelector::is_meant(selector) {
            return self.find_changes(block, wanted, evidence, budget);
        }
        let selector = LogSelector::read(selector).map_err(Rejection::from)?;
        let state = BlockState::read(&block.state).map_err(Rejection::from)?;
        let (receipts, proofs) = match evidence {
            Some(evidence) => {
                budget.hashed_bytes(evidence.len().saturating_mul(2))?;
                let (receipts, proofs) = control::split(evidence).map_err(Rejection::from)?;
                (open_evidence(receipts, state.receipts_root).map_err(Rejection::from)?, proofs)
            }
            None if state.receipts_root == EMPTY_ROOT || selector.is_excluded_by(&state.bloom) => Default::default(),
            None => return Err(Shortfall::Evidence { height: block.height }.into()),
        };
        let at = |fault: Fault| Refusal::from(Rejection::from(fault).at(block.height));
        let speakers = pinned_speakers(&receipts, &selector).map_err(at)?;
        let roots = StateRoots { now: state.state_root, before: state.parent_state_root };
        let controls = judge_code(&speakers, &proofs, roots, budget).map_err(at)?;
        let controls = controls.ok_or(Shortfall::Evidence { height: block.height })?;
        let block = Found { height: block.height, receipts: &receipts, selector: &selector, controls };
        let found = match wanted {
            Wanted::Matching(_) => block.every_match(),
            Wanted::These(_, refs) => refs.iter().map(|item| block.this_one(item)).collect(),
        };
        found.map_err(at)
    }
}

/// The contracts whose code the selector pins and of which it selects a log among these receipts, with what is pinned.
///
/// # Errors
/// [`Fault`] if a receipt is malformed.
pub fn pinned_speakers<R: AsRef<[u8]>>(
    receipts: &[R],
    selector: &LogSelector,
) -> Result<BTreeMap<Address, Pin>, Fault> {
    let mut speakers = BTreeMap::new();
    if !selector.has_pins() {
        return Ok(speakers);
    }
    for bytes in receipts {
        for log in Receipt::parse(bytes.as_ref())?.logs() {
            if let Some(pin) = selector.pin(log.address()).filter(|_| selector.matches(log)) {
                speakers.insert(log.address(), *pin);
            }
        }
    }
    Ok(speakers)
}

/// Who can change the code of each speaker; `None` while something that shows it is missing. Proofs of other contracts
/// are passed over: evidence of one block may serve several lanes.
fn judge_code(
    speakers: &BTreeMap<Address, Pin>,
    proofs: &[CodeProof<'_>],
    roots: StateRoots,
    budget: &mut Budget,
) -> Result<Option<BTreeMap<Address, Control>>, Fault> {
    let mut controls = BTreeMap::new();
    for (address, pin) in speakers {
        let Some(proof) = proofs.iter().find(|proof| proof.address == *address) else { return Ok(None) };
        match proof.judge(pin, roots, budget)? {
            Shown::Control(control) => controls.insert(*address, control),
            Shown::CodeMissing => return Ok(None),
        };
    }
    Ok(Some(controls))
}

/// Whether a source has to fetch evidence for this selector, or the block's own data say that there is nothing.
///
/// # Errors
/// [`Fault`] if state or selector are malformed.
pub fn needs_evidence(block_state: &[u8], selector: &hufu_adapters_light_client::Selector) -> Result<bool, Fault> {
    let state = BlockState::read(block_state)?;
    if SlotSelector::is_meant(selector) {
        return Ok(super::slots::may_have_changed(&state));
    }
    let selector = LogSelector::read(selector)?;
    Ok(state.receipts_root != EMPTY_ROOT && !selector.is_excluded_by(&state.bloom))
}

/// Without pins nothing ever counts as changed; with them it takes the state that the block began with.
pub(super) fn sees_code_changes(block: &BlockFacts, selector: &Selector) -> bool {
    let pins = LogSelector::read(selector).is_ok_and(|selector| selector.has_pins());
    !pins || BlockState::read(&block.state).is_ok_and(|state| state.parent_state_root.is_some())
}

/// A block with what was found of it.
struct Found<'a> {
    height: Height,
    receipts: &'a [&'a [u8]],
    selector: &'a LogSelector,
    /// Of pinned contracts.
    controls: BTreeMap<Address, Control>,
}

impl Found<'_> {
    fn every_match(&self) -> Result<Vec<ItemFacts>, Fault> {
        let mut found = Vec::new();
        for (transaction, bytes) in (0u32..).zip(self.receipts) {
            let receipt = Receipt::parse(bytes)?;
            for (event, log) in (0u32..).zip(receipt.logs()) {
                if self.selector.matches(log) {
                    found.push(self.item(ItemRef { transaction, event }, log));
                }
            }
        }
        Ok(found)
    }

    fn this_one(&self, wanted: &ItemRef) -> Result<ItemFacts, Fault> {
        let missing = || {
            let expected = format!("transaction {}, event {} in the block", wanted.transaction, wanted.event);
            Fault::new(Reason::ItemMissing, expected, format!("{} receipts without it", self.receipts.len()))
        };
        let bytes = place(wanted.transaction).and_then(|at| self.receipts.get(at)).ok_or_else(missing)?;
        let receipt = Receipt::parse(bytes)?;
        let log = place(wanted.event).and_then(|at| receipt.logs().get(at)).ok_or_else(missing)?;
        if !self.selector.matches(log) {
            let expected = format!("a selected event of contract {}", self.selector.contract());
            let got = format!("contract {}, first topic {:?}", log.address(), log.topics().first());
            return Err(Fault::new(Reason::ItemOfAnother, expected, got));
        }
        Ok(self.item(*wanted, log))
    }

    fn item(&self, place: ItemRef, log: &Log<'_>) -> ItemFacts {
        let position = Position { height: self.height, transaction: place.transaction, event: place.event };
        // Where no code is pinned, whoever may change it may emit what it likes.
        let control = self.controls.get(&log.address()).copied().unwrap_or(Control::IssuerControlled);
        ItemFacts { position, native: log.raw().to_vec(), standing: Standing::Proven, control }
    }
}

fn place(index: u32) -> Option<usize> {
    usize::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_state::Sealing;
    use crate::header::Header;
    use crate::keccak::Hash32;
    use crate::testing::HeaderDraft;
    use hufu_adapters_light_client::Finality;
    use hufu_schemas_core::{BlockHash, Timestamp};

    #[test]
    fn a_change_of_pinned_code_is_seen_only_where_the_state_before_is_known() {
        let logs = LogSelector::new(Address::ZERO, vec![Hash32::new([1; 32])]).unwrap();
        let pin = Pin::new(Hash32::new([2; 32]), None).unwrap();
        let pinned = logs.clone().pinned(&BTreeMap::from([(Address::ZERO, pin)])).unwrap();
        let header = Header::parse(&HeaderDraft::default().encode()).unwrap();
        let sees = |selector: &LogSelector, before: Option<Hash32>| {
            let block = BlockFacts {
                height: Height::new(1),
                hash: BlockHash::from_bytes([3; 32]),
                time: Timestamp::from_seconds(1).unwrap(),
                finality: Finality::BftFinal,
                state: BlockState::of(&header, before, Sealing::Nobody).write(),
            };
            sees_code_changes(&block, &selector.to_selector())
        };
        let before = Some(Hash32::new([4; 32]));
        assert_eq!([sees(&pinned, before), sees(&pinned, None)], [true, false]);
        assert_eq!([sees(&logs, before), sees(&logs, None)], [true, true], "nothing is pinned, nothing changes");
    }
}
