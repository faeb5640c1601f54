use super::state::{Change, Sequence, StateProof};
use super::transactions::{Executed, Transactions, cut};
use super::*;
use crate::hash::{Hash32, sha256};
use crate::merkle;
use crate::native::{Attribute, Base64, Event};
use crate::proto::Message as Writer;
use crate::results::{self, TxResult};
use crate::selector::HexBytes;
use crate::testing::state::Tree as Fixture;

fn result(code: u32) -> TxResult {
    TxResult { code, data: vec![7], gas_wanted: 9, gas_used: 8 }
}

fn tx(messages: &[&str]) -> Vec<u8> {
    let body = messages.iter().fold(Writer::new(), |body, name| {
        body.message(1, &Writer::new().bytes(1, name.as_bytes()).bytes(2, b"v").done())
    });
    Writer::new().message(1, &body.done()).message(2, b"").done()
}

fn block() -> (Vec<Executed>, BlockState) {
    let event = |kind: &str| Event {
        kind: kind.to_owned(),
        attributes: vec![Attribute { key: "k".to_owned(), value: "v".to_owned() }],
    };
    let all: Vec<Executed> = [(vec!["/a", "/b", "/a"], 0), (vec!["/a"], 5), (vec!["/b"], 0), (vec!["/c", "/a"], 0)]
        .iter()
        .map(|(names, code)| Executed { tx: tx(names), result: result(*code), events: vec![event("x"), event("y")] })
        .collect();
    let state = state_of(&all);
    (all, state)
}

fn state_of(all: &[Executed]) -> BlockState {
    let leaves: Vec<[u8; 32]> = all.iter().map(|it| *sha256(&it.tx).as_bytes()).collect();
    BlockState {
        validators_hash: Hash32::new([1; 32]),
        data_hash: Some(merkle::root(&leaves)),
        results_hash: Some(results::root(all.iter().map(|it| &it.result))),
        app_hash_before: vec![1; 32],
        app_hash: vec![2; 32],
    }
}

fn run(lane: &Lane, state: &BlockState, evidence: &Evidence, whole: bool) -> Result<Vec<Found>, &'static str> {
    match find(lane, state, &evidence.write(), whole, &mut Budget::for_evidence()) {
        Ok(found) => Ok(found),
        Err(Refusal::Reject(rejection)) => Err(rejection.reason()),
        Err(Refusal::NotYet(shortfall)) => Err(shortfall.reason()),
    }
}

fn places(found: &[Found]) -> Vec<(u32, u32)> {
    found.iter().map(|it| (it.at.transaction, it.at.event)).collect()
}

fn whole(all: &[Executed]) -> Evidence {
    Evidence::Transactions(Transactions::Whole(all.to_vec()))
}

fn lane(messages: &[&str]) -> Lane {
    Lane::Transactions { messages: Some(messages.iter().map(|name| (*name).to_owned()).collect()) }
}

#[test]
fn messages_of_transactions_that_succeeded() {
    let (all, state) = block();
    let found = run(&lane(&["/a"]), &state, &whole(&all), true).unwrap();
    assert_eq!(places(&found), [(0, 0), (0, 2), (3, 1)]);
    assert!(found.iter().all(|it| it.standing == Standing::Proven));
    let found = run(&Lane::Transactions { messages: None }, &state, &whole(&all), true).unwrap();
    assert_eq!(places(&found), [(0, 0), (2, 0), (3, 0)]);
}

/// A block of one transaction that succeeded, and what a lane finds in it.
fn found_in(tx: Vec<u8>, lane: &Lane) -> Result<Vec<Found>, &'static str> {
    let all = vec![Executed { tx, result: result(0), events: Vec::new() }];
    run(lane, &state_of(&all), &whole(&all), true)
}

#[test]
fn a_transaction_of_many_messages_is_not_repeated_with_each_of_them() {
    let one = Writer::new().bytes(1, b"/a").bytes(2, &[7; 1_000]).done();
    let body = Writer::new().message(1, &one).done().repeat(1_025);
    let tx = Writer::new().message(1, &body).message(2, &[9; 100_000]).done();
    let found = found_in(tx.clone(), &lane(&["/a"])).unwrap();
    assert_eq!(found.len(), 1_025, "all of them");
    let native: usize = found.iter().map(|it| it.native.write().len()).sum();
    assert!(native < 2 * tx.len(), "{native} bytes of items from {} bytes", tx.len());
}

#[test]
fn items_of_a_block_that_are_together_too_large_are_a_limit() {
    let body = Writer::new().message(1, &Writer::new().bytes(1, b"/a").done()).done().repeat(260_000);
    let all: Vec<Executed> = [Writer::new().message(1, &body).done(), Writer::new().message(1, &body).done()]
        .map(|tx| Executed { tx, result: result(0), events: Vec::new() })
        .to_vec();
    let state = state_of(&all);
    assert_eq!(run(&lane(&["/b"]), &state, &whole(&all), true).unwrap(), []);
    let no = find(&lane(&["/a"]), &state, &whole(&all).write(), true, &mut Budget::for_evidence()).unwrap_err();
    assert!(matches!(no, Refusal::Reject(no) if no.is_limit()));
}

#[test]
fn messages_hidden_in_a_body_that_only_the_ledger_reads_do_not_vanish() {
    let twice = [tx(&["/b"]), tx(&["/a"])].concat();
    let found = found_in(twice.clone(), &lane(&["/a"])).unwrap();
    assert_eq!(places(&found), [(0, 0)]);
    assert!(matches!(&found[0].native, Native::Unreadable { tx, .. } if *tx == sha256(&twice)));
    // What no reader takes for such a transaction has no messages.
    assert_eq!(found_in(b"put a=1".to_vec(), &lane(&["/a"])).unwrap(), []);
}

#[test]
fn an_event_alone_is_said_and_never_proven() {
    let (mut all, state) = block();
    let lane = Lane::Events { types: vec!["y".to_owned()] };
    let found = run(&lane, &state, &whole(&all), true).unwrap();
    assert_eq!(places(&found), [(0, 1), (2, 1), (3, 1)]);
    assert!(found.iter().all(|it| it.standing == Standing::Said));
    // A node may invent one, and every root still closes.
    all[0].events[0].kind = "y".to_owned();
    assert_eq!(run(&lane, &state, &whole(&all), true).unwrap().len(), 4);
}

#[test]
fn parts_prove_single_items_and_never_the_whole() {
    let (all, state) = block();
    let parts = Evidence::Transactions(cut(&all, &[3]));
    assert_eq!(places(&run(&lane(&["/a"]), &state, &parts, false).unwrap()), [(3, 1)]);
    assert_eq!(run(&lane(&["/a"]), &state, &parts, true), Err("evidence-not-whole"));
}

#[test]
fn a_transaction_left_out_added_changed_or_moved() {
    let (all, state) = block();
    let mut less = all.clone();
    less.pop();
    let mut more = all.clone();
    more.push(all[0].clone());
    let mut swapped = all.clone();
    swapped.swap(0, 2);
    for wrong in [less, more, swapped, Vec::new()] {
        assert_eq!(run(&lane(&["/a"]), &state, &whole(&wrong), true), Err("data-hash"));
    }
}

#[test]
fn a_failed_transaction_shown_as_good() {
    let (mut all, state) = block();
    all[1].result.code = 0;
    assert_eq!(run(&lane(&["/a"]), &state, &whole(&all), true), Err("results-hash"));
    let parts = Evidence::Transactions(cut(&all, &[1]));
    assert_eq!(run(&lane(&["/a"]), &state, &parts, false), Err("merkle-root"));
}

#[test]
fn the_good_result_of_another_transaction() {
    let (all, state) = block();
    let Transactions::Parts(mut parts) = cut(&all, &[1, 2]) else { panic!("parts") };
    let good = parts.pop().unwrap();
    let forged = transactions::Part { result: good.result, result_proof: good.result_proof, ..parts.pop().unwrap() };
    let parts = Evidence::Transactions(Transactions::Parts(vec![forged]));
    assert_eq!(run(&lane(&["/a"]), &state, &parts, false), Err("results-count"));
}

#[test]
fn evidence_of_another_kind_or_none_at_all() {
    let (_, state) = block();
    let other = Evidence::State(Vec::new());
    assert_eq!(run(&lane(&["/a"]), &state, &other, true), Err("evidence-malformed"));
    let bytes = br#"{"transactions":{"whole":[],"parts":[]}}"#;
    assert!(Evidence::parse(bytes).is_err() && Evidence::parse(b"{}").is_err() && Evidence::parse(b"").is_err());
}

#[test]
fn only_an_empty_tree_is_quiet() {
    let (_, mut state) = block();
    assert!(!is_quiet(&lane(&["/a"]), &state));
    state.data_hash = Some(sha256(b""));
    assert!(is_quiet(&lane(&["/a"]), &state));
    let keys = Lane::State { store: None, keys: vec![HexBytes(vec![1])] };
    assert!(!is_quiet(&keys, &state));
    state.app_hash = state.app_hash_before.clone();
    assert!(is_quiet(&keys, &state));
}

/// State before and after a block, in one store.
fn two_states() -> (Fixture, Fixture, BlockState) {
    let before = Fixture::new("land", &[(b"a", b"1"), (b"c", b"3"), (b"e", b"5")]);
    let after = Fixture::new("land", &[(b"a", b"1"), (b"b", b"2"), (b"c", b"4"), (b"g", b"7")]);
    let (_, mut state) = block();
    (state.app_hash_before, state.app_hash) = (before.app_hash(), after.app_hash());
    (before, after, state)
}

fn change(before: &Fixture, after: &Fixture, key: &[u8]) -> Change {
    Change { before: Some(before.prove(key)), after: after.prove(key) }
}

fn keys(names: &[&[u8]]) -> Lane {
    let keys = names.iter().map(|name| HexBytes(name.to_vec())).collect();
    Lane::State { store: Some("land".to_owned()), keys }
}

#[test]
fn keys_that_were_changed_added_removed_and_left() {
    let (before, after, state) = two_states();
    let names: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    let evidence = Evidence::State(names.iter().map(|key| change(&before, &after, key)).collect());
    let found = run(&keys(&names), &state, &evidence, true).unwrap();
    assert_eq!(places(&found), [(0, 1), (0, 2), (0, 4)]);
    let value = |at: usize| match &found[at].native {
        Native::State { value, .. } => value.clone().map(|value| value.0),
        other => panic!("{other:?}"),
    };
    assert_eq!([value(0), value(1), value(2)], [Some(b"2".to_vec()), Some(b"4".to_vec()), None]);
}

/// A module's store as genesis leaves it, and with its first message.
fn first_message() -> (Fixture, Fixture, BlockState) {
    let (before, after) = (Fixture::new("land", &[]), Fixture::new("land", &[(&number(1), b"1")]));
    let (_, mut state) = block();
    (state.app_hash_before, state.app_hash) = (before.app_hash(), after.app_hash());
    (before, after, state)
}

#[test]
fn a_store_that_is_empty_before_its_first_message() {
    let (before, after, state) = first_message();
    let (first, second) = (number(1), number(2));
    let mut evidence = Sequence {
        next: 1,
        before_last: None,
        before_next: Some(before.prove(&first)),
        values: vec![after.prove(&first)],
        after_next: after.prove(&second),
    };
    assert_eq!(run(&numbers(), &state, &Evidence::Sequence(evidence.clone()), true).unwrap().len(), 1);
    // A node need not have a proof of its own for an empty tree; the store's closes under app_hash.
    if let Some(absent) = &mut evidence.before_next {
        absent.ops[0] = Base64(Vec::new());
    }
    assert_eq!(run(&numbers(), &state, &Evidence::Sequence(evidence), true).unwrap().len(), 1);
    let changed = Evidence::State(vec![change(&before, &after, &first)]);
    assert_eq!(run(&keys(&[&first]), &state, &changed, true).unwrap().len(), 1);
}

#[test]
fn a_full_store_shown_as_empty_and_an_empty_one_shown_as_full() {
    let (before, after, state) = first_message();
    let key = number(1);
    let told = |before: StateProof, after: StateProof| {
        let change = Change { before: Some(before), after };
        run(&keys(&[&key]), &state, &Evidence::State(vec![change]), true).unwrap_err()
    };
    // The proof of the empty store is of the block before.
    assert_eq!(told(before.prove(&key), before.prove(&key)), "proof-root");
    let mut hidden = after.prove(&key);
    (hidden.value, hidden.ops[0]) = (None, before.prove(&key).ops[0].clone());
    assert_eq!(told(before.prove(&key), hidden), "proof-malformed");
    let mut invented = before.prove(&key);
    invented.value = Some(Base64(b"1".to_vec()));
    assert_eq!(told(invented, after.prove(&key)), "proof-value");
    let mut stuffed = before.prove(&key);
    stuffed.ops[0] = Base64(vec![0; 100]);
    assert_eq!(told(stuffed, after.prove(&key)), "proof-malformed");
}

#[test]
fn an_empty_value_and_one_beside_an_absent_key_are_named_as_what_no_proof_shows() {
    let tree = Fixture::new("land", &[(b"a", b"1"), (b"b", b"")]);
    let (_, mut state) = block();
    (state.app_hash_before, state.app_hash) = (Vec::new(), tree.app_hash());
    for key in [b"b", b"c"] {
        let change = Change { before: None, after: tree.prove(key) };
        assert_eq!(run(&keys(&[key]), &state, &Evidence::State(vec![change]), true), Err("value-empty"));
    }
}

#[test]
fn a_key_without_its_proof_and_a_proof_of_another_block() {
    let (before, after, state) = two_states();
    let names: [&[u8]; 2] = [b"a", b"b"];
    let one = Evidence::State(vec![change(&before, &after, b"a")]);
    assert_eq!(run(&keys(&names), &state, &one, true), Err("evidence-not-whole"));
    let mut half = change(&before, &after, b"a");
    half.before = None;
    assert_eq!(run(&keys(&names[..1]), &state, &Evidence::State(vec![half]), true), Err("evidence-not-whole"));
    let swapped = Evidence::State(vec![change(&after, &before, b"a")]);
    assert_eq!(run(&keys(&names[..1]), &state, &swapped, true), Err("proof-root"));
}

#[test]
fn a_value_beside_the_proof_that_the_proof_does_not_say() {
    let (before, after, state) = two_states();
    let mut wrong = change(&before, &after, b"c");
    wrong.after.value = Some(Base64(b"9".to_vec()));
    assert_eq!(run(&keys(&[b"c"]), &state, &Evidence::State(vec![wrong]), true), Err("proof-value"));
    let mut gone = change(&before, &after, b"c");
    gone.after.value = None;
    assert_eq!(run(&keys(&[b"c"]), &state, &Evidence::State(vec![gone]), true), Err("proof-malformed"));
}

#[test]
fn the_key_in_another_store() {
    let (before, after, state) = two_states();
    let evidence = Evidence::State(vec![change(&before, &after, b"a")]);
    let lane = Lane::State { store: Some("notary".to_owned()), keys: vec![HexBytes(b"a".to_vec())] };
    assert_eq!(run(&lane, &state, &evidence, true), Err("proof-key"));
    let lane = Lane::State { store: None, keys: vec![HexBytes(b"a".to_vec())] };
    assert_eq!(run(&lane, &state, &evidence, true), Err("proof-operator"));
}

fn numbered(count: u64) -> Fixture {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = (1..=count)
        .map(|number| ([b"m/".as_slice(), &number.to_be_bytes()].concat(), number.to_be_bytes()[7..].to_vec()))
        .collect();
    let mut pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    pairs.push((b"a", b"else"));
    pairs.push((b"z", b"else"));
    Fixture::new("land", &pairs)
}

fn key(number: u64) -> Vec<u8> {
    [b"m/".as_slice(), &number.to_be_bytes()].concat()
}

fn sequence(from: u64, to: u64, next: u64, values: u64) -> (BlockState, Evidence) {
    let (before, after) = (numbered(from), numbered(to));
    let (_, mut state) = block();
    (state.app_hash_before, state.app_hash) = (before.app_hash(), after.app_hash());
    let evidence = Evidence::Sequence(Sequence {
        next,
        before_last: (next > 1).then(|| before.prove(&key(next - 1))),
        before_next: Some(before.prove(&key(next))),
        values: (next..next + values).map(|number| after.prove(&key(number))).collect(),
        after_next: after.prove(&key(next + values)),
    });
    (state, evidence)
}

fn number(number: u64) -> Vec<u8> {
    [b"m/".as_slice(), &number.to_be_bytes()].concat()
}

fn numbers() -> Lane {
    Lane::Sequence { store: Some("land".to_owned()), prefix: HexBytes(b"m/".to_vec()), first: 1 }
}

#[test]
fn a_state_key_a_message_is_found_whole() {
    for (from, to) in [(0, 1), (0, 3), (2, 5), (4, 4)] {
        let (state, evidence) = sequence(from, to, from + 1, to - from);
        let found = run(&numbers(), &state, &evidence, true).unwrap();
        let sequences: Vec<u64> = found
            .iter()
            .map(|it| match &it.native {
                Native::Sequence { sequence, .. } => *sequence,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sequences, (from + 1..=to).collect::<Vec<u64>>());
    }
}

#[test]
fn a_message_left_out_at_either_end() {
    // The last of three is withheld: the number after those shown is there.
    let (state, evidence) = sequence(2, 5, 3, 2);
    assert_eq!(run(&numbers(), &state, &evidence, true), Err("proof-value"));
    // The first is withheld: the number before those shown was not there before the block.
    let (state, evidence) = sequence(2, 5, 4, 2);
    assert_eq!(run(&numbers(), &state, &evidence, true), Err("proof-value"));
    // An old one is shown as new.
    let (state, evidence) = sequence(2, 5, 2, 4);
    assert_eq!(run(&numbers(), &state, &evidence, true), Err("proof-value"));
    let (state, evidence) = sequence(2, 5, 3, 3);
    let Evidence::Sequence(mut sequence) = evidence else { panic!("a sequence") };
    sequence.before_last = None;
    assert_eq!(run(&numbers(), &state, &Evidence::Sequence(sequence), true), Err("evidence-not-whole"));
}

#[test]
fn a_proof_with_too_many_operators() {
    let (before, after, state) = two_states();
    let mut change = change(&before, &after, b"a");
    let StateProof { ops, .. } = &mut change.after;
    ops.push(ops[1].clone());
    assert_eq!(run(&keys(&[b"a"]), &state, &Evidence::State(vec![change]), true), Err("proof-operator"));
}
