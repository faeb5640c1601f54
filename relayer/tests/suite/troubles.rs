//! Gateways that refuse, lag, or send too much.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use hufu_relayer::{Pace, Relayer, RelayerConfig, SystemClock};

use crate::support::{Fake, LANE, OTHER_LANE, Refuse, Running, carry, quick, relayer};

fn refusing(lane: &str, refusals: Vec<Refuse>) -> Fake {
    let destination = Fake::wanting(&[LANE, OTHER_LANE]);
    destination.edit(|inner| inner.refusals.insert(lane.to_owned(), refusals.into()));
    destination
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let origin = Fake::with_lane(LANE, 3);
    let destination = refusing(LANE, vec![Refuse { retry_after: Some(1), ..Refuse::with(503, "busy") }]);
    let courier = carry(&origin, &destination, "").await;
    destination.until("the page arrives", |inner| inner.inbox[LANE].len() == 3).await;
    let deliveries = destination.look().deliveries.clone();
    assert!(deliveries[1].at - deliveries[0].at >= Duration::from_secs(1));
    assert_eq!(courier.count("hufu_relayer_pages_total{outcome=\"busy\"}"), 1);
    courier.end().await;
}

#[tokio::test]
async fn a_retry_after_of_a_year_does_not_stop_the_courier_for_a_year() {
    let origin = Fake::with_lane(LANE, 3);
    let destination = refusing(LANE, vec![Refuse { retry_after: Some(31_536_000), ..Refuse::with(429, "quota") }]);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let pace = Pace { retry_after_most: Duration::from_millis(20), ..quick() };
    let courier = Running::start(relayer(&from, &to, "").with_pace(pace));
    destination.until("the page arrives", |inner| inner.inbox[LANE].len() == 3).await;
    courier.end().await;
}

#[tokio::test]
async fn a_gap_makes_it_ask_again() {
    let origin = Fake::with_lane(LANE, 3);
    let destination = refusing(LANE, vec![Refuse::with(409, "leaf-gap")]);
    let courier = carry(&origin, &destination, &format!("lanes = [\"{LANE}\"]")).await;
    destination.until("the page arrives", |inner| inner.inbox[LANE].len() == 3).await;
    assert!(destination.look().states_asked >= 2);
    assert_eq!(courier.count("hufu_relayer_pages_total{outcome=\"gap\"}"), 1);
    courier.end().await;
}

#[tokio::test]
async fn a_destination_restored_from_a_backup_is_carried_what_it_lost() {
    let origin = Fake::with_lane(LANE, 10);
    let destination = Fake::wanting(&[LANE]);
    let courier = carry(&origin, &destination, "").await;
    destination.until("the lane arrives", |inner| inner.inbox[LANE].len() == 10).await;
    destination.edit(|inner| inner.inbox.get_mut(LANE).unwrap().truncate(4));
    origin.grow(LANE, 1);
    destination.until("the lane arrives again", |inner| inner.inbox[LANE].len() == 11).await;
    courier.end().await;
}

#[tokio::test]
async fn a_refused_page_is_counted_by_code_never_skipped_and_stops_no_other_lane() {
    let origin = Fake::with_lane(LANE, 3);
    origin.grow(OTHER_LANE, 3);
    let destination = Fake::wanting(&[LANE, OTHER_LANE]);
    destination.edit(|inner| inner.always.insert(LANE.to_owned(), Refuse::with(422, "log-root-mismatch")));
    let courier = carry(&origin, &destination, "").await;
    let refused = |n: usize| {
        move |inner: &crate::support::Inner| inner.deliveries.iter().filter(|delivery| delivery.to == LANE).count() >= n
    };
    destination.until("the page is tried again", refused(3)).await;
    destination.until("the other lane arrives", |inner| inner.inbox[OTHER_LANE].len() == 3).await;
    origin.grow(OTHER_LANE, 3);
    destination.until("the other lane goes on", |inner| inner.inbox[OTHER_LANE].len() == 6).await;
    assert!(courier.count("hufu_relayer_refusals_total{code=\"log-root-mismatch\"}") >= 2);
    assert_eq!(destination.has(LANE), 0);
    // The operator acts.
    destination.edit(|inner| inner.always.clear());
    destination.until("the refused lane goes on", |inner| inner.inbox[LANE].len() == 3).await;
    courier.end().await;
}

#[tokio::test]
async fn a_frozen_lane_is_left_alone_until_it_is_thawed() {
    let origin = Fake::with_lane(LANE, 3);
    let destination = Fake::wanting(&[LANE]);
    destination.edit(|inner| inner.frozen = true);
    let courier = carry(&origin, &destination, "").await;
    destination.until("it is asked again", |inner| inner.states_asked > 3).await;
    assert!(destination.look().deliveries.is_empty());
    destination.edit(|inner| inner.frozen = false);
    destination.until("the lane arrives", |inner| inner.inbox[LANE].len() == 3).await;
    courier.end().await;
}

#[tokio::test]
async fn a_page_larger_than_the_cap_is_refused_and_less_is_asked_for() {
    let origin = Fake::with_lane(LANE, 8);
    // Eight leaves are 16 MiB, four are 8 MiB and a little, two fit.
    origin.edit(|inner| inner.page_padding = 2 << 20);
    let destination = Fake::wanting(&[LANE]);
    let courier = carry(&origin, &destination, "").await;
    destination.until("all leaves arrive", |inner| inner.inbox[LANE].len() == 8).await;
    assert!(courier.count("hufu_relayer_pages_total{outcome=\"too-large\"}") >= 2);
    assert!(destination.look().deliveries.iter().all(|delivery| delivery.body.len() <= 8 << 20));
    courier.end().await;
}

#[tokio::test]
async fn a_leaf_that_fits_in_no_page_is_counted_and_not_skipped() {
    let origin = Fake::with_lane(LANE, 1);
    origin.edit(|inner| inner.page_padding = 9 << 20);
    let destination = Fake::wanting(&[LANE]);
    let courier = carry(&origin, &destination, "").await;
    origin
        .until("one leaf is asked for twice", |inner| inner.page_limits.iter().filter(|n| **n == 1).count() >= 2)
        .await;
    assert!(courier.count("hufu_relayer_pages_total{outcome=\"too-large\"}") >= 11);
    assert!(destination.look().deliveries.is_empty());
    courier.end().await;
}

#[tokio::test]
async fn gateways_that_are_away_are_waited_for() {
    let origin = Fake::with_lane(LANE, 3);
    let destination = Fake::wanting(&[LANE]);
    // An address that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let from = origin.serve().await;
    let courier = Running::start(relayer(&from, &format!("http://{free}"), ""));
    courier.until_counted("hufu_relayer_troubles_total{end=\"destination\",reason=\"connect\"}").await;
    let listener = tokio::net::TcpListener::bind(free).await.unwrap();
    let router = destination.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    destination.until("the lane arrives", |inner| inner.inbox[LANE].len() == 3).await;
    courier.end().await;
}

#[tokio::test]
async fn monitoring_shows_metrics_and_health() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "[relayer]\nname = \"a\"\ninsecure_loopback = true\nmonitoring = \"{free}\"\n\
         [[pair]]\norigin = \"http://127.0.0.1:1\"\ndestination = \"http://127.0.0.1:2\"\n"
    );
    let config = RelayerConfig::parse("relayer.toml", &text).unwrap();
    let relayer = Relayer::new(config, Arc::new(SystemClock)).unwrap().with_pace(quick());
    let courier = Running::start(relayer);
    courier.until_counted("hufu_relayer_troubles_total{end=\"destination\",reason=\"connect\"}").await;
    let ask = move |path: &'static str| {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(free).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
    };
    assert!(ask("/healthz").await.unwrap().ends_with("ok\n"));
    assert!(ask("/metrics").await.unwrap().contains("# TYPE hufu_relayer_troubles_total counter"));
    courier.end().await;
}
