//! Records go from a ledger to another office: whole, once, in order.

use std::time::Duration;

use bytes::Bytes;
use hufu_gateway_server::backend::{Backend as _, LaneRole, PageQuery};
use hufu_gateway_server::http::ProblemCode;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::statement::{Leaf, Statement};
use serde_json::{Value, json};

use crate::support::{Ledger, Office, Stage, courier, ids, until};

/// The leaves of a page, opened.
fn leaves(page: &Page) -> Vec<Leaf> {
    page.opened.iter().map(|leaf| Statement::parse(leaf.statement.as_bytes()).unwrap().leaf().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_proven_and_in_order() {
    let stage = Stage::set().await;
    let published = stage.publish(1..6).await;
    let receipts = stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(ids(&believed), ids(&published));
    assert_eq!(receipts.iter().map(|receipt| receipt.admitted).sum::<u64>(), 5);
    let sequences: Vec<u64> = believed.iter().map(|record| record["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    for (record, number) in believed.iter().zip(1..) {
        let expected = json!({
            "assurance": "proven", "control": "issuer-controlled", "finality": "bft-final", "completeness": "ledger",
            "stale": false,
        });
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&record[member], value, "{member} of {record}");
        }
        assert_eq!(record["record"]["body"]["number"], format!("湘(2026)第{number:07}号"));
    }
    let info = stage.receiver.lane_info(&stage.lane).await.unwrap();
    assert_eq!((info.role, info.frozen), (LaneRole::Inbox, None));
    let origin = stage.origin.lane_info(&stage.lane).await.unwrap();
    assert_eq!((info.size, info.checkpoint), (origin.size, origin.checkpoint));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_ledger_make_the_same_ids() {
    let ledger = Ledger::start().await;
    let first = Office::publishing("notary.example", &ledger).await;
    let second = Office::publishing("second.example", &ledger).await;
    // They met the ledger at different times.
    second.clock.advance(77);
    for number in 1..5 {
        ledger.certify(number);
        ledger.mine();
    }
    let (one, other) = (first.has_published(4).await, second.has_published(4).await);
    assert_eq!(ids(&one), ids(&other));
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one["record"], other["record"], "nothing in a record depends on who read it or when");
        assert_ne!(one["lane"], other["lane"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posting_a_page_again_changes_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry_updates().await;
    let page = stage.next_page(64).await.unwrap();
    let first = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    let (before, state) = (stage.believed().await, stage.receiver.inbox(&stage.lane).await);
    for _ in 0..3 {
        let again = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
        assert_eq!((again.size, again.admitted, again.held), (first.size, 0, 0));
        assert_eq!(again.known, u64::try_from(page.entries.len()).unwrap());
    }
    assert_eq!(stage.believed().await, before);
    assert_eq!(stage.receiver.inbox(&stage.lane).await, state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_overlaps_brings_only_what_is_new() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry().await;
    let known = stage.receiver.inbox(&stage.lane).await.size;
    let published = stage.publish(4..6).await;
    stage.carry_updates().await;
    let whole = stage.page_from(0, None, 64).await.unwrap();
    let receipt = stage.receiver.post_page(&stage.lane, &whole).await.unwrap();
    assert_eq!((receipt.known, receipt.admitted), (known, 2));
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_couriers_racing_lose_and_double_nothing() {
    let stage = Stage::set().await;
    let published = stage.publish(1..9).await;
    let size = stage.origin.lane_info(&stage.lane).await.unwrap().size;
    // Small pages and no agreement: each asks, carries, and may come too late.
    let errand = || async {
        until("the whole lane at the receiver", || async {
            if let Some(update) = stage.next_update().await {
                stage.receiver.post_updates(&stage.ledger.id, &update).await.ok();
            }
            if let Some(page) = stage.next_page(2).await {
                match stage.receiver.post_page(&stage.lane, &page).await {
                    Ok(_) => {}
                    Err(problem) => assert_eq!(problem.code, ProblemCode::Busy, "{problem:?}"),
                }
            }
            (stage.receiver.inbox(&stage.lane).await.size == size).then_some(())
        })
        .await;
    };
    tokio::join!(errand(), errand(), errand());
    assert_eq!(ids(&stage.believed().await), ids(&published));
    assert!(stage.receiver.held(&stage.lane).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_a_gap_is_answered_with_the_wanted_leaf() {
    let stage = Stage::set().await;
    stage.publish(1..5).await;
    stage.carry_updates().await;
    let first = stage.page_from(0, None, 2).await.unwrap();
    stage.receiver.post_page(&stage.lane, &first).await.unwrap();
    let page = stage.page_from(3, None, 64).await.unwrap();
    let problem = stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::LeafGap);
    assert_eq!((problem.expected.as_deref(), problem.got.as_deref()), (Some("2"), Some("3")));
    assert_eq!(stage.receiver.inbox(&stage.lane).await.size, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ahead_of_its_headers_says_what_it_waits_for() {
    let stage = Stage::set().await;
    let published = stage.publish(1..3).await;
    let page = stage.next_page(64).await.unwrap();
    let receipt = stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    let waiting = receipt.waiting.unwrap();
    assert_eq!(waiting.ledger.as_ref(), Some(&stage.ledger.id));
    assert_eq!(receipt.admitted, 0);
    assert_eq!(stage.receiver.inbox(&stage.lane).await.waiting, Some(waiting));
    assert!(stage.believed().await.is_empty());
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    assert_eq!(stage.receiver.inbox(&stage.lane).await.waiting, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_covered_lane_without_events_shows_progress() {
    let stage = Stage::set().await;
    for _ in 0..300 {
        stage.ledger.mine();
    }
    let size = until("a covered leaf of a lane on which nothing happened", || async {
        let info = stage.origin.lane_info(&stage.lane).await?;
        (info.size > 1 && info.checkpoint == info.size).then_some(info.size)
    })
    .await;
    let page = stage.page_from(0, None, 64).await.unwrap();
    let covered: Vec<_> = leaves(&page)
        .into_iter()
        .filter_map(|leaf| match leaf {
            Leaf::Covered(covered) => Some(covered),
            _ => None,
        })
        .collect();
    assert_eq!(covered.iter().map(|leaf| leaf.matches).sum::<u64>(), 0);
    assert_eq!(covered[0].from.get(), 1);
    assert!(covered[0].to.get() >= 256, "{covered:?}");
    stage.carry().await;
    assert!(stage.receiver.inbox(&stage.lane).await.size >= size);
    assert!(stage.believed().await.is_empty());
    let derived = stage.receiver.lane_info(&stage.lane).await.unwrap().derived.unwrap();
    assert_eq!((derived.from, derived.gap), (Some(covered[0].from), None), "nothing was withheld either");
    assert!(derived.to.is_some_and(|to| to >= covered[0].to), "{:?}", derived.to);
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_events_are_said() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.ledger.certify_without_meaning(2);
    stage.ledger.mine();
    let published = stage.publish(3..4).await;
    assert_eq!(published.len(), 2);
    let page = stage.page_from(0, None, 64).await.unwrap();
    let skipped: Vec<_> = leaves(&page)
        .into_iter()
        .filter_map(|leaf| match leaf {
            Leaf::Skipped(skipped) => Some(skipped),
            _ => None,
        })
        .collect();
    assert_eq!(skipped.len(), 1, "an event that cannot be mapped is a leaf, never silence");
    assert_eq!((skipped[0].position.height.get(), skipped[0].reason.as_str()), (3, "mapping"));
    assert!(skipped[0].detail.contains("/status/state"), "{}", skipped[0].detail);
    let matches: u64 = leaves(&page).iter().map(|leaf| if let Leaf::Covered(it) = leaf { it.matches } else { 0 }).sum();
    assert_eq!(matches, 3, "coverage counts what matched, skipped or not");
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    let line = format!("hufu_leaves_total{{lane=\"{}\",outcome=\"skipped\"}} 1", stage.lane);
    assert!(stage.receiver.metrics().contains(&line), "{line} in {}", stage.receiver.metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_events_of_one_block_are_two_records() {
    let stage = Stage::set().await;
    for number in 1..4 {
        stage.ledger.certify(number);
    }
    stage.ledger.mine();
    let published = stage.origin.has_published(3).await;
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(ids(&believed), ids(&published));
    assert!(believed.iter().all(|record| record["height"] == believed[0]["height"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_who_waits_is_woken_by_the_leaf() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    let size = stage.origin.lane_info(&stage.lane).await.unwrap().size;
    let query = PageQuery { from: size, limit: 64, seen: None, wait: Duration::from_secs(30) };
    let asked = stage.origin.gateway().page(&stage.lane, query);
    let (answer, _) = tokio::join!(asked, stage.publish(2..3));
    let page: Value = serde_json::from_slice(&answer.unwrap().expect("a page within the wait")).unwrap();
    assert_eq!(page["from"], size);
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_and_ledgers_outside_the_policy_are_refused_and_make_no_metric_label() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    let stranger = Ledger::of_seed(9).await;
    let lane = hufu_schemas_core::LaneId::parse("nobody.example/invented/1").unwrap();
    let receiver = stage.receiver.gateway();
    let page = receiver.post_page(&courier(), &lane, Bytes::from_static(b"{}")).await.unwrap_err();
    assert_eq!(page.code, ProblemCode::NoSuchLane);
    let state = receiver.inbox_state(&lane).await.unwrap_err();
    assert_eq!(state.code, ProblemCode::NoSuchLane);
    let note = receiver.post_checkpoint(&courier(), &lane, Bytes::from_static(b"note")).await.unwrap_err();
    assert_eq!(note.code, ProblemCode::NoSuchLane);
    let update = receiver.post_updates(&courier(), &stranger.id, Bytes::from_static(b"{}")).await.unwrap_err();
    assert_eq!(update.code, ProblemCode::NoSuchLedger);
    assert!(receiver.freeze_lane(&lane, "a typing mistake", "operator").await.is_err());
    assert!(receiver.thaw_ledger(&stranger.id, "a typing mistake", "operator").await.is_err());
    receiver.observe().await;
    let text = stage.receiver.metrics();
    assert!(text.contains(stage.lane.to_string().as_str()));
    assert!(!text.contains("invented") && !text.contains(stranger.id.as_str()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_pages_of_a_log_that_grows_meanwhile_close() {
    let stage = Stage::set().await;
    let mut published = stage.publish(1..5).await;
    for number in 5..9 {
        stage.carry_updates().await;
        let page = stage.next_page(1).await.unwrap();
        stage.receiver.post_page(&stage.lane, &page).await.unwrap();
        let seen = stage.receiver.inbox(&stage.lane).await;
        assert!(seen.seen > seen.size, "the checkpoint seen is ahead of the leaves: {seen:?}");
        published = stage.publish(number..number + 1).await;
    }
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}
