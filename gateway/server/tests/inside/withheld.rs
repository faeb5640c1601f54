//! Nothing withheld: what an origin leaves out of its lane is found by the receiving gateway in the blocks themselves.

use hufu_gateway_server::backend::Backend as _;
use hufu_gateway_server::http::ProblemCode;
use hufu_gateway_store::Store;
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::merkle::Edge;
use hufu_schemas_core::page::{OpenedLeaf, Page};
use hufu_schemas_core::statement::{Covered, Leaf, Statement};
use serde_json::{Value, json};

use crate::support::{Stage, ids, until};

/// The page that the origin would sign if it left out every record and skipped leaf, and counted to fit.
async fn silenced(stage: &Stage) -> Page {
    let honest = stage.next_page(64).await.unwrap();
    let read = |leaf: &OpenedLeaf| Statement::parse(leaf.statement.as_bytes()).unwrap();
    let kept = honest.entries.iter().zip(&honest.opened).filter_map(|(entry, leaf)| match read(leaf).leaf() {
        Leaf::Record(_) | Leaf::Skipped(_) => None,
        Leaf::Covered(covered) => {
            let silent = Leaf::Covered(Covered { matches: 0, ..covered.clone() });
            let statement = Statement::make(silent, [9; 16]).unwrap();
            let tag_is_none = statement.entry(&hufu_schemas_core::lane::TagKey::from_bytes([0; 32]));
            Some((tag_is_none, String::from_utf8(statement.bytes().to_vec()).unwrap()))
        }
        _ => Some((*entry, leaf.statement.clone())),
    });
    let kept: Vec<(Entry, String)> = kept.collect();
    let mut edge = Edge::empty();
    if honest.from > 0 {
        let before = stage.page_from(0, None, usize::try_from(honest.from).unwrap()).await.unwrap();
        before.entries.iter().for_each(|entry| drop(edge.append(entry.leaf_hash())));
    }
    kept.iter().for_each(|(entry, _)| drop(edge.append(entry.leaf_hash())));
    let time = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    let checkpoint = Checkpoint { lane: stage.lane.clone(), size: edge.size(), root: edge.root(), time };
    let opened = (honest.from..).zip(&kept);
    Page {
        entries: kept.iter().map(|(entry, _)| *entry).collect(),
        opened: opened.map(|(index, (_, text))| OpenedLeaf { index, statement: text.clone(), record: None }).collect(),
        checkpoint: checkpoint.sign(&stage.origin.signer()).to_string(),
        join: Vec::new(),
        seen: None,
        ..honest
    }
}

async fn completeness(stage: &Stage) -> Vec<Value> {
    stage.believed().await.into_iter().map(|record| record["completeness"].clone()).collect()
}

/// The artefacts that the receiving office kept when it froze the lane.
async fn kept(stage: &Stage) -> Value {
    let store = Store::open(stage.receiver.file("records.db")).await.unwrap();
    let log = store.operator_log(0, 100).await.unwrap();
    let act = log.into_iter().find(|act| act.what == "freeze-lane").unwrap();
    assert_eq!(act.subject, stage.lane.to_string());
    store.close().await;
    act.artefacts.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_left_out_of_a_covered_block() {
    let mut stage = Stage::set().await;
    let published = stage.publish(1..3).await;
    stage.carry().await;
    assert_eq!(completeness(&stage).await, ["ledger", "ledger"]);
    stage.ledger.revoke(1);
    stage.ledger.mine();
    stage.origin.has_published(3).await;
    stage.carry_updates().await;
    let lie = silenced(&stage).await;
    let problem = stage.receiver.post_page(&stage.lane, &lie).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Refused("omitted-event"), "{problem:?}");
    assert_eq!(problem.sequence, Some(lie.from));
    let info = stage.receiver.lane_info(&stage.lane).await.unwrap();
    let frozen = info.frozen.unwrap();
    let key = published[0]["record"]["recordKey"].as_str().unwrap();
    assert!(frozen.starts_with("omitted-event: block 4, transaction 0, event 0") && frozen.contains(key), "{frozen}");
    assert!(stage.receiver.metrics().contains("hufu_rejections_total{reason=\"omitted-event\",where=\"page\"} 1"));

    // A restart is no operator; what both sides signed is kept.
    stage.receiver.cut_and_open().await;
    assert!(stage.receiver.inbox(&stage.lane).await.frozen);
    let artefacts = kept(&stage).await;
    assert_eq!(artefacts["first"]["page"]["checkpoint"], json!(lie.checkpoint));
    assert_eq!(artefacts["first"]["statement"], json!(lie.opened[0].statement));
    assert_eq!(artefacts["second"]["recordKey"], json!(key));
    assert_eq!(artefacts["second"]["evidence"]["height"], json!(4));

    // The honest lane is another history: after a thaw the revocation arrives by it.
    stage.receiver.gateway().thaw_lane(&stage.lane, "the origin explained itself", "operator").await.unwrap();
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(believed.len(), 3);
    assert_eq!(believed[2]["record"]["status"]["state"], "deregistered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_very_first_page_withholds_is_frozen_too() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry_updates().await;
    let lie = silenced(&stage).await;
    for code in [ProblemCode::Refused("omitted-event"), ProblemCode::LaneFrozen] {
        assert_eq!(stage.receiver.post_page(&stage.lane, &lie).await.unwrap_err().code, code);
    }
    let state = stage.receiver.inbox(&stage.lane).await;
    assert!((state.frozen, state.size) == (true, 0), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_block_whose_filter_does_not_exclude_travels_with_its_receipts() {
    let stage = Stage::set().await;
    stage.receiver.adopt(&stage.receiver.policy_text().replace("types =", "completeness = \"ledger\"\ntypes =")).await;
    for _ in 0..3 {
        stage.ledger.murmur();
        stage.ledger.mine();
    }
    let published = stage.publish(1..2).await;
    stage.carry_updates().await;
    let page = stage.next_page(64).await.unwrap();
    let heights: Vec<u64> = page.blocks.iter().map(|block| block.height.get()).collect();
    assert_eq!(heights, [2, 3, 4, 5], "three quiet ones, and the one with the record");
    // A courier that drops one is refused; nothing counts as `ledger` without it.
    let mut cut = page.clone();
    cut.blocks.remove(1);
    let problem = stage.receiver.post_page(&stage.lane, &cut).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Refused("evidence-missing"));
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    assert_eq!((receipt.admitted, receipt.held), (1, 0), "{receipt:?}");
    assert_eq!(ids(&stage.believed().await), ids(&published));
    assert_eq!(completeness(&stage).await, ["ledger"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretch_whose_receipts_never_came_counts_as_log_and_the_next_one_does_not() {
    let stage = Stage::set().await;
    stage.ledger.murmur();
    stage.ledger.mine();
    stage.publish(1..2).await;
    stage.carry_updates().await;
    let mut cut = stage.next_page(64).await.unwrap();
    cut.blocks.remove(0);
    stage.strike_out(&cut).await;
    assert_eq!(completeness(&stage).await, ["log"]);
    let derived = stage.receiver.lane_info(&stage.lane).await.unwrap().derived.unwrap();
    let gap = derived.gap.unwrap();
    assert_eq!((gap.from.get(), gap.reason.as_str()), (1, "evidence-missing"));
    assert_eq!(derived.to.map(|to| to.get()), Some(1), "the block before the one whose receipts are missing");
    stage.publish(2..3).await;
    stage.carry().await;
    assert_eq!(completeness(&stage).await, ["log", "ledger"]);
    let derived = stage.receiver.lane_info(&stage.lane).await.unwrap().derived.unwrap();
    assert_eq!(derived.from, gap.to.next(), "and the run shows where it begins");
    assert_eq!(derived.gap, Some(gap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_asks_for_completeness_gets_it_or_holds() {
    let stage = Stage::set().await;
    let asking = stage.receiver.policy_text().replace("types =", "completeness = \"ledger\"\ntypes =");
    stage.receiver.adopt(&asking).await;
    stage.ledger.murmur();
    stage.ledger.mine();
    stage.publish(1..2).await;
    stage.carry_updates().await;
    let mut cut = stage.next_page(64).await.unwrap();
    cut.blocks.remove(0);
    stage.strike_out(&cut).await;
    assert_eq!(stage.receiver.held(&stage.lane).await, ["completeness-below-policy"]);
    let published = stage.publish(2..4).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published[1..]));
    // A second try makes nothing more complete than it was.
    stage.receiver.gateway().retry_held(Some(&stage.lane), "operator").await.unwrap();
    assert_eq!(stage.receiver.held(&stage.lane).await, ["completeness-below-policy"]);
    stage.receiver.adopt(&asking.replace("completeness = \"ledger\"\n", "")).await;
    until("the held record to be believed", || async { (stage.believed().await.len() == 3).then_some(()) }).await;
    let mut all: Vec<String> = completeness(&stage).await.iter().map(|it| it.as_str().unwrap().to_owned()).collect();
    all.sort();
    assert_eq!(all, ["ledger", "ledger", "log"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_leaf_carry_what_each_leaf_needs() {
    let stage = Stage::set().await;
    for number in 1..4 {
        stage.ledger.murmur();
        stage.ledger.mine();
        stage.ledger.certify(10 * number);
        stage.ledger.certify(10 * number + 1);
        stage.ledger.mine();
    }
    stage.origin.has_published(6).await;
    stage.carry_updates().await;
    while let Some(page) = stage.next_page(1).await {
        stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    }
    assert_eq!(completeness(&stage).await, ["ledger"; 6]);
    let derived = stage.receiver.lane_info(&stage.lane).await.unwrap().derived.unwrap();
    assert_eq!((derived.from.map(|it| it.get()), derived.to.map(|it| it.get()), derived.gap), (Some(1), Some(7), None));
}
