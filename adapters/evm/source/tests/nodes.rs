//! The source against nodes that serve well, badly, or not at all. The nodes are those of the devnet; what it cannot do
//! (asking for pauses, inventing heights) a small fake node of this file does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests state facts too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hufu_adapters_light_client::{Budget, DynLightClient, Family, Selector, Step, TrustedBlock};
use hufu_adapters_source::{Source, SourceError};
use hufu_adapters_testkit::conformance::{self, SourceCase};
use hufu_evm_devnet::{Devnet, DevnetConfig, EventCall, Misbehave, NodeHandle};
use hufu_evm_light_client::{Address, EvmFamily, Hash32, LogSelector, keccak256};
use hufu_evm_source::{EvmSource, EvmSourceConfig, NodeConfig, Secret};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

const CONTRACT: [u8; 20] = [7; 20];
const EVENT: &str = "Granted(string,string)";
/// Blocks of the ledger that most tests run on; those at 2 and 5 hold events.
const TIP: u64 = 8;

async fn devnet_of(seed: u8) -> Devnet {
    let config = DevnetConfig { block_time: None, seed: [seed; 32], ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    for height in 1..=TIP {
        for number in 0..if height == 2 { 3 } else { usize::from(height == 5) } {
            devnet.emit_event(CONTRACT, EVENT, &[&format!("{height}-{number}"), "ok"]).unwrap();
        }
        devnet.mine().unwrap();
    }
    devnet
}

async fn devnet() -> Devnet {
    devnet_of(1).await
}

/// Impatient where it costs a test time, patient where a machine may be slow.
fn config(devnet: &Devnet, nodes: &[(&str, String)]) -> EvmSourceConfig {
    let nodes = nodes.iter().map(|(name, url)| NodeConfig::new(*name, url).unwrap()).collect();
    let mut config = EvmSourceConfig::new(nodes, devnet.genesis_hash());
    config.patience.poll = Duration::ZERO;
    config.patience.backoff = Duration::from_millis(1);
    config.patience.backoff_most = Duration::from_millis(1_500);
    config.patience.bench = Duration::from_secs(60);
    config.patience.bench_most_failing = Duration::from_secs(60);
    config
}

fn source(devnet: &Devnet, nodes: &[(&str, String)]) -> EvmSource {
    EvmSource::new(config(devnet, nodes)).unwrap()
}

fn alone(devnet: &Devnet) -> EvmSource {
    source(devnet, &[("one", devnet.url())])
}

/// A second node that does something wrong, and a source that asks it first.
async fn beside(devnet: &Devnet, fault: Misbehave) -> (EvmSource, NodeHandle) {
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(fault).unwrap();
    (source(devnet, &[("bad", bad.url()), ("good", devnet.url())]), bad)
}

fn benched(source: &EvmSource, name: &str) -> Option<&'static str> {
    source.describe().nodes.into_iter().find(|node| node.name == name).unwrap().benched
}

fn at(height: u64) -> Height {
    Height::new(height)
}

fn selector() -> Selector {
    LogSelector::new(Address::new(CONTRACT), vec![keccak256(EVENT.as_bytes())]).unwrap().to_selector()
}

fn client(devnet: &Devnet) -> Box<dyn DynLightClient> {
    let hash = Hash32::new(devnet.genesis_hash());
    EvmFamily.client(&json!({ "family": "evm", "consensus": "qbft", "height": 0, "hash": hash })).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_seconds(DevnetConfig::default().genesis_time + 3_600).unwrap()
}

async fn trusted(devnet: &Devnet) -> Vec<TrustedBlock> {
    let steps = alone(devnet).steps(at(0), 100).await.unwrap();
    let client = client(devnet);
    let outcome = client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update());
    outcome.accepted().unwrap().blocks
}

/// Waits for a condition; says what it waited for.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn require_whole_evidence(devnet: &Devnet, source: &EvmSource) {
    let blocks = trusted(devnet).await;
    let told = source.evidence(&blocks, &selector()).await.unwrap();
    let with: Vec<u64> = told.iter().filter(|told| told.evidence.is_some()).map(|told| told.height.get()).collect();
    assert_eq!(with, [2, 5], "only blocks that may hold the event are fetched");
    let client = client(devnet);
    let mut items = 0;
    for (block, told) in blocks.iter().zip(&told) {
        let evidence = told.evidence.as_deref();
        let outcome = client.matching(block, &selector(), evidence, &mut Budget::for_evidence());
        items += outcome.accepted().unwrap().len();
    }
    assert_eq!(items, 4);
}

#[tokio::test]
async fn a_source_of_good_nodes_keeps_its_promises() {
    let devnet = devnet().await;
    let second = devnet.add_node().await.unwrap();
    let source = source(&devnet, &[("one", devnet.url()), ("two", second.url())]);
    let client = client(&devnet);
    let case =
        SourceCase { source: &source, client: &*client, now: now(), tip: at(TIP), selector: selector(), matches: 4 };
    conformance::source(&case).await.require_complete();
    assert_eq!(source.others(at(3)).await.unwrap().len(), 1, "expected the node that did not serve");
}

#[tokio::test]
async fn headers_made_again_from_json_are_those_of_the_node() {
    let devnet = devnet().await;
    let (json_only, _bad) = beside(&devnet, Misbehave::WithoutMethods(vec!["debug_getRawHeader".to_owned()])).await;
    let steps = json_only.steps(at(0), 100).await.unwrap();
    let client = client(&devnet);
    let outcome = client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update());
    assert_eq!(outcome.accepted().unwrap().blocks.len() as u64, TIP + 1);
    assert_eq!(benched(&json_only, "bad"), None);
}

#[tokio::test]
async fn receipts_by_each_of_three_ways() {
    let devnet = devnet().await;
    let ways: [&[&str]; 3] =
        [&[], &["debug_getRawReceipts"], &["debug_getRawReceipts", "eth_getBlockReceipts", "debug_getRawHeader"]];
    for missing in ways {
        let missing = missing.iter().map(|name| (*name).to_owned()).collect();
        devnet.first_node().behave();
        devnet.first_node().misbehave(Misbehave::WithoutMethods(missing)).unwrap();
        require_whole_evidence(&devnet, &alone(&devnet)).await;
    }
}

#[tokio::test]
async fn a_node_that_refuses_batches_is_asked_one_by_one() {
    let devnet = devnet().await;
    devnet.first_node().misbehave(Misbehave::WithoutBatches).unwrap();
    let source = alone(&devnet);
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
    require_whole_evidence(&devnet, &source).await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_split_and_one_that_cannot_be_split_is_cut() {
    let devnet = devnet().await;
    let mut config = config(&devnet, &[("one", devnet.url())]);
    // A header of the devnet is about 2 KiB in hex: a few fit, nine do not.
    config.limits.response_bytes = 6_000;
    let source = EvmSource::new(config.clone()).unwrap();
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
    devnet.first_node().misbehave(Misbehave::Oversized { padding: 1 << 20 }).unwrap();
    let error = EvmSource::new(config).unwrap().steps(at(0), 100).await.unwrap_err();
    assert!(matches!(&error, SourceError::Malformed { expected, .. } if expected.contains("6000 bytes")), "{error}");
}

#[tokio::test]
async fn a_node_that_is_behind() {
    let devnet = devnet().await;
    for _ in 0..10 {
        devnet.mine().unwrap();
    }
    let (source, lagging) = beside(&devnet, Misbehave::Lagging { by: 12 }).await;
    assert_eq!(source.tip().await.unwrap(), at(TIP + 10));
    assert_eq!(benched(&source, "bad"), Some("behind"));
    assert_eq!(benched(&source, "good"), None);
    lagging.behave();
    source.tip().await.unwrap();
    assert_eq!(benched(&source, "bad"), None, "it has caught up");
}

#[tokio::test]
async fn a_node_that_is_behind_still_serves_when_nobody_else_does() {
    let devnet = devnet().await;
    for _ in 0..10 {
        devnet.mine().unwrap();
    }
    let (source, _lagging) = beside(&devnet, Misbehave::Lagging { by: 12 }).await;
    source.tip().await.unwrap();
    devnet.first_node().stop();
    assert_eq!(source.steps(at(0), 3).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_node_on_another_fork() {
    let devnet = devnet().await;
    let events = vec![(CONTRACT, EventCall::new(EVENT, &["forged", "ok"]))];
    let (source, _bad) = beside(&devnet, Misbehave::Fork { from: 5, events }).await;
    require_whole_evidence(&devnet, &source).await;
    assert_eq!(benched(&source, "bad"), Some("forked"));
    let steps = source.steps(at(6), 9).await.unwrap();
    assert_eq!(steps[0].bytes, devnet.header_rlp(6).unwrap());
}

#[tokio::test]
async fn a_rival_header_is_handed_on_for_the_light_client_to_judge() {
    let devnet = devnet().await;
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(Misbehave::Fork { from: 5, events: vec![] }).unwrap();
    let source = source(&devnet, &[("good", devnet.url()), ("bad", bad.url())]);
    source.steps(at(0), 100).await.unwrap();
    let others: Vec<Step> = source.others(at(5)).await.unwrap();
    let block = trusted(&devnet).await.remove(5);
    assert!(client(&devnet).conflict(&block, &others[0], &mut Budget::for_update()).is_some());
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1, "nothing froze here");
}

#[tokio::test]
async fn a_node_that_went_over_to_another_fork_is_heard_though_it_served_last() {
    let devnet = devnet().await;
    let source = alone(&devnet);
    require_whole_evidence(&devnet, &source).await;
    assert!(source.others(at(TIP)).await.unwrap().is_empty(), "nobody else to ask");
    let node = devnet.first_node();
    node.misbehave(Misbehave::Fork { from: 5, events: vec![] }).unwrap();
    source.steps(at(TIP), 9).await.unwrap_err();
    assert_eq!(benched(&source, "one"), Some("forked"));
    let told = source.others(at(TIP)).await.unwrap();
    assert_eq!(told[0].bytes, node.header_rlp(TIP).unwrap());
    assert_ne!(told[0].bytes, devnet_of(1).await.header_rlp(TIP).unwrap());
}

#[tokio::test]
async fn where_a_node_left_is_found_by_asking_it_alone() {
    let devnet = devnet().await;
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(Misbehave::Fork { from: 5, events: vec![] }).unwrap();
    bad.misbehave(Misbehave::Stalled { at: 7 }).unwrap();
    let source = source(&devnet, &[("good", devnet.url()), ("bad", bad.url())]);
    let client = client(&devnet);
    let blocks = trusted(&devnet).await;
    for (height, shown, same) in [(TIP, 7, false), (6, 6, false), (5, 5, false), (4, 4, true)] {
        let step = source.held_by("bad", at(height)).await.unwrap();
        assert_eq!(step.height, at(shown), "its last one where it is not that far");
        let trusted = &blocks[usize::try_from(shown).unwrap()];
        assert_eq!(client.claimed_hash(&step) == Some(trusted.hash()), same);
        assert_eq!(client.conflict(trusted, &step, &mut Budget::for_update()).is_some(), shown == 5);
    }
    assert_eq!(source.held_by("nobody", at(5)).await, None);
}

#[tokio::test]
async fn a_node_whose_receipts_do_not_rebuild_the_root() {
    for fault in [Misbehave::ForgedReceipts { from: 0 }, Misbehave::OmittedReceipts] {
        let devnet = devnet().await;
        let (source, _bad) = beside(&devnet, fault).await;
        require_whole_evidence(&devnet, &source).await;
        assert_eq!(benched(&source, "bad"), Some("lying"));
        assert_eq!(benched(&source, "good"), None);
    }
}

#[tokio::test]
async fn a_node_of_another_ledger_with_the_same_chain_id() {
    let devnet = devnet().await;
    let other = devnet_of(2).await;
    assert_eq!(devnet.chain_id(), other.chain_id());
    let source = source(&devnet, &[("bad", other.url()), ("good", devnet.url())]);
    assert_eq!(source.steps(at(0), 100).await.unwrap()[0].bytes, devnet.header_rlp(0).unwrap());
    assert_eq!(benched(&source, "bad"), Some("wrong-ledger"));
}

#[tokio::test]
async fn a_node_of_another_chain_id() {
    let devnet = devnet().await;
    let mut config = config(&devnet, &[("one", devnet.url())]);
    config.chain_id = Some(devnet.chain_id() + 1);
    let source = EvmSource::new(config).unwrap();
    assert!(matches!(source.tip().await, Err(SourceError::Unavailable { .. })));
    assert_eq!(benched(&source, "one"), Some("wrong-ledger"));
}

#[tokio::test]
async fn what_the_light_client_refuses_benches_the_node_that_served() {
    let devnet = devnet().await;
    let (source, _bad) = beside(&devnet, Misbehave::SealsBelowQuorum { from: 3 }).await;
    let steps = source.steps(at(0), 100).await.unwrap();
    let client = client(&devnet);
    assert!(client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update()).accepted().is_none());
    source.refused("below-quorum");
    assert_eq!(benched(&source, "bad"), Some("lying"));
    let steps = source.steps(at(0), 100).await.unwrap();
    assert!(client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update()).accepted().is_some());
}

#[tokio::test]
async fn a_page_of_html_server_errors_and_answers_cut_short() {
    let devnet = devnet().await;
    for fault in [Misbehave::Html, Misbehave::Status(500), Misbehave::Status(404), Misbehave::Truncated] {
        let (source, _bad) = beside(&devnet, fault.clone()).await;
        assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
        assert_eq!(benched(&source, "bad"), Some("unreachable"), "{fault:?}");
    }
    devnet.first_node().misbehave(Misbehave::Html).unwrap();
    let error = alone(&devnet).tip().await.unwrap_err();
    assert!(matches!(&error, SourceError::Malformed { got, .. } if got.contains("html")), "{error}");
}

#[tokio::test]
async fn a_node_that_denies_us() {
    let devnet = devnet().await;
    devnet.first_node().misbehave(Misbehave::Status(401)).unwrap();
    let source = alone(&devnet);
    assert!(matches!(source.tip().await, Err(SourceError::Denied { .. })));
    assert!(matches!(source.tip().await, Err(SourceError::Denied { .. })), "the reason stays while it is benched");
}

#[tokio::test]
async fn a_slow_drip_ends_at_the_time_limit() {
    let devnet = devnet().await;
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(Misbehave::SlowDrip { bytes: 1, every: Duration::from_millis(50) }).unwrap();
    let mut config = config(&devnet, &[("bad", bad.url())]);
    config.patience.request = Duration::from_millis(300);
    let begin = Instant::now();
    let error = EvmSource::new(config).unwrap().tip().await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(matches!(&error, SourceError::Unavailable { detail, .. } if detail.contains("no whole answer")), "{error}");
}

#[tokio::test]
async fn a_bench_ends_by_itself() {
    let devnet = devnet().await;
    let bad = devnet.add_node().await.unwrap();
    bad.misbehave(Misbehave::Status(500)).unwrap();
    let mut config = config(&devnet, &[("bad", bad.url())]);
    config.patience.bench = Duration::from_millis(200);
    config.patience.retries = 0;
    let source = EvmSource::new(config).unwrap();
    assert!(source.tip().await.is_err());
    assert_eq!(benched(&source, "bad"), Some("unreachable"));
    bad.behave();
    until("the bench to end", || benched(&source, "bad").is_none()).await;
    assert_eq!(source.tip().await.unwrap(), at(TIP));
}

/// A node with a header of any height that the devnet has, and with ways of its own.
struct Fake {
    devnet: Devnet,
    claims: u64,
    lowest: u64,
    pauses: AtomicUsize,
    wait: u32,
    asked: AtomicUsize,
    token: Option<&'static str>,
    /// A header that it gives in place of its own.
    swapped: Option<(u64, Vec<u8>)>,
}

impl Fake {
    fn of(devnet: &Devnet) -> Self {
        let zero = AtomicUsize::new(0);
        let pauses = AtomicUsize::new(0);
        Self {
            devnet: devnet.clone(),
            claims: TIP,
            lowest: 0,
            pauses,
            wait: 0,
            asked: zero,
            token: None,
            swapped: None,
        }
    }

    async fn serve(self) -> (Arc<Self>, String) {
        let fake = Arc::new(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&fake));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, url)
    }

    fn one(&self, request: &Value) -> Value {
        let id = &request["id"];
        let height =
            || u64::from_str_radix(request["params"][0].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let result = match request["method"].as_str().unwrap() {
            "eth_blockNumber" => json!(format!("{:#x}", self.claims)),
            "debug_getRawHeader" if height() == 0 || height() >= self.lowest => {
                let swapped = self.swapped.clone().filter(|(at, _)| *at == height()).map(|(_, bytes)| bytes);
                let bytes = swapped.or_else(|| self.devnet.header_rlp(height()));
                json!(bytes.map(|bytes| format!("0x{}", hex::encode(bytes))))
            }
            "debug_getRawHeader" | "eth_getBlockByNumber" => Value::Null,
            _ => return json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no" } }),
        };
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }
}

async fn answer(State(fake): State<Arc<Fake>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    fake.asked.fetch_add(1, Ordering::SeqCst);
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    if token != fake.token {
        return StatusCode::FORBIDDEN.into_response();
    }
    if fake.pauses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", fake.wait.to_string())]).into_response();
    }
    match body {
        Value::Array(requests) => Json(Value::Array(requests.iter().rev().map(|one| fake.one(one)).collect())),
        request => Json(fake.one(&request)),
    }
    .into_response()
}

#[tokio::test]
async fn a_short_pause_that_a_node_asks_for_is_made() {
    let devnet = devnet().await;
    let fake = Fake { pauses: AtomicUsize::new(1), wait: 1, ..Fake::of(&devnet) };
    let (_, url) = fake.serve().await;
    let begin = Instant::now();
    assert_eq!(source(&devnet, &[("one", url)]).tip().await.unwrap(), at(TIP));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_long_pause_that_a_node_asks_for_is_made_elsewhere() {
    let devnet = devnet().await;
    let (fake, url) = Fake { pauses: AtomicUsize::new(1), wait: 600, ..Fake::of(&devnet) }.serve().await;
    let source = source(&devnet, &[("busy", url), ("good", devnet.url())]);
    for _ in 0..3 {
        assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
    }
    assert_eq!(fake.asked.load(Ordering::SeqCst), 1, "it asked to be left alone");
    assert_eq!(benched(&source, "busy"), Some("unreachable"));
}

#[tokio::test]
async fn a_height_that_a_node_claims_and_cannot_show_benches_nobody_else() {
    let devnet = devnet().await;
    let (_, url) = Fake { claims: 1_000_000, ..Fake::of(&devnet) }.serve().await;
    let source = source(&devnet, &[("boasting", url), ("good", devnet.url())]);
    assert_eq!(source.tip().await.unwrap(), at(TIP));
    assert_eq!(benched(&source, "boasting"), Some("lying"));
    assert_eq!(benched(&source, "good"), None);
}

#[tokio::test]
async fn headers_that_do_not_link() {
    let devnet = devnet().await;
    let rival = devnet.add_node().await.unwrap();
    rival.misbehave(Misbehave::Fork { from: 5, events: vec![] }).unwrap();
    let swapped = Some((5, rival.header_rlp(5).unwrap()));
    let (_, url) = Fake { swapped, ..Fake::of(&devnet) }.serve().await;
    let source = source(&devnet, &[("bad", url), ("good", devnet.url())]);
    let steps = source.steps(at(0), 100).await.unwrap();
    assert_eq!(steps[5].bytes, devnet.header_rlp(5).unwrap());
    assert_eq!(benched(&source, "bad"), Some("lying"));
}

#[tokio::test]
async fn history_that_nobody_keeps_and_history_that_one_keeps() {
    let devnet = devnet().await;
    let (_, url) = Fake { lowest: 4, ..Fake::of(&devnet) }.serve().await;
    let pruned = source(&devnet, &[("pruned", url.clone())]);
    assert!(matches!(pruned.steps(at(2), 9).await, Err(SourceError::Pruned { .. })));
    assert_eq!(pruned.steps(at(4), 9).await.unwrap().len(), 5, "lacking history is no fault");
    let both = source(&devnet, &[("pruned", url), ("archive", devnet.url())]);
    assert_eq!(both.steps(at(2), 9).await.unwrap().len(), 7);
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let devnet = devnet().await;
    let (_, url) = Fake { token: Some("Bearer secret"), ..Fake::of(&devnet) }.serve().await;
    let mut config = config(&devnet, &[("one", url)]);
    let denied = EvmSource::new(config.clone()).unwrap();
    assert!(matches!(denied.tip().await, Err(SourceError::Denied { .. })));
    config.nodes[0].headers.push(("authorization".to_owned(), Secret::new("Bearer secret")));
    let source = EvmSource::new(config).unwrap();
    assert_eq!(source.tip().await.unwrap(), at(TIP));
    assert!(!format!("{source:?} {:?}", source.describe()).contains("secret"));
}

#[tokio::test]
async fn nobody_answers() {
    let devnet = devnet().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:password@{}/key", listener.local_addr().unwrap());
    drop(listener);
    let error = source(&devnet, &[("gone", url)]).steps(at(0), 1).await.unwrap_err();
    assert_eq!(error.reason(), "unavailable");
    assert!(!error.to_string().contains("password") && !error.to_string().contains("/key"), "{error}");
}
