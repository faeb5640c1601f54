//! How commands speak with a gateway: problems as words, limits, and to whom the token is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fake_gateway;
mod support;

use std::net::TcpListener;

use fake_gateway::{FakeGateway, answer, problem, run, with_token};
use serde_json::json;
use support::command;

const RECORD: &str = "urn:grec:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn a_problem_is_shown_with_code_expected_and_got() {
    let body = json!({"type": "urn:hufu:problem:no-such-record", "title": "No such record", "status": 404,
        "detail": "no record is here", "code": "no-such-record", "expected": "a known id", "got": RECORD});
    let gateway = FakeGateway::answering(vec![problem("404 Not Found", "", &body)]);
    let ran = with_token(&["evidence", &gateway.url, RECORD]);
    assert_eq!(ran.code, 1, "{ran}");
    let words = format!("no-such-record (404): no record is here; expected a known id, got {RECORD}");
    assert!(ran.stderr.contains(&words), "{ran}");
    assert!(gateway.requests()[0].starts_with(&format!("get /v1/records/{}/evidence ", RECORD.to_lowercase())));
    assert!(gateway.requests()[0].contains("authorization: bearer secret-of-the-test"));
}

#[test]
fn a_refused_token_is_the_callers_to_mend_and_is_not_repeated() {
    let body = json!({"code": "missing-scope", "detail": "this needs the scope operate", "expected": "operate", "got": "read"});
    let gateway = FakeGateway::answering(vec![problem("403 Forbidden", "", &body)]);
    let ran = with_token(&["held", "list", "--url", &gateway.url, "--json"]);
    assert_eq!(ran.code, 2, "{ran}");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("missing-scope (403)") && message.contains("expected operate, got read"), "{message}");
    assert!(!ran.stderr.contains("secret-of-the-test"), "{ran}");
}

#[test]
fn the_token_does_not_follow_a_redirect() {
    let elsewhere = FakeGateway::answering(vec![answer("200 OK", "", "{\"lanes\":[]}")]);
    let location = format!("location: {}/v1/lanes\r\n", elsewhere.url);
    let gateway = FakeGateway::answering(vec![answer("302 Found", &location, "")]);
    let ran = with_token(&["lane", "list", "--url", &gateway.url]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("HTTP status 302"), "{ran}");
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn an_endless_answer_is_cut_off() {
    let gateway = FakeGateway::answering(vec![answer("200 OK", "", &" ".repeat((16 << 20) + 1))]);
    let ran = with_token(&["ledger", "status", "--url", &gateway.url]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("at most 16777216 bytes"), "{ran}");
}

#[test]
fn an_answer_that_is_no_json_and_no_answer_at_all() {
    let gateway = FakeGateway::answering(vec![answer("200 OK", "", "<html>")]);
    let ran = with_token(&["ledger", "status", "--url", &gateway.url]);
    assert!(ran.code == 1 && ran.stderr.contains("something else than JSON"), "{ran}");
    // A port that was free a moment ago, and to which nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = with_token(&["ledger", "status", "--url", &format!("http://{closed}")]);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("no answer from http://{closed}")), "{ran}");
}

#[test]
fn without_token_authority_or_https_nothing_is_sent() {
    let gateway = FakeGateway::answering(Vec::new());
    let ran = run(command(&["lane", "list", "--url", &gateway.url]).env_remove("HUFU_TOKEN"));
    assert!(ran.code == 2 && ran.stderr.contains("expected --token-file FILE or HUFU_TOKEN"), "{ran}");
    let ran = with_token(&["lane", "list"]);
    assert!(ran.code == 2 && ran.stderr.contains("expected --ca FILE"), "{ran}");
    let ran = with_token(&["lane", "list", "--url", "http://land.example:7402"]);
    assert!(ran.code == 2 && ran.stderr.contains("expected https"), "{ran}");
    let ran = run(command(&["lane", "list", "--url", &gateway.url]).env("HUFU_TOKEN", "two words"));
    assert!(ran.code == 2 && !ran.stderr.contains("two words"), "{ran}");
    assert!(gateway.requests().is_empty());
}

#[test]
fn an_operators_decisions_carry_lane_and_reason() {
    let done = || answer("200 OK", "", "{}");
    let retried = answer("200 OK", "", r#"{"tried":3,"admitted":1,"held":2}"#);
    let gateway = FakeGateway::answering(vec![done(), done(), done(), retried]);
    let (url, lane) = (gateway.url.as_str(), "land.example/rights/1");
    assert_eq!(with_token(&["lane", "freeze", lane, "--reason", "review", "--url", url]).code, 0);
    assert_eq!(with_token(&["lane", "thaw", lane, "--reason", "is over", "--url", url]).code, 0);
    let ledger = "sim:00000000000000000000000000000000";
    assert_eq!(with_token(&["ledger", "thaw", ledger, "--reason", "a test", "--url", url]).code, 0);
    let ran = with_token(&["held", "retry", "--lane", lane, "--url", url]);
    assert_eq!(ran.code, 1, "two are still held: {ran}");
    assert!(ran.stdout.contains("3 tried, 1 admitted, 2 still held"), "{ran}");
    let asked = gateway.requests();
    assert!(
        asked[0].starts_with("post /v1/lanes/freeze ") && asked[0].contains(r#""reason":"review""#),
        "{}",
        asked[0]
    );
    assert!(asked[1].starts_with("post /v1/lanes/thaw ") && asked[1].contains(lane), "{}", asked[1]);
    assert!(asked[2].starts_with("post /v1/ledgers/thaw ") && asked[2].contains(ledger), "{}", asked[2]);
    assert!(asked[3].starts_with("post /v1/held/retry ") && asked[3].ends_with(&format!(r#"{{"lane":"{lane}"}}"#)));
}

#[test]
fn held_leaves_are_listed_a_part_at_a_time() {
    let body = json!({"held": [{"id": 5, "lane": "land.example/rights/1", "sequence": 7, "reason": "definition-not-accepted",
        "detail": "expected\u{1b}[2J an accepted definition", "since": "2026-11-21T10:00:00Z", "tries": 2}], "next": "5"});
    let gateway = FakeGateway::answering(vec![answer("200 OK", "", &body.to_string())]);
    let ran = with_token(&["held", "list", "--after", "4", "--limit", "1", "--url", &gateway.url]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("leaf 7  definition-not-accepted") && ran.stdout.contains("more: --after 5"), "{ran}");
    assert!(!ran.stdout.contains('\u{1b}'), "words of a peer move no cursor");
    assert!(gateway.requests()[0].starts_with("get /v1/held?cursor=4&limit=1 "), "{}", gateway.requests()[0]);
}
