//! The applications listener: tokens, scopes, slots, events, the drain.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hufu_gateway_server::config::Limits;
use serde_json::{Value, json};

use crate::support::{LEDGER, OPERATOR, READER, World, problem, until, within};

/// Reads a stream of events until `ids` have come, and returns ids and data in order.
async fn take(response: &mut reqwest::Response, text: &mut String, count: usize) -> Vec<(String, Value)> {
    loop {
        let events: Vec<_> = text.split_inclusive("\n\n").filter(|it| it.ends_with("\n\n")).filter_map(event).collect();
        if events.len() >= count {
            return events;
        }
        let chunk = within("the next event", response.chunk()).await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

fn event(text: &str) -> Option<(String, Value)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
    Some((field("id:")?.to_owned(), serde_json::from_str(field("data:")?).unwrap()))
}

async fn ids(response: &mut reqwest::Response, count: usize) -> Vec<String> {
    take(response, &mut String::new(), count).await.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn a_bad_token_is_refused() {
    let world = World::new().await;
    let client = world.as_application();
    let get = || client.get(world.applications("/v1/records"));
    for request in [get(), get().bearer_auth("wrong"), get().basic_auth("portal", Some(READER)), get().bearer_auth("")]
    {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(answer).await.1, "unauthenticated");
    }
    let unknown_route = client.get(world.applications("/v1/nothing")).send().await.unwrap();
    assert_eq!(unknown_route.status(), 401, "strangers learn no routes");
    assert!(world.fake.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_without_the_scope_is_refused() {
    let world = World::new().await;
    let client = world.as_application();
    let held = client.get(world.applications("/v1/held")).bearer_auth(READER).send().await.unwrap();
    let (status, code, body) = problem(held).await;
    assert_eq!((status, code.as_str()), (403, "missing-scope"));
    assert_eq!((&body["expected"], &body["got"]), (&json!("operate"), &json!("read")));
    for path in ["/v1/records", "/v1/events", "/v1/status"] {
        let answer = client.get(world.applications(path)).bearer_auth(OPERATOR).send().await.unwrap();
        assert_eq!(problem(answer).await.1, "missing-scope", "{path}");
    }
    let freeze = client.post(world.applications("/v1/lanes/freeze")).bearer_auth(READER);
    let freeze = freeze.body(r#"{"lane":"tax.example/clearance/1","reason":"x"}"#).send().await.unwrap();
    assert_eq!(problem(freeze).await.1, "missing-scope");
    assert!(world.fake.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn records_are_asked_for_by_typed_parameters() {
    let world = World::new().await;
    let client = world.as_application();
    let path =
        format!("/v1/records?type=property-right&ledger={LEDGER}&since=2026-11-21T09:46:29Z&assurance=proven&limit=5");
    let answer = client.get(world.applications(&path)).bearer_auth(READER).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "records": [{ "recordId": "x" }], "next": "2" }));
    let call = world.fake.calls.lock().unwrap().pop().unwrap();
    for part in ["Some(\"property-right\")", LEDGER, "1795254389", "Some(Proven)", "limit: 5"] {
        assert!(call.contains(part), "{part} in {call}");
    }
    for bad in ["ledger=x", "since=yesterday", "assurance=certain", "tpye=x", "type=a&type=b", "lane=a/b/0"] {
        let answer = client.get(world.applications(&format!("/v1/records?{bad}"))).bearer_auth(READER).send().await;
        assert_eq!(problem(answer.unwrap()).await.1, "malformed-request", "{bad}");
    }
    let long = format!("/v1/records?cursor={}", "x".repeat(257));
    let answer = client.get(world.applications(&long)).bearer_auth(READER).send().await.unwrap();
    assert_eq!(problem(answer).await.1, "malformed-request");
    let odd = client.get(world.applications("/v1/records/not-an-id")).bearer_auth(READER).send().await.unwrap();
    assert_eq!(problem(odd).await.1, "malformed-request");
}

#[tokio::test]
async fn an_operator_says_who_and_why() {
    let world = World::new().await;
    let client = world.as_application();
    let post = |path: &str, body: &str| {
        client.post(world.applications(path)).bearer_auth(OPERATOR).body(body.to_owned()).send()
    };
    let answer =
        post("/v1/lanes/freeze", r#"{"lane":"tax.example/clearance/1","reason":" looks odd "}"#).await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "lane": "tax.example/clearance/1", "frozen": true }));
    assert!(world.fake.seen("freeze tax.example/clearance/1: looks odd, by desk"));
    let thaw = format!(r#"{{"ledger":"{LEDGER}","reason":"settled"}}"#);
    assert_eq!(post("/v1/ledgers/thaw", &thaw).await.unwrap().status(), 200);
    let retry = post("/v1/held/retry", "").await.unwrap();
    assert_eq!(retry.json::<Value>().await.unwrap(), json!({ "tried": 2, "admitted": 1, "held": 1 }));
    for bad in
        ["{}", r#"{"lane":"tax.example/clearance/1","reason":" "}"#, r#"{"lane":"x","reason":"y"}"#, "[[[[[[[[[["]
    {
        assert_eq!(problem(post("/v1/lanes/thaw", bad).await.unwrap()).await.1, "malformed-request", "{bad}");
    }
    let large = format!(r#"{{"lane":"tax.example/clearance/1","reason":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(problem(post("/v1/lanes/thaw", &large).await.unwrap()).await.0, 413);
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let world = World::new().await;
    let client = world.as_application();
    let answer = client.get(world.applications("/v1/ledgers")).bearer_auth(READER).send().await.unwrap();
    let (status, code, body) = problem(answer).await;
    assert_eq!((status, code.as_str()), (500, "internal"));
    assert!(!body.to_string().contains("a fault of the gateway"), "the inside stays inside: {body}");
    let answer = client.get(world.applications("/v1/peers")).bearer_auth(READER).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn more_requests_at_once_than_there_are_slots_are_told_to_come_again() {
    let world = World::with(Limits { requests_in_flight: 1, ..Limits::default() }).await;
    let client = world.as_application();
    let status = client.get(world.applications("/v1/status")).bearer_auth(READER);
    let first = tokio::spawn(status.send());
    until("the first request to be inside", || world.fake.inside.load(Ordering::SeqCst) == 1).await;
    let second = client.get(world.applications("/v1/peers")).bearer_auth(READER).send().await.unwrap();
    assert_eq!(second.headers()["retry-after"], "1");
    let (status, code, _) = problem(second).await;
    assert_eq!((status, code.as_str()), (503, "busy"));
    // Peers have slots of their own.
    assert_eq!(world.as_relayer().get(world.peers("/v1/lanes")).send().await.unwrap().status(), 200);
    world.fake.go_on.notify_one();
    assert_eq!(within("the first request", first).await.unwrap().unwrap().status(), 200);
    assert_eq!(client.get(world.applications("/v1/peers")).bearer_auth(READER).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let world = World::with(Limits { request: Duration::from_millis(100), ..Limits::default() }).await;
    let answer = world.as_application().get(world.applications("/v1/status")).bearer_auth(READER).send().await.unwrap();
    let (status, code, _) = problem(answer).await;
    assert_eq!((status, code.as_str()), (503, "timed-out"));
}

#[tokio::test]
async fn events_resume_after_the_last_event_id() {
    let world = World::new().await;
    let client = world.as_application();
    for offset in [3, 5, 8] {
        world.fake.push(offset, "property-right");
    }
    let get = || client.get(world.applications("/v1/events")).bearer_auth(READER);
    let mut whole = get().send().await.unwrap();
    assert_eq!(whole.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let events = take(&mut whole, &mut text, 3).await;
    assert_eq!(events.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["3", "5", "8"]);
    assert_eq!(events[0].1["id"], "urn:grec:3");
    world.fake.push(9, "property-right");
    assert_eq!(take(&mut whole, &mut text, 4).await[3].0, "9", "a stream goes on as events come");
    let mut resumed = get().header("last-event-id", "5").send().await.unwrap();
    assert_eq!(ids(&mut resumed, 2).await, ["8", "9"]);
    assert_eq!(world.metrics.subscribers.get(), 2);
    drop((whole, resumed));
    until("subscribers to be gone", || world.metrics.subscribers.get() == 0).await;
    let odd = get().header("last-event-id", "yesterday").send().await.unwrap();
    assert_eq!(problem(odd).await.1, "malformed-request");
}

#[tokio::test]
async fn events_can_be_filtered_and_a_filter_goes_on_where_nothing_matched() {
    let world = World::new().await;
    for offset in 0..200 {
        world.fake.push(offset, if offset == 150 { "e-certificate" } else { "property-right" });
    }
    let get = world.as_application().get(world.applications("/v1/events?type=e-certificate")).bearer_auth(READER);
    assert_eq!(ids(&mut get.send().await.unwrap(), 1).await, ["150"]);
}

#[tokio::test]
async fn a_slow_subscriber_is_disconnected_and_nothing_piles_up() {
    let world = World::with(Limits { stall: Duration::from_millis(200), ..Limits::default() }).await;
    *world.fake.flood.lock().unwrap() = Some(64 << 10);
    let get = world.as_application().get(world.applications("/v1/events")).bearer_auth(READER);
    let mut response = get.send().await.unwrap();
    until("the subscriber to be given up", || world.rejections("http", "slow-subscriber") == 1).await;
    until("its task to be gone", || world.metrics.subscribers.get() == 0).await;
    // What was under way may still arrive; then the connection is seen to be closed.
    let mut taken = 0;
    let end = within("the end of the connection", async {
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => taken += chunk.len(),
                end => return end,
            }
        }
    })
    .await;
    assert!(end.is_err(), "closed, not ended: {end:?}");
    assert!(taken < 64 << 20, "{taken} bytes were buffered for one subscriber");
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_ends_what_waits() {
    let world = World::new().await;
    let client = world.as_application();
    let status = tokio::spawn(client.get(world.applications("/v1/status")).bearer_auth(READER).send());
    let mut events = client.get(world.applications("/v1/events")).bearer_auth(READER).send().await.unwrap();
    let poll = world.as_relayer().get(world.peers("/v1/lanes/rights/1/pages?from=7&wait=30"));
    let poll = tokio::spawn(poll.send());
    until("the request to be inside", || world.fake.inside.load(Ordering::SeqCst) == 1).await;
    until("the poll to wait", || world.fake.seen("wait for leaf 7")).await;
    let (peers, fake) = (world.server.addresses().peers, world.fake.clone());
    let drain = tokio::spawn(world.server.shutdown(Duration::from_secs(15)));
    let poll = within("the long poll's answer", poll).await.unwrap().unwrap();
    assert_eq!(poll.headers()["retry-after"], "5");
    assert_eq!(problem(poll).await.1, "shutting-down");
    let end = within("the end of the stream", async {
        loop {
            match events.chunk().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    })
    .await;
    assert!(matches!(end, Ok(None)), "ended in good order: {end:?}");
    assert!(tokio::net::TcpStream::connect(peers).await.is_err(), "no new connections");
    assert!(!drain.is_finished(), "a request still runs");
    fake.go_on.notify_one();
    let status = within("the running request's answer", status).await.unwrap().unwrap();
    assert_eq!(status.json::<Value>().await.unwrap(), json!({ "status": "let go" }));
    assert!(within("the drain", drain).await.unwrap(), "nothing was dropped");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let world = World::new().await;
    let status = world.as_application().get(world.applications("/v1/status")).bearer_auth(READER);
    let status = tokio::spawn(status.send());
    until("the request to be inside", || world.fake.inside.load(Ordering::SeqCst) == 1).await;
    let drained = within("the drain", world.server.shutdown(Duration::from_millis(50))).await;
    assert!(!drained, "something was left and is said to be");
    assert!(within("the request's end", status).await.unwrap().is_err());
}
