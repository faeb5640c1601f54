//! Head updates, and pages that wait for them.

use std::time::Duration;

use hufu_relayer::Pace;

use crate::support::{Fake, LANE, LEDGER, Refuse, Running, carry, quick, relayer};

fn blocks(count: usize) -> Vec<String> {
    (0..count).map(|height| format!("block {height}")).collect()
}

#[tokio::test]
async fn decision_8_updates_go_to_whoever_wants_them_from_the_height_it_wants() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| inner.ledger = blocks(9));
    destination.edit(|inner| inner.wants = Some(4));
    let courier = carry(&origin, &destination, "").await;
    destination.until("the head comes to 9", |inner| inner.wants == Some(9)).await;
    let first = destination.look().deliveries[0].clone();
    assert_eq!(first.to, LEDGER);
    assert!(String::from_utf8_lossy(&first.body).contains("block 4"));
    courier.until_counted("hufu_relayer_updates_total{outcome=\"admitted\"}").await;
    courier.end().await;
}

#[tokio::test]
async fn updates_travel_compressed_as_they_came() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| (inner.ledger, inner.zips) = (blocks(600), true));
    destination.edit(|inner| inner.wants = Some(0));
    let courier = carry(&origin, &destination, "").await;
    destination.until("the head comes to 600", |inner| inner.wants == Some(600)).await;
    assert_eq!(destination.look().zipped, 2);
    courier.end().await;
}

#[tokio::test]
async fn a_destination_that_takes_no_compressed_updates_gets_plain_ones() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| (inner.ledger, inner.zips) = (blocks(9), true));
    destination.edit(|inner| (inner.wants, inner.refuses_zipped) = (Some(0), true));
    // Only plain ones help within the deadline of the test: after any other refusal it would wait up to an hour.
    let hour = Duration::from_secs(3_600);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let pace = Pace { backoff_first: hour, backoff_most: hour, ..quick() };
    let courier = Running::start(relayer(&from, &to, "").with_pace(pace));
    destination.until("the head comes to 9", |inner| inner.wants == Some(9)).await;
    assert_eq!(destination.look().zipped, 1, "it is not tried again");
    courier.end().await;
}

#[tokio::test]
async fn a_refused_update_is_counted_and_tried_again() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| inner.ledger = blocks(2));
    destination.edit(|inner| {
        inner.wants = Some(0);
        inner.refusals.insert(LEDGER.to_owned(), vec![Refuse::with(422, "quorum-not-met"); 3].into());
    });
    let courier = carry(&origin, &destination, "").await;
    destination.until("the head comes to 2", |inner| inner.wants == Some(2)).await;
    assert_eq!(courier.count("hufu_relayer_refusals_total{code=\"quorum-not-met\"}"), 3);
    assert_eq!(courier.count("hufu_relayer_updates_total{outcome=\"refused\"}"), 3);
    courier.end().await;
}

#[tokio::test]
async fn a_destination_that_is_600_headers_behind_catches_up() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| inner.ledger = blocks(600));
    destination.edit(|inner| inner.wants = Some(0));
    let courier = carry(&origin, &destination, "").await;
    destination.until("the head comes to 600", |inner| inner.wants == Some(600)).await;
    courier.until_counts("hufu_relayer_updates_total{outcome=\"admitted\"}", 2).await;
    assert_eq!(courier.count("hufu_relayer_updates_total{outcome=\"refused\"}"), 0, "asked for what is taken");
    courier.end().await;
}

#[tokio::test]
async fn steps_that_cost_the_destination_too_much_come_in_smaller_batches() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| inner.ledger = blocks(600));
    destination.edit(|inner| {
        inner.wants = Some(0);
        inner.steps_most = Some(100);
        inner.refusals.insert(LEDGER.to_owned(), vec![Refuse::with(422, "update-malformed")].into());
    });
    // Only fewer steps help within the deadline of the test: after any other refusal it would wait up to an hour.
    let hour = Duration::from_secs(3_600);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let pace = Pace { backoff_first: hour, backoff_most: hour, ..quick() };
    let courier = Running::start(relayer(&from, &to, "").with_pace(pace));
    destination.until("the head comes to 600", |inner| inner.wants == Some(600)).await;
    assert_eq!(courier.count("hufu_relayer_refusals_total{code=\"update-malformed\"}"), 1);
    assert!(courier.count("hufu_relayer_refusals_total{code=\"budget-exhausted\"}") >= 2);
    courier.end().await;
}

#[tokio::test]
async fn another_branch_is_carried_from_where_the_destination_can_judge_it() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| inner.ledger = blocks(9));
    destination.edit(|inner| (inner.wants, inner.branch_from) = (Some(6), Some(2)));
    // No pause helps within the deadline of the test.
    let hour = Duration::from_secs(3_600);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let pace = Pace { backoff_first: hour, backoff_most: hour, ..quick() };
    let courier = Running::start(relayer(&from, &to, "").with_pace(pace));
    destination.until("the head comes to 9", |inner| inner.wants == Some(9)).await;
    let firsts: Vec<bool> = destination.look().deliveries.iter().map(|it| holds(&it.body, "block 2")).collect();
    assert_eq!(firsts, [false, true], "what was wanted, then the branch from further down");
    courier.end().await;
}

#[tokio::test]
async fn a_branch_that_is_left_is_not_carried_again_without_a_pause() {
    let (origin, destination) = (Fake::default(), Fake::default());
    origin.edit(|inner| inner.ledger = blocks(9));
    destination.edit(|inner| (inner.wants, inner.branch_from, inner.leaves_branch) = (Some(6), Some(2), true));
    let hour = Duration::from_secs(3_600);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let pace = Pace { backoff_first: hour, backoff_most: hour, ..quick() };
    let courier = Running::start(relayer(&from, &to, "").with_pace(pace));
    courier.until_counted("hufu_relayer_updates_total{outcome=\"no-progress\"}").await;
    assert_eq!(destination.look().deliveries.len(), 2);
    courier.end().await;
}

fn holds(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).contains(text)
}

#[tokio::test]
async fn a_page_waits_for_its_ledger_and_goes_on_with_what_is_missing() {
    let origin = Fake::with_lane(LANE, 6);
    let destination = Fake::wanting(&[LANE]);
    destination.edit(|inner| {
        inner.wants = Some(2);
        inner.leaves_wait_for_ledger = true;
    });
    let courier = carry(&origin, &destination, "").await;
    destination.until("two leaves arrive", |inner| inner.inbox[LANE].len() == 2).await;
    courier.until_counted("hufu_relayer_pages_total{outcome=\"waiting\"}").await;
    origin.edit(|inner| inner.ledger = blocks(6));
    destination.until("all leaves arrive", |inner| inner.inbox[LANE].len() == 6).await;
    courier.end().await;
}

#[tokio::test]
async fn a_step_of_the_ledger_wakes_the_page_that_waits_for_it() {
    let origin = Fake::with_lane(LANE, 2);
    let destination = Fake::default();
    destination.edit(|inner| {
        inner.wants = Some(1);
        inner.leaves_wait_for_ledger = true;
    });
    // Nothing but the ledger's step can wake the lane within the deadline of the test.
    let hour = Duration::from_secs(3_600);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let courier = Running::start(relayer(&from, &to, "").with_pace(Pace { ledger_first: hour, ..quick() }));
    courier.until_shown("hufu_relayer_ledger_position{").await;
    destination.edit(|inner| inner.inbox.insert(LANE.to_owned(), Vec::new()));
    courier.until_counted("hufu_relayer_pages_total{outcome=\"waiting\"}").await;
    origin.edit(|inner| inner.ledger = blocks(2));
    destination.until("all leaves arrive", |inner| inner.inbox[LANE].len() == 2).await;
    courier.end().await;
}
