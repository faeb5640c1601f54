//! What an origin's nodes and its ledger may do to it: lie, fail, change who signs.

use hufu_evm_devnet::Misbehave;
use hufu_gateway_server::backend::Backend as _;
use hufu_schemas_core::statement::{Leaf, Statement};

use crate::support::{Ledger, Office, Stage, ids, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_node_cannot_borrow_the_gateways_signature() {
    let ledger = Ledger::start().await;
    let liar = ledger.devnet.add_node().await.unwrap();
    liar.misbehave(Misbehave::ForgedReceipts { from: 1 }).unwrap();
    let nodes = vec![("liar", liar.url()), ("honest", ledger.devnet.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    ledger.certify(1);
    ledger.certify(2);
    ledger.mine();
    let benched = until("the liar to be benched", || async {
        let ledgers = origin.gateway().ledgers().await.unwrap();
        ledgers["ledgers"][0]["source"]["nodes"][0]["benched"].as_str().map(str::to_owned)
    });
    let (published, benched) = tokio::join!(origin.has_published(2), benched);
    assert_eq!(benched, "lying");
    for (record, number) in published.iter().zip(1..) {
        assert_eq!(record["record"]["body"]["number"], format!("湘(2026)第{number:07}号"));
        assert_eq!(record["record"]["status"]["sourceCode"], "01");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_down_for_a_while_loses_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    let node = stage.ledger.devnet.first_node();
    node.stop();
    until("the node to be benched", || async {
        let ledgers = stage.origin.gateway().ledgers().await.unwrap();
        ledgers["ledgers"][0]["source"]["nodes"][0]["benched"].as_str().map(|why| assert_eq!(why, "unreachable"))
    })
    .await;
    stage.origin.gateway().ready().await.expect("one ledger that is down is no reason not to serve");
    for number in 2..5 {
        stage.ledger.certify(number);
        stage.ledger.mine();
    }
    node.start().await.unwrap();
    let published = stage.origin.has_published(4).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_that_changed_while_the_courier_was_away_are_followed() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    let (devnet, known) = (&stage.ledger.devnet, stage.ledger.devnet.known_validators());
    let before = devnet.validators();
    // Every one of the first validators leaves, one after the other; nobody of the anchor's set seals at the end.
    for (gone, come) in known[..4].iter().zip(&known[4..8]) {
        for (candidate, add) in [(*come, true), (*gone, false)] {
            devnet.vote(candidate, add);
            until("a vote to pass", || async {
                stage.ledger.mine();
                (devnet.validators().contains(&candidate) == add).then_some(())
            })
            .await;
        }
    }
    assert!(devnet.validators().iter().all(|validator| !before.contains(validator)));
    let published = stage.publish(2..4).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

/// A log of the lane's own contract or of any other that sets the filter's bits: no header excludes the block.
const MORE_THAN_IS_READ: usize = 37 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_one_user_makes_too_large_stops_no_lane_and_benches_no_node() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    let topic = hufu_schemas_core::Digest::of(b"a topic");
    stage.ledger.devnet.emit_log(stage.ledger.contract, &[*topic.as_bytes()], &vec![7; MORE_THAN_IS_READ]);
    stage.ledger.certify(2);
    stage.ledger.mine();
    let large = stage.ledger.devnet.height();
    let published = stage.publish(3..4).await;
    assert_eq!(published.len(), 2, "the block before and the one after");
    let ledgers = stage.origin.gateway().ledgers().await.unwrap();
    assert!(ledgers["ledgers"][0]["source"]["nodes"][0]["benched"].is_null(), "no node is at fault");
    let page = stage.page_from(0, None, 64).await.unwrap();
    let statements: Vec<Statement> =
        page.opened.iter().map(|leaf| Statement::parse(leaf.statement.as_bytes()).unwrap()).collect();
    let said: Vec<_> = statements
        .iter()
        .filter_map(|statement| match statement.leaf() {
            Leaf::Skipped(it) => Some((it.position.height.get(), it.reason.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(said, [(large, "block-too-large")], "said, never silent");
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(ids(&believed), ids(&published));
    let complete: Vec<_> = believed.iter().map(|record| record["completeness"].as_str().unwrap()).collect();
    assert_eq!(complete, ["ledger", "ledger"], "only the block itself is in doubt");
    let derived = stage.receiver.lane_info(&stage.lane).await.unwrap().derived.unwrap();
    let gap = derived.gap.unwrap();
    assert_eq!((gap.from.get(), gap.to.get(), gap.reason.as_str()), (large, large, "block-too-large"));
}
