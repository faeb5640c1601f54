//! The peers listener: who is let in, what they may, and what they get.

use std::time::{Duration, Instant};

use hufu_gateway_server::config::Limits;
use hufu_schemas_core::limits::{NOTE_BYTES, UPDATE_STEPS};
use serde_json::{Value, json};

use crate::support::{Authority, LEDGER, OTHER_LEDGER, World, client, problem, until, within};

/// Under TLS 1.3 the client learns of a refused certificate at its first read only.
async fn refused(world: &World, client: reqwest::Client, reason: &str) {
    let answer = within("a refusal", client.get(world.peers("/v1/lanes")).send()).await;
    assert!(answer.is_err(), "{reason}: {answer:?}");
    until(reason, || world.rejections("connection", reason) >= 1).await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let world = World::new().await;
    refused(&world, client(&world.authority, None), "no-certificate").await;
}

#[tokio::test]
async fn a_client_with_an_expired_certificate_is_refused() {
    let world = World::new().await;
    let expired = world.authority.leaf(&["urn:hufu:relayer:city-1"], 2021);
    refused(&world, client(&world.authority, Some(&expired)), "certificate-expired").await;
}

#[tokio::test]
async fn a_client_with_another_departments_authority_is_refused() {
    let world = World::new().await;
    let foreign = Authority::new("Tax office").leaf(&["urn:hufu:relayer:city-1"], 2040);
    refused(&world, client(&world.authority, Some(&foreign)), "certificate-of-another-authority").await;
}

#[tokio::test]
async fn a_client_with_an_authority_that_only_bears_the_right_name_is_refused() {
    let world = World::new().await;
    let forged = Authority::new("Land registry").leaf(&["urn:hufu:relayer:city-1"], 2040);
    refused(&world, client(&world.authority, Some(&forged)), "certificate-invalid").await;
}

#[tokio::test]
async fn an_identity_that_is_not_configured_is_told_so() {
    let world = World::new().await;
    for uris in [&["urn:hufu:relayer:city-2"][..], &["urn:hufu:gateway:city-1"], &[], &["spiffe://x/y"]] {
        let answer = world.as_peer(uris).get(world.peers("/v1/lanes")).send().await.unwrap();
        let (status, code, body) = problem(answer).await;
        assert_eq!((status, code.as_str()), (403, "unknown-identity"), "{uris:?}: {body}");
    }
    // Two names, of which one is known: an authority that signs this may not choose for us.
    let both = ["urn:hufu:relayer:city-1", "urn:hufu:relayer:city-2"];
    let answer = world.as_peer(&both).get(world.peers("/v1/lanes")).send().await.unwrap();
    assert!(problem(answer).await.2["detail"].as_str().unwrap().contains("exactly one"));
}

#[tokio::test]
async fn an_unknown_identity_learns_no_routes() {
    let world = World::new().await;
    let answer = world.as_peer(&[]).get(world.peers("/v1/nothing")).send().await.unwrap();
    assert_eq!(problem(answer).await.1, "unknown-identity");
    let answer = world.as_relayer().get(world.peers("/v1/nothing")).send().await.unwrap();
    assert_eq!((problem(answer).await.0), 404);
    let answer = world.as_relayer().delete(world.peers("/v1/lanes")).send().await.unwrap();
    assert_eq!((problem(answer).await.0), 405);
}

#[tokio::test]
async fn lanes_are_those_that_the_peer_may_read() {
    let world = World::new().await;
    let lanes: Value = world.as_relayer().get(world.peers("/v1/lanes")).send().await.unwrap().json().await.unwrap();
    let names: Vec<_> = lanes["lanes"].as_array().unwrap().iter().map(|lane| lane["lane"].as_str().unwrap()).collect();
    assert_eq!(names, ["land.example/rights/1"]);
    let idle = world.as_peer(&["urn:hufu:gateway:idle.example"]);
    let lanes: Value = idle.get(world.peers("/v1/lanes")).send().await.unwrap().json().await.unwrap();
    assert_eq!(lanes, json!({ "lanes": [] }));
}

#[tokio::test]
async fn a_lane_that_is_not_bound_is_refused_for_reading_and_for_writing() {
    let world = World::new().await;
    let peer = world.as_relayer();
    for path in
        ["/v1/lanes/private/1/checkpoint", "/v1/lanes/private/1/pages?from=0", "/v1/lanes/unheard-of/1/checkpoint"]
    {
        let (status, code, body) = problem(peer.get(world.peers(path)).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (403, "lane-not-bound"), "{path}");
        assert!(body["lane"].as_str().unwrap().starts_with("land.example/"), "{body}");
    }
    let state = peer.get(world.peers("/v1/inbox/notary.example/certificates/1/state")).send().await.unwrap();
    assert_eq!(problem(state).await.1, "lane-not-bound");
    let post = peer.post(world.peers("/v1/inbox/notary.example/certificates/1/pages")).body("{}");
    assert_eq!(problem(post.send().await.unwrap()).await.1, "lane-not-bound");
    let note = peer.post(world.peers("/v1/inbox/notary.example/certificates/1/checkpoint")).body("note");
    assert_eq!(problem(note.send().await.unwrap()).await.1, "lane-not-bound");
    let updates = peer.post(world.peers(&format!("/v1/inbox/ledgers/{OTHER_LEDGER}/updates"))).body("{}");
    assert_eq!(problem(updates.send().await.unwrap()).await.1, "ledger-not-bound");
    let idle = world.as_peer(&["urn:hufu:gateway:idle.example"]);
    let updates = idle.get(world.peers(&format!("/v1/ledgers/{LEDGER}/updates?from=1"))).send().await.unwrap();
    assert_eq!(problem(updates).await.1, "ledger-not-bound");
    assert!(world.fake.calls.lock().unwrap().is_empty(), "nothing of this reached the gateway");
}

#[tokio::test]
async fn reading_a_lane() {
    let world = World::new().await;
    let peer = world.as_relayer();
    let note = peer.get(world.peers("/v1/lanes/rights/1/checkpoint")).send().await.unwrap();
    assert!(note.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(note.text().await.unwrap(), "land.example/rights/1\n7\n");
    let page = peer.get(world.peers("/v1/lanes/rights/1/pages?from=2&limit=99999&seen=1")).send().await.unwrap();
    assert_eq!(page.json::<Value>().await.unwrap(), json!({ "from": 2, "limit": 4096 }));
    for path in
        ["/v1/lanes/rights/1/pages", "/v1/lanes/rights/1/pages?from=-1", "/v1/lanes/rights/1/pages?from=1&form=2"]
    {
        let answer = peer.get(world.peers(path)).send().await.unwrap();
        assert_eq!(problem(answer).await.1, "malformed-request", "{path}");
    }
    let epoch = peer.get(world.peers("/v1/lanes/rights/01/checkpoint")).send().await.unwrap();
    assert_eq!(problem(epoch).await.1, "malformed-request", "an epoch has one spelling");
}

#[tokio::test]
async fn an_answer_holds_no_more_steps_than_a_receiver_takes() {
    let world = World::new().await;
    for limit in ["", "&limit=99999", "&limit=512", "&limit=513"] {
        let path = format!("/v1/ledgers/{LEDGER}/updates?from=1{limit}");
        let steps: Value = world.as_relayer().get(world.peers(&path)).send().await.unwrap().json().await.unwrap();
        assert_eq!(steps, json!({ "from": 1, "limit": UPDATE_STEPS }), "{limit}");
    }
    let path = format!("/v1/ledgers/{LEDGER}/updates?from=1&limit=3");
    let steps: Value = world.as_relayer().get(world.peers(&path)).send().await.unwrap().json().await.unwrap();
    assert_eq!(steps["limit"], 3);
}

#[tokio::test]
async fn a_relayer_delivers_a_checkpoint_and_is_told_the_lanes_state() {
    let world = World::new().await;
    let url = world.peers("/v1/inbox/tax.example/clearance/1/checkpoint");
    let post = |note: String| world.as_relayer().post(&url).header("content-type", "text/plain").body(note).send();
    let state: Value = post("n".repeat(NOTE_BYTES)).await.unwrap().json().await.unwrap();
    assert_eq!((&state["lane"], &state["evidence"]), (&json!("tax.example/clearance/1"), &json!(2)));
    let call = format!("checkpoint of tax.example/clearance/1 by urn:hufu:relayer:city-1, {NOTE_BYTES} bytes");
    assert!(world.fake.seen(&call), "{:?}", world.fake.calls);
    let (status, code, _) = problem(post("n".repeat(NOTE_BYTES + 1)).await.unwrap()).await;
    assert_eq!((status, code.as_str()), (413, "body-too-large"), "a note is small, whatever a page may be");
    assert_eq!(world.fake.calls.lock().unwrap().len(), 1);
    let read = world.as_relayer().get(&url).send().await.unwrap();
    assert_eq!(problem(read).await.0, 405);
}

#[tokio::test]
async fn checkpoints_and_pages_come_out_of_one_quota() {
    let world = World::with(Limits { pages_per_minute_per_peer: 1, ..Limits::default() }).await;
    let peer = world.as_relayer();
    let note = peer.post(world.peers("/v1/inbox/tax.example/clearance/1/checkpoint")).body("note");
    assert_eq!(note.send().await.unwrap().status(), 200);
    let page = peer.post(world.peers("/v1/inbox/tax.example/clearance/1/pages")).body("{}");
    assert_eq!(problem(page.send().await.unwrap()).await.1, "quota-exceeded");
}

#[tokio::test]
async fn a_long_poll_says_nothing_new_after_its_wait() {
    let world = World::new().await;
    let started = Instant::now();
    let answer = world.as_relayer().get(world.peers("/v1/lanes/rights/1/pages?from=7&wait=1")).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    let path = format!("/v1/ledgers/{LEDGER}/updates?from=7&wait=0");
    assert_eq!(world.as_relayer().get(world.peers(&path)).send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_relayer_asks_and_delivers() {
    let world = World::new().await;
    let peer = world.as_relayer();
    let state = peer.get(world.peers("/v1/inbox/tax.example/clearance/1/state")).send().await.unwrap();
    let expected = json!({
        "lane": "tax.example/clearance/1", "size": 3, "seen": 5, "frozen": false,
        "waiting": { "reason": "head-behind", "ledger": LEDGER, "height": 12 }, "evidence": 2,
    });
    assert_eq!(state.json::<Value>().await.unwrap(), expected);
    let ledgers = peer.get(world.peers("/v1/inbox/ledgers")).send().await.unwrap();
    let expected = json!({ "ledgers": [{ "ledger": LEDGER, "wants": 9, "frozen": false, "expired": false }] });
    assert_eq!(ledgers.json::<Value>().await.unwrap(), expected, "the other ledger is not this peer's");
    let updates = peer.post(world.peers(&format!("/v1/inbox/ledgers/{LEDGER}/updates"))).body("{}");
    assert_eq!(updates.send().await.unwrap().json::<Value>().await.unwrap()["wants"], 10);
    let entry = format!("{}==", "A".repeat(86));
    let page = json!({
        "page": 1, "lane": "tax.example/clearance/1", "from": 3, "entries": entry, "opened": [], "blocks": [],
        "documents": [], "checkpoint": "note", "join": [],
    });
    let posted = peer.post(world.peers("/v1/inbox/tax.example/clearance/1/pages")).body(page.to_string());
    let posted = posted.send().await.unwrap();
    let (status, text) = (posted.status(), posted.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    let call = format!("page of tax.example/clearance/1 by urn:hufu:relayer:city-1, {} bytes", page.to_string().len());
    assert!(world.fake.seen(&call), "{status}: {text}");
}

#[tokio::test]
async fn a_deeply_nested_page_is_refused_with_the_parsers_reason() {
    let world = World::new().await;
    let nested = "[".repeat(100_000);
    let post = world.as_relayer().post(world.peers("/v1/inbox/tax.example/clearance/1/pages")).body(nested);
    let (status, code, body) = problem(post.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (422, "page-malformed"), "{body}");
    assert_eq!((&body["lane"], &body["sequence"]), (&json!("tax.example/clearance/1"), &json!(3)));
    assert_eq!(world.rejections("http", "page-malformed"), 0, "counted by who verified it, and once");
}

#[tokio::test]
async fn a_body_beyond_its_limit_is_refused_before_it_is_held() {
    let world = World::with(Limits { body_bytes: 1_000, ..Limits::default() }).await;
    let url = world.peers("/v1/inbox/tax.example/clearance/1/pages");
    let said = world.as_relayer().post(&url).body("x".repeat(1_001)).send().await.unwrap();
    assert_eq!(problem(said).await.0, 413);
    let pieces = futures_util::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    let unsaid = world.as_relayer().post(&url).body(reqwest::Body::wrap_stream(pieces)).send().await.unwrap();
    let (status, code, body) = problem(unsaid).await;
    assert_eq!((status, code.as_str()), (413, "body-too-large"));
    assert_eq!(body["expected"], "at most 1000 bytes");
    assert!(world.fake.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_peer_that_posts_beyond_its_quota_is_told_when_to_come_again() {
    let world = World::with(Limits { pages_per_minute_per_peer: 2, ..Limits::default() }).await;
    let peer = world.as_relayer();
    let post = || peer.post(world.peers("/v1/inbox/tax.example/clearance/1/pages")).body("{}").send();
    assert_eq!(post().await.unwrap().status(), 422);
    assert_eq!(post().await.unwrap().status(), 422);
    let third = post().await.unwrap();
    let wait: u64 = third.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!((problem(third).await.1), "quota-exceeded");
    // Reading goes on.
    assert_eq!(peer.get(world.peers("/v1/lanes")).send().await.unwrap().status(), 200);
}
