//! A ledger of good nodes: what the conformance suite asks, every kind of lane, heights passed over, announcements.

use std::ops::RangeInclusive;
use std::sync::Arc;

use hufu_adapters_light_client::{Budget, Outcome, Selector};
use hufu_adapters_source::{Source as _, SourceError};
use hufu_adapters_testkit::conformance::{self, SourceCase};
use hufu_cometbft_devnet::{Devnet, DevnetConfig};
use serde_json::{Value, json};

use crate::support::{DEADLINE, at, client, config, devnet, mine, node, now, proven, source, transactions, trusted};

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a running number.
fn numbered(number: u64) -> String {
    String::from_utf8([b"m/".as_slice(), &number.to_be_bytes()].concat()).unwrap()
}

fn put(devnet: &Devnet, numbers: RangeInclusive<u64>) {
    for number in numbers {
        devnet.put(&numbered(number), &format!("v{number}")).unwrap();
    }
}

/// Blocks 2 to 7 hold transactions, one of which fails; numbers 1 to 5 are added in blocks 3, 5 and 6.
async fn busy() -> Devnet {
    let devnet = devnet(1).await;
    let add = |numbers: RangeInclusive<u64>| {
        put(&devnet, numbers);
        mine(&devnet, 1);
    };
    devnet.put("a", "1").unwrap();
    mine(&devnet, 1);
    add(1..=1);
    devnet.send("fail 7").unwrap();
    mine(&devnet, 1);
    add(2..=4);
    devnet.put("a", "2").unwrap();
    add(5..=5);
    devnet.delete("a").unwrap();
    mine(&devnet, 4);
    devnet
}

async fn conforms(selector: Selector, matches: usize) {
    let devnet = busy().await;
    let second = devnet.add_node().await.unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url()), node("b", &second.url())]);
    let client = client(&anchor);
    let case = SourceCase {
        source: &source,
        client: client.as_ref(),
        now: now(),
        tip: at(devnet.height()),
        selector,
        matches,
    };
    conformance::source(&case).await.require_complete();
}

#[tokio::test]
async fn the_source_keeps_its_promises_about_transactions() {
    // Eight that did what they asked for; the one that failed is none.
    conforms(transactions(), 8).await;
}

#[tokio::test]
async fn the_source_keeps_its_promises_about_running_numbers() {
    let selector = json!({ "kind": "sequence", "store": "notices", "prefix": hex("m/"), "first": "1" });
    conforms(Selector::new(selector), 5).await;
}

#[tokio::test]
async fn the_source_keeps_its_promises_about_keys() {
    let selector = json!({ "kind": "state", "store": "notices", "keys": [hex("a"), hex("b")] });
    conforms(Selector::new(selector), 3).await;
}

#[tokio::test]
async fn changes_of_keys_and_values_under_running_numbers_are_proven() {
    let devnet = busy().await;
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let keys = Selector::new(json!({ "kind": "state", "store": "notices", "keys": [hex("a")] }));
    let found = proven(&anchor, &source, &blocks, &keys).await.unwrap();
    let values: Vec<(u64, bool)> =
        found.iter().map(|(height, it)| (*height, it.to_string().contains("null"))).collect();
    assert_eq!(values, [(2, false), (6, false), (7, true)], "{found:?}");
    // A lane is read from anywhere: where the numbers stand is found out.
    let numbers = json!({ "kind": "sequence", "store": "notices", "prefix": hex("m/"), "first": "1" });
    let numbers = Selector::new(numbers);
    for from in [0, 2, 4, 5, 7] {
        let fresh = crate::support::source(&anchor, vec![node("a", &devnet.url())]);
        let found = proven(&anchor, &fresh, &blocks[from..], &numbers).await.unwrap();
        let heights: Vec<u64> = found.iter().map(|(height, _)| *height).collect();
        let due: Vec<u64> = [3, 5, 5, 5, 6].into_iter().filter(|height| *height > from as u64).collect();
        assert_eq!(heights, due);
    }
}

#[tokio::test]
async fn running_numbers_far_from_the_guess_are_found() {
    let devnet = devnet(1).await;
    put(&devnet, 1..=40);
    mine(&devnet, 1);
    put(&devnet, 41..=44);
    mine(&devnet, 3);
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    for first in ["1", "7"] {
        let numbers = json!({ "kind": "sequence", "store": "notices", "prefix": hex("m/"), "first": first });
        let numbers = Selector::new(numbers);
        // Upwards from nothing known, then downwards from what the later block ended with.
        let later = proven(&anchor, &source, &blocks[2..], &numbers).await.unwrap();
        assert_eq!(later.iter().map(|(height, _)| *height).collect::<Vec<_>>(), [3; 4]);
        let earlier = proven(&anchor, &source, &blocks[1..2], &numbers).await.unwrap();
        assert_eq!(earlier.len(), if first == "1" { 40 } else { 34 });
    }
}

#[tokio::test]
async fn the_first_message_of_a_module_whose_store_is_empty() {
    let devnet = devnet(1).await;
    devnet.delete("about").unwrap();
    mine(&devnet, 2);
    put(&devnet, 1..=2);
    mine(&devnet, 2);
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let numbers = json!({ "kind": "sequence", "store": "notices", "prefix": hex("m/"), "first": "1" });
    let found = proven(&anchor, &source, &blocks[1..], &Selector::new(numbers)).await.unwrap();
    assert_eq!(found.iter().map(|(height, _)| *height).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(crate::support::benched(&source, "a"), None);
}

#[tokio::test]
async fn a_block_with_more_values_than_are_read_is_named_and_benches_nobody() {
    let devnet = devnet(1).await;
    put(&devnet, 1..=2);
    mine(&devnet, 1);
    put(&devnet, 3..=9);
    mine(&devnet, 1);
    put(&devnet, 10..=10);
    mine(&devnet, 2);
    let anchor = devnet.anchor();
    let mut config =
        config(&anchor, vec![node("a", &devnet.url()), node("b", &devnet.add_node().await.unwrap().url())]);
    config.limits.values = 6;
    let source = hufu_cometbft_source::CometbftSource::new(config).unwrap();
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let numbers = Selector::new(json!({ "kind": "sequence", "store": "notices", "prefix": hex("m/"), "first": "1" }));
    let fault = source.evidence(&blocks[1..], &numbers).await.unwrap_err();
    assert!(matches!(&fault, SourceError::TooLarge { height, .. } if *height == at(3)), "{fault}");
    assert!(["a", "b"].iter().all(|name| crate::support::benched(&source, name).is_none()));
    // What stands before it and after it is read: the lane goes on.
    assert_eq!(proven(&anchor, &source, &blocks[1..2], &numbers).await.unwrap().len(), 2);
    assert_eq!(proven(&anchor, &source, &blocks[3..], &numbers).await.unwrap().len(), 1);
}

#[tokio::test]
async fn events_are_what_a_node_says() {
    let devnet = busy().await;
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let events = Selector::new(json!({ "kind": "events", "types": ["notice"] }));
    assert!(!proven(&anchor, &source, &blocks, &events).await.unwrap().is_empty());
}

/// Validators that change one by one until nobody of the first ones votes.
async fn changing() -> (Devnet, Value) {
    let devnet = devnet(3).await;
    for number in 0..4 {
        devnet.set_power(4 + number, 10).unwrap();
        mine(&devnet, 4);
        devnet.set_power(number, 0).unwrap();
        mine(&devnet, 4);
    }
    let mut anchor = devnet.anchor();
    anchor["skipping"] = json!(true);
    (devnet, anchor)
}

#[tokio::test]
async fn heights_are_passed_over_as_far_as_trusted_validators_signed() {
    let (devnet, anchor) = changing().await;
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let steps = source.steps(at(1), 100).await.unwrap();
    let heights: Vec<u64> = steps.iter().map(|step| step.height.get()).collect();
    assert_eq!((heights.first(), heights.last()), (Some(&1), Some(&devnet.height())));
    assert!(heights.len() > 2, "one jump would have to cross a whole change of validators: {heights:?}");
    assert!(heights.len() < 20, "nothing was passed over: {heights:?}");
    let client = client(&anchor);
    let told = client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update());
    let Outcome::Accept(advanced) = told else { panic!("expected the jumps to be accepted, got {told:?}") };
    assert_eq!(advanced.facts.wants, at(devnet.height() + 1));
    // In parts, from where the last part ended, the same heights are reached.
    let (mut from, mut head) = (at(1), client.anchor());
    while from.get() <= devnet.height() {
        let part = source.steps(from, 2).await.unwrap();
        let told = client.advance(&head, &part, now(), &mut Budget::for_update());
        let Outcome::Accept(advanced) = told else { panic!("expected a part to be accepted, got {told:?}") };
        (from, head) = (advanced.facts.wants, advanced.head);
    }
}

/// A courier may leave out who signs next: the head then judges no far step, and must not be given the same again.
#[tokio::test]
async fn a_head_that_was_not_shown_the_next_validators_gets_the_adjacent_step() {
    let devnet = devnet(3).await;
    devnet.set_power(1, 17).unwrap();
    mine(&devnet, 12);
    let mut anchor = devnet.anchor();
    anchor["skipping"] = json!(true);
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let client = client(&anchor);
    anchor["skipping"] = json!(false);
    // Without skipping the next set does not travel.
    let each = crate::support::source(&anchor, vec![node("a", &devnet.url())]);
    let advance = |head: &_, steps: &[_]| client.advance(head, steps, now(), &mut Budget::for_update());
    let mut stuck = 0;
    for count in 2..=6 {
        let told = advance(&client.anchor(), &each.steps(at(1), count).await.unwrap());
        let Outcome::Accept(advanced) = told else { panic!("expected each step to be accepted, got {told:?}") };
        let from = advanced.facts.wants;
        let mut steps = source.steps(from, 100).await.unwrap();
        if let Outcome::NotYet(_) = advance(&advanced.head, &steps) {
            stuck += 1;
            steps = source.steps(from, 100).await.unwrap();
            assert_eq!(steps.first().map(|step| step.height), Some(from));
        }
        let told = advance(&advanced.head, &steps);
        let Outcome::Accept(advanced) = told else { panic!("expected the head to go on, got {told:?}") };
        assert_eq!(advanced.facts.wants, at(devnet.height() + 1));
    }
    assert_eq!(stuck, 1, "the block before the change does not tell who signs after it");
}

#[tokio::test]
async fn every_height_comes_where_none_may_be_passed_over() {
    let (devnet, mut anchor) = changing().await;
    anchor["skipping"] = json!(false);
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let steps = source.steps(at(1), 1_000).await.unwrap();
    assert_eq!(steps.len() as u64, devnet.height());
    assert_eq!(trusted(&anchor, &steps).len() as u64, devnet.height() - 1);
}

#[tokio::test]
async fn a_set_of_several_pages() {
    let devnet = Devnet::start(DevnetConfig { validators: 120, ..DevnetConfig::default() }).await.unwrap();
    mine(&devnet, 2);
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    assert_eq!(trusted(&anchor, &source.steps(at(1), 9).await.unwrap()).len(), 2);
}

#[tokio::test]
async fn a_new_header_is_announced_and_wakes_the_reader() {
    let devnet = devnet(2).await;
    let anchor = devnet.anchor();
    let mut config = config(&anchor, vec![node("a", &devnet.url()).with_ws(&devnet.ws_url()).unwrap()]);
    // Polling alone would not see it.
    config.patience.poll = std::time::Duration::from_secs(3_600);
    let source = Arc::new(hufu_cometbft_source::CometbftSource::new(config).unwrap());
    assert_eq!(source.tip().await.unwrap(), at(2));
    let miner = devnet.clone();
    // The socket may open after a block: blocks are made until one is heard of.
    let mining = tokio::spawn(async move {
        loop {
            miner.mine().unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    tokio::time::timeout(DEADLINE, source.hint()).await.expect("an announcement within the deadline");
    mining.abort();
    assert!(source.tip().await.unwrap() > at(2));
}

#[tokio::test]
async fn state_that_is_no_longer_kept_is_said_with_the_applications_words() {
    let devnet = Devnet::start(DevnetConfig { states: 2, ..DevnetConfig::default() }).await.unwrap();
    devnet.put("a", "1").unwrap();
    mine(&devnet, 8);
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("a", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let keys = Selector::new(json!({ "kind": "state", "store": "notices", "keys": [hex("a")] }));
    let fault = source.evidence(&blocks[1..2], &keys).await.unwrap_err();
    assert!(matches!(fault, SourceError::Pruned { .. }), "{fault}");
    assert!(fault.to_string().contains("only the states of heights"), "{fault}");
    // A path at which the application answers nothing is not lost history.
    let other = Selector::new(json!({ "kind": "state", "store": "land", "keys": [hex("a")] }));
    let fault = source.evidence(&blocks[1..2], &other).await.unwrap_err();
    assert!(matches!(fault, SourceError::Malformed { .. }), "{fault}");
    assert!(fault.to_string().contains("/store/land/key"), "{fault}");
}
