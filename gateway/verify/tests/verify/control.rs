//! Who controls the code that made an item, as the receiver's own light client says it: an origin cannot say otherwise.

use std::sync::Arc;

use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Control, Erased, HeadFacts, ItemFacts, LightClient, Misbehaviour,
    Outcome, Selector, Step, Wanted,
};
use hufu_adapters_testkit::sim::{SimAnchor, SimClient, SimHead};
use hufu_schemas_core::statement::Leaf;
use hufu_schemas_core::{LedgerId, Timestamp};

use crate::support::{Department, Receiver, height, outcomes, right};

/// The simulated client, which finds the same items made by code of another standing; and whether it knows the state
/// that blocks began with.
struct MadeBy(Control, bool, SimClient);

impl LightClient for MadeBy {
    type Head = SimHead;

    fn version(&self) -> ClientVersion {
        self.2.version()
    }

    fn ledger(&self) -> &LedgerId {
        self.2.ledger()
    }

    fn anchor(&self) -> SimHead {
        LightClient::anchor(&self.2)
    }

    fn describe(&self, head: &SimHead) -> HeadFacts {
        self.2.describe(head)
    }

    fn sees_code_changes(&self, _: &BlockFacts, _: &Selector) -> bool {
        self.1
    }

    fn advance(
        &self,
        head: &SimHead,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Outcome<Advance<SimHead>> {
        LightClient::advance(&self.2, head, steps, now, budget)
    }

    fn prove(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<ItemFacts>> {
        let found = LightClient::prove(&self.2, block, wanted, evidence, budget);
        found.map(|items| items.into_iter().map(|item| ItemFacts { control: self.0, ..item }).collect())
    }

    fn conflict(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        LightClient::conflict(&self.2, block, other, budget)
    }
}

/// What becomes of the lane's leaves at a receiver whose light client says this of the code.
fn received(control: Control, more: &str) -> Vec<String> {
    let department = Department::publishing();
    let mut receiver = receiver(&department, control, true);
    receiver.rules.more = more.to_owned();
    outcomes(&receiver.verify(&department.log.whole()).unwrap())
}

fn receiver(department: &Department, control: Control, sees_changes: bool) -> Receiver {
    let mut receiver = department.receiver();
    let anchor: SimAnchor = serde_json::from_value(receiver.ledger.anchor()).unwrap();
    let client = MadeBy(control, sees_changes, SimClient::new(&anchor).unwrap());
    receiver.client = Some(Arc::new(Erased::new(client)));
    receiver
}

/// A lane that skips the first of two rights, for that reason.
fn skipping(reason: &str) -> Department {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    let skipped = department.skipped(1, 0, reason);
    department.log.push(Leaf::Skipped(skipped));
    department.state(1, 1, |_| {});
    department.cover(1..2, 2);
    department
}

#[test]
fn an_honest_skip_of_changed_code_where_this_gateway_cannot_see_the_change() {
    let department = skipping("code-changed");
    let mut receiver = receiver(&department, Control::IssuerControlled, false);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[1..], ["skipped: code-changed", "R-2", "covered"]);
    let gap = receiver.state.derivation.gap().unwrap();
    assert_eq!((gap.from, gap.reason.as_str()), (height(1), "parent-state-unknown"));
}

#[test]
fn a_readable_event_declared_skipped_for_changed_code() {
    let refused = |reason: &str, control, sees_changes| {
        let department = skipping(reason);
        receiver(&department, control, sees_changes).refuses(&department.log.whole())
    };
    // Whoever sees the state before, or knows the code to be fixed, knows that it was not changed.
    assert_eq!(refused("code-changed", Control::IssuerControlled, true), "readable-event-skipped");
    assert_eq!(refused("code-changed", Control::Fixed, false), "readable-event-skipped");
    assert_eq!(refused("mapping", Control::IssuerControlled, false), "readable-event-skipped");
}

#[test]
fn what_changed_code_said_is_stated_by_who_could_not_see_the_change() {
    // The same the other way about: the origin is honest, so the lane goes on, and its stretch is `log`.
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.publish(1..2);
    let mut receiver = receiver(&department, Control::Changed, true);
    assert_eq!(outcomes(&receiver.take(&department.log.whole()))[1], "held: code-changed");
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "code-changed");
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
