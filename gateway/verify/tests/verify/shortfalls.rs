//! What is not wrong but not there yet: the page waits before the leaf.

use hufu_gateway_verify::Waiting;
use hufu_gateway_verify::page;
use hufu_schemas_core::statement::Leaf;

use crate::support::{Department, admitted_ids, height, outcomes};

#[test]
fn a_header_that_is_not_there_yet() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.follows = Some(1);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict), ["definition", "R-1", "R-2"], "what can be proven is not kept waiting");
    let waiting = verdict.waiting.unwrap();
    assert_eq!((waiting.reason(), waiting.ledger()), ("headers-wanted", &department.ledger_id()));
    assert_eq!(receiver.state.edge.size(), 3);
    // The relayer brought the headers.
    receiver.follows = Some(3);
    let verdict = receiver.take(&department.log.page(3..6));
    assert_eq!((outcomes(&verdict).len(), verdict.waiting), (3, None));
    assert_eq!(receiver.state.edge, department.log.state.edge);
}

#[test]
fn nothing_of_the_ledger_was_seen_yet() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.follows = Some(0);
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict), ["definition"]);
    assert!(matches!(verdict.waiting, Some(Waiting::Ledger { .. })));
    let block = department.log.blocks.get(&height(1));
    assert!(receiver.retry(&department.log, 1, block).is_none(), "a second try waits as well");
}

#[test]
fn expired_head() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.follows = Some(1);
    receiver.now = department.ledger.time().plus(15 * 86_400);
    let verdict = receiver.verify(&department.log.whole()).unwrap();
    assert_eq!(outcomes(&verdict), ["definition", "R-1", "R-2"], "blocks that were trusted in time still serve");
    assert_eq!(verdict.waiting.unwrap().reason(), "head-expired");
}

#[test]
fn ledger_frozen() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.frozen = Some("two blocks of height 2".to_owned());
    let verdict = receiver.take(&department.log.whole());
    assert_eq!(outcomes(&verdict), ["definition"]);
    assert_eq!(verdict.waiting.unwrap().reason(), "ledger-frozen");
    assert!(receiver.retry(&department.log, 1, department.log.blocks.get(&height(1))).is_none());
    receiver.frozen = None;
    assert_eq!(admitted_ids(&receiver.take(&department.log.page(1..6)).admission), department.log.ids());
}

#[test]
fn a_clock_set_back() {
    let department = Department::publishing();
    let mut receiver = department.receiver();
    receiver.high_water = receiver.now.plus(60);
    assert!(receiver.verify(&department.log.whole()).is_ok());
    receiver.high_water = receiver.now.plus(61);
    assert_eq!(receiver.refuses(&department.log.whole()), "clock-behind");
}

#[test]
fn the_caller_is_told_which_heights_to_look_up() {
    let department = Department::publishing();
    let wanted = page::heights(&department.log.whole(), &department.receiver().state);
    assert_eq!((wanted.len(), &wanted[&department.ledger_id()]), (1, &vec![height(1)..=height(3)]));
    // From where derivation stands, which is before the first leaf of the page.
    let mut receiver = department.receiver();
    receiver.take(&department.log.page(0..3));
    let wanted = page::heights(&department.log.page(4..6), &receiver.state);
    assert_eq!(wanted[&department.ledger_id()], [height(1)..=height(3)]);
    // Of a lane that is known already, the ledger alone.
    let mut department = Department::defined();
    let mut receiver = department.receiver();
    receiver.take(&department.log.whole());
    department.log.push(Leaf::Definition(department.definition()));
    let wanted = page::heights(&department.log.page(1..2), &receiver.state);
    assert!(wanted[&department.ledger_id()].is_empty());
}
