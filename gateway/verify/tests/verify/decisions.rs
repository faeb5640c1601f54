//! The decisions of the design that this crate carries out, by their numbers ("Fixed before code").

use hufu_adapters_light_client::Finality;
use hufu_gateway_verify::{Assurance, Completeness, LeafOutcome, Verified};
use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::statement::Leaf;
use hufu_schemas_core::{Digest, LaneId, Record};
use serde_json::{Value, json};

use crate::support::{Department, LAND, NOTARY, admitted_ids, height, outcomes, right, right_mapping, right_with};

fn record_at(department: &Department, index: usize) -> Verified<Record> {
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    match &verdict.admission.leaves()[index].outcome {
        LeafOutcome::Record(verified) => (**verified).clone(),
        other => panic!("leaf {index}: {other:?}"),
    }
}

#[test]
fn decision_2_an_origin_cannot_choose_a_mapping_for_one_event() {
    // A second mapping that the operator also accepted, for another definition of the lane.
    let kinder = Department::with_mapping(right_mapping("confirm: issue", "confirm: update"));
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.state(1, 0, |leaf| leaf.origin.mapping = kinder.definition().mapping);
    let mut receiver = department.receiver();
    receiver.rules.definitions.push(kinder.definition().digest());
    let got = outcomes(&receiver.verify(&department.log.whole()).unwrap());
    assert_eq!(got, ["definition", "held: leaf-disagrees-with-definition"]);
}

#[test]
fn decision_2_a_new_definition_holds_the_lanes_records_until_it_is_accepted() {
    let mut department = Department::publishing();
    let changed = Department::with_mapping(right_mapping("confirm: issue", "confirm: update"));
    department.reader = changed.reader;
    let mut definition = department.definition();
    definition.from_height = height(4);
    department.define_as(definition.clone());
    department.mine(&[right("R-4", "confirm")]);
    department.publish(4..5);
    let mut receiver = Department::publishing().receiver();
    receiver.ledger = department.ledger.clone();
    receiver.now = department.log.time;
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[6..], ["definition", "held: definition-not-accepted", "covered"]);
    receiver.rules.definitions.push(definition.digest());
    let release = receiver.retry(&department.log, 7, department.log.blocks.get(&height(4))).unwrap();
    let LeafOutcome::Record(record) = release.outcome() else { panic!("{:?}", release.outcome()) };
    assert_eq!(record.record().text_at("/event"), Some("update"), "read with the new mapping");
}

#[test]
fn decision_3_what_matched_and_could_not_be_mapped_is_said_with_its_reason() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "conquer"), right_with("R-2", "unit", "nowhere"), right("R-3", "confirm")]);
    department.mine(&[]);
    department.publish(1..3);
    let statement = department.log.statement(4);
    let Leaf::Covered(covered) = statement.leaf() else { panic!("leaf 4 is {}", statement.leaf().kind()) };
    assert_eq!((covered.from, covered.to, covered.matches), (height(1), height(2), 3), "three matched, three leaves");
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "skipped: mapping", "skipped: schema", "R-3", "covered"]);
    // The receiver finds the same three in the blocks, so it can say that nothing else stands there.
    assert_eq!(record_at(&department, 3).basis().completeness, Completeness::Ledger);
    assert_eq!(verdict.admission.after().derivation.run(), Some((height(1), height(2))));
}

#[test]
fn decision_4_positions_rise_and_the_same_event_by_two_lanes_is_one_record() {
    let department = Department::publishing();
    let positions: Vec<_> = (0..6).filter_map(|index| department.log.statement(index).leaf().order()).collect();
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
    let reader = Department::undefined().reader;
    let other = LaneId::parse("land.example/rights-again/1").unwrap();
    let mut again = Department::of(department.ledger.clone(), other, reader);
    again.define();
    again.publish(1..4);
    let receiver = again.receiver();
    let verdict = receiver.verify(&again.log.whole()).unwrap();
    assert_eq!(admitted_ids(&verdict.admission), department.log.ids());
}

#[test]
fn two_gateways_on_one_ledger_make_the_same_ids() {
    let land = Department::publishing();
    let lane = LaneId::parse("mirror.example/rights/7").unwrap();
    let mut mirror = Department::of(land.ledger.clone(), lane, Department::undefined().reader);
    mirror.log.time = land.log.time.plus(86_400);
    mirror.define();
    mirror.publish(1..2);
    mirror.publish(2..4);
    let ids = |department: &Department| department.log.ids().into_values().collect::<Vec<_>>();
    assert_eq!(ids(&land), ids(&mirror));
    // What differs by who read and when stands in the statement alone.
    assert_ne!(land.log.statement(1).digest(), mirror.log.statement(1).digest());
    let (one, other) = (record_at(&land, 1), {
        let mut receiver = mirror.receiver();
        receiver.now = mirror.log.time;
        let verdict = receiver.verify(&mirror.log.whole()).unwrap();
        match &verdict.admission.leaves()[1].outcome {
            LeafOutcome::Record(verified) => (**verified).clone(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(one.record(), other.record());
    assert_ne!(one.basis().observed_at, other.basis().observed_at);
}

#[test]
fn decision_5_a_status_change_comes_only_from_a_lane_of_the_keys_issuer() {
    // The notary's lane, honest about its own ledger, says that the land registry's right was cancelled.
    let mut notary = Department::defined();
    notary.mine(&[right("R-1", "cancel"), right_with("R-1", "issuer", NOTARY)]);
    notary.publish(1..2);
    let mut receiver = notary.receiver();
    receiver.rules.issuers = vec![NOTARY.to_owned()];
    let got = outcomes(&receiver.verify(&notary.log.whole()).unwrap());
    assert_eq!(got[1], "held: issuer-not-of-this-lane");
    assert_eq!(got[2], "R-1", "its own right of that number is another key");
    let key = notary.log.statement(2).leaf().clone();
    let Leaf::Record(leaf) = key else { panic!("no record") };
    assert_eq!(leaf.key.as_str(), format!("property-right:{NOTARY}:R-1"));
}

#[test]
fn decision_5_a_mapping_does_not_write_provenance() {
    let department = Department::publishing();
    let verified = record_at(&department, 1);
    let (record, basis) = (verified.record(), verified.basis());
    let provenance = &record.envelope()["provenance"];
    assert_eq!(provenance["blockHash"], json!(basis.block_hash.to_string()));
    assert_eq!(provenance["chain"]["id"], json!(department.ledger_id()));
    assert_eq!(provenance["height"], json!("1"));
    assert_eq!(provenance["rawDigest"]["value"], json!(Digest::of(&basis.native)));
    assert_eq!(provenance["mapping"]["digest"], json!(department.definition().mapping));
    for target in ["/provenance/height", "/recordedAt", "/schema/id", "/commitment/value"] {
        let text =
            include_str!("right.yaml").replace("/event: {", &format!("{target}: {{const: x}}\n      /event: {{"));
        let mapping = hufu_schemas_mapping::Mapping::parse_yaml("right.yaml", text.as_bytes());
        assert!(mapping.is_err(), "{target}");
    }
}

#[test]
fn decision_6_proven_records_need_not_travel_and_are_not_believed_when_they_do() {
    let department = Department::publishing();
    let mut page = department.log.whole();
    assert!(page.opened.iter().all(|leaf| leaf.record.is_none()));
    let mut lie = department.evidence(1).record;
    lie["status"]["state"] = json!("deregistered");
    page.opened[1].record = Some(lie);
    let page = Page::parse(&page.to_bytes(), &PageLimits::DEFAULT).unwrap();
    let verdict = department.receiver().verify(&page).unwrap();
    assert_eq!(admitted_ids(&verdict.admission), department.log.ids());
    let LeafOutcome::Record(record) = &verdict.admission.leaves()[1].outcome else { panic!("no record") };
    assert_eq!(record.record().text_at("/status/state"), Some("active"));
}

#[test]
fn decision_6_evidence_is_shared_by_the_leaves_of_a_block() {
    let mut department = Department::defined();
    let events: Vec<Value> = (0..40).map(|at| right(&format!("R-{at}"), "confirm")).collect();
    department.mine(&events);
    department.publish(1..2);
    let page = department.log.whole();
    assert_eq!(page.blocks.len(), 1);
    let verdict = department.receiver().verify(&page).unwrap();
    assert_eq!((verdict.admission.leaves().len(), verdict.admission.evidence().len()), (42, 1));
    assert_eq!(admitted_ids(&verdict.admission).len(), 40);
}

#[test]
fn decision_7_a_log_fault_refuses_a_leaf_fault_holds_and_a_shortfall_waits() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.mine(&[right("R-2", "confirm")]);
    department.state(1, 0, |leaf| leaf.origin.schema.content_id = Digest::of(b"another"));
    department.state(2, 0, |_| {});
    let mut receiver = department.receiver();
    let mut broken = department.log.whole();
    broken.entries.swap(1, 2);
    assert_eq!(receiver.refuses(&broken), "join-does-not-close");
    receiver.follows = Some(1);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict), ["definition", "held: leaf-disagrees-with-definition"]);
    assert!(verdict.waiting.is_some());
    assert_eq!(
        receiver.state.edge.size(),
        2,
        "the edge moved past the held leaf and stopped before the one that waits"
    );
    receiver.follows = Some(2);
    assert_eq!(outcomes(&receiver.take(&department.log.page(2..3))), ["R-2"]);
}

#[test]
fn decision_9_an_older_block_serves_and_a_clock_set_back_stops_admission() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    let head = department.ledger.height();
    assert!(head > height(1), "the head is beyond the block of leaf 1");
    assert_eq!(outcomes(&receiver.verify(&department.log.whole()).unwrap())[1], "R-1");
    receiver.high_water = receiver.now.plus(3_600);
    assert_eq!(receiver.refuses(&department.log.whole()), "clock-behind");
}

#[test]
fn decision_10_anchors_keys_and_definitions_come_from_the_policy_alone() {
    let department = Department::publishing();
    let page: Value = serde_json::from_slice(&department.log.whole().to_bytes()).unwrap();
    for member in ["anchor", "logKeys", "policy"] {
        let mut page = page.clone();
        page[member] = department.ledger.anchor();
        assert!(Page::parse(page.to_string().as_bytes(), &PageLimits::DEFAULT).is_err(), "{member} in a page");
    }
    let file: Value = serde_json::from_slice(&department.evidence(1).to_bytes()).unwrap();
    let mut file = file;
    file["anchor"] = department.ledger.anchor();
    assert!(Evidence::parse(file.to_string().as_bytes()).is_err(), "an anchor in an evidence file");
    let mut receiver = department.receiver();
    receiver.rules.definitions.clear();
    assert_eq!(outcomes(&receiver.verify(&department.log.whole()).unwrap())[1], "held: definition-not-accepted");
    let digest = department.receiver().rules.policy().digest();
    assert_eq!(record_at(&department, 1).basis().policy, digest, "the record says under which policy it is believed");
}

#[test]
fn decision_12_a_newer_time_of_the_same_checkpoint_is_remembered() {
    let mut department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.take(&department.log.page(0..2));
    let first = receiver.state.seen.clone().unwrap().0;
    department.log.time = department.log.time.plus(20);
    receiver.take(&department.log.page(2..6));
    let second = receiver.state.seen.clone().unwrap().0;
    assert_eq!((first.size, first.root), (second.size, second.root));
    assert_eq!(second.time.since(first.time), 20);
}

#[test]
fn decision_12_the_heartbeat_of_an_idle_lane_is_seen_and_moves_nothing_else() {
    let mut department = Department::publishing();
    let mut receiver = department.receiver();
    let size = department.log.len();
    receiver.take(&department.log.whole());
    department.log.time = department.log.time.plus(30);
    let beat = receiver.observes(&department.log.note(size)).unwrap().unwrap();
    assert_eq!(beat.leaves().len(), 0);
    let (before, after) = (receiver.state.seen.clone().unwrap().0, beat.after().seen.clone().unwrap().0);
    assert_eq!((after.size, after.root, after.time.since(before.time)), (before.size, before.root, 30));
    // The same one again, or one of leaves still to come, says nothing new.
    receiver.state = beat.after().clone();
    assert!(receiver.observes(&department.log.note(size)).unwrap().is_none());
}

#[test]
fn decision_13_what_is_minted_says_why_it_is_believed() {
    let department = Department::publishing();
    let verified = record_at(&department, 4);
    let basis = verified.basis();
    assert_eq!((&basis.lane, basis.sequence), (&department.log.state.lane, 4));
    assert_eq!((&basis.ledger, basis.position.height, basis.item), (&department.ledger_id(), height(3), 0));
    assert_eq!(Some(basis.block_hash), department.ledger.hash(height(3)));
    assert_eq!((basis.finality, basis.assurance), (Finality::BftFinal, Assurance::Proven));
    assert_eq!(basis.native, department.proven(3)[0].native());
    assert_eq!(verified.record().text_at("/issuer/uscc"), Some(LAND));
}
