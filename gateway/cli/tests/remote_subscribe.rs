//! `hufu subscribe` over connections that break.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fake_gateway;
mod support;

use fake_gateway::{FakeGateway, broken_stream, problem, with_token};
use serde_json::{Value, json};

fn event(offset: u64) -> String {
    let data = json!({"specversion": "1.0", "id": format!("r{offset}"), "time": "2026-11-21T10:00:00Z",
        "type": "hufu.e-certificate.issued", "subject": format!("e-certificate:x:{offset}"), "assurance": "proven",
        "control": "fixed", "finality": "bft-final", "completeness": "ledger"});
    format!("id: {offset}\ndata: {data}\n\n")
}

fn last_event_id(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("last-event-id: "))
}

#[test]
fn a_broken_stream_is_resumed_after_the_last_event_and_nothing_is_doubled() {
    let third = event(3);
    let half = &third[..third.len() / 2];
    let busy = json!({"code": "shutting-down", "detail": "the gateway is going down"});
    let gateway = FakeGateway::answering(vec![
        broken_stream(&format!(": welcome\n\n{}{}{half}", event(1), event(2))),
        problem("503 Service Unavailable", "retry-after: 1\r\n", &busy),
        broken_stream(&format!("{}{}{}{}", event(2), event(3), event(4), event(5))),
    ]);
    let ran = with_token(&["subscribe", &gateway.url, "--json", "--count", "4", "--type", "e-certificate"]);
    assert_eq!(ran.code, 0, "{ran}");
    let ids: Vec<Value> = ran.rows().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["r1", "r2", "r3", "r4"], "{ran}");
    let asked = gateway.requests();
    assert!(asked[0].starts_with("get /v1/events?type=e-certificate "), "{}", asked[0]);
    let resumed: Vec<Option<&str>> = asked.iter().map(|request| last_event_id(request)).collect();
    assert_eq!(resumed, [None, Some("2"), Some("2")]);
    assert!(ran.stderr.contains("shutting-down (503)"), "{ran}");
    assert!(ran.stderr.contains("--after 4"), "{ran}");
}

#[test]
fn an_event_is_a_line_for_people() {
    let gateway = FakeGateway::answering(vec![broken_stream(&event(8))]);
    let ran = with_token(&["subscribe", &gateway.url, "--after", "7", "--count", "1"]);
    assert_eq!(ran.code, 0, "{ran}");
    let line = "2026-11-21T10:00:00Z hufu.e-certificate.issued e-certificate:x:8 proven/fixed/bft-final/ledger\n";
    assert_eq!(ran.stdout, line);
    assert_eq!(last_event_id(&gateway.requests()[0]), Some("7"));
}

#[test]
fn a_refused_token_is_not_tried_for_ever() {
    let body = json!({"code": "unauthenticated", "detail": "this token does not stand in the configuration"});
    let gateway =
        FakeGateway::answering(vec![broken_stream(&event(1)), problem("401 Unauthorized", "", &body), Vec::new()]);
    let ran = with_token(&["subscribe", &gateway.url]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("unauthenticated (401)"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
}

#[test]
fn a_stream_that_is_no_stream_of_events_is_refused() {
    let gateway = FakeGateway::answering(vec![broken_stream("id: x\ndata: {}\n\n")]);
    let ran = with_token(&["subscribe", &gateway.url]);
    assert!(ran.code == 1 && ran.stderr.contains("an event with an offset as id"), "{ran}");
}
