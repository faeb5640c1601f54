//! Faults of one leaf: it is held with its reason, and the lane moves on.

use hufu_adapters_light_client::{Control, Finality};
use hufu_adapters_testkit::sim::{SimLedger, SimLedgerConfig};
use hufu_gateway_verify::page::BadEvidence;
use hufu_gateway_verify::{Assurance, Completeness, Families, LeafOutcome};
use hufu_schemas_core::statement::{KeyChange, Leaf, RecordLeaf, Skipped, VersionedName};
use hufu_schemas_core::{BlockHash, Digest, LedgerId, Position, Record, RecordId};
use serde_json::{Value, json};

use crate::support::{
    Department, LAND, NOTARY, Receiver, families, height, outcome, outcomes, registry, right, right_mapping, right_with,
};

/// What becomes of one record leaf that `change` made of an honest one.
fn lie(change: impl FnOnce(&mut RecordLeaf)) -> String {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    department.state(1, 0, change);
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    outcomes(&verdict).pop().unwrap()
}

#[test]
fn definition_not_accepted_holds_the_records() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.rules.definitions.clear();
    let verdict = receiver.take(&department.log.whole());
    let held = "held: definition-not-accepted";
    assert_eq!(outcomes(&verdict), ["definition", held, held, "skipped: schema", held, "covered"]);
    // Still held until the operator acts.
    let block = department.log.blocks.get(&height(1));
    let again = receiver.retry(&department.log, 1, block).unwrap();
    assert_eq!(outcome(again.outcome()), held);
    // The policy names it now: what was kept with the leaf suffices.
    receiver.rules.definitions = vec![department.definition().digest()];
    for index in [1, 2, 4] {
        let position = department.log.statement(index).leaf().position().unwrap();
        let block = department.log.blocks.get(&position.height);
        let release = receiver.retry(&department.log, index, block).unwrap();
        let LeafOutcome::Record(record) = release.outcome() else { panic!("{:?}", release.outcome()) };
        assert_eq!(record.record().id().to_string(), department.log.ids()[&index]);
        assert_eq!(release.index(), index);
        assert_eq!(release.evidence().len(), 1);
    }
}

#[test]
fn held_leaves_of_a_frozen_lane_or_under_a_clock_set_back_stay_held() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.take(&department.log.whole());
    let block = department.log.blocks.get(&height(1));
    assert!(receiver.retry(&department.log, 1, block).is_some());
    receiver.state.frozen = Some("two checkpoints of one size".to_owned());
    assert!(receiver.retry(&department.log, 1, block).is_none());
    receiver.state.frozen = None;
    receiver.high_water = receiver.now.plus(121);
    assert!(receiver.retry(&department.log, 1, block).is_none());
}

#[test]
fn a_definition_that_came_later_holds_only_what_is_under_it() {
    let mut department = Department::publishing();
    let mut later = department.definition();
    later.from_height = height(4);
    department.log.push(Leaf::Definition(later.clone()));
    department.mine(&[right("R-4", "confirm")]);
    department.state(4, 0, |_| {});
    let mut receiver = department.receiver();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[4..], ["R-1", "covered", "definition", "held: definition-not-accepted"]);
    receiver.rules.definitions.push(later.digest());
    let release = receiver.retry(&department.log, 7, department.log.blocks.get(&height(4))).unwrap();
    assert_eq!(outcome(release.outcome()), "R-4");
}

#[test]
fn unknown_mapping() {
    // What travels under the mapping's digest is no mapping.
    let mut department = Department::undefined();
    let document = json!({"not": "a mapping"});
    let digest = Digest::of(&hufu_schemas_core::canonical::to_canonical(&document));
    let mut definition = department.definition();
    definition.mapping = digest;
    department.define_as(definition.clone());
    department.log.documents[0].json = document;
    department.log.documents[0].digest = digest;
    department.mine(&[right("R-1", "confirm")]);
    department.state(1, 0, |leaf| leaf.origin.mapping = digest);
    let mut receiver = department.receiver();
    receiver.rules.definitions = vec![definition.digest()];
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict), ["definition", "held: unknown-mapping"]);
    assert_eq!(verdict.admission.documents().len(), 1, "kept, for a build that can read it");
}

#[test]
fn a_definition_whose_reader_was_never_compiled() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.take(&department.log.page(0..1));
    receiver.readers.clear();
    assert_eq!(outcomes(&receiver.take(&department.log.page(1..2))), ["held: unknown-mapping"]);
}

#[test]
fn a_family_that_this_build_lacks() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.families = Families::new([]);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[..2], ["definition", "held: unknown-family"]);
    assert_eq!(verdict.admission.documents(), department.log.documents, "kept, for a build that can read them");
    // A later build compiles the definition from the documents that were kept.
    let reader = hufu_gateway_verify::LaneReader::of_definition(
        &department.definition(),
        verdict.admission.documents(),
        &families(),
        &registry(),
    );
    receiver.families = families();
    receiver.readers.insert(department.definition().digest(), reader.map(std::sync::Arc::new));
    let release = receiver.retry(&department.log, 1, department.log.blocks.get(&height(1))).unwrap();
    assert_eq!(outcome(release.outcome()), "R-1");
}

#[test]
fn a_definition_that_its_own_mapping_contradicts() {
    type Change = fn(&mut hufu_schemas_core::statement::Definition);
    let changes: [(&str, Change); 5] = [
        ("family", |it| it.ledger = LedgerId::of_genesis("other", &[9; 32]).unwrap()),
        ("selector", |it| it.selector = json!({"contract": "register", "events": ["Another"]})),
        ("decoder", |it| it.decoder = VersionedName { name: "sim-json".into(), version: 2 }),
        ("schemas", |it| it.schemas.clear()),
        ("a schema that is not here", |it| it.schemas[0].content_id = Digest::of(b"another")),
    ];
    for (what, change) in changes {
        let mut department = Department::undefined();
        let mut definition = department.definition();
        change(&mut definition);
        department.define_as(definition.clone());
        department.mine(&[right("R-1", "confirm")]);
        department.state(1, 0, |_| {});
        let mut receiver = department.receiver();
        receiver.rules.definitions = vec![definition.digest()];
        let got = outcomes(&receiver.verify(&department.log.whole()).unwrap()).pop().unwrap();
        let expected = if what.starts_with('a') { "held: unknown-schema" } else { "held: definition-disagrees" };
        assert_eq!(got, expected, "{what}");
    }
}

#[test]
fn record_that_fails_its_schema() {
    // An honest origin says that it skipped the event, without repeating a value of it.
    let department = Department::publishing();
    let statement = department.log.statement(3);
    let Leaf::Skipped(skipped) = statement.leaf() else { panic!("leaf 3 is {}", statement.leaf().kind()) };
    assert_eq!((skipped.reason.as_str(), skipped.position.height), ("schema", height(2)));
    assert!(skipped.detail.contains("/body/unitCode") && !skipped.detail.contains("nowhere"), "{}", skipped.detail);
    // One that states a record all the same is not believed.
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.mine(&[right_with("R-3", "unit", "nowhere")]);
    department.state(1, 0, |_| {});
    department.state(2, 0, |_| {});
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "R-1", "held: record-not-conformant"]);
}

#[test]
fn an_event_that_no_rule_is_for_and_one_that_no_table_knows() {
    let mut department = Department::defined();
    department.mine(&[right_with("R-1", "kind", "rumour"), right("R-2", "conquer"), right("R-3", "confirm")]);
    department.publish(1..2);
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    let expected = ["definition", "skipped: not-matched", "skipped: mapping", "R-3", "covered"];
    assert_eq!(outcomes(&verdict), expected);
}

/// The name of a member is the ledger's own text and stands in the pointer of the fault. It must not stop the lane.
#[test]
fn an_event_with_a_name_longer_than_a_statement() {
    let mut department = Department::defined();
    let mut event = right("R-1", "confirm");
    event["~".repeat(40_000)] = json!("x");
    department.mine(&[event, right("R-2", "confirm")]);
    department.publish(1..2);
    let statement = department.log.statement(1);
    let Leaf::Skipped(skipped) = statement.leaf() else { panic!("leaf 1 is {}", statement.leaf().kind()) };
    assert!(skipped.detail.len() <= 400, "{}", skipped.detail.len());
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "skipped: mapping", "R-2", "covered"]);
}

#[test]
fn a_held_leaf_does_not_block_a_later_revocation() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.mine(&[right_with("R-3", "unit", "nowhere")]);
    department.mine(&[right("R-1", "cancel")]);
    department.state(1, 0, |_| {});
    department.state(2, 0, |_| {});
    department.state(3, 0, |_| {});
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "R-1", "held: record-not-conformant", "R-1"]);
    let LeafOutcome::Record(last) = &verdict.admission.leaves()[3].outcome else { panic!("no record") };
    assert_eq!(last.record().text_at("/status/state"), Some("deregistered"));
    assert_eq!(verdict.admission.after().edge.size(), 4);
}

#[test]
fn record_that_differs_from_the_ledger_where_the_stretch_is_not_derived() {
    // Derived, it is misconduct: a_revocation_stated_as_another_record.
    let lie = |change: &dyn Fn(&mut RecordLeaf)| {
        let mut department = Department::defined();
        department.mine(&[]);
        department.mine(&[right("R-1", "confirm")]);
        department.state(2, 0, change);
        let mut receiver = department.receiver();
        receiver.forgets = vec![1];
        outcomes(&receiver.verify(&department.log.whole()).unwrap()).pop().unwrap()
    };
    assert_eq!(lie(&|_| {}), "R-1", "an honest leaf is believed");
    assert_eq!(lie(&|leaf| leaf.id = RecordId::from_digest(Digest::of(b"another"))), "held: record-differs");
    let key = format!("property-right:{LAND}:R-9");
    assert_eq!(lie(&|leaf| leaf.key = key.parse().unwrap()), "held: record-differs");
}

#[test]
fn leaf_that_disagrees_with_its_definition() {
    let held = "held: leaf-disagrees-with-definition";
    assert_eq!(lie(|leaf| leaf.origin.mapping = Digest::of(b"another")), held);
    assert_eq!(lie(|leaf| leaf.origin.decoder.version += 1), held);
    assert_eq!(lie(|leaf| leaf.origin.decoder.name.push('x')), held);
    assert_eq!(lie(|leaf| leaf.origin.schema.content_id = Digest::of(b"another")), held);
    assert_eq!(lie(|leaf| leaf.origin.ledger = LedgerId::of_genesis("sim", &[9; 32]).unwrap()), held);
    assert_eq!(lie(|leaf| leaf.origin.position.height = height(0)), held, "a block before the definition's first");
}

#[test]
fn a_held_leaf_does_not_displace_the_evidence_of_a_good_one() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    department.state(1, 0, |leaf| leaf.origin.ledger = LedgerId::of_genesis("sim", &[9; 32]).unwrap());
    department.state(1, 1, |_| {});
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict)[1..], ["held: leaf-disagrees-with-definition", "R-2"]);
    let kept: Vec<_> = verdict.admission.evidence().iter().map(|kept| &kept.ledger).collect();
    assert_eq!(kept, [&department.ledger_id()]);
}

#[test]
fn leaves_that_speak_of_another_ledger() {
    let mut department = Department::defined();
    department.mine(&[]);
    let other = LedgerId::of_genesis("sim", &[9; 32]).unwrap();
    let mut covered = department.covered(1..2);
    covered.ledger = other.clone();
    let skipped = Skipped {
        ledger: other,
        position: Position { height: height(1), transaction: 0, event: 0 },
        block_hash: covered.to_hash,
        item: 0,
        native: Digest::of(b"native"),
        reason: "mapping".into(),
        detail: String::new(),
    };
    department.log.push(Leaf::Skipped(skipped));
    department.log.push(Leaf::Covered(covered));
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    let held = "held: leaf-disagrees-with-definition";
    assert_eq!((outcomes(&verdict)[1..].to_vec(), verdict.waiting), (vec![held.to_owned(), held.to_owned()], None));
}

#[test]
fn event_that_is_not_in_the_block() {
    let held = "held: event-not-in-block";
    let lie = |change: fn(&mut RecordLeaf)| {
        let mut department = Department::defined();
        department.mine(&[right("R-1", "confirm")]);
        department.state(1, 0, |_| {});
        department.state(1, 0, change);
        outcomes(&department.receiver().verify(&department.log.whole()).unwrap()).pop().unwrap()
    };
    assert_eq!(lie(|leaf| leaf.origin.position.transaction = 9), held);
    assert_eq!(lie(|leaf| leaf.origin.position.event = 1), held);
    assert_eq!(lie(|leaf| leaf.origin.item = 1), held, "the item decodes to one event only");
    // A block in which the contract did not speak needs no evidence to say so.
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.state(1, 0, |_| {});
    department.ledger.mine(&[("another", "RightChanged", right("R-1", "confirm"))]);
    let hash = department.ledger.hash(height(2)).unwrap();
    department.state(1, 0, |leaf| {
        leaf.origin.position.height = height(2);
        leaf.origin.block_hash = hash;
    });
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "R-1", held]);
}

#[test]
fn block_that_differs() {
    assert_eq!(lie(|leaf| leaf.origin.block_hash = BlockHash::from_bytes([1; 32])), "held: block-differs");
    let mut department = Department::defined();
    department.mine(&[]);
    let mut covered = department.covered(1..2);
    covered.to_hash = BlockHash::from_bytes([1; 32]);
    let skipped = Skipped {
        ledger: department.ledger_id(),
        position: Position { height: height(1), transaction: 0, event: 0 },
        block_hash: BlockHash::from_bytes([1; 32]),
        item: 0,
        native: Digest::of(b"native"),
        reason: "mapping".into(),
        detail: String::new(),
    };
    department.log.push(Leaf::Skipped(skipped));
    department.log.push(Leaf::Covered(covered));
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict)[1..], ["held: block-differs", "held: block-differs"]);
}

#[test]
fn a_kind_of_leaf_that_this_version_does_not_act_on() {
    let mut department = Department::publishing();
    department.log.push(Leaf::Key(KeyChange { key: "another".into() }));
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict).pop().unwrap(), "held: leaf-kind-absent");
}

#[test]
fn ledger_not_anchored() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.follows = None;
    let verdict = receiver.take(&department.log.whole());
    let held = "held: ledger-not-anchored";
    assert_eq!(outcomes(&verdict), ["definition", held, held, held, held, held]);
    receiver.follows = Some(u64::MAX);
    let release = receiver.retry(&department.log, 1, department.log.blocks.get(&height(1))).unwrap();
    assert_eq!(outcome(release.outcome()), "R-1", "after the operator anchored the ledger");
}

#[test]
fn another_ledger_with_the_same_events() {
    // Same events at the same places, other validators: nothing of it is believed.
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.ledger = SimLedger::new(SimLedgerConfig::named("forged"));
    receiver.ledger.mine(&[("register", "RightChanged", right("R-1", "confirm"))]);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[1], "held: ledger-not-anchored");
}

#[test]
fn a_block_before_this_gateways_anchor() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.forgets = vec![1];
    let verdict = receiver.take(&department.log.whole());
    let held = "held: block-not-kept";
    assert_eq!(outcomes(&verdict), ["definition", held, held, "skipped: schema", "R-1", "covered"]);
}

fn with_policy(more: &str, change: impl FnOnce(&mut Receiver)) -> Vec<String> {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.rules.more = more.to_owned();
    change(&mut receiver);
    outcomes(&receiver.verify(&department.log.whole()).unwrap())
}

#[test]
fn lane_that_speaks_for_another_issuer() {
    let mut department = Department::defined();
    department.mine(&[right_with("R-1", "issuer", NOTARY), right("R-2", "confirm")]);
    department.publish(1..2);
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "held: issuer-not-of-this-lane", "R-2", "covered"]);
}

#[test]
fn lane_that_speaks_of_what_it_may_not() {
    let got = with_policy("", |it| it.rules.types = vec!["e-certificate".into()]);
    assert_eq!(got[1], "held: type-not-of-this-lane");
    assert_eq!(with_policy("jurisdictions = [\"44\"]", |_| {})[1], "held: jurisdiction-not-of-this-lane");
    assert_eq!(with_policy("jurisdictions = [\"44\", \"3501\"]", |_| {})[1], "R-1");
    let got = with_policy("events = [\"issue\"]", |_| {});
    assert_eq!(got[1..], ["R-1", "R-2", "skipped: schema", "held: event-not-of-this-lane", "covered"]);
}

/// A record as nobody's mapping can write it, because the key is made from type and issuer.
fn forged(change: impl FnOnce(&mut Value)) -> Record {
    let department = Department::publishing();
    let mut record = department.evidence(1).record;
    change(&mut record);
    let Value::Object(mut envelope) = record else { panic!("a record is an object") };
    let body = envelope.remove("body").unwrap();
    Record::seal(envelope, body).unwrap()
}

fn authority(record: &Record) -> Result<(), &'static str> {
    let receiver = Department::publishing().receiver();
    let policy = receiver.rules.policy();
    policy.lane(&receiver.rules.lane).unwrap().authorises(record).map_err(|denied| denied.reason())
}

#[test]
fn lane_that_speaks_for_another_issuers_key() {
    assert_eq!(authority(&forged(|_| {})), Ok(()));
    let others = format!("property-right:{NOTARY}:R-1");
    assert_eq!(authority(&forged(|it| it["recordKey"] = json!(others))), Err("key-of-another-issuer"));
    let record = forged(|it| it["issuer"]["uscc"] = json!(NOTARY));
    assert_eq!(authority(&record), Err("key-of-another-issuer"));
    let record = forged(|it| it["issuer"] = json!({"kind": "individual"}));
    assert_eq!(authority(&record), Err("key-of-another-issuer"), "an issuer without a code holds no key");
}

#[test]
fn key_of_another_type() {
    let others = format!("e-certificate:{LAND}:R-1");
    assert_eq!(authority(&forged(|it| it["recordKey"] = json!(others))), Err("key-of-another-type"));
    assert_eq!(authority(&forged(|it| it["type"] = json!("e-certificate"))), Err("key-of-another-type"));
}

#[test]
fn assurance_finality_and_completeness_below_policy() {
    assert_eq!(with_policy("finality = [\"probabilistic\"]", |_| {})[1], "held: finality-not-accepted");
    assert_eq!(with_policy("finality = [\"probabilistic\", \"bft-final\"]", |_| {})[1], "R-1");
    assert_eq!(with_policy("completeness = \"ledger\"", |_| {})[1], "R-1", "every block was derived");
    let underived = with_policy("completeness = \"ledger\"", |it| it.forgets = vec![1]);
    assert_eq!(underived[4], "held: completeness-below-policy");
    let receiver = Department::publishing().receiver();
    let policy = receiver.rules.policy();
    let lane = policy.lane(&receiver.rules.lane).unwrap();
    let reason = |assurance| {
        let judged = lane.accepts(assurance, Control::IssuerControlled, Finality::BftFinal, Completeness::Log);
        judged.map_err(|denied| denied.reason())
    };
    assert_eq!(reason(Assurance::Proven), Ok(()));
    assert_eq!(reason(Assurance::Anchored), Err("assurance-below-policy"));
    assert_eq!(reason(Assurance::Attested), Err("assurance-below-policy"));
}

#[test]
fn issuer_controlled_code_below_policy() {
    let judged = |control| {
        let mut receiver = Department::publishing().receiver();
        receiver.rules.more = "least_control = \"fixed\"".to_owned();
        let policy = receiver.rules.policy();
        let lane = policy.lane(&receiver.rules.lane).unwrap();
        lane.accepts(Assurance::Proven, control, Finality::BftFinal, Completeness::Log)
            .map_err(|denied| denied.reason())
    };
    assert_eq!(judged(Control::IssuerControlled), Err("issuer-controlled"));
    assert_eq!(judged(Control::Fixed), Ok(()));
    assert_eq!(with_policy("least_control = \"fixed\"", |_| {})[1], "R-1", "a simulated ledger has no code to change");
}

#[test]
fn evidence_altered_in_transit() {
    let department = Department::publishing();
    let receiver = department.receiver();
    let mut altered = department.log.whole();
    altered.blocks[0].evidence = department.ledger.evidence(height(3)).unwrap();
    let rejection = receiver.verify(&altered).unwrap_err();
    assert_eq!((rejection.reason(), rejection.sequence()), ("items-root", Some(1)));
    let mut cut = department.log.whole();
    cut.blocks[0].evidence.pop();
    assert_eq!(receiver.refuses(&cut), "evidence-malformed");
    let mut renamed = department.log.whole();
    renamed.blocks[0].hash = BlockHash::from_bytes([1; 32]);
    assert_eq!(receiver.refuses(&renamed), "evidence-missing", "of another block");
}

#[test]
fn evidence_missing() {
    let department = Department::publishing();
    let mut page = department.log.whole();
    page.blocks.remove(2);
    let rejection = department.receiver().verify(&page).unwrap_err();
    assert_eq!((rejection.reason(), rejection.sequence()), ("evidence-missing", Some(4)));
}

#[test]
fn evidence_that_never_closes_is_held_at_last_and_better_evidence_releases() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.bad_evidence = BadEvidence::Hold;
    let mut page = department.log.whole();
    page.blocks[0].evidence = department.ledger.evidence(height(3)).unwrap();
    let bad = page.blocks[0].clone();
    let verdict = receiver.take(&page);
    let held = "held: bad-evidence";
    assert_eq!(outcomes(&verdict), ["definition", held, held, "skipped: schema", "R-1", "covered"]);
    for again in [None, Some(&bad)] {
        assert_eq!(outcome(receiver.retry(&department.log, 1, again).unwrap().outcome()), held);
    }
    let good = department.log.blocks.get(&height(1));
    let release = receiver.retry(&department.log, 1, good).unwrap();
    assert_eq!(outcome(release.outcome()), "R-1");
    assert_eq!(release.evidence()[0].bytes, department.ledger.evidence(height(1)).unwrap());
}

/// A mapping that names another ledger family than the definition's ledger.
#[test]
fn a_mapping_of_another_family() {
    let mapping = right_mapping("family: sim", "family: other");
    let reader = hufu_gateway_verify::LaneReader::of_mapping(mapping, &[], &families(), &registry());
    assert_eq!(reader.unwrap_err().reason(), "unknown-family");
}
