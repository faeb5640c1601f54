//! Nothing withheld: what an origin leaves out of its lane is found in the blocks, and named.

use hufu_gateway_verify::admission::Misconduct;
use hufu_gateway_verify::page::{BadEvidence, DERIVED_BLOCKS_MOST};
use hufu_gateway_verify::{Completeness, LeafOutcome, PageRejection, PageVerdict};
use hufu_schemas_core::page::Page;
use hufu_schemas_core::statement::{Leaf, RecordLeaf};
use hufu_schemas_core::{Digest, Position, RecordId};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Department, LAND, NOTARY, Receiver, height, outcome, outcomes, right, right_mapping, right_with};

fn misconduct(receiver: &Receiver, page: &Page) -> Misconduct {
    match receiver.verify(page) {
        Err(PageRejection::Misconduct(misconduct)) => *misconduct,
        Err(other) => panic!("expected misconduct, got {other}"),
        Ok(verdict) => panic!("expected misconduct, got {:?}", outcomes(&verdict)),
    }
}

/// Completeness of the records of a page, by key.
fn completeness(verdict: &PageVerdict) -> Vec<(String, Completeness)> {
    let of = |leaf: &hufu_gateway_verify::AdmittedLeaf| match &leaf.outcome {
        LeafOutcome::Record(verified) => Some((outcome(&leaf.outcome), verified.basis().completeness)),
        _ => None,
    };
    verdict.admission.leaves().iter().filter_map(of).collect()
}

/// Two rights, a quiet block, and the cancellation of the first.
fn register() -> Department {
    let department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    department.mine(&[]);
    department.mine(&[right("R-1", "cancel")]);
    department
}

#[test]
fn decision_3_an_honest_lane_is_complete_by_the_receivers_own_reading() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.rules.more = "completeness = \"ledger\"".to_owned();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict), ["definition", "R-1", "R-2", "skipped: schema", "R-1", "covered"]);
    assert!(completeness(&verdict).iter().all(|(_, it)| *it == Completeness::Ledger), "{:?}", completeness(&verdict));
    let derivation = &receiver.state.derivation;
    assert_eq!((derivation.run(), derivation.gap()), (Some((height(1), height(3))), None));
}

#[test]
fn pages_of_any_size_come_to_the_same_answer() {
    let department = Department::publishing();
    let whole = department.receiver().take(&department.log.whole()).admission.after().derivation.clone();
    for size in 1..6 {
        let mut receiver = department.receiver();
        while receiver.state.edge.size() < 6 {
            let from = receiver.state.edge.size();
            let verdict = receiver.take(&department.log.page(from..(from + size).min(6)));
            assert!(completeness(&verdict).iter().all(|(_, it)| *it == Completeness::Ledger));
        }
        assert_eq!(receiver.state.derivation, whole, "pages of {size}");
    }
}

#[test]
fn a_revocation_left_out_of_a_covered_block() {
    for matches in [2, 3] {
        let mut department = register();
        department.state(1, 0, |_| {});
        department.state(1, 1, |_| {});
        department.cover(1..4, matches);
        let page = department.log.whole();
        let mut receiver = department.receiver();
        let found = misconduct(&receiver, &page);
        assert_eq!((found.reason, found.sequence), ("omitted-event", Some(3)));
        let key = format!("property-right:{LAND}:R-1");
        assert!(
            found.detail.contains("block 3, transaction 0, event 0") && found.detail.contains(&key),
            "{}",
            found.detail
        );
        // Both sides are kept whole: the signed page that goes past the event, and the block that holds it.
        assert_eq!(found.signed["page"]["checkpoint"], json!(department.log.note(4)));
        assert_eq!(found.signed["statement"], json!(department.log.statements[3]));
        assert_eq!(found.against["recordKey"], json!(key));
        assert_eq!(found.against["native"], json!(department.proven(3)[0].native_digest()));
        assert_eq!(found.against["block"]["hash"], json!(department.ledger.hash(height(3))));
        assert_eq!(found.against["evidence"]["height"], json!(3));
        // However the pages are cut; what came before the lie is believed, nothing after it.
        receiver.take(&department.log.page(0..3));
        assert_eq!(misconduct(&receiver, &department.log.page(3..4)).reason, "omitted-event");
    }
}

#[test]
fn an_omitted_event_before_a_later_record() {
    // In the same block, in a block between, and before the first leaf.
    let stated: [&[(u64, u32)]; 3] = [&[(1, 1)], &[(1, 0), (3, 0)], &[(3, 0)]];
    for leaves in stated {
        let mut department = register();
        for (block, transaction) in leaves {
            department.state(*block, *transaction, |_| {});
        }
        department.keep(1);
        let found = misconduct(&department.receiver(), &department.log.whole());
        assert_eq!(found.reason, "omitted-event", "{leaves:?}");
        assert!(found.detail.contains("block 1"), "{leaves:?}: {}", found.detail);
    }
}

#[test]
fn a_revocation_hidden_under_a_definition_that_nobody_accepted() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.publish(1..2);
    // The revocation in block 2 is passed by under a definition of the origin's choice, in which nothing matches.
    department.mine(&[right("R-1", "cancel")]);
    let elsewhere = Department::with_mapping(right_mapping("register", "archive"));
    let other = elsewhere.definition();
    department.log.documents.extend(elsewhere.reader.documents().iter().cloned());
    department.log.push(Leaf::Definition(other.clone()));
    department.cover(2..3, 0);
    department.log.state.covered = Some(height(2));
    department.define();
    department.mine(&[right("R-2", "confirm")]);
    department.publish(3..4);
    let mut receiver = department.receiver();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[3..], ["definition", "covered", "definition", "R-2", "covered"]);
    let gap = receiver.state.derivation.gap().unwrap();
    assert_eq!((gap.from, gap.to, gap.reason.as_str()), (height(2), height(2), "definition-not-accepted"));
    assert_eq!(receiver.state.derivation.run(), Some((height(3), height(3))), "no run leads over the stretch");
    // An operator who names it says what is to be derived: that nothing of it matches is true, then.
    let mut accepting = department.receiver();
    accepting.rules.definitions.push(other.digest());
    accepting.take(&department.log.whole());
    assert_eq!(accepting.state.derivation.gap(), None);
}

/// What an origin may misstate of a record that stands where it says.
fn misstatements() -> [fn(&mut RecordLeaf); 2] {
    let key: fn(&mut RecordLeaf) = |leaf| leaf.key = format!("property-right:{LAND}:R-9").parse().unwrap();
    [key, |leaf| leaf.id = RecordId::from_digest(Digest::of(b"another"))]
}

#[test]
fn a_revocation_stated_as_another_record() {
    for misstate in misstatements() {
        let mut department = register();
        department.state(1, 0, |_| {});
        department.state(1, 1, |_| {});
        department.state(3, 0, misstate);
        department.cover(1..4, 3);
        let mut receiver = department.receiver();
        let found = misconduct(&receiver, &department.log.whole());
        assert_eq!((found.reason, found.sequence), ("record-differs", Some(3)));
        let key = format!("property-right:{LAND}:R-1");
        assert!(found.detail.contains("block 3, transaction 0, event 0") && found.detail.contains(&key));
        assert_eq!(found.signed["page"]["checkpoint"], json!(department.log.note(5)));
        assert_eq!(found.signed["statement"], json!(department.log.statements[3]));
        assert_eq!(found.against["recordKey"], json!(key));
        assert_eq!(found.against["recordId"], json!(department.leaf(3, 0).id));
        assert_eq!(found.against["evidence"]["height"], json!(3));
        receiver.take(&department.log.page(0..3));
        assert_eq!(misconduct(&receiver, &department.log.page(3..5)).reason, "record-differs");
    }
}

#[test]
fn a_misstated_record_that_cannot_be_judged_makes_the_stretch_log() {
    let lie = |misstate: fn(&mut RecordLeaf), set: fn(&mut Receiver, &mut Page)| {
        let mut department = register();
        department.state(1, 0, misstate);
        department.state(1, 1, |_| {});
        department.state(3, 0, |_| {});
        department.cover(1..4, 3);
        let (mut receiver, mut page) = (department.receiver(), department.log.whole());
        set(&mut receiver, &mut page);
        receiver.take(&page);
        receiver.state.derivation.gap().map(|gap| gap.reason.clone())
    };
    for misstate in misstatements() {
        let unaccepted = lie(misstate, |receiver, _| receiver.rules.definitions.clear());
        assert_eq!(unaccepted.as_deref(), Some("definition-not-accepted"));
        let without = lie(misstate, |receiver, page| {
            page.blocks.remove(0);
            receiver.bad_evidence = BadEvidence::Hold;
        });
        assert_eq!(without.as_deref(), Some("evidence-missing"));
    }
    // The leaf is held, so what it should have said is not known to be told.
    let other = lie(|leaf| leaf.origin.mapping = Digest::of(b"another"), |_, _| {});
    assert_eq!(other.as_deref(), Some("leaf-disagrees-with-definition"));
    assert_eq!(lie(|_| {}, |_, _| {}), None, "an honest one");
}

#[test]
fn a_record_stated_of_what_this_build_cannot_read_makes_the_stretch_log() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right_with("R-2", "unit", "nowhere")]);
    department.state(1, 0, |_| {});
    department.state(1, 1, |_| {});
    department.cover(1..2, 2);
    let mut receiver = department.receiver();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[1..], ["R-1", "held: record-not-conformant", "covered"]);
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "record-not-conformant");
}

#[test]
fn an_honest_record_that_is_held_for_another_reason_is_no_misstatement() {
    type Setting = fn(&mut Receiver);
    let set: [(&str, Setting); 4] = [
        ("type-not-of-this-lane", |it| it.rules.types = vec!["generic".to_owned()]),
        ("issuer-not-of-this-lane", |it| it.rules.issuers = vec![NOTARY.to_owned()]),
        ("finality-not-accepted", |it| it.rules.more = "finality = [\"probabilistic\"]".to_owned()),
        ("unknown-family", |it| it.families = hufu_gateway_verify::Families::new([])),
    ];
    for (reason, set) in set {
        let department = Department::publishing();
        let mut receiver = department.receiver();
        set(&mut receiver);
        let verdict = receiver.take(&department.log.whole());
        let held = format!("held: {reason}");
        assert_eq!(outcomes(&verdict)[1], held);
        let derivation = &receiver.state.derivation;
        let readable = reason != "unknown-family";
        assert_eq!((derivation.gap().is_none(), derivation.run().is_some()), (readable, readable), "{reason}");
    }
}

#[test]
fn an_event_that_cannot_be_read_may_not_be_left_out_either() {
    let mut department = Department::defined();
    department.mine(&[right_with("R-1", "unit", "nowhere")]);
    department.cover(1..2, 1);
    let found = misconduct(&department.receiver(), &department.log.whole());
    assert_eq!(found.reason, "omitted-event");
    assert!(found.detail.contains("not readable: schema"), "{}", found.detail);
}

#[test]
fn a_readable_event_declared_skipped() {
    let mut department = register();
    let skipped = department.skipped(1, 0, "mapping");
    department.keep(1);
    department.log.push(Leaf::Skipped(skipped));
    let found = misconduct(&department.receiver(), &department.log.whole());
    assert_eq!((found.reason, found.sequence), ("readable-event-skipped", Some(1)));
    assert_eq!(found.against["recordKey"], json!(format!("property-right:{LAND}:R-1")));
}

#[test]
fn a_skipped_leaf_about_nothing() {
    let changes: [fn(&mut hufu_schemas_core::statement::Skipped); 4] = [
        |it| it.position = Position { transaction: 7, ..it.position },
        |it| it.position = Position { event: 3, ..it.position },
        |it| it.item = 5,
        |it| it.native = Digest::of(b"another item"),
    ];
    for change in changes {
        let mut department = Department::defined();
        department.mine(&[right_with("R-3", "unit", "nowhere")]);
        department.keep(1);
        let mut skipped = department.skipped(1, 0, "schema");
        change(&mut skipped);
        let first = skipped.position.transaction == 0 && skipped.position.event == 0 && skipped.item == 0;
        department.log.push(Leaf::Skipped(skipped));
        let found = misconduct(&department.receiver(), &department.log.whole());
        // One that stands after the real item leaves that out.
        assert_eq!(found.reason, if first { "skipped-event-not-in-block" } else { "omitted-event" });
    }
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.state(1, 0, |_| {});
    let mut skipped = department.skipped(1, 0, "schema");
    skipped.position.transaction = 9;
    department.log.push(Leaf::Skipped(skipped));
    assert_eq!(misconduct(&department.receiver(), &department.log.whole()).reason, "skipped-event-not-in-block");
}

#[test]
fn an_event_skipped_for_another_reason_is_held_and_hides_nothing() {
    let mut department = Department::defined();
    department.mine(&[right_with("R-3", "unit", "nowhere"), right("R-4", "confirm")]);
    department.keep(1);
    department.log.push(Leaf::Skipped(department.skipped(1, 0, "not-matched")));
    department.state(1, 1, |_| {});
    let verdict = department.receiver().verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "held: skipped-reason-differs", "R-4"]);
    assert_eq!(completeness(&verdict), [("R-4".to_owned(), Completeness::Ledger)]);
}

#[test]
fn a_covered_count_that_is_not_what_the_blocks_hold() {
    for (matches, good) in [(2, false), (3, true), (4, false)] {
        let mut department = register();
        department.state(1, 0, |_| {});
        department.state(1, 1, |_| {});
        department.state(3, 0, |_| {});
        department.cover(1..4, matches);
        let receiver = department.receiver();
        if good {
            assert!(receiver.verify(&department.log.whole()).is_ok());
            continue;
        }
        let found = misconduct(&receiver, &department.log.whole());
        assert_eq!((found.reason, found.sequence), ("covered-count-differs", Some(4)));
        assert_eq!(found.against["matched"], json!(3));
    }
}

/// A block in which the contract spoke, but not of what the lane is about.
fn off_topic(department: &Department) {
    department.ledger.mine(&[("register", "Audited", json!({"kind": "audit"}))]);
}

#[test]
fn a_quiet_block_whose_filter_does_not_exclude_needs_its_receipts() {
    let mut department = Department::defined();
    off_topic(&department);
    department.mine(&[right("R-1", "confirm")]);
    department.publish(1..3);
    let mut receiver = department.receiver();
    assert_eq!(completeness(&receiver.verify(&department.log.whole()).unwrap())[0].1, Completeness::Ledger);
    // Without them, or with others, the next courier may do better: the page is refused at the leaf that needs them.
    let mut missing = department.log.whole();
    missing.blocks.remove(0);
    let rejection = receiver.verify(&missing).unwrap_err();
    assert_eq!((rejection.reason(), rejection.sequence()), ("evidence-missing", Some(1)));
    let mut forged = department.log.whole();
    forged.blocks[0].evidence = department.ledger.evidence(height(2)).unwrap();
    assert_eq!(receiver.refuses(&forged), "items-root");
    // After too many of them the stretch counts as `log`, and is shown; the next one begins anew.
    receiver.bad_evidence = BadEvidence::Hold;
    let verdict = receiver.take(&missing);
    assert_eq!(completeness(&verdict), [("R-1".to_owned(), Completeness::Log)]);
    let gap = receiver.state.derivation.gap().unwrap();
    assert_eq!((gap.from, gap.to, gap.reason.as_str()), (height(1), height(2), "evidence-missing"));
    assert_eq!(receiver.state.derivation.run(), None);
    let mut again = department;
    again.mine(&[right("R-1", "cancel")]);
    again.publish(3..4);
    receiver.ledger = again.ledger.clone();
    receiver.now = again.log.time;
    let verdict = receiver.take(&again.log.page(3..5));
    assert_eq!(completeness(&verdict), [("R-1".to_owned(), Completeness::Ledger)]);
    assert_eq!(receiver.state.derivation.run(), Some((height(3), height(3))));
}

#[test]
fn a_quiet_block_whose_filter_excludes_needs_nothing() {
    let mut department = Department::defined();
    department.ledger.mine(&[("another", "RightChanged", right("R-9", "confirm"))]);
    department.mine(&[]);
    department.publish(1..3);
    let mut page = department.log.whole();
    page.blocks.clear();
    let verdict = department.receiver().verify(&page).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "covered"]);
    assert_eq!(verdict.admission.after().derivation.run(), Some((height(1), height(2))));
    assert!(verdict.admission.evidence().is_empty());
}

#[test]
fn a_block_too_large_to_travel_makes_the_stretch_log() {
    let mut department = register();
    department.log.push(Leaf::Skipped(department.skipped(1, 0, "evidence-too-large")));
    department.log.push(Leaf::Skipped(department.skipped(1, 1, "evidence-too-large")));
    department.state(3, 0, |_| {});
    department.cover(1..4, 3);
    department.log.blocks.remove(&height(1));
    let mut receiver = department.receiver();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(completeness(&verdict), [("R-1".to_owned(), Completeness::Log)]);
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "evidence-too-large");
    receiver.rules.more = "completeness = \"ledger\"".to_owned();
    let release = receiver.retry(&department.log, 3, department.log.blocks.get(&height(3))).unwrap();
    assert_eq!(outcome(release.outcome()), "held: completeness-below-policy");
}

#[test]
fn sealed_leaves_make_the_stretch_log() {
    let mut department = register();
    department.publish(1..4);
    let mut page = department.log.whole();
    page.opened.remove(2);
    let mut receiver = department.receiver();
    receiver.rules.more = "sealed = true".to_owned();
    let verdict = receiver.take(&page);
    let expected = [("R-1".to_owned(), Completeness::Ledger), ("R-1".to_owned(), Completeness::Log)];
    assert_eq!(completeness(&verdict), expected, "before the sealed leaf and after it");
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "sealed-leaf");
}

#[test]
fn a_stretch_that_was_derived_in_part_is_not_counted() {
    let mut department = register();
    department.mine(&[right("R-4", "confirm")]);
    for (block, transaction) in [(1, 0), (1, 1), (3, 0)] {
        department.state(block, transaction, |_| {});
    }
    // The leaf about block 3 stands before the coverage of blocks 1 and 2, and after a sealed one.
    department.cover(1..3, 2);
    department.state(4, 0, |_| {});
    department.cover(3..5, 2);
    let mut page = department.log.whole();
    page.opened.remove(2);
    let mut receiver = department.receiver();
    receiver.rules.more = "sealed = true".to_owned();
    let verdict = receiver.take(&page);
    let expected = ["definition", "R-1", "sealed", "R-1", "covered", "R-4", "covered"];
    assert_eq!(outcomes(&verdict), expected, "an honest count is no misconduct");
    let gap = receiver.state.derivation.gap().unwrap();
    assert_eq!((gap.from, gap.to, gap.reason.as_str()), (height(3), height(4), "leaves-not-derived"));
}

#[test]
fn blocks_before_this_gateways_anchor_are_not_derived() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.forgets = vec![1];
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(completeness(&verdict), [("R-1".to_owned(), Completeness::Log)]);
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "block-not-kept");
}

#[test]
fn a_leaf_of_a_block_that_is_not_ours_proves_nothing_about_those_before_it() {
    // Whether the origin lies or follows another branch cannot be told: nothing counts as derived up to the coverage's end.
    let mut department = register();
    department.state(3, 0, |leaf| leaf.origin.block_hash = another_hash());
    department.cover(1..4, 1);
    department.mine(&[right("R-5", "confirm")]);
    department.publish(4..5);
    let mut receiver = department.receiver();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict)[1..], ["held: block-differs", "covered", "R-5", "covered"]);
    assert_eq!(completeness(&verdict), [("R-5".to_owned(), Completeness::Ledger)]);
    let derivation = &receiver.state.derivation;
    assert_eq!(derivation.gap().map(|gap| (gap.to, gap.reason.as_str())), Some((height(3), "block-differs")));
    assert_eq!(derivation.run(), Some((height(4), height(4))));
}

fn another_hash() -> hufu_schemas_core::BlockHash {
    hufu_schemas_core::BlockHash::from_bytes([1; 32])
}

#[test]
fn a_held_leaf_that_is_tried_again_keeps_its_honest_completeness() {
    // Held for its issuer alone: its blocks were derived when it came.
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.rules.issuers = vec![NOTARY.to_owned()];
    receiver.take(&department.log.whole());
    receiver.rules.issuers = vec![LAND.to_owned()];
    let of = |release: &hufu_gateway_verify::admission::Release| match release.outcome() {
        LeafOutcome::Record(verified) => verified.basis().completeness,
        other => panic!("{other:?}"),
    };
    let release = receiver.retry(&department.log, 4, department.log.blocks.get(&height(3))).unwrap();
    assert_eq!(of(&release), Completeness::Ledger);
    // Held for its definition: nobody had said that what it selects is what the lane is about.
    let mut receiver = department.receiver();
    receiver.rules.definitions.clear();
    receiver.take(&department.log.whole());
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "definition-not-accepted");
    receiver.rules.definitions.push(department.definition().digest());
    let release = receiver.retry(&department.log, 4, department.log.blocks.get(&height(3))).unwrap();
    assert_eq!(of(&release), Completeness::Log);
    // Held for its evidence: nobody knows what else the block held when the leaves after it came.
    let mut receiver = department.receiver();
    receiver.bad_evidence = BadEvidence::Hold;
    let mut page = department.log.whole();
    page.blocks[0].evidence = department.ledger.evidence(height(3)).unwrap();
    receiver.take(&page);
    let release = receiver.retry(&department.log, 1, department.log.blocks.get(&height(1))).unwrap();
    assert_eq!(of(&release), Completeness::Log);
}

#[test]
fn definitions_that_leave_blocks_between_them_make_the_stretch_log() {
    let mut department = Department::publishing();
    let mut later = department.definition();
    later.from_height = height(6);
    department.define_as(later.clone());
    for _ in 4..8 {
        department.mine(&[right("R-9", "confirm")]);
    }
    department.state(6, 0, |_| {});
    let mut receiver = department.receiver();
    receiver.rules.definitions.push(later.digest());
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(completeness(&verdict).last(), Some(&("R-9".to_owned(), Completeness::Log)));
    assert_eq!(receiver.state.derivation.broken(), Some("block-before-definition"));
}

#[test]
fn a_page_of_more_blocks_than_one_page_may_cost_goes_on_with_the_next() {
    let mut department = Department::defined();
    let half = DERIVED_BLOCKS_MOST / 2 + 10;
    for _ in 0..2 * half {
        department.mine(&[]);
    }
    let mut other = Department { log: department.log.clone(), ..Department::defined() };
    other.ledger = department.ledger.clone();
    department.log.push(Leaf::Covered(department.covered(1..half)));
    department.log.push(Leaf::Covered(department.covered(half..2 * half)));
    let mut receiver = department.receiver();
    let verdict = receiver.take(&department.log.whole());
    assert_eq!((outcomes(&verdict), verdict.waiting), (vec!["definition".to_owned(), "covered".to_owned()], None));
    assert_eq!(outcomes(&receiver.take(&department.log.page(2..3))), ["covered"]);
    assert_eq!(receiver.state.derivation.run(), Some((height(1), height(2 * half - 1))));
    // A leaf that alone is more than any page may cost counts as `log`, and the lane goes on in the same page.
    let end = DERIVED_BLOCKS_MOST + 5;
    other.log.push(Leaf::Covered(other.covered(1..end)));
    other.log.push(Leaf::Covered(other.covered(end..end + 2)));
    let mut receiver = other.receiver();
    assert_eq!(outcomes(&receiver.take(&other.log.whole())), ["definition", "covered", "covered"]);
    assert_eq!(receiver.state.derivation.gap().unwrap().reason, "range-too-long");
    assert_eq!(receiver.state.derivation.run(), Some((height(end), height(end + 1))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any ledger, any cut into pages: an honest lane is complete, and one that leaves any single event out is caught,
    /// whatever it says of its count.
    #[test]
    fn whatever_is_left_out_of_whatever_ledger_is_found(
        blocks in prop::collection::vec(prop::collection::vec(0u8..4, 0..4), 1..6),
        left_out in any::<prop::sample::Index>(),
        honest_count in any::<bool>(),
        page_size in 1u64..5,
    ) {
        let department = mined(&blocks);
        let places: Vec<(u64, u32)> = places(&blocks);
        let everything = told(&blocks, &places, u64::try_from(places.len()).unwrap());
        prop_assert_eq!(read_through(&everything, page_size), Ok(Completeness::Ledger));
        drop(department);
        if places.is_empty() {
            return Ok(());
        }
        let at = left_out.index(places.len());
        let mut fewer = places.clone();
        fewer.remove(at);
        let count = u64::try_from(if honest_count { places.len() } else { fewer.len() }).unwrap();
        let lying = told(&blocks, &fewer, count);
        prop_assert_eq!(read_through(&lying, page_size), Err("omitted-event"));
        let counted_wrong = told(&blocks, &places, count.saturating_sub(1));
        let expected = if count.saturating_sub(1) == u64::try_from(places.len()).unwrap() { Ok(Completeness::Ledger) } else { Err("covered-count-differs") };
        prop_assert_eq!(read_through(&counted_wrong, page_size), expected);
    }
}

/// 0: another contract; 1: another event of the contract; 2: a right; 3: a right that no schema takes.
fn mined(blocks: &[Vec<u8>]) -> Department {
    let department = Department::defined();
    for (block, events) in (1..).zip(blocks) {
        let event = |(at, kind): (usize, &u8)| -> (&str, &str, Value) {
            let number = format!("R-{block}-{at}");
            match kind {
                0 => ("another", "RightChanged", right(&number, "confirm")),
                1 => ("register", "Audited", json!({"kind": "audit"})),
                2 => ("register", "RightChanged", right(&number, "confirm")),
                _ => ("register", "RightChanged", right_with(&number, "unit", "nowhere")),
            }
        };
        department.ledger.mine(&events.iter().enumerate().map(event).collect::<Vec<_>>());
    }
    department
}

fn places(blocks: &[Vec<u8>]) -> Vec<(u64, u32)> {
    let of = |(block, events): (u64, &Vec<u8>)| {
        let told = (0u32..).zip(events.clone()).filter(|(_, kind)| *kind >= 2);
        told.map(move |(at, _)| (block, at)).collect::<Vec<_>>()
    };
    (1..).zip(blocks).flat_map(of).collect()
}

/// A lane that tells these events, as they are, and covers every block.
fn told(blocks: &[Vec<u8>], places: &[(u64, u32)], count: u64) -> Department {
    let mut department = mined(blocks);
    for (block, at) in places {
        match blocks[usize::try_from(*block).unwrap() - 1][usize::try_from(*at).unwrap()] {
            2 => department.state(*block, *at, |_| {}),
            _ => {
                let skipped = department.skipped(*block, *at, "schema");
                department.log.push(Leaf::Skipped(skipped));
            }
        }
    }
    department.cover(1..u64::try_from(blocks.len()).unwrap() + 1, count);
    department
}

/// The least completeness of what is believed, or why the lane is refused.
fn read_through(department: &Department, page_size: u64) -> Result<Completeness, &'static str> {
    let mut receiver = department.receiver();
    let mut least = Completeness::Ledger;
    while receiver.state.edge.size() < department.log.len() {
        let from = receiver.state.edge.size();
        let page = department.log.page(from..(from + page_size).min(department.log.len()));
        let verdict = receiver.verify(&page).map_err(|rejection| rejection.reason())?;
        least = completeness(&verdict).into_iter().map(|(_, it)| it).chain([least]).min().unwrap_or(least);
        receiver.take(&page);
    }
    Ok(least)
}
