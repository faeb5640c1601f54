//! Compressed ledger updates: asked for, answered, posted, bounded; and what they save.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hufu_evm_light_client::rlp::Reader;
use hufu_gateway_server::config::Limits;
use hufu_schemas_core::limits::UPDATE_STEPS;
use serde_json::{Value, json};

use crate::support::{LEDGER, World, many_zeros, problem};

fn zip(plain: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    zip.write_all(plain).unwrap();
    zip.finish().unwrap()
}

fn unzip(zipped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(zipped).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test]
async fn updates_are_answered_compressed_to_whoever_takes_them_so() {
    let world = World::new().await;
    let url = world.peers(&format!("/v1/ledgers/{LEDGER}/updates?from=6"));
    for (accepted, zipped) in
        [(Some("gzip"), true), (Some("br, *;q=0.1"), true), (Some("gzip;q=0"), false), (None, false)]
    {
        let ask = world.as_relayer().get(&url);
        let ask = accepted.map_or(ask.try_clone().unwrap(), |coding| ask.header("accept-encoding", coding));
        let answer = ask.send().await.unwrap();
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(
            answer.headers().get("content-encoding").is_some_and(|coding| coding == "gzip"),
            zipped,
            "{accepted:?}"
        );
        let body = answer.bytes().await.unwrap();
        assert_eq!(body.len() < 200, zipped, "{} bytes", body.len());
        let plain = if zipped { unzip(&body) } else { body.to_vec() };
        assert_eq!(String::from_utf8(plain).unwrap(), many_zeros());
    }
}

#[tokio::test]
async fn an_answer_that_is_small_is_not_compressed() {
    let world = World::new().await;
    let url = world.peers(&format!("/v1/ledgers/{LEDGER}/updates?from=1"));
    let answer = world.as_relayer().get(url).header("accept-encoding", "gzip").send().await.unwrap();
    assert!(!answer.headers().contains_key("content-encoding"));
    assert_eq!(answer.json::<Value>().await.unwrap()["from"], 1);
}

#[tokio::test]
async fn posted_updates_may_be_compressed() {
    let world = World::new().await;
    let url = world.peers(&format!("/v1/inbox/ledgers/{LEDGER}/updates"));
    let plain = json!({"ledger": LEDGER, "steps": []}).to_string();
    let post = world.as_relayer().post(&url).header("content-encoding", "gzip").body(zip(plain.as_bytes()));
    assert_eq!(post.send().await.unwrap().status(), 200);
    assert!(world.fake.seen(&format!("updates of {LEDGER}: {plain}")), "{:?}", world.fake.calls);
    let other =
        world.as_relayer().post(&url).header("content-encoding", "br").body(plain.clone()).send().await.unwrap();
    assert_eq!(other.headers()["accept-encoding"], "gzip");
    let (status, code, _) = problem(other).await;
    assert_eq!((status, code.as_str()), (415, "unsupported-coding"));
    let torn = world.as_relayer().post(&url).header("content-encoding", "gzip").body(plain).send().await.unwrap();
    assert_eq!(problem(torn).await.1, "malformed-request");
    assert_eq!(world.fake.calls.lock().unwrap().len(), 1, "nothing else reached the gateway");
}

#[tokio::test]
async fn an_update_that_unpacks_to_more_than_a_body_may_have_is_refused() {
    let world = World::with(Limits { body_bytes: 100_000, ..Limits::default() }).await;
    let url = world.peers(&format!("/v1/inbox/ledgers/{LEDGER}/updates"));
    for (bytes, status) in [(100_000, 200), (100_001, 413), (64 << 20, 413)] {
        let bomb = zip(&vec![b' '; bytes]);
        assert!(bomb.len() < 100_000);
        let answer = world.as_relayer().post(&url).header("content-encoding", "gzip").body(bomb).send().await.unwrap();
        assert_eq!(answer.status(), status, "{bytes} bytes");
    }
    assert_eq!(world.fake.calls.lock().unwrap().len(), 1);
}

/// Headers of a recorded network without an event in their block; none on a machine without vectors.
fn quiet_headers() -> Option<Vec<Vec<u8>>> {
    let Some(root) = std::env::var_os("HUFU_VECTORS").map(PathBuf::from) else {
        println!("skipped: HUFU_VECTORS is not set");
        return None;
    };
    let raw = std::fs::read(root.join("evm/real-qbft/blocks.rlp")).unwrap();
    let (mut blocks, mut headers) = (Reader::new(&raw), Vec::new());
    while !blocks.is_empty() {
        headers.push(blocks.list().unwrap().raw().unwrap().to_vec());
    }
    headers.retain(|header| header.windows(256).any(|window| window.iter().all(|byte| *byte == 0)));
    Some(headers)
}

#[test]
fn a_full_update_of_quiet_headers_shrinks_to_a_quarter() {
    let Some(headers) = quiet_headers() else { return };
    assert!(headers.len() > 100, "{}", headers.len());
    // A repeated header lies 130 KiB back, four times as far as gzip looks.
    let steps = headers.iter().cycle().take(UPDATE_STEPS).zip(1_000..);
    let steps: Vec<Value> =
        steps.map(|(bytes, height)| json!({"height": height, "bytes": BASE64.encode(bytes)})).collect();
    let plain = json!({"ledger": LEDGER, "steps": steps}).to_string();
    let zipped = zip(plain.as_bytes());
    println!("{UPDATE_STEPS} quiet headers: {} bytes, compressed {}", plain.len(), zipped.len());
    assert!(zipped.len() * 7 < plain.len() * 2, "{} of {}", zipped.len(), plain.len());
    assert_eq!(unzip(&zipped), plain.as_bytes());
}
