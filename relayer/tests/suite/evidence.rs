//! Leaves that another courier's altered evidence left held: the origin's page brings fresh evidence.

use serde_json::Value;

use crate::support::{Fake, Inner, LANE, carry};

fn pages_from(inner: &Inner, from: u64) -> usize {
    let begins = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["from"] == from;
    inner.deliveries.iter().filter(|delivery| begins(&delivery.body)).count()
}

#[tokio::test]
async fn a_page_from_the_leaf_that_wants_evidence_is_brought_and_the_lane_goes_on() {
    let (origin, destination) = (Fake::with_lane(LANE, 200), Fake::default());
    destination.edit(|inner| {
        inner.inbox.insert(LANE.to_owned(), origin.look().lanes[LANE].clone());
        inner.evidence = Some(70);
    });
    let courier = carry(&origin, &destination, "").await;
    destination.until("the evidence arrives", |inner| inner.evidence.is_none()).await;
    assert_eq!(pages_from(&destination.look(), 70), 1);
    assert!(origin.look().page_limits.contains(&64));
    origin.grow(LANE, 1);
    destination.until("the next leaf arrives", |inner| inner.inbox[LANE].len() == 201).await;
    assert_eq!(courier.count("hufu_relayer_pages_total{outcome=\"known\"}"), 1);
    courier.end().await;
}

#[tokio::test]
async fn evidence_that_never_closes_is_brought_at_its_pace_and_holds_up_no_leaf() {
    let (origin, destination) = (Fake::with_lane(LANE, 1), Fake::wanting(&[LANE]));
    destination.edit(|inner| {
        inner.evidence = Some(0);
        inner.evidence_never_closes = true;
        inner.inbox.insert(LANE.to_owned(), origin.look().lanes[LANE].clone());
    });
    let courier = carry(&origin, &destination, "").await;
    for size in 2..40 {
        origin.grow(LANE, 1);
        destination.until("the next leaf arrives", |inner| inner.inbox[LANE].len() == size).await;
    }
    destination.until("it is brought again", |inner| pages_from(inner, 0) >= 2).await;
    let deliveries = destination.look().deliveries.clone();
    let of_first = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["from"] == 0;
    let times: Vec<_> = deliveries.iter().filter(|delivery| of_first(&delivery.body)).map(|it| it.at).collect();
    let pace = crate::support::quick().evidence;
    // The pace runs from question to question; deliveries may come a little closer than that, not close.
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= pace / 2), "{times:?}");
    for reason in ["no-progress", "refused", "too-large"] {
        assert_eq!(
            courier.count(&format!("hufu_relayer_troubles_total{{end=\"destination\",reason=\"{reason}\"}}")),
            0
        );
    }
    courier.end().await;
}

#[tokio::test]
async fn an_evidence_page_that_is_too_large_comes_smaller() {
    let (origin, destination) = (Fake::with_lane(LANE, 64), Fake::default());
    // 64 leaves are 16 MiB, 32 are 8 MiB and a little, 16 fit.
    origin.edit(|inner| inner.page_padding = 256 << 10);
    destination.edit(|inner| {
        inner.inbox.insert(LANE.to_owned(), origin.look().lanes[LANE].clone());
        inner.evidence = Some(0);
    });
    let courier = carry(&origin, &destination, "").await;
    destination.until("the evidence arrives", |inner| inner.evidence.is_none()).await;
    let limits: Vec<_> = origin.look().page_limits.iter().copied().filter(|limit| *limit <= 64).collect();
    assert_eq!(limits, [64, 32, 16]);
    courier.end().await;
}
