//! Nodes that lag, lie, prune and fail: each is benched under its word, or said in words, and the good one serves.

use std::time::Duration;

use hufu_adapters_light_client::Selector;
use hufu_adapters_source::{Source as _, SourceError};
use hufu_cometbft_devnet::{Devnet, DevnetConfig, Misbehave};
use serde_json::json;

use crate::support::{at, benched, config, devnet, mine, node, proven, source, transactions, trusted};

/// What a node that does this is benched for when steps are asked, and the error where it is alone.
async fn steps_of(fault: Misbehave) -> (Option<&'static str>, SourceError) {
    let devnet = devnet(12).await;
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(fault).unwrap();
    let anchor = devnet.anchor();
    let both = source(&anchor, vec![node("bad", &bad.url()), node("good", &devnet.url())]);
    let steps = both.steps(at(1), 100).await.unwrap();
    assert_eq!(steps.len() as u64, 12, "the good node serves");
    let alone = source(&anchor, vec![node("bad", &bad.url())]);
    (benched(&both, "bad"), alone.steps(at(1), 100).await.unwrap_err())
}

#[tokio::test]
async fn a_page_of_html_statuses_and_answers_cut_short_or_without_end() {
    for fault in [Misbehave::Html, Misbehave::Status(500), Misbehave::Truncated] {
        assert_eq!(steps_of(fault).await.0, Some("unreachable"));
    }
    let (why, error) = steps_of(Misbehave::Status(401)).await;
    assert_eq!((why, error.reason()), (Some("unreachable"), "denied"));
    let (why, error) = steps_of(Misbehave::Oversized { padding: 50 << 20 }).await;
    assert_eq!((why, error.reason()), (Some("unreachable"), "malformed"));
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_patience_for_one_exchange() {
    let devnet = devnet(3).await;
    let drip = Misbehave::SlowDrip { bytes: 1, every: Duration::from_millis(50) };
    devnet.first_node().misbehave(drip).unwrap();
    let anchor = devnet.anchor();
    let mut config = config(&anchor, vec![node("slow", &devnet.url())]);
    config.patience.request = Duration::from_millis(200);
    let source = hufu_cometbft_source::CometbftSource::new(config).unwrap();
    assert_eq!(source.tip().await.unwrap_err().reason(), "unavailable");
}

#[tokio::test]
async fn blocks_that_are_no_longer_kept() {
    let (why, error) = steps_of(Misbehave::Pruned { base: 6 }).await;
    assert_eq!(why, None, "it serves other heights");
    assert_eq!(error.to_string(), "no node holds block 1: it keeps blocks from 6 on: add one that keeps history");
}

#[tokio::test]
async fn validators_of_another_height() {
    let devnet = devnet(3).await;
    devnet.set_power(4, 7).unwrap();
    mine(&devnet, 6);
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(Misbehave::OldValidators { from: 6, of: 1 }).unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("bad", &bad.url()), node("good", &devnet.url())]);
    assert_eq!(source.steps(at(1), 100).await.unwrap().len(), 9);
    assert_eq!(benched(&source, "bad"), Some("lying"));
}

#[tokio::test]
async fn a_node_without_a_method_that_is_needed() {
    let (why, error) = steps_of(Misbehave::WithoutMethods(vec!["commit".to_owned()])).await;
    assert_eq!((why, error.reason()), (Some("unreachable"), "malformed"));
}

#[tokio::test]
async fn another_network() {
    let other = Devnet::start(DevnetConfig { chain_id: "other".to_owned(), ..DevnetConfig::default() }).await.unwrap();
    mine(&other, 11);
    let (why, error) = steps_of(Misbehave::OtherNetwork(other)).await;
    assert_eq!((why, error.reason()), (Some("wrong-ledger"), "unavailable"));
    // Of the same name: its blocks alone tell it apart.
    let twin = Devnet::start(DevnetConfig { seed: [9; 32], ..DevnetConfig::default() }).await.unwrap();
    mine(&twin, 11);
    assert_eq!(steps_of(Misbehave::OtherNetwork(twin)).await.0, Some("forked"));
}

#[tokio::test]
async fn a_node_that_is_behind_is_asked_last_and_comes_back() {
    let devnet = devnet(30).await;
    let slow = devnet.add_node().await.unwrap();
    slow.misbehave(Misbehave::Lagging { by: 20 }).unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("slow", &slow.url()), node("good", &devnet.url())]);
    assert_eq!(source.tip().await.unwrap(), at(30));
    assert_eq!(benched(&source, "slow"), Some("behind"));
    assert_eq!(source.steps(at(1), 100).await.unwrap().len(), 30);
    slow.behave();
    source.tip().await.unwrap();
    assert_eq!(benched(&source, "slow"), None);
    // Alone and behind it still serves: an old truth is true.
    slow.misbehave(Misbehave::Lagging { by: 20 }).unwrap();
    let alone = crate::support::source(&anchor, vec![node("slow", &slow.url())]);
    assert_eq!(alone.steps(at(1), 100).await.unwrap().len(), 10);
    assert!(alone.steps(at(11), 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_the_light_client_refused_is_held_against_the_node_that_served_it() {
    let devnet = devnet(6).await;
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(Misbehave::ForgedSignature { from: 4 }).unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("bad", &bad.url()), node("good", &devnet.url())]);
    source.steps(at(1), 100).await.unwrap();
    source.refused("signature-invalid");
    assert_eq!(benched(&source, "bad"), Some("lying"));
    assert_eq!(trusted(&anchor, &source.steps(at(1), 100).await.unwrap()).len(), 5);
}

/// A ledger with a key and transactions, its trusted blocks as a good node shows them, and a node that does this.
async fn evidence_of(fault: Misbehave, selector: Selector) -> Option<&'static str> {
    let devnet = devnet(1).await;
    for value in ["1", "2", "3"] {
        devnet.put("a", value).unwrap();
        devnet.put("b", value).unwrap();
        mine(&devnet, 1);
    }
    mine(&devnet, 2);
    let bad = devnet.add_node().await.unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("bad", &bad.url()), node("good", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    bad.misbehave(fault).unwrap();
    let found = proven(&anchor, &source, &blocks, &selector).await.unwrap();
    assert!(found.len() >= 3, "the good node shows what the bad one does not: {found:?}");
    benched(&source, "bad")
}

#[tokio::test]
async fn altered_results_and_transactions_left_out() {
    assert_eq!(evidence_of(Misbehave::AlteredResults { from: 1 }, transactions()).await, Some("lying"));
    assert_eq!(evidence_of(Misbehave::OmittedTransactions { from: 1 }, transactions()).await, Some("lying"));
}

#[tokio::test]
async fn altered_values_other_state_and_answers_without_proofs() {
    let key = || Selector::new(json!({ "kind": "state", "store": "notices", "keys": ["61"] }));
    assert_eq!(evidence_of(Misbehave::AlteredState, key()).await, Some("lying"));
    assert_eq!(evidence_of(Misbehave::WithoutProofs, key()).await, Some("unreachable"));
    let other = devnet(9).await;
    assert_eq!(evidence_of(Misbehave::OtherApplication(other), key()).await, Some("lying"));
}
