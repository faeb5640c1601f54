//! Checkpoints of idle lanes: without them the destination's records grow stale (design, decision 12).

use crate::support::{Fake, LANE, Refuse, Running, carry, relayer};

const TAKEN: &str = "hufu_relayer_checkpoints_total{outcome=\"admitted\"}";

fn note(size: usize, time: &str) -> String {
    format!("{LANE}\n{size}\nroot\ntime {time}\n\n\u{2014} land.example AAAA\n")
}

/// Two gateways of which the destination has the whole lane, and the origin's checkpoint.
fn level(leaves: usize, checkpoint: &str) -> (Fake, Fake) {
    let (origin, destination) = (Fake::with_lane(LANE, leaves), Fake::default());
    let inbox = origin.look().lanes.clone();
    origin.edit(|inner| inner.checkpoints.insert(LANE.to_owned(), checkpoint.to_owned()));
    destination.edit(|inner| inner.inbox = inbox);
    (origin, destination)
}

async fn next_round(destination: &Fake) {
    let asked = destination.look().states_asked;
    destination.until("the state is asked again", |inner| inner.states_asked > asked).await;
}

#[tokio::test]
async fn an_idle_lanes_checkpoint_arrives_once_and_each_newer_one_once() {
    let (origin, destination) = level(3, &note(3, "1"));
    let courier = carry(&origin, &destination, &format!("lanes = [\"{LANE}\"]")).await;
    destination.until("the checkpoint arrives", |inner| inner.notes.len() == 1).await;
    // After the first question of a round the last round is over: the same checkpoint came no second time.
    next_round(&destination).await;
    next_round(&destination).await;
    assert_eq!(destination.look().notes, [(LANE.to_owned(), note(3, "1"))]);
    origin.edit(|inner| inner.checkpoints.insert(LANE.to_owned(), note(3, "2")));
    destination.until("the next one arrives", |inner| inner.notes.len() == 2).await;
    assert_eq!(destination.look().notes[1].1, note(3, "2"), "byte for byte");
    courier.until_counts(TAKEN, 2).await;
    for reason in ["no-progress", "refused", "malformed"] {
        assert_eq!(
            courier.count(&format!("hufu_relayer_troubles_total{{end=\"destination\",reason=\"{reason}\"}}")),
            0
        );
    }
    courier.end().await;
}

#[tokio::test]
async fn a_refused_checkpoint_is_counted_by_code_tried_again_and_holds_up_no_page() {
    let (origin, destination) = level(3, &note(3, "1"));
    destination.edit(|inner| inner.note_refusals = vec![Refuse::with(422, "checkpoint-signature")].into());
    let courier = carry(&origin, &destination, "").await;
    courier.until_counted("hufu_relayer_refusals_total{code=\"checkpoint-signature\"}").await;
    assert_eq!(courier.count("hufu_relayer_checkpoints_total{outcome=\"refused\"}"), 1);
    courier.until_counts(TAKEN, 1).await;
    origin.grow(LANE, 1);
    destination.until("the next leaf arrives", |inner| inner.inbox[LANE].len() == 4).await;
    courier.end().await;
}

#[tokio::test]
async fn a_gateway_that_takes_no_checkpoints_is_brought_pages_all_the_same() {
    let (origin, destination) = level(3, &note(3, "1"));
    destination.edit(|inner| inner.note_refusals = vec![Refuse::with(404, "no-such-route"); 1_000].into());
    // Nothing that is missing is waited for within the deadline of the test.
    let hour = std::time::Duration::from_secs(3_600);
    let (from, to) = (origin.serve().await, destination.serve().await);
    let pace = hufu_relayer::Pace { slow_poll: hour, ..crate::support::quick() };
    let courier = Running::start(relayer(&from, &to, "").with_pace(pace));
    courier.until_counted("hufu_relayer_checkpoints_total{outcome=\"missing\"}").await;
    origin.grow(LANE, 1);
    destination.until("the next leaf arrives", |inner| inner.inbox[LANE].len() == 4).await;
    courier.end().await;
}

#[tokio::test]
async fn a_checkpoint_of_more_leaves_than_the_destination_has_is_left_to_their_page() {
    let (origin, destination) = level(3, &note(4, "1"));
    let courier = carry(&origin, &destination, &format!("lanes = [\"{LANE}\"]")).await;
    next_round(&destination).await;
    next_round(&destination).await;
    assert!(destination.look().notes.is_empty());
    origin.grow(LANE, 1);
    destination.until("the checkpoint arrives after its leaf", |inner| inner.notes.len() == 1).await;
    assert_eq!(destination.has(LANE), 4);
    courier.end().await;
}
