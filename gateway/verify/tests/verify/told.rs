//! Items that nodes merely tell: the ledger commits to none of them, so nothing follows from what is not told, and whoever
//! carries the evidence may have changed it.

use std::sync::Arc;

use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Erased, HeadFacts, ItemFacts, LightClient, Misbehaviour, Outcome,
    Selector, Standing, Step, Wanted,
};
use hufu_adapters_testkit::sim::{SimAnchor, SimClient, SimHead};
use hufu_gateway_verify::Completeness;
use hufu_gateway_verify::page::BadEvidence;
use hufu_schemas_core::{LedgerId, Timestamp};

use crate::support::{Department, Receiver, outcomes, right};

/// What a courier did to the items that the evidence tells.
#[derive(Clone, Copy)]
enum Courier {
    Honest,
    LeavesOutTheFirst,
    TellsTheSecondAsTheFirst,
}

/// The simulated client, of a ledger that commits to no item.
struct Told(Courier, SimClient);

impl LightClient for Told {
    type Head = SimHead;

    fn version(&self) -> ClientVersion {
        self.1.version()
    }

    fn ledger(&self) -> &LedgerId {
        self.1.ledger()
    }

    fn anchor(&self) -> SimHead {
        LightClient::anchor(&self.1)
    }

    fn describe(&self, head: &SimHead) -> HeadFacts {
        self.1.describe(head)
    }

    fn commits(&self, _: &Selector) -> bool {
        false
    }

    fn advance(
        &self,
        head: &SimHead,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Outcome<Advance<SimHead>> {
        LightClient::advance(&self.1, head, steps, now, budget)
    }

    fn prove(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<ItemFacts>> {
        let found = LightClient::prove(&self.1, block, wanted, evidence, budget);
        found.map(|items| {
            let mut items: Vec<_> =
                items.into_iter().map(|item| ItemFacts { standing: Standing::Said, ..item }).collect();
            match self.0 {
                Courier::LeavesOutTheFirst if !items.is_empty() => drop(items.remove(0)),
                Courier::TellsTheSecondAsTheFirst if items.len() > 1 => items[0].native = items[1].native.clone(),
                _ => {}
            }
            items
        })
    }

    fn conflict(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        LightClient::conflict(&self.1, block, other, budget)
    }
}

fn department() -> Department {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    department.publish(1..2);
    department
}

fn receiver(department: &Department, courier: Courier) -> Receiver {
    let mut receiver = department.receiver();
    let anchor: SimAnchor = serde_json::from_value(receiver.ledger.anchor()).unwrap();
    receiver.client = Some(Arc::new(Erased::new(Told(courier, SimClient::new(&anchor).unwrap()))));
    receiver.rules.more = "least_assurance = \"attested\"".to_owned();
    receiver
}

#[test]
fn what_is_merely_told_is_attested_and_never_complete() {
    let department = department();
    let mut receiver = receiver(&department, Courier::Honest);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[1..3], ["R-1", "R-2"]);
    let records = verdict.admission.leaves().iter().filter_map(|leaf| match &leaf.outcome {
        hufu_gateway_verify::LeafOutcome::Record(verified) => Some(verified.basis()),
        _ => None,
    });
    for basis in records {
        assert_eq!((basis.assurance.as_str(), basis.completeness), ("attested", Completeness::Log));
    }
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "not-committed");
}

#[test]
fn a_courier_who_changes_what_nodes_tell_freezes_no_honest_lane() {
    let department = department();
    for courier in [Courier::LeavesOutTheFirst, Courier::TellsTheSecondAsTheFirst] {
        let mut receiver = receiver(&department, courier);
        assert_eq!(receiver.refuses(&department.log.whole()), "told-otherwise", "not the origin's misconduct");
        // Again and again: the lane goes on without the leaf, which better evidence releases.
        receiver.bad_evidence = BadEvidence::Hold;
        assert_eq!(outcomes(&receiver.take(&department.log.whole()))[1..3], ["held: bad-evidence", "R-2"]);
    }
}
