//! One event that arrives by two lanes is one event (decision 4).

use std::time::Duration;

use hufu_gateway_server::backend::{Backend as _, EventFilter, PageQuery, UpdatesQuery};

use crate::support::{Ledger, Office, courier, ids, policy_of, until};

/// Carries everything from `origin` to `receiver`.
async fn carry_between(origin: &Office, receiver: &Office, ledger: &Ledger) {
    let lane = origin.lane();
    let (from, to) = (origin.gateway(), receiver.gateway());
    let wants = receiver.want(&ledger.id).await.wants;
    let query = UpdatesQuery { from: wants, limit: 256, wait: Duration::ZERO };
    if let Some(update) = from.updates(&ledger.id, query).await.unwrap() {
        to.post_updates(&courier(), &ledger.id, update).await.unwrap();
    }
    let state = receiver.inbox(&lane).await;
    let query = PageQuery { from: state.size, limit: 256, seen: Some(state.seen), wait: Duration::ZERO };
    if let Some(page) = from.page(&lane, query).await.unwrap() {
        to.post_page(&courier(), &lane, page).await.unwrap();
    }
}

/// How many events a subscriber of everything gets.
async fn events(office: &Office) -> Vec<String> {
    let batch = office.gateway().next_events(&EventFilter::default(), None, 256, Duration::ZERO).await.unwrap();
    batch.events.iter().map(|event| event.cloud_event["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_by_two_lanes_is_one_event() {
    let ledger = Ledger::start().await;
    let first = Office::publishing("notary.example", &ledger).await;
    let second = Office::publishing("second.example", &ledger).await;
    let (one, other) = (first.lane(), second.lane());
    let policy = policy_of(&ledger, &[(&one, &first.definitions()), (&other, &second.definitions())]);
    let receiver = Office::under_policy("tax.example", &policy).await;
    for number in 1..4 {
        ledger.certify(number);
        ledger.mine();
    }
    let published = first.has_published(3).await;
    second.has_published(3).await;
    carry_between(&first, &receiver, &ledger).await;
    carry_between(&second, &receiver, &ledger).await;
    assert_eq!(events(&receiver).await, ids(&published), "arriving by two lanes it is one event");
    assert!(receiver.held(&other).await.is_empty());
    let line = format!("hufu_leaves_total{{lane=\"{other}\",outcome=\"duplicate\"}} 3");
    assert!(receiver.metrics().contains(&line), "{line} in\n{}", receiver.metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_held_on_one_lane_and_believed_by_another_is_one_event_when_it_is_released() {
    let ledger = Ledger::start().await;
    let first = Office::publishing("notary.example", &ledger).await;
    let second = Office::publishing("second.example", &ledger).await;
    let (one, other) = (first.lane(), second.lane());
    let policy = policy_of(&ledger, &[(&one, &[]), (&other, &second.definitions())]);
    let receiver = Office::under_policy("tax.example", &policy).await;
    ledger.certify(1);
    ledger.mine();
    let published = first.has_published(1).await;
    second.has_published(1).await;
    carry_between(&first, &receiver, &ledger).await;
    carry_between(&second, &receiver, &ledger).await;
    assert_eq!(receiver.held(&one).await, ["definition-not-accepted"]);
    assert_eq!(events(&receiver).await, ids(&published));
    receiver.adopt(&policy_of(&ledger, &[(&one, &first.definitions()), (&other, &second.definitions())])).await;
    until("the held leaf to be released", || async { receiver.held(&one).await.is_empty().then_some(()) }).await;
    assert_eq!(events(&receiver).await, ids(&published));
}
