//! Ledgers that are never final: what is waited out, what is taken back, and what nobody may take back.

use std::time::Duration;

use hufu_evm_devnet::Misbehave;
use hufu_gateway_server::backend::{Backend as _, EventFilter, UpdatesQuery};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::TagKey;
use hufu_schemas_core::merkle::Edge;
use hufu_schemas_core::page::{OpenedLeaf, Page};
use hufu_schemas_core::statement::{Leaf, Retract, RetractReason, Statement};
use hufu_schemas_core::{Digest, LaneId, RecordId};
use serde_json::Value;

use crate::support::{Ledger, Office, Stage, ids, policy_of, until};
use crate::two_faced::TwoFaced;

/// A stage on an unsealed ledger, whose receiver takes its node's word.
async fn unsealed(limit: u64) -> Stage {
    let ledger = Ledger::unsealed(limit).await;
    let origin = Office::publishing("notary.example", &ledger).await;
    let lane = origin.lane();
    let receiver = receiving(&ledger, &lane, &origin.definitions()).await;
    Stage { ledger, origin, receiver, lane }
}

async fn receiving(ledger: &Ledger, lane: &LaneId, definitions: &[Digest]) -> Office {
    let policy = policy_of(ledger, &[(lane, definitions)]);
    let word = "least_assurance = \"attested\"\nfinality = [\"unsealed\"]\nstaleness_seconds";
    Office::under_policy("tax.example", &policy.replace("staleness_seconds", word)).await
}

/// As a relayer carries a ledger: where a branch is wanted from further down, it goes back once.
async fn carry_ledger(stage: &Stage) {
    loop {
        let wants = stage.receiver.want(&stage.ledger.id).await.wants;
        let Some(update) = updates(stage, wants).await else { return };
        let answer = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap();
        if answer.wants > wants {
            continue;
        }
        assert!(answer.wants < wants, "the steps were taken and nothing moved");
        let update = updates(stage, answer.wants).await.expect("the origin holds what it follows");
        let after = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap();
        assert!(after.wants > wants, "the branch was brought and not followed: {after:?}");
    }
}

async fn updates(stage: &Stage, from: hufu_schemas_core::Height) -> Option<Value> {
    let query = UpdatesQuery { from, limit: 512, wait: Duration::ZERO };
    let bytes = stage.origin.gateway().updates(&stage.ledger.id, query).await.unwrap()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

async fn carry(stage: &Stage) {
    carry_ledger(stage).await;
    while let Some(page) = stage.next_page(64).await {
        let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
        assert!(receipt.size > page.from, "the page was taken and the lane did not move: {receipt:?}");
    }
}

fn standing(records: &[Value]) -> Vec<Value> {
    records.iter().filter(|record| record["retracted"].is_null()).cloned().collect()
}

/// Heights of the records that stand.
fn heights(records: &[Value]) -> Vec<u64> {
    let height = |record: &Value| record["height"].as_u64().or_else(|| record["height"].as_str()?.parse().ok());
    standing(records).iter().map(|record| height(record).unwrap()).collect()
}

/// Waits until what stands at the origin stands at these heights, and is signed.
async fn has_standing(stage: &Stage, due: &[u64]) -> Vec<Value> {
    until(&format!("records at {due:?} to stand at the origin"), || async {
        let records = stage.origin.records(&stage.lane).await;
        let info = stage.origin.lane_info(&stage.lane).await?;
        (heights(&records) == due && info.checkpoint == info.size).then_some(records)
    })
    .await
}

/// Every event so far, in the order told.
async fn events(office: &Office) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let batch = office.gateway().next_events(&EventFilter::default(), after, 256, Duration::ZERO).await.unwrap();
        if batch.events.is_empty() {
            return all;
        }
        assert!(batch.events.iter().all(|event| Some(event.offset) > after), "told twice");
        after = batch.events.last().map(|event| event.offset).max(batch.scanned);
        all.extend(batch.events.into_iter().map(|event| event.cloud_event));
    }
}

fn reorganisations(office: &Office) -> u64 {
    let text = office.metrics();
    let line = text.lines().find(|line| line.starts_with("hufu_reorganisations_total{"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Certificates 1 to 3 in blocks 2 to 4, and two blocks on top.
async fn three_certificates(stage: &Stage) {
    for number in 1..4 {
        stage.ledger.certify(number);
        stage.ledger.mine();
    }
    (0..2).for_each(|_| stage.ledger.mine());
    has_standing(stage, &[2, 3, 4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_above_the_confirmation_depth_is_waited_out() {
    let stage = unsealed(64).await;
    three_certificates(&stage).await;
    carry(&stage).await;
    // Blocks 5 and 6 are seen and not trusted. Another branch puts a certificate there.
    stage.ledger.devnet.reorganise(5);
    stage.ledger.certify(4);
    (0..4).for_each(|_| stage.ledger.mine());
    has_standing(&stage, &[2, 3, 4, 5]).await;
    carry(&stage).await;
    let believed = stage.believed().await;
    assert_eq!(heights(&believed), [2, 3, 4, 5]);
    assert!(believed.iter().all(|record| record["retracted"].is_null() && record["assurance"] == "attested"));
    assert_eq!((reorganisations(&stage.origin), reorganisations(&stage.receiver)), (0, 0));
    assert_eq!(stage.receiver.held(&stage.lane).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeper_one_retracts() {
    let stage = unsealed(64).await;
    three_certificates(&stage).await;
    carry(&stage).await;
    let before = stage.believed().await;
    // Certificate 2 comes again in the same place, certificate 3 does not.
    stage.ledger.devnet.reorganise(3);
    stage.ledger.certify(2);
    (0..8).for_each(|_| stage.ledger.mine());
    let published = has_standing(&stage, &[2, 3]).await;
    carry(&stage).await;
    let believed = stage.believed().await;
    assert_eq!(ids(&standing(&believed)), ids(&standing(&published)));
    assert!(believed.iter().all(|record| record["completeness"] == "ledger"), "both branches were derived");
    let gone: Vec<&Value> = believed.iter().filter(|record| !record["retracted"].is_null()).collect();
    assert_eq!(
        gone.iter().map(|record| &record["recordId"]).collect::<Vec<_>>(),
        [&before[1]["recordId"], &before[2]["recordId"]]
    );
    assert!(gone.iter().all(|record| record["retracted"]["reason"] == "reorganised"));
    assert_eq!(stage.receiver.held(&stage.lane).await, Vec::<String>::new());
    assert_eq!((reorganisations(&stage.origin), reorganisations(&stage.receiver)), (1, 1));

    let told = events(&stage.receiver).await;
    let types: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let (record, retracted) = (types[0], "hufu.e-certificate.retracted");
    // What is taken back is told newest first, and before what comes in its place.
    assert_eq!(types, [record, record, record, retracted, retracted, record]);
    assert_eq!(
        [&told[3]["data"]["recordId"], &told[4]["data"]["recordId"]],
        [&before[2]["recordId"], &before[1]["recordId"]]
    );
    let mut all: Vec<&str> = told.iter().map(|event| event["id"].as_str().unwrap()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), told.len(), "an id was told twice");

    let gone = RecordId::parse(before[2]["recordId"].as_str().unwrap()).unwrap();
    assert!(stage.receiver.gateway().evidence(&gone).await.is_err(), "nothing proves what is undone");
    let stands = RecordId::parse(published.last().unwrap()["recordId"].as_str().unwrap()).unwrap();
    assert!(stage.receiver.gateway().evidence(&stands).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_saw_the_branch_that_was_left_believes_the_other() {
    let mut stage = unsealed(64).await;
    three_certificates(&stage).await;
    stage.ledger.devnet.reorganise(3);
    stage.ledger.certify(2);
    (0..8).for_each(|_| stage.ledger.mine());
    has_standing(&stage, &[2, 3]).await;
    carry(&stage).await;
    let believed = stage.believed().await;
    assert_eq!((heights(&believed), believed.len()), (vec![2, 3], 2));
    assert_eq!(stage.receiver.held(&stage.lane).await, Vec::<String>::new(), "held for a moment, then taken back");
    // Once more, over a restart of both.
    stage.origin.cut_and_open().await;
    stage.receiver.cut_and_open().await;
    stage.ledger.devnet.reorganise(3);
    stage.ledger.mine();
    stage.ledger.certify(5);
    (0..12).for_each(|_| stage.ledger.mine());
    has_standing(&stage, &[2, 4]).await;
    carry(&stage).await;
    assert_eq!(heights(&stage.believed().await), [2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_of_a_branch_that_is_still_to_come_wait_and_are_not_held() {
    let stage = unsealed(64).await;
    three_certificates(&stage).await;
    carry(&stage).await;
    stage.ledger.devnet.reorganise(3);
    (0..8).for_each(|_| stage.ledger.mine());
    has_standing(&stage, &[2]).await;
    // The lane is carried and its ledger is not yet.
    let page = stage.next_page(64).await.unwrap();
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    assert_eq!((receipt.size, receipt.held), (page.from, 0));
    assert_eq!(receipt.waiting.map(|waiting| waiting.reason), Some("headers-wanted"));
    assert_eq!(heights(&stage.believed().await), [2, 3, 4]);
    carry(&stage).await;
    assert_eq!(heights(&stage.believed().await), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_from_below_the_limit_stops_the_ledger_and_nothing_is_taken_back() {
    let stage = unsealed(3).await;
    three_certificates(&stage).await;
    (0..10).for_each(|_| stage.ledger.mine());
    let head = || async {
        let shown = stage.origin.gateway().ledgers().await.unwrap();
        shown["ledgers"][0]["wants"].as_u64().or_else(|| shown["ledgers"][0]["wants"].as_str()?.parse().ok())
    };
    until("block 14 to be trusted", || async { (head().await? == 15).then_some(()) }).await;
    stage.ledger.devnet.reorganise(3);
    (0..30).for_each(|_| stage.ledger.mine());
    until("the branch to be refused", || async {
        stage.origin.metrics().contains("reason=\"reorganisation-too-deep\"").then_some(())
    })
    .await;
    assert_eq!(head().await, Some(15));
    assert_eq!(heights(&stage.origin.records(&stage.lane).await), [2, 3, 4]);
}

/// A page by which the origin takes back its first record, which stands.
async fn lying(stage: &Stage) -> Page {
    let whole = stage.page_from(0, None, 256).await.unwrap();
    let mut edge = Edge::empty();
    whole.entries.iter().for_each(|entry| {
        edge.append(entry.leaf_hash());
    });
    let opened = |leaf: &OpenedLeaf| (leaf.index, Statement::parse(leaf.statement.as_bytes()).unwrap());
    let leaves: Vec<(u64, Statement)> = whole.opened.iter().map(opened).collect();
    let record_of = |statement: &Statement| match statement.leaf() {
        Leaf::Record(record) => Some((record.id, record.origin.ledger.clone(), record.origin.position.height)),
        _ => None,
    };
    let (named, statement, (record, ledger, from)) =
        leaves.iter().rev().find_map(|(index, it)| Some((*index, it.digest(), record_of(it)?))).unwrap();
    let reason = RetractReason::Reorganised;
    let retract = Retract { ledger, from, sequence: named, statement, record: Some(record), reason };
    let leaf = Statement::make(Leaf::Retract(retract), [3; 16]).unwrap();
    let (index, entry) = (edge.size(), leaf.entry(&TagKey::from_bytes([0; 32])));
    edge.append(entry.leaf_hash());
    let time = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    let checkpoint = Checkpoint { lane: stage.lane.clone(), size: edge.size(), root: edge.root(), time };
    let text = String::from_utf8(leaf.bytes().to_vec()).unwrap();
    Page {
        page: 1,
        lane: stage.lane.clone(),
        from: index,
        entries: vec![entry],
        opened: vec![OpenedLeaf { index, statement: text, record: None }],
        blocks: Vec::new(),
        documents: Vec::new(),
        checkpoint: checkpoint.sign(&stage.origin.signer()).to_string(),
        join: Vec::new(),
        seen: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retract_of_what_still_stands_is_held() {
    let stage = unsealed(4).await;
    three_certificates(&stage).await;
    carry(&stage).await;
    let page = lying(&stage).await;
    // As long as the ledger may still take the block back, the receiver waits.
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    assert_eq!((receipt.size, receipt.held), (page.from, 0));
    assert_eq!(receipt.waiting.map(|waiting| waiting.reason), Some("headers-wanted"));
    // Four trusted blocks later it cannot.
    (0..6).for_each(|_| stage.ledger.mine());
    until("the origin to follow", || async {
        carry_ledger(&stage).await;
        (stage.receiver.want(&stage.ledger.id).await.wants.get() > 9).then_some(())
    })
    .await;
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    assert_eq!((receipt.size, receipt.held), (page.from + 1, 1));
    assert_eq!(stage.receiver.held(&stage.lane).await, ["retract-not-justified"]);
    assert_eq!(heights(&stage.believed().await), [2, 3, 4], "what stands on the ledger is believed");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_bft_ledger_nothing_is_taken_back() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let receipt = stage.receiver.post_page(&stage.lane, &lying(&stage).await).await.unwrap();
    assert_eq!((receipt.held, receipt.waiting), (1, None));
    assert_eq!(stage.receiver.held(&stage.lane).await, ["retract-not-justified"]);
    assert!(stage.believed().await.iter().all(|record| record["retracted"].is_null()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retract_that_names_nothing_refuses_the_page() {
    let stage = unsealed(4).await;
    three_certificates(&stage).await;
    carry(&stage).await;
    let mut page = lying(&stage).await;
    let leaf = &mut page.opened[0];
    let Leaf::Retract(retract) = Statement::parse(leaf.statement.as_bytes()).unwrap().leaf().clone() else {
        panic!("a retract leaf");
    };
    let other = Retract { statement: Digest::of(b"another statement"), ..retract };
    let statement = Statement::make(Leaf::Retract(other), [3; 16]).unwrap();
    leaf.statement = String::from_utf8(statement.bytes().to_vec()).unwrap();
    page.entries = vec![statement.entry(&TagKey::from_bytes([0; 32]))];
    let mut edge = Edge::empty();
    stage.page_from(0, None, 256).await.unwrap().entries.iter().chain(&page.entries).for_each(|entry| {
        edge.append(entry.leaf_hash());
    });
    let time = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    let checkpoint = Checkpoint { lane: stage.lane.clone(), size: edge.size(), root: edge.root(), time };
    page.checkpoint = checkpoint.sign(&stage.origin.signer()).to_string();
    let refused = stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "retract-of-nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_seals_is_held_where_the_policy_asks_for_proof() {
    let ledger = Ledger::unsealed(64).await;
    let origin = Office::publishing("notary.example", &ledger).await;
    let lane = origin.lane();
    let receiver = Office::receiving("tax.example", &ledger, &lane, &origin.definitions()).await;
    let stage = Stage { ledger, origin, receiver, lane };
    three_certificates(&stage).await;
    carry(&stage).await;
    assert_eq!(stage.believed().await, Vec::<Value>::new());
    assert_eq!(stage.receiver.held(&stage.lane).await, ["assurance-below-policy"; 3]);
}

/// Waits until the origin trusts up to this height.
async fn has_trusted(origin: &Office, height: u64) {
    until(&format!("block {height} to be trusted"), || async {
        let shown = origin.gateway().ledgers().await.unwrap();
        let wants = &shown["ledgers"][0]["wants"];
        let wants: u64 = wants.as_u64().or_else(|| wants.as_str()?.parse().ok())?;
        (wants > height).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_feeds_blocks_that_are_never_confirmed_stalls_nothing() {
    let ledger = Ledger::unsealed(64).await;
    (0..4).for_each(|_| ledger.mine());
    let liar = ledger.devnet.add_node().await.unwrap();
    let nodes = vec![("liar", liar.url()), ("honest", ledger.devnet.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    has_trusted(&origin, 3).await;
    // It shows one block above what is trusted and none on top, and is not so far behind that its claim gives it away.
    liar.misbehave(Misbehave::Stalled { at: 4 }).unwrap();
    (0..4).for_each(|_| ledger.mine());
    has_trusted(&origin, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shows_a_wrong_parent_and_is_honest_from_further_down_stalls_nothing() {
    let ledger = Ledger::unsealed(64).await;
    (0..4).for_each(|_| ledger.mine());
    let liar = TwoFaced::before(&ledger.devnet.url()).await;
    let nodes = vec![("liar", liar.url.clone()), ("honest", ledger.devnet.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    has_trusted(&origin, 3).await;
    liar.lie_at(4);
    (0..4).for_each(|_| ledger.mine());
    has_trusted(&origin, 7).await;
    assert!(liar.has_lied(), "the liar was never asked");
}
