//! Faults of the log: the page is refused whole and nothing moves.

use hufu_gateway_verify::PageRejection;
use hufu_gateway_verify::page::MOST_DEFINITIONS;
use hufu_schemas_core::Digest;
use hufu_schemas_core::LaneId;
use hufu_schemas_core::lane::{Entry, KeyTag};
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::statement::{Leaf, Statement};

use crate::support::{Department, admitted_ids, at, height, land_lane, outcomes, right};

#[test]
fn good_page_admits_proven_records() {
    let department = Department::publishing();
    let page = Page::parse(&department.log.whole().to_bytes(), &PageLimits::DEFAULT).unwrap();
    let mut receiver = department.receiver();
    let verdict = receiver.take(&page);
    assert_eq!(outcomes(&verdict), ["definition", "R-1", "R-2", "skipped: schema", "R-1", "covered"]);
    assert_eq!(verdict.waiting, None);
    let admission = &verdict.admission;
    assert_eq!(admitted_ids(admission), department.log.ids(), "both sides make the same records");
    assert_eq!((admission.before(), admission.after().edge.size()), (0, 6));
    assert_eq!(admission.after().edge, department.log.state.edge);
    assert_eq!(admission.after().covered, Some(height(3)));
    assert_eq!(admission.documents(), department.log.documents);
    let kept: Vec<_> = admission.evidence().iter().map(|kept| kept.height.get()).collect();
    assert_eq!(kept, [1, 2, 3], "the evidence of blocks that hold an item of the lane");
    assert_eq!(receiver.refuses(&page), "leaf-gap", "the same page again brings nothing");
}

#[test]
fn a_lane_may_come_in_any_pieces() {
    let department = Department::publishing();
    for cut in 1..department.log.len() {
        let mut receiver = department.receiver();
        let first = receiver.take(&department.log.page(0..cut));
        let second = receiver.take(&department.log.page(cut..6));
        let mut ids = admitted_ids(&first.admission);
        ids.extend(admitted_ids(&second.admission));
        assert_eq!(ids, department.log.ids(), "cut at {cut}");
        assert_eq!(receiver.state.edge, department.log.state.edge);
    }
}

#[test]
fn a_page_that_begins_elsewhere() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    assert_eq!(receiver.refuses(&department.log.page(2..6)), "leaf-gap");
    receiver.take(&department.log.page(0..3));
    assert_eq!(receiver.refuses(&department.log.page(2..6)), "leaf-gap");
    assert_eq!(receiver.refuses(&department.log.page(4..6)), "leaf-gap");
}

/// The whole log with its entries and statements picked anew, under an honest checkpoint and proof.
fn picked(department: &Department, picks: &[usize]) -> Page {
    let whole = department.log.whole();
    let mut page = whole.clone();
    page.entries = picks.iter().map(|pick| whole.entries[*pick]).collect();
    page.opened = (0..)
        .zip(picks)
        .map(|(index, pick)| {
            let mut leaf = whole.opened[*pick].clone();
            leaf.index = index;
            leaf
        })
        .collect();
    page.join = department.log.join(page.to().min(6), 6);
    page
}

#[test]
fn page_that_skips_a_leaf() {
    let department = Department::publishing();
    let receiver = department.receiver();
    for skipped in 0..6 {
        let picks: Vec<usize> = (0..6).filter(|pick| *pick != skipped).collect();
        let page = picked(&department, &picks);
        if skipped == 5 {
            assert!(receiver.verify(&page).is_ok(), "leaving out the end is a shorter page, not a skip");
        } else {
            assert_eq!(receiver.refuses(&page), "join-does-not-close", "leaf {skipped} left out");
        }
    }
}

#[test]
fn page_that_repeats_a_leaf() {
    let department = Department::publishing();
    for picks in [[0, 1, 1, 3, 4, 5], [0, 1, 2, 2, 3, 4], [0, 1, 2, 3, 4, 4]] {
        assert_eq!(department.receiver().refuses(&picked(&department, &picks)), "join-does-not-close", "{picks:?}");
    }
    let page = picked(&department, &[0, 1, 2, 3, 4, 5, 5]);
    assert_eq!(department.receiver().refuses(&page), "checkpoint-smaller-than-page");
}

#[test]
fn page_that_reorders_leaves() {
    let department = Department::publishing();
    for picks in [[0, 2, 1, 3, 4, 5], [1, 0, 2, 3, 4, 5], [0, 1, 2, 3, 5, 4]] {
        assert_eq!(department.receiver().refuses(&picked(&department, &picks)), "join-does-not-close", "{picks:?}");
    }
}

#[test]
fn page_with_an_edited_statement() {
    let department = Department::publishing();
    let receiver = department.receiver();
    for index in 0..6 {
        let mut page = department.log.whole();
        let text = page.opened[index].statement.replacen("\"salt\":\"", "\"salt\":\"00", 1);
        page.opened[index].statement = text;
        assert_eq!(receiver.refuses(&page), "statement-differs");
    }
    // With the entry made to fit, the tree does not close.
    let mut page = department.log.whole();
    let mut other = department.leaf(1, 0);
    other.origin.position.event = 7;
    let other = Statement::make(Leaf::Record(other), [1; 16]).unwrap();
    page.opened[1].statement = String::from_utf8(other.bytes().to_vec()).unwrap();
    page.entries[1] = other.entry(&department.definition().tag_key);
    assert_eq!(receiver.refuses(&page), "join-does-not-close");
    // Statements exchanged between two leaves.
    let mut page = department.log.whole();
    page.opened[1].statement = department.log.whole().opened[2].statement.clone();
    assert_eq!(receiver.refuses(&page), "statement-differs");
}

#[test]
fn join_that_does_not_close() {
    let department = Department::publishing();
    let receiver = department.receiver();
    let good = department.log.page(0..3);
    assert!(receiver.verify(&good).is_ok() && !good.join.is_empty());
    let with = |join: Vec<Digest>| Page { join, ..good.clone() };
    let mut changed = good.join.clone();
    changed[0] = Digest::of(b"another node");
    for page in [with(changed), with(Vec::new()), with([good.join.clone(), vec![Digest::of(b"more")]].concat())] {
        assert_eq!(receiver.refuses(&page), "join-does-not-close");
    }
    let whole = Page { join: vec![Digest::of(b"one too many")], ..department.log.whole() };
    assert_eq!(receiver.refuses(&whole), "join-does-not-close");
}

/// Two logs that the same key signs: the same first leaves, then another story.
fn forked(shared: u64) -> (Department, Department) {
    let honest = Department::publishing();
    let mut other = Department::undefined();
    other.ledger = honest.ledger.clone();
    let first = honest.log.page(0..shared);
    for (entry, leaf) in first.entries.iter().zip(&first.opened) {
        other.log.push_entry(*entry, &Statement::parse(leaf.statement.as_bytes()).unwrap());
    }
    other.log.state.definitions = honest.log.state.definitions.clone();
    other.log.blocks = honest.log.blocks.clone();
    other.log.documents = honest.log.documents.clone();
    other.log.time = honest.log.time;
    for _ in shared..6 {
        other.log.push(Leaf::Covered(other.covered(1..4)));
    }
    (honest, other)
}

fn equivocation(rejection: PageRejection) -> hufu_gateway_verify::admission::Misconduct {
    match rejection {
        PageRejection::Misconduct(proof) if proof.reason == "equivocation" => *proof,
        other => panic!("expected an equivocation, got {other}"),
    }
}

#[test]
fn two_checkpoints_of_one_size() {
    let (honest, other) = forked(2);
    let mut receiver = honest.receiver();
    receiver.take(&honest.log.page(0..2));
    let second = other.log.page(2..6);
    let proof = equivocation(receiver.verify(&second).unwrap_err());
    assert_eq!(
        (proof.signed, proof.against),
        (honest.log.note(6).into(), second.checkpoint.into()),
        "both notes are kept"
    );
    assert_eq!(proof.lane, land_lane());
    // Also when the receiver holds every leaf of one of the two.
    receiver.take(&honest.log.page(2..6));
    let proof = equivocation(receiver.verify(&other.log.page(2..6)).unwrap_err());
    assert_eq!(proof.against, other.log.note(6));
}

#[test]
fn checkpoint_that_rewrites_leaves_seen_before() {
    let (honest, mut other) = forked(2);
    other.log.push(Leaf::Covered(other.covered(1..4)));
    let mut receiver = honest.receiver();
    // Two leaves taken in, a checkpoint of six seen; the second log has seven, of which four contradict.
    receiver.take(&honest.log.page(0..2));
    let rewriting = other.log.page_of(2..7, 7, None);
    let proof = equivocation(receiver.verify(&rewriting).unwrap_err());
    assert_eq!((proof.signed, proof.against), (honest.log.note(6).into(), rewriting.checkpoint.into()));
    // A smaller checkpoint of just the leaves that were taken in.
    let mut receiver = honest.receiver();
    receiver.take(&honest.log.page(0..4));
    let smaller = other.log.page_of(0..4, 4, None);
    let proof = equivocation(receiver.verify(&smaller).unwrap_err());
    assert_eq!((proof.signed, proof.against), (honest.log.note(6).into(), smaller.checkpoint.into()));
}

#[test]
fn what_is_not_signed_is_no_equivocation() {
    let (honest, other) = forked(2);
    let mut receiver = honest.receiver();
    receiver.take(&honest.log.page(0..2));
    let mut page = other.log.page(2..6);
    page.checkpoint = page.checkpoint.replace("\ntime ", "\ntime 9");
    assert_eq!(receiver.refuses(&page), "checkpoint-signature");
    let mut page = honest.log.page(2..6);
    page.entries.swap(0, 1);
    assert_eq!(receiver.refuses(&page), "join-does-not-close", "a courier's change must not freeze the lane");
}

#[test]
fn inconsistent_sizes() {
    let department = Department::publishing();
    let log = &department.log;
    let mut receiver = department.receiver();
    receiver.take(&log.page(0..2));
    assert_eq!(receiver.state.seen.as_ref().unwrap().0.size, 6);
    // Older than the one seen.
    assert_eq!(receiver.refuses(&log.page_of(2..4, 4, None)), "checkpoint-older-than-seen");
    // Smaller than the page itself.
    assert_eq!(
        department.receiver().refuses(&Page { checkpoint: log.note(4), ..log.whole() }),
        "checkpoint-smaller-than-page"
    );
    // The one seen lies beyond the page: consistency with it must be shown.
    let mut longer = department;
    longer.mine(&[right("R-4", "confirm")]);
    longer.publish(4..5);
    let size = longer.log.len();
    assert_eq!(receiver.refuses(&longer.log.page_of(2..4, size, None)), "checkpoint-inconsistent");
    let mut wrong = longer.log.page_of(2..4, size, Some(6));
    wrong.seen.as_mut().unwrap().proof[0] = Digest::of(b"another node");
    assert_eq!(receiver.refuses(&wrong), "checkpoint-inconsistent");
    assert_eq!(receiver.refuses(&longer.log.page_of(2..4, size, Some(5))), "checkpoint-inconsistent");
    assert_eq!(outcomes(&receiver.take(&longer.log.page_of(2..4, size, Some(6)))), ["R-2", "skipped: schema"]);
}

#[test]
fn checkpoint_of_another_lane() {
    let department = Department::publishing();
    let mut page = department.log.whole();
    let mut other = department.log.clone();
    other.state.lane = LaneId::parse("land.example/rights/2").unwrap();
    page.checkpoint = other.note(6);
    assert_eq!(department.receiver().refuses(&page), "checkpoint-of-another-lane");
}

#[test]
fn checkpoint_by_an_unknown_key() {
    let department = Department::publishing();
    let mut stranger = department.log.clone();
    stranger.signer = NoteSigner::from_seed("land.example", &[8; 32]).unwrap().into();
    assert_eq!(department.receiver().refuses(&stranger.whole()), "checkpoint-signature");
    let mut malformed = department.log.whole();
    malformed.checkpoint.insert(0, '\n');
    assert_eq!(department.receiver().refuses(&malformed), "checkpoint-malformed");
}

#[test]
fn checkpoint_from_the_future() {
    let mut department = Department::publishing();
    let receiver = department.receiver();
    department.log.time = receiver.now.plus(60);
    assert!(receiver.verify(&department.log.whole()).is_ok(), "two clocks differ a little");
    department.log.time = receiver.now.plus(61);
    assert_eq!(receiver.refuses(&department.log.whole()), "checkpoint-ahead-of-clock");
}

#[test]
fn checkpoint_time_back() {
    let mut department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.take(&department.log.page(0..2));
    department.log.time = at(department.log.time.seconds() - 1);
    assert_eq!(receiver.refuses(&department.log.page(2..6)), "checkpoint-time-back");
}

#[test]
fn positions_that_go_back() {
    let department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    department.mine(&[right("R-3", "confirm")]);
    for told in [[(1, 0), (1, 1), (1, 0)].as_slice(), &[(1, 0), (1, 1), (2, 0), (1, 1)]] {
        let mut lane = Department { log: department.log.clone(), ..Department::defined() };
        lane.ledger = department.ledger.clone();
        for (block, transaction) in told {
            lane.state(*block, *transaction, |_| {});
        }
        assert_eq!(lane.receiver().refuses(&lane.log.whole()), "position-goes-back");
        // Also when the two come on two pages.
        let (mut receiver, last) = (lane.receiver(), lane.log.len() - 1);
        receiver.take(&lane.log.page(0..last));
        assert_eq!(receiver.refuses(&lane.log.page(last..last + 1)), "position-goes-back");
    }
}

#[test]
fn same_event_at_two_sequences() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.state(1, 0, |_| {});
    department.state(1, 0, |_| {});
    let rejection = department.receiver().verify(&department.log.whole()).unwrap_err();
    assert_eq!((rejection.reason(), rejection.sequence()), ("same-event-twice", Some(2)));
}

#[test]
fn block_already_covered() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm")]);
    department.mine(&[]);
    department.state(1, 0, |_| {});
    department.cover(1..3, 1);
    department.state(1, 0, |leaf| leaf.origin.position.event = 1);
    assert_eq!(department.receiver().refuses(&department.log.whole()), "block-already-covered");
}

#[test]
fn coverage_gap() {
    let mut department = Department::defined();
    (0..4).for_each(|_| {
        department.mine(&[]);
    });
    for (first, then) in [(1..3, 4..5), (1..3, 2..5), (1..3, 1..3), (2..3, 3..5)] {
        let mut log = department.log.clone();
        log.push(Leaf::Covered(department.covered(first.clone())));
        log.push(Leaf::Covered(department.covered(then.clone())));
        assert_eq!(department.receiver().refuses(&log.whole()), "coverage-gap", "{first:?} then {then:?}");
    }
    department.log.push(Leaf::Covered(department.covered(1..3)));
    department.log.push(Leaf::Covered(department.covered(3..5)));
    assert_eq!(outcomes(&department.receiver().take(&department.log.whole()))[1..], ["covered", "covered"]);
}

#[test]
fn wrong_key_tag() {
    let mut department = Department::defined();
    department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
    department.keep(1);
    let statement = Statement::make(Leaf::Record(department.leaf(1, 0)), [1; 16]).unwrap();
    let other = Statement::make(Leaf::Record(department.leaf(1, 1)), [1; 16]).unwrap();
    let others_tag = other.entry(&department.definition().tag_key).tag();
    for tag in [KeyTag::NONE, others_tag] {
        let mut log = department.log.clone();
        log.push_entry(Entry::new(tag, statement.digest()), &statement);
        assert_eq!(department.receiver().refuses(&log.whole()), "wrong-key-tag");
    }
    let covered = Statement::make(Leaf::Covered(department.covered(1..2)), [1; 16]).unwrap();
    department.log.push_entry(Entry::new(others_tag, covered.digest()), &covered);
    assert_eq!(department.receiver().refuses(&department.log.whole()), "wrong-key-tag", "a leaf about no key");
}

#[test]
fn lane_without_definition() {
    let mut department = Department::undefined();
    department.mine(&[right("R-1", "confirm")]);
    department.state(1, 0, |_| {});
    assert_eq!(department.receiver().refuses(&department.log.whole()), "lane-without-definition");
}

#[test]
fn definitions_without_end() {
    let mut department = Department::defined();
    let admitted = outcomes(&department.receiver().take(&department.log.whole()));
    assert_eq!(admitted, ["definition"]);
    for from in 2..=u64::try_from(MOST_DEFINITIONS).unwrap() {
        let mut definition = department.definition();
        definition.from_height = height(from);
        department.log.push(Leaf::Definition(definition));
    }
    assert_eq!(department.log.len(), u64::try_from(MOST_DEFINITIONS).unwrap());
    let mut receiver = department.receiver();
    receiver.take(&department.log.whole());
    department.log.push(Leaf::Definition(department.definition()));
    assert_eq!(department.receiver().refuses(&department.log.whole()), "too-many-definitions");
}

#[test]
fn a_sealed_leaf_where_the_policy_allows_none() {
    let mut department = Department::publishing();
    department.log.statements[2] = None;
    let mut receiver = department.receiver();
    assert_eq!(receiver.refuses(&department.log.whole()), "leaf-sealed");
    receiver.rules.more = "sealed = true".to_owned();
    let expected = ["definition", "R-1", "sealed", "skipped: schema", "R-1", "covered"];
    assert_eq!(outcomes(&receiver.verify(&department.log.whole()).unwrap()), expected);
    department.log.statements[0] = None;
    assert_eq!(receiver.refuses(&department.log.whole()), "leaf-sealed", "a definition is never sealed");
}

#[test]
fn document_missing() {
    let department = Department::publishing();
    let mut page = department.log.whole();
    page.documents.clear();
    assert_eq!(department.receiver().refuses(&page), "document-missing");
    let office = Department::tax_office();
    assert_eq!(outcomes(&office.receiver().take(&office.log.whole())), ["definition", "C-1", "covered"]);
    assert_eq!(office.log.documents.len(), 2, "the mapping and the payload's schema");
    for at in 0..2 {
        let mut page = office.log.whole();
        page.documents.remove(at);
        assert_eq!(office.receiver().refuses(&page), "document-missing", "document {at}");
    }
}

/// Documents are under no signature: a courier that alters one must not make the lane's records unreadable.
#[test]
fn a_document_that_the_courier_altered() {
    let office = Department::tax_office();
    for (at, member) in [(0, "version"), (1, "required")] {
        let mut page = office.log.whole();
        page.documents[at].json[member] = serde_json::json!("altered");
        assert_eq!(office.receiver().refuses(&page), "document-missing", "document {at}");
    }
}

#[test]
fn lane_not_in_the_policy() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.rules.lane = LaneId::parse("land.example/rights/2").unwrap();
    assert_eq!(receiver.refuses(&department.log.whole()), "lane-not-trusted");
}

#[test]
fn frozen_lane() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.state.frozen = Some("two checkpoints of one size".to_owned());
    assert_eq!(receiver.refuses(&department.log.whole()), "lane-frozen");
}

/// An origin that tried to write what every receiver refuses is stopped before it signs.
#[test]
fn an_origin_that_would_contradict_its_own_coverage() {
    let mut department = Department::publishing();
    let again = department.proven(3).remove(0);
    department.log.state.last = None;
    department.batch(|batch| {
        assert!(batch.item(&again).unwrap_err().to_string().contains("covered"));
        let hash = department.ledger.hash(height(3)).unwrap();
        assert!(batch.cover(height(3), height(3), hash, 0).is_err());
        assert!(batch.cover(height(5), height(5), hash, 0).is_err());
        assert!(batch.is_empty());
    });
}
