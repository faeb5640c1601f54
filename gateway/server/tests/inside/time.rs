//! Freshness, heartbeats, and a clock that goes back.

use bytes::Bytes;
use hufu_gateway_server::backend::Backend as _;
use hufu_gateway_server::clock::Clock as _;
use hufu_gateway_server::http::ProblemCode;
use hufu_schemas_core::Timestamp;
use hufu_schemas_core::checkpoint::SignedCheckpoint;

use crate::support::{STALENESS, Stage, courier, ids, receiving_policy, until};

/// The origin's latest note, once its time is `least` or later.
async fn note_from(stage: &Stage, least: Timestamp) -> Bytes {
    until("a heartbeat of the idle lane", || async {
        let note = stage.origin.gateway().checkpoint(&stage.lane).await.unwrap();
        (SignedCheckpoint::parse(&note).unwrap().claimed().time >= least).then_some(Bytes::from(note))
    })
    .await
}

async fn first(stage: &Stage) -> serde_json::Value {
    stage.believed().await[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_checkpoint_is_said() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    let fresh = first(&stage).await;
    let as_of = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
    assert_eq!((&fresh["stale"], &fresh["asOf"]), (&false.into(), &as_of.to_string().into()));
    stage.receiver.clock.advance(STALENESS);
    assert_eq!(first(&stage).await["stale"], false, "the last second still counts");
    stage.receiver.clock.advance(1);
    let stale = first(&stage).await;
    assert_eq!((&stale["stale"], &stale["asOf"]), (&true.into(), &as_of.to_string().into()));
    let id = hufu_schemas_core::RecordId::parse(stale["recordId"].as_str().unwrap()).unwrap();
    assert_eq!(stage.receiver.gateway().record(&id).await.unwrap()["stale"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_keeps_it_fresh() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    let size = stage.receiver.inbox(&stage.lane).await.size;
    for office in [&stage.origin, &stage.receiver] {
        office.clock.advance(STALENESS + 100);
    }
    assert_eq!(first(&stage).await["stale"], true);
    let note = note_from(&stage, stage.origin.clock.now()).await;
    let state = stage.receiver.gateway().post_checkpoint(&courier(), &stage.lane, note.clone()).await.unwrap();
    assert_eq!(state.size, size, "a heartbeat brings no leaf");
    let fresh = first(&stage).await;
    assert_eq!(fresh["stale"], false);
    assert_eq!(fresh["asOf"], stage.origin.clock.now().to_string());
    // The same again is nothing new, and an older one does not make it older.
    stage.receiver.gateway().post_checkpoint(&courier(), &stage.lane, note).await.unwrap();
    assert_eq!(first(&stage).await, fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_heartbeat_brought_late_makes_nothing_older() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    stage.receiver.clock.advance(100);
    stage.origin.clock.advance(50);
    let old = note_from(&stage, stage.origin.clock.now()).await;
    stage.origin.clock.advance(50);
    let new = note_from(&stage, stage.origin.clock.now()).await;
    let receiver = stage.receiver.gateway();
    receiver.post_checkpoint(&courier(), &stage.lane, new).await.unwrap();
    let fresh = first(&stage).await;
    receiver.post_checkpoint(&courier(), &stage.lane, old).await.ok();
    assert_eq!(first(&stage).await["asOf"], fresh["asOf"]);
    assert!(!stage.receiver.inbox(&stage.lane).await.frozen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_from_the_future_is_refused() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    stage.origin.clock.advance(3_600);
    let note = note_from(&stage, stage.origin.clock.now()).await;
    let problem = stage.receiver.gateway().post_checkpoint(&courier(), &stage.lane, note).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Refused("checkpoint-ahead-of-clock"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_stops_admission() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let before = stage.believed().await;
    let published = stage.publish(3..4).await;
    stage.carry_updates().await;
    let page = stage.next_page(64).await.unwrap();
    let right = stage.receiver.clock.now();
    stage.receiver.clock.set(Timestamp::from_seconds(right.seconds() - 3_600).unwrap());
    let problem = stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::ClockSetBack);
    assert_eq!(ids(&stage.believed().await), ids(&before));
    stage.receiver.clock.set(right);
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_stops_held_leaves_too() {
    let stage = Stage::set().await;
    let text = stage.receiver.policy_text();
    stage.receiver.adopt(&receiving_policy(&stage.ledger, &stage.lane, &[])).await;
    let published = stage.publish(1..3).await;
    stage.carry().await;
    assert_eq!(stage.receiver.held(&stage.lane).await.len(), 2);
    let right = stage.receiver.clock.now();
    stage.receiver.clock.set(Timestamp::from_seconds(right.seconds() - 3_600).unwrap());
    stage.receiver.adopt(&text).await;
    stage.receiver.gateway().retry_held(None, "operator").await.ok();
    assert!(stage.believed().await.is_empty(), "a leaf is admitted by a clock that was set back");
    stage.receiver.clock.set(right);
    stage.receiver.gateway().retry_held(None, "operator").await.unwrap();
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_trusting_period_only_an_operator_goes_on() {
    let mut stage = Stage::set().await;
    let before = stage.publish(1..3).await;
    stage.carry().await;
    stage.receiver.clock.advance(400 * 86_400);
    stage.publish(3..4).await;
    let want = stage.receiver.want(&stage.ledger.id).await;
    assert!(want.expired);
    let update = stage.next_update().await.unwrap();
    let stands = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap();
    assert_eq!(stands, want, "validators of last year may have sold their keys");
    let page = stage.next_page(64).await.unwrap();
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    assert_eq!((receipt.admitted, receipt.waiting.unwrap().reason), (0, "head-expired"));
    stage.receiver.cut_and_open().await;
    assert!(stage.receiver.want(&stage.ledger.id).await.expired);
    assert_eq!(ids(&stage.believed().await), ids(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_ahead_of_its_leaves_waits_for_them() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    let before = stage.receiver.inbox(&stage.lane).await;
    let published = stage.publish(2..4).await;
    let note = note_from(&stage, stage.origin.clock.now()).await;
    let state = stage.receiver.gateway().post_checkpoint(&courier(), &stage.lane, note).await.unwrap();
    assert_eq!((state.size, state.seen), (before.size, before.seen));
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_behind_a_heartbeat_signs_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    let right = stage.origin.clock.now().plus(3_600);
    stage.origin.clock.set(right);
    note_from(&stage, right).await;
    stage.origin.clock.set(Timestamp::from_seconds(right.seconds() - 3_000).unwrap());
    stage.ledger.certify(2);
    stage.ledger.mine();
    // What must not happen cannot be waited for: a watch that is too short passes, it never fails wrongly.
    let watched = tokio::time::Instant::now() + std::time::Duration::from_secs(3);
    while tokio::time::Instant::now() < watched {
        let time = stage.origin.lane_info(&stage.lane).await.unwrap().checkpoint_time.unwrap();
        assert!(time >= right, "signed {time} after {right}: every receiver that saw the heartbeat refuses it");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stage.origin.clock.set(right);
    stage.origin.has_published(2).await;
}
