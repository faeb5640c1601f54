//! A source of the simulated ledger, with one node that can be told to fail, lie, stall, fork and go back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hufu_adapters_light_client::{Selector, Step, TrustedBlock};
use hufu_adapters_source::{BlockEvidence, NodeStatus, Source, SourceDescription, SourceError};
use hufu_schemas_core::Height;

use super::FAMILY;
use super::ledger::SimLedger;

/// What the node does wrong.
#[derive(Debug, Clone)]
pub enum SimFault {
    /// It does not answer.
    Unreachable,
    /// It answers as if this were its last block.
    Stalled(Height),
    /// It has forgotten everything below.
    PrunedBelow(Height),
    /// From this height on the last byte of every step is another.
    SpoiledSteps(Height),
    /// From this height on steps carry one seal too few.
    SealsBelowQuorum(Height),
    /// From this height on evidence leaves out its last item.
    OmittedItems(Height),
    /// It serves this ledger in place of its own: a fork, or another network.
    Serves(SimLedger),
    /// Others answer from this ledger when asked for comparison.
    OthersServe(SimLedger),
}

/// A source over one simulated node and any number of others to compare with.
#[derive(Debug)]
pub struct SimSource {
    ledger: SimLedger,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<SimFault>,
    refused: Vec<String>,
}

impl SimSource {
    /// A source of this ledger.
    pub fn new(ledger: SimLedger) -> Self {
        Self { ledger, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the node does this too.
    pub fn misbehave(&self, fault: SimFault) {
        self.state().faults.push(fault);
    }

    /// From now on the node is good.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// The reasons of every refusal so far.
    pub fn refusals(&self) -> Vec<String> {
        self.state().refused.clone()
    }

    fn faults(&self) -> Result<Vec<SimFault>, SourceError> {
        let faults = self.state().faults.clone();
        if faults.iter().any(|fault| matches!(fault, SimFault::Unreachable)) {
            return Err(SourceError::Unavailable { nodes: "sim".to_owned(), detail: "told not to answer".to_owned() });
        }
        Ok(faults)
    }

    fn served<'a>(&'a self, faults: &'a [SimFault]) -> &'a SimLedger {
        let other = faults.iter().rev().find_map(|fault| match fault {
            SimFault::Serves(other) => Some(other),
            _ => None,
        });
        other.unwrap_or(&self.ledger)
    }

    fn tip_with(&self, faults: &[SimFault]) -> Height {
        let tip = self.served(faults).height();
        let stalled = faults.iter().filter_map(|fault| match fault {
            SimFault::Stalled(at) => Some(*at),
            _ => None,
        });
        stalled.chain([tip]).min().unwrap_or(tip)
    }

    fn step_with(&self, height: Height, faults: &[SimFault]) -> Result<Step, SourceError> {
        let ledger = self.served(faults);
        let below = |height: Height| faults.iter().any(|f| matches!(f, SimFault::PrunedBelow(from) if height < *from));
        let pruned = || SourceError::Pruned { what: format!("the header of block {height}") };
        if below(height) {
            return Err(pruned());
        }
        let short = faults.iter().any(|fault| matches!(fault, SimFault::SealsBelowQuorum(from) if height >= *from));
        let step = if short { ledger.step_sealed_by(height, 1) } else { ledger.step(height) };
        let mut step = step.ok_or_else(pruned)?;
        if faults.iter().any(|fault| matches!(fault, SimFault::SpoiledSteps(from) if height >= *from))
            && let Some(last) = step.bytes.last_mut()
        {
            *last ^= 1;
        }
        Ok(step)
    }

    fn evidence_with(&self, height: Height, faults: &[SimFault]) -> Result<Vec<u8>, SourceError> {
        let ledger = self.served(faults);
        let pruned = || SourceError::Pruned { what: format!("the items of block {height}") };
        if faults.iter().any(|fault| matches!(fault, SimFault::PrunedBelow(from) if height < *from)) {
            return Err(pruned());
        }
        if faults.iter().any(|fault| matches!(fault, SimFault::OmittedItems(from) if height >= *from)) {
            let mut items = ledger.items(height).ok_or_else(pruned)?;
            items.pop();
            return Ok(super::wire::write_items(&items));
        }
        ledger.evidence(height).ok_or_else(pruned)
    }
}

#[async_trait]
impl Source for SimSource {
    fn describe(&self) -> SourceDescription {
        let faults = self.faults();
        let benched = faults.is_err().then_some("unreachable");
        let height = faults.ok().map(|faults| self.tip_with(&faults));
        let nodes = vec![NodeStatus { name: "sim".to_owned(), height, benched }];
        SourceDescription { family: FAMILY.to_owned(), nodes }
    }

    async fn tip(&self) -> Result<Height, SourceError> {
        Ok(self.tip_with(&self.faults()?))
    }

    async fn steps(&self, from: Height, limit: usize) -> Result<Vec<Step>, SourceError> {
        let faults = self.faults()?;
        let tip = self.tip_with(&faults);
        (from.get()..=tip.get()).take(limit).map(|height| self.step_with(Height::new(height), &faults)).collect()
    }

    async fn evidence(&self, blocks: &[TrustedBlock], _selector: &Selector) -> Result<Vec<BlockEvidence>, SourceError> {
        let faults = self.faults()?;
        let evidence = |block: &TrustedBlock| {
            let evidence = Some(self.evidence_with(block.height(), &faults)?);
            Ok(BlockEvidence { height: block.height(), evidence })
        };
        blocks.iter().map(evidence).collect()
    }

    fn refused(&self, reason: &str) {
        self.state().refused.push(reason.to_owned());
    }

    async fn others(&self, height: Height) -> Result<Vec<Step>, SourceError> {
        let faults = self.faults()?;
        let others = faults.iter().filter_map(|fault| match fault {
            SimFault::OthersServe(other) => other.step(height),
            _ => None,
        });
        Ok(others.collect())
    }
}
