//! Two signed things that cannot both be true freeze; what is merely said does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hufu_evm_devnet::{EventCall, Misbehave, NodeHandle, registry};
use hufu_gateway_server::backend::Backend as _;
use hufu_gateway_server::http::ProblemCode;
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::{Digest, Timestamp};
use serde_json::{Value, json};

use crate::support::{Ledger, Office, Stage, certificate, ids, until};

/// A node that holds another block with good seals from `from` on.
async fn forked(ledger: &Ledger, from: u64) -> NodeHandle {
    let node = ledger.devnet.add_node().await.unwrap();
    let args = certificate(999, "01", "01");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let events = vec![(ledger.contract, EventCall::new(registry::CERTIFICATE_CHANGED, &args))];
    node.misbehave(Misbehave::Fork { from, events }).unwrap();
    node
}

/// How `ledgers()` shows the one ledger of an office.
async fn shown(office: &Office) -> Value {
    office.gateway().ledgers().await.unwrap()["ledgers"][0].clone()
}

fn node<'a>(ledger: &'a Value, name: &str) -> &'a Value {
    let nodes = ledger["source"]["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["name"] == name).unwrap()
}

/// A page by which the origin signs another history of the length that the receiver has seen.
async fn rewritten(stage: &Stage, time: Timestamp) -> Page {
    let state = stage.receiver.inbox(&stage.lane).await;
    let other = Checkpoint { lane: stage.lane.clone(), size: state.seen, root: Digest::of(b"another history"), time };
    Page {
        page: 1,
        lane: stage.lane.clone(),
        from: state.size,
        entries: vec![Entry::from_bytes(&[7; 64])],
        opened: Vec::new(),
        blocks: Vec::new(),
        documents: Vec::new(),
        checkpoint: other.sign(&stage.origin.signer()).to_string(),
        join: Vec::new(),
        seen: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equivocation_freezes_and_thaw_goes_on() {
    let mut stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let now = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    let page = rewritten(&stage, now).await;
    let problem = stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Refused("equivocation"));
    assert!(stage.receiver.inbox(&stage.lane).await.frozen);
    let info = stage.receiver.lane_info(&stage.lane).await.unwrap();
    assert!(info.frozen.is_some_and(|reason| reason.contains("equivocation")));
    let line = format!("hufu_lane_frozen{{lane=\"{}\"}} 1", stage.lane);
    assert!(stage.receiver.metrics().contains(&line), "{line}");

    let published = stage.publish(3..5).await;
    stage.carry_updates().await;
    let honest = stage.next_page(64).await.unwrap();
    let refused = stage.receiver.post_page(&stage.lane, &honest).await.unwrap_err();
    assert_eq!(refused.code, ProblemCode::LaneFrozen);
    stage.receiver.cut_and_open().await;
    assert!(stage.receiver.inbox(&stage.lane).await.frozen, "a restart is no operator");
    let refused = stage.receiver.post_page(&stage.lane, &honest).await.unwrap_err();
    assert_eq!(refused.code, ProblemCode::LaneFrozen);

    stage.receiver.gateway().thaw_lane(&stage.lane, "shown which is true", "operator").await.unwrap();
    assert!(!stage.receiver.inbox(&stage.lane).await.frozen);
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn equivocation_in_a_heartbeat_freezes_too() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let now = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    let note = rewritten(&stage, now).await.checkpoint;
    let posted = stage.receiver.gateway().post_checkpoint(&crate::support::courier(), &stage.lane, note.into()).await;
    assert_eq!(posted.unwrap_err().code, ProblemCode::Refused("equivocation"));
    assert!(stage.receiver.inbox(&stage.lane).await.frozen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_another_key_signed_freezes_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let now = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    let mut page = rewritten(&stage, now).await;
    let seen = stage.receiver.inbox(&stage.lane).await.seen;
    let other = Checkpoint { lane: stage.lane.clone(), size: seen, root: Digest::of(b"another history"), time: now };
    page.checkpoint = other.sign(&stage.receiver.signer()).to_string();
    stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
    assert!(!stage.receiver.inbox(&stage.lane).await.frozen, "whoever wants to stop a lane needs its key");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_quorum_signed_headers_freeze_the_ledger() {
    let mut stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry().await;
    let height = 3;
    let other = forked(&stage.ledger, height).await;
    let update = json!({
        "ledger": stage.ledger.id,
        "steps": [{"height": height, "bytes": BASE64.encode(other.header_rlp(height).unwrap())}],
    });
    let problem = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::LedgerFrozen);
    assert!(stage.receiver.want(&stage.ledger.id).await.frozen);
    assert!(shown(&stage.receiver).await["frozen"].as_str().unwrap().contains("height 3"));
    let line = format!("hufu_ledger_frozen{{ledger=\"{}\"}} 1", stage.ledger.id);
    assert!(stage.receiver.metrics().contains(&line), "{line}");

    let published = stage.publish(4..6).await;
    stage.receiver.cut_and_open().await;
    let honest = stage.next_update().await.unwrap();
    let refused = stage.receiver.post_updates(&stage.ledger.id, &honest).await.unwrap_err();
    assert_eq!(refused.code, ProblemCode::LedgerFrozen, "a restart is no operator");
    let page = stage.next_page(64).await.unwrap();
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    assert_eq!(receipt.admitted, 0, "nothing is proven against a frozen ledger");
    assert_eq!(receipt.waiting.unwrap().reason, "ledger-frozen");

    stage.receiver.gateway().thaw_ledger(&stage.ledger.id, "shown which is true", "operator").await.unwrap();
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_contradiction_at_a_trusted_height_freezes_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry().await;
    let liar = forked(&stage.ledger, 3).await;
    liar.misbehave(Misbehave::SealsBelowQuorum { from: 3 }).unwrap();
    let update = json!({
        "ledger": stage.ledger.id,
        "steps": [{"height": 3, "bytes": BASE64.encode(liar.header_rlp(3).unwrap())}],
    });
    stage.receiver.post_updates(&stage.ledger.id, &update).await.ok();
    assert!(!stage.receiver.want(&stage.ledger.id).await.frozen);
    let published = stage.publish(4..5).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_nodes_unsigned_contradiction_does_not_freeze() {
    let ledger = Ledger::start().await;
    ledger.certify(1);
    ledger.mine();
    let liar = forked(&ledger, 1).await;
    liar.misbehave(Misbehave::SealsBelowQuorum { from: 1 }).unwrap();
    let stranger = ledger.devnet.add_node().await.unwrap();
    stranger.misbehave(Misbehave::OtherNetwork(Ledger::of_seed(9).await.devnet)).unwrap();
    let nodes = vec![("honest", ledger.devnet.url()), ("liar", liar.url()), ("stranger", stranger.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    origin.has_published(1).await;
    for (name, why) in [("liar", "forked"), ("stranger", "wrong-ledger")] {
        until(&format!("{name} to be benched as {why}"), || async {
            (node(&shown(&origin).await, name)["benched"] == why).then_some(())
        })
        .await;
    }
    let now = shown(&origin).await;
    assert_eq!(now["frozen"], Value::Null, "{now}");
    assert_eq!(node(&now, "honest")["benched"], Value::Null);
    // And it goes on.
    ledger.certify(2);
    ledger.mine();
    origin.has_published(2).await;
    assert_eq!(shown(&origin).await["frozen"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_quorum_signed_block_at_an_own_node_freezes_the_ledger() {
    let ledger = Ledger::start().await;
    ledger.certify(1);
    ledger.mine();
    let second = ledger.devnet.add_node().await.unwrap();
    let nodes = vec![("first", ledger.devnet.url()), ("second", second.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    origin.has_published(1).await;
    let args = certificate(999, "01", "01");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let events = vec![(ledger.contract, EventCall::new(registry::CERTIFICATE_CHANGED, &args))];
    second.misbehave(Misbehave::Fork { from: 2, events }).unwrap();
    let frozen =
        until("the ledger to be frozen", || async { shown(&origin).await["frozen"].as_str().map(str::to_owned) }).await;
    assert!(frozen.contains("height 2"), "{frozen}");
}

fn update_of(ledger: &Ledger, node: &NodeHandle, heights: std::ops::RangeInclusive<u64>) -> Value {
    let step = |height| json!({"height": height, "bytes": BASE64.encode(node.header_rlp(height).unwrap())});
    json!({"ledger": ledger.id, "steps": heights.map(step).collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_an_own_node_shows_above_its_first_block_freezes_the_ledger() {
    let ledger = Ledger::start().await;
    ledger.certify(1);
    (0..9).for_each(|_| ledger.mine());
    let second = forked(&ledger, 4).await;
    let nodes = vec![("first", ledger.devnet.url()), ("second", second.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    let frozen =
        until("the ledger to be frozen", || async { shown(&origin).await["frozen"].as_str().map(str::to_owned) }).await;
    assert!(frozen.contains("height 4"), "{frozen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_only_node_that_goes_over_to_a_fork_freezes_the_ledger() {
    let ledger = Ledger::start().await;
    ledger.certify(1);
    (0..9).for_each(|_| ledger.mine());
    let origin = Office::publishing("notary.example", &ledger).await;
    origin.has_published(1).await;
    until("the head to stand at block 10", || async { (shown(&origin).await["wants"] == json!(11)).then_some(()) })
        .await;
    let args = certificate(999, "01", "01");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let events = vec![(ledger.contract, EventCall::new(registry::CERTIFICATE_CHANGED, &args))];
    ledger.devnet.first_node().misbehave(Misbehave::Fork { from: 7, events }).unwrap();
    ledger.mine();
    let frozen =
        until("the ledger to be frozen", || async { shown(&origin).await["frozen"].as_str().map(str::to_owned) }).await;
    assert!(frozen.contains("height 7"), "{frozen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_behind_many_shared_steps_of_an_update_freezes_the_ledger() {
    let stage = Stage::set().await;
    (0..9).for_each(|_| stage.ledger.mine());
    stage.publish(1..2).await;
    stage.carry().await;
    let other = forked(&stage.ledger, 8).await;
    let update = update_of(&stage.ledger, &other, 1..=10);
    let problem = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::LedgerFrozen);
    assert!(shown(&stage.receiver).await["frozen"].as_str().unwrap().contains("height 8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_below_quorum_is_followed_down_and_freezes_nothing() {
    let ledger = Ledger::start().await;
    ledger.certify(1);
    (0..9).for_each(|_| ledger.mine());
    let liar = forked(&ledger, 4).await;
    liar.misbehave(Misbehave::SealsBelowQuorum { from: 4 }).unwrap();
    let nodes = vec![("honest", ledger.devnet.url()), ("liar", liar.url())];
    let origin = Office::publishing_from("notary.example", &ledger, nodes).await;
    origin.has_published(1).await;
    until("the liar to be benched", || async {
        (node(&shown(&origin).await, "liar")["benched"] == "forked").then_some(())
    })
    .await;
    ledger.certify(2);
    ledger.mine();
    origin.has_published(2).await;
    assert_eq!(shown(&origin).await["frozen"], Value::Null);
}
