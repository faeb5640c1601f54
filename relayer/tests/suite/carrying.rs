//! What arrives: everything, in order, byte for byte, whatever happens to the courier.

use crate::support::{Fake, LANE, OTHER_LANE, Running, carry, relayer};

fn arrived(destination: &Fake, lane: &str, leaves: usize) {
    let expected: Vec<_> = (0..leaves).map(|i| format!("{lane}#{i}")).collect();
    assert_eq!(destination.look().inbox[lane], expected);
}

#[tokio::test]
async fn pages_arrive_in_order_and_byte_for_byte() {
    let origin = Fake::with_lane(LANE, 2_500);
    let destination = Fake::wanting(&[LANE]);
    let courier = carry(&origin, &destination, "").await;
    destination.until("all leaves arrive", |inner| inner.inbox[LANE].len() == 2_500).await;
    origin.grow(LANE, 1);
    destination.until("the new leaf arrives", |inner| inner.inbox[LANE].len() == 2_501).await;
    arrived(&destination, LANE, 2_501);
    let served = origin.look().pages_served.clone();
    let came: Vec<_> = destination.look().deliveries.iter().map(|delivery| delivery.body.clone()).collect();
    assert_eq!(served, came);
    courier.until_counts("hufu_relayer_pages_total{outcome=\"admitted\"}", 4).await;
    let bytes: usize = served.iter().map(|page| page.len()).sum();
    assert_eq!(courier.count("hufu_relayer_bytes_total{direction=\"read\"}"), bytes as u64);
    let text = courier.metrics.render();
    let origin_at = text.lines().find(|line| line.starts_with("hufu_relayer_lane_position{end=\"origin\"")).unwrap();
    assert!(origin_at.ends_with(" 2501"), "{origin_at}");
    assert!(text.contains("hufu_relayer_last_success_timestamp_seconds{pair="));
    courier.end().await;
}

#[tokio::test]
async fn lanes_that_the_destination_does_not_know_are_left_alone_until_it_does() {
    let origin = Fake::with_lane(LANE, 3);
    origin.grow(OTHER_LANE, 3);
    let destination = Fake::wanting(&[LANE]);
    let courier = carry(&origin, &destination, "").await;
    destination.until("the wanted lane arrives", |inner| inner.inbox[LANE].len() == 3).await;
    assert!(destination.look().deliveries.iter().all(|delivery| delivery.to == LANE));
    destination.edit(|inner| inner.inbox.insert(OTHER_LANE.to_owned(), Vec::new()));
    destination.until("the other lane arrives", |inner| inner.inbox[OTHER_LANE].len() == 3).await;
    courier.end().await;
}

#[tokio::test]
async fn configured_lanes_alone_are_carried() {
    let origin = Fake::with_lane(LANE, 3);
    origin.grow(OTHER_LANE, 3);
    let destination = Fake::wanting(&[LANE, OTHER_LANE]);
    let courier = carry(&origin, &destination, &format!("lanes = [\"{OTHER_LANE}\"]")).await;
    destination.until("the configured lane arrives", |inner| inner.inbox[OTHER_LANE].len() == 3).await;
    let asked = destination.look().states_asked;
    destination.until("another round", |inner| inner.states_asked > asked).await;
    assert_eq!(destination.has(LANE), 0);
    courier.end().await;
}

#[tokio::test]
async fn a_restart_midway_needs_nothing_and_repeats_nothing() {
    let origin = Fake::with_lane(LANE, 2_000);
    let destination = Fake::wanting(&[LANE]);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let first = Running::start(relayer(&from, &to, ""));
    destination.until("the first page arrives", |inner| inner.inbox[LANE].len() >= 1_024).await;
    first.end().await;
    origin.grow(LANE, 500);
    let second = Running::start(relayer(&from, &to, ""));
    destination.until("the rest arrives", |inner| inner.inbox[LANE].len() == 2_500).await;
    arrived(&destination, LANE, 2_500);
    assert_eq!(second.count("hufu_relayer_pages_total{outcome=\"known\"}"), 0);
    second.end().await;
}

#[tokio::test]
async fn two_couriers_at_once_deliver_everything_once() {
    let origin = Fake::with_lane(LANE, 100);
    let destination = Fake::wanting(&[LANE]);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let couriers = [Running::start(relayer(&from, &to, "")), Running::start(relayer(&from, &to, ""))];
    for size in (1..=20).map(|round| 100 + round * 10) {
        origin.grow(LANE, 10);
        destination.until("the leaves arrive", |inner| inner.inbox[LANE].len() == size).await;
    }
    arrived(&destination, LANE, 300);
    // The slower one ends its rounds with what the other brought: no trouble.
    for courier in couriers {
        for end in ["origin", "destination"] {
            for reason in ["refused", "no-progress", "malformed", "server"] {
                let line = format!("hufu_relayer_troubles_total{{end=\"{end}\",reason=\"{reason}\"}}");
                assert_eq!(courier.count(&line), 0, "{line}");
            }
        }
        courier.end().await;
    }
}

#[tokio::test]
async fn one_of_two_couriers_dies_and_nothing_is_lost() {
    let origin = Fake::with_lane(LANE, 1_500);
    let destination = Fake::wanting(&[LANE]);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let (one, other) = (Running::start(relayer(&from, &to, "")), Running::start(relayer(&from, &to, "")));
    destination.until("the first page arrives", |inner| inner.inbox[LANE].len() >= 1_024).await;
    one.end().await;
    origin.grow(LANE, 1_000);
    destination.until("the rest arrives", |inner| inner.inbox[LANE].len() == 2_500).await;
    arrived(&destination, LANE, 2_500);
    other.end().await;
}
