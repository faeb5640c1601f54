//! Limits that nodes set us are kept, and their work is done elsewhere meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hufu_adapters_source::{Source as _, SourceError};
use hufu_evm_source::EvmSource;
use serde_json::json;

use crate::fake::{Fake, error, status};
use crate::support::{at, benched, config, devnet, node, source, until};

const TIP: u64 = 40;

#[tokio::test]
async fn a_node_that_asks_for_a_pause_is_left_alone_and_others_are_asked() {
    let devnet = devnet(TIP).await;
    let date: [(&str, &str); 2] =
        [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:59:37 GMT")];
    let seconds = [("retry-after", "600")];
    for (code, headers) in [(429, date.as_slice()), (503, date.as_slice()), (429, &seconds), (503, &seconds)] {
        let headers: Vec<_> = headers.to_vec();
        let (fake, url) = Fake::of(&devnet).rule(move |_, _| Some(status(code, &headers))).serve().await;
        let source = source(&devnet, vec![node("busy", &url), node("good", &devnet.url())]);
        for _ in 0..3 {
            assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
        }
        assert_eq!((fake.asked(), benched(&source, "busy")), (1, Some("unreachable")), "{code}");
    }
}

#[tokio::test]
async fn too_many_requests_without_a_time_is_a_rest_too() {
    let devnet = devnet(TIP).await;
    let (fake, url) = Fake::of(&devnet).rule(|turn, _| (turn == 0).then(|| status(429, &[]))).serve().await;
    let mut config = config(&devnet, vec![node("busy", &url), node("good", &devnet.url())]);
    config.patience.rest = Duration::from_millis(200);
    let source = EvmSource::new(config).unwrap();
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
    assert_eq!((fake.asked(), benched(&source, "busy")), (1, Some("unreachable")));
    until("the rest to end", || benched(&source, "busy").is_none()).await;
}

#[tokio::test]
async fn no_pause_is_longer_than_the_longest_bench() {
    let devnet = devnet(TIP).await;
    let (_, url) = Fake::of(&devnet).rule(|_, _| Some(status(429, &[("retry-after", "4294967295")]))).serve().await;
    let mut config = config(&devnet, vec![node("busy", &url)]);
    config.patience.bench_most = Duration::from_millis(200);
    let source = EvmSource::new(config).unwrap();
    assert!(matches!(source.tip().await, Err(SourceError::Unavailable { .. })));
    until("the rest to end", || benched(&source, "busy").is_none()).await;
}

/// -32005 for the whole batch, and for each call of it.
#[tokio::test]
async fn a_limit_of_json_rpc_rests_the_node_halves_its_batches_and_lets_them_grow_again() {
    let devnet = devnet(TIP).await;
    let limit = json!({ "code": -32005, "message": "limit exceeded", "data": { "rate": { "backoff_seconds": 0.2 } } });
    let whole = limit.clone();
    let whole = Fake::of(&devnet).rule(move |_, calls| (calls.len() > 8).then(|| error(whole.clone())));
    let each = Fake::of(&devnet).rule(move |_, calls| {
        let answer = |call: &serde_json::Value| json!({ "jsonrpc": "2.0", "id": call["id"], "error": limit });
        (calls.len() > 8).then(|| axum::Json(calls.iter().map(answer).collect::<Vec<_>>()).into_response())
    });
    use axum::response::IntoResponse as _;
    for fake in [whole, each] {
        let (fake, url) = fake.serve().await;
        let mut config = config(&devnet, vec![node("strict", &url)]);
        config.limits.batch = 16;
        config.limits.in_flight = 1;
        let source = EvmSource::new(config).unwrap();
        let refused = source.steps(at(0), 100).await.unwrap_err();
        assert!(matches!(&refused, SourceError::Unavailable { detail, .. } if detail.contains("limit")), "{refused}");
        assert_eq!(benched(&source, "strict"), Some("unreachable"));
        let asked = fake.asked();
        assert!(source.steps(at(0), 100).await.is_err());
        assert_eq!(fake.asked(), asked, "it rests");
        until("the rest to end", || benched(&source, "strict").is_none()).await;
        assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
        // 41 headers are five full batches of eight: the size is tried again after a number of them.
        let mut rounds = 0;
        while source.steps(at(0), 100).await.is_ok() {
            rounds += 1;
            assert!(rounds < 100, "expected larger batches some day: {:?}", fake.batches.lock().unwrap());
        }
        let batches = fake.batches.lock().unwrap().clone();
        assert_eq!(batches.iter().filter(|calls| **calls > 8).count(), 2, "{batches:?}");
    }
}

#[tokio::test]
async fn requests_a_second_are_as_many_as_the_operator_of_the_node_allows() {
    let devnet = devnet(TIP).await;
    let (fake, url) = Fake::of(&devnet).serve().await;
    let mut node = node("slow", &url);
    node.requests_per_second = Some(20);
    let begin = Instant::now();
    let source = source(&devnet, vec![node]);
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
    // Genesis, height and 41 headers: 43 requests, of which 20 are free and 23 wait their turn.
    assert!(begin.elapsed() >= Duration::from_millis(1_150), "{:?}", begin.elapsed());
    let batches = fake.batches.lock().unwrap();
    assert!(batches.iter().all(|calls| *calls <= 20), "{batches:?}");
}

#[tokio::test]
async fn a_node_that_allows_little_does_not_hold_up_the_others() {
    let devnet = devnet(TIP).await;
    let (fake, url) = Fake::of(&devnet).serve().await;
    let mut slow = node("slow", &url);
    slow.requests_per_second = Some(2);
    let begin = Instant::now();
    let source = source(&devnet, vec![node("good", &devnet.url()), slow]);
    for height in 1..=20 {
        devnet.mine().unwrap();
        assert_eq!(source.tip().await.unwrap(), at(TIP + height));
        assert_eq!(source.steps(at(TIP + height), 10).await.unwrap().len(), 1);
        source.others(at(TIP)).await.unwrap();
    }
    // Two are free, and two a second come after them.
    let allowed = 2 + 2 * usize::try_from(begin.elapsed().as_secs() + 1).unwrap();
    assert!(fake.asked() <= allowed, "{} requests of {allowed}", fake.asked());
    // Genesis and height are asked for; what could wait was not.
    assert!(fake.asked() < 20, "{} requests", fake.asked());
    assert_eq!(benched(&source, "slow"), None);
}

#[tokio::test]
async fn several_batches_are_in_flight_and_no_more_than_the_limit() {
    let devnet = devnet(TIP).await;
    let (fake, url) = Fake::of(&devnet).together(3).serve().await;
    let mut config = config(&devnet, vec![node("one", &url)]);
    config.limits.batch = 4;
    config.limits.in_flight = 3;
    let steps = EvmSource::new(config).unwrap().steps(at(0), 100).await.unwrap();
    let heights: Vec<u64> = steps.iter().map(|step| step.height.get()).collect();
    assert_eq!(heights, (0..=TIP).collect::<Vec<_>>(), "in order, whatever came first");
    assert_eq!(fake.at_once.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn batches_that_are_too_much_together_are_asked_for_in_turn() {
    let devnet = devnet(TIP).await;
    let mut config = config(&devnet, vec![node("one", &devnet.url())]);
    // A header of one validator is about 1.4 KB in hex: four fit in one answer, all of them in what is held.
    config.limits.response_bytes = 6_000;
    config.limits.held_bytes = 90_000;
    config.limits.batch = 16;
    let source = EvmSource::new(config).unwrap();
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
}
