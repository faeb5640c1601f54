//! What only an operator decides, by the policy file.

use hufu_gateway_server::backend::Backend as _;
use hufu_gateway_server::http::ProblemCode;

use crate::support::{ISSUER, Ledger, Office, Stage, ids, receiving_policy, until};

/// A stage whose receiver has accepted no definition yet.
async fn undecided() -> Stage {
    let ledger = Ledger::start().await;
    let origin = Office::publishing("notary.example", &ledger).await;
    let lane = origin.lane();
    let receiver = Office::receiving("tax.example", &ledger, &lane, &[]).await;
    Stage { ledger, origin, receiver, lane }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_not_accepted_holds_until_the_policy_file_names_it() {
    let stage = undecided().await;
    let published = stage.publish(1..4).await;
    stage.carry().await;
    assert!(stage.believed().await.is_empty());
    assert_eq!(stage.receiver.held(&stage.lane).await, ["definition-not-accepted"; 3]);
    let defined = stage.receiver.lane_info(&stage.lane).await.unwrap().definitions;
    assert_eq!(defined, stage.origin.definitions(), "what the operator reads is what the origin defined");
    let retried = stage.receiver.gateway().retry_held(Some(&stage.lane), "operator").await.unwrap();
    assert_eq!((retried.tried, retried.admitted), (3, 0), "asking again is not accepting");

    stage.receiver.write("policy.toml", &receiving_policy(&stage.ledger, &stage.lane, &defined));
    until("the held leaves to be believed", || async { (stage.believed().await.len() == 3).then_some(()) }).await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    assert!(stage.receiver.held(&stage.lane).await.is_empty());
    // What comes later is believed at once.
    let published = stage.publish(4..5).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_accepted_while_the_gateway_was_down_counts_after_a_retry() {
    let mut stage = undecided().await;
    let published = stage.publish(1..3).await;
    stage.carry().await;
    stage.receiver.write("policy.toml", &receiving_policy(&stage.ledger, &stage.lane, &stage.origin.definitions()));
    stage.receiver.cut_and_open().await;
    stage.receiver.gateway().retry_held(None, "operator").await.unwrap();
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

/// How often the origin has said that its ledger is not anchored.
fn not_anchored(stage: &Stage) -> u64 {
    let text = stage.origin.metrics();
    let line = text.lines().find(|line| line.starts_with("hufu_source_errors_total") && line.contains("not-anchored"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_taken_away_ends_the_lane_and_one_given_back_goes_on() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    let anchored = stage.origin.policy_text();
    stage.origin.write("policy.toml", "policy = 1\n");
    until("the origin to miss its anchor", || async { (not_anchored(&stage) > 0).then_some(()) }).await;
    let size = stage.origin.lane_info(&stage.lane).await.unwrap().size;
    for number in 3..5 {
        stage.ledger.certify(number);
        stage.ledger.mine();
    }
    // Two more rounds that looked and refused: what is on the ledger by now was not read.
    let seen = not_anchored(&stage);
    until("two more rounds", || async { (not_anchored(&stage) >= seen + 2).then_some(()) }).await;
    assert_eq!(stage.origin.lane_info(&stage.lane).await.unwrap().size, size);
    stage.origin.write("policy.toml", &anchored);
    assert_eq!(stage.origin.has_published(4).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_outside_the_policy_is_held_and_blocks_nothing() {
    let stage = Stage::set().await;
    let text = stage.receiver.policy_text().replace(ISSUER, "11330105002500287C");
    stage.receiver.adopt(&text).await;
    stage.publish(1..3).await;
    stage.carry().await;
    assert_eq!(stage.receiver.held(&stage.lane).await, ["issuer-not-of-this-lane"; 2]);
    assert!(stage.believed().await.is_empty());
    let size = stage.origin.lane_info(&stage.lane).await.unwrap().size;
    assert_eq!(stage.receiver.inbox(&stage.lane).await.size, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_file_with_a_mistake_leaves_the_old_one_in_force() {
    let stage = Stage::set().await;
    let good = stage.receiver.policy_text();
    stage.receiver.write("policy.toml", &good.replace("types =", "tpyes ="));
    let published = stage.publish(1..3).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    // A good one after it is taken.
    stage.receiver.write("policy.toml", &good.replace(&stage.lane.to_string(), "notary.example/certificates/2"));
    until("the lane to be no longer of the policy", || async {
        let state = stage.receiver.gateway().inbox_state(&stage.lane).await;
        state.err().map(|problem| assert_eq!(problem.code, ProblemCode::NoSuchLane))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_taken_back_holds_what_comes_later() {
    let stage = Stage::set().await;
    let before = stage.publish(1..2).await;
    stage.carry().await;
    let text = receiving_policy(&stage.ledger, &stage.lane, &[]);
    stage.receiver.adopt(&text).await;
    stage.publish(2..3).await;
    stage.carry().await;
    assert_eq!(stage.receiver.held(&stage.lane).await, ["definition-not-accepted"]);
    assert_eq!(ids(&stage.believed().await), ids(&before), "what was believed stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapping_is_a_new_definition_and_holds_until_it_is_accepted() {
    let mut stage = Stage::set().await;
    let before = stage.publish(1..3).await;
    stage.carry().await;
    let mapping = std::fs::read_to_string(stage.origin.file("lane.yaml")).unwrap();
    let changed = mapping.replacen("version: 1.0.0", "version: 1.0.1", 1);
    assert_ne!(changed, mapping);
    stage.origin.write("lane.yaml", &changed);
    stage.origin.cut_and_open().await;
    let published = stage.publish(3..5).await;
    let definitions = stage.origin.lane_info(&stage.lane).await.unwrap().definitions;
    assert_eq!(definitions.len(), 2, "an origin cannot choose between two mappings an event");
    stage.carry().await;
    assert_eq!(stage.receiver.held(&stage.lane).await, ["definition-not-accepted"; 2]);
    assert_eq!(ids(&stage.believed().await), ids(&before));
    stage.receiver.adopt(&receiving_policy(&stage.ledger, &stage.lane, &definitions)).await;
    until("the held leaves to be believed", || async { (stage.believed().await.len() == 4).then_some(()) }).await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}
