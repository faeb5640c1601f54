//! Who controls the code that made an item, as the receiver's own light client says it: an origin cannot say otherwise.

use std::sync::Arc;

use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Control, Erased, HeadFacts, ItemFacts, LightClient, Misbehaviour,
    Outcome, Step, Wanted,
};
use hufu_adapters_testkit::sim::{SimAnchor, SimClient, SimHead};
use hufu_schemas_core::{LedgerId, Timestamp};

use crate::support::{Department, Receiver, outcomes};

/// The simulated client, which finds the same items made by code of another standing.
struct MadeBy(Control, SimClient);

impl LightClient for MadeBy {
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
        found.map(|items| items.into_iter().map(|item| ItemFacts { control: self.0, ..item }).collect())
    }

    fn conflict(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        LightClient::conflict(&self.1, block, other, budget)
    }
}

/// What becomes of the lane's leaves at a receiver whose light client says this of the code.
fn received(control: Control, more: &str) -> Vec<String> {
    let department = Department::publishing();
    let mut receiver: Receiver = department.receiver();
    let anchor: SimAnchor = serde_json::from_value(receiver.ledger.anchor()).unwrap();
    receiver.client = Some(Arc::new(Erased::new(MadeBy(control, SimClient::new(&anchor).unwrap()))));
    receiver.rules.more = more.to_owned();
    outcomes(&receiver.verify(&department.log.whole()).unwrap())
}

#[test]
fn an_origin_that_states_what_changed_code_said() {
    let held = "held: code-changed";
    for more in ["", "least_control = \"fixed\"", "least_control = \"issuer-controlled\""] {
        let got = received(Control::Changed, more);
        assert_eq!(got[1..3], [held, held], "{more}: no policy believes it");
    }
}

#[test]
fn issuer_controlled_code_is_shown_or_held_as_the_policy_says() {
    assert_eq!(received(Control::IssuerControlled, "")[1..3], ["R-1", "R-2"]);
    let held = "held: issuer-controlled";
    assert_eq!(received(Control::IssuerControlled, "least_control = \"fixed\"")[1..3], [held, held]);
    assert_eq!(received(Control::Fixed, "least_control = \"fixed\"")[1..3], ["R-1", "R-2"]);
}

#[test]
fn a_policy_cannot_ask_for_changed_code() {
    let spelled: Result<Control, _> = serde_json::from_str("\"changed\"");
    assert!(spelled.is_err());
}
