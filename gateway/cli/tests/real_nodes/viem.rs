//! The devnet before a client of other authors: viem (npm) reads it over HTTP and WebSocket and subscribes, and what it
//! says it saw is what the ledger holds. Needs Node 20 or later; the client is installed once, pinned by its lock file.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hufu_evm_devnet::{Devnet, DevnetConfig, registry};
use hufu_schemas_core::Digest;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../adapters/evm/devnet/tests/node-client");
const INSTALL: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(60);
/// Blocks that are mined after the client has subscribed.
const NEW_HEADS: u64 = 3;

#[tokio::test]
async fn a_viem_client_reads_and_subscribes() {
    let test = "viem::a_viem_client_reads_and_subscribes";
    if std::env::var("HUFU_REAL_NODES").as_deref() != Ok("1") {
        println!("skipped: {test}: foreign programs are started only with HUFU_REAL_NODES=1");
        return;
    }
    let folder = install().await;
    let (devnet, contract) = ledger().await;
    let began = Instant::now();
    let seen = run(&folder, &devnet, contract).await;
    println!("viem: everything was read and three heads came in {:.1?}", began.elapsed());
    require_all_seen(&devnet, &seen);
}

/// Blocks with one event, with two, and with none, and one in which a slot was written.
async fn ledger() -> (Devnet, [u8; 20]) {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let contract = devnet.deploy_registry();
    devnet.mine().unwrap();
    emit_certificate(&devnet, contract, "1");
    devnet.mine().unwrap();
    emit_certificate(&devnet, contract, "2");
    devnet.emit_event(contract, registry::CLEARANCE_GRANTED, &["T", "无欠税", "c", "d", "e", "f"]).unwrap();
    devnet.mine().unwrap();
    devnet.set_storage(contract, [0xff; 32], [1; 32]);
    devnet.mine().unwrap();
    (devnet, contract)
}

fn emit_certificate(devnet: &Devnet, contract: [u8; 20], id: &str) {
    let args = [id, "01", "b", "营业执照", "d", "e", "f", "g", "h", "i"];
    devnet.emit_event(contract, registry::CERTIFICATE_CHANGED, &args).unwrap();
}

/// The folder with the client and its packages, named by the lock file's digest and filled once.
async fn install() -> PathBuf {
    let lock = std::fs::read(Path::new(CLIENT).join("package-lock.json")).unwrap();
    let cache = std::env::var_os("HUFU_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HUFU_CACHE or HOME is set")).join(".cache/hufu"),
        PathBuf::from,
    );
    let name = hex::encode(&Digest::of(&lock).as_bytes()[..8]);
    let folder = cache.join(format!("node-client-{name}"));
    if !folder.join("node_modules").is_dir() {
        std::fs::create_dir_all(&cache).unwrap();
        // Filled beside its place and moved there, so that an interrupted install leaves nothing that looks finished.
        let filling = tempfile::tempdir_in(&cache).unwrap();
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(Path::new(CLIENT).join(file), filling.path().join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(filling.path());
        let status = npm.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).status();
        let status = timeout(INSTALL, status).await.expect("npm ci ends in time");
        let status = status.unwrap_or_else(|error| panic!("expected npm (Node 20 or later) on PATH: {error}"));
        assert!(status.success(), "npm ci ended with {status}");
        // Another run may have been quicker; then its folder stands.
        let _ = std::fs::rename(filling.path(), &folder);
    }
    assert!(folder.join("node_modules/viem").is_dir(), "expected viem in {}", folder.display());
    std::fs::copy(Path::new(CLIENT).join("check.mjs"), folder.join("check.mjs")).unwrap();
    folder
}

async fn run(folder: &Path, devnet: &Devnet, contract: [u8; 20]) -> Value {
    let abi: Value = serde_json::from_str(registry::ABI).unwrap();
    let contract_shown = format!("0x{}", hex::encode(contract));
    let task = json!({
        "http": devnet.url(), "ws": devnet.ws_url(), "contract": contract_shown, "abi": abi, "heads": NEW_HEADS,
    });
    let mut node = Command::new("node");
    node.arg("check.mjs").arg(task.to_string()).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = node.kill_on_drop(true).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("expected node (20 or later) on PATH: {error}"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = async || {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("a line of the client in time").unwrap();
        line.map(|line| serde_json::from_str::<Value>(&line).unwrap())
    };
    let ready = line().await.expect("the client reads the ledger; its words stand above");
    assert_eq!(ready, json!({ "ready": true }));
    for number in 0..NEW_HEADS {
        if number == 1 {
            emit_certificate(devnet, contract, "3");
        }
        devnet.mine().unwrap();
    }
    let seen = line().await.expect("the client hears of new heads; its words stand above");
    let status = timeout(PATIENCE, child.wait()).await.expect("the client ends").unwrap();
    assert!(status.success(), "the client ended with {status}");
    seen
}

/// Everything that the client saw, against the ledger itself.
fn require_all_seen(devnet: &Devnet, seen: &Value) {
    let hash = |height| format!("0x{}", hex::encode(devnet.block_hash(height).unwrap()));
    let told = |heights: std::ops::RangeInclusive<u64>| -> Vec<Value> {
        heights.map(|height| json!({ "number": height, "hash": hash(height) })).collect()
    };
    assert_eq!(seen["chainId"], devnet.chain_id());
    assert_eq!(seen["blocks"], Value::Array(told(0..=4)));
    assert_eq!(seen["news"]["heads"], Value::Array(told(5..=4 + NEW_HEADS)));
    let events: Vec<_> = seen["events"].as_array().unwrap().iter().map(summary).collect();
    assert_eq!(events, [("CertificateChanged", 2, "1"), ("CertificateChanged", 3, "2"), ("ClearanceGranted", 3, "T")]);
    let news: Vec<_> = seen["news"]["found"].as_array().unwrap().iter().map(summary).collect();
    assert_eq!(news, [("CertificateChanged", 6, "3")]);
    assert_eq!(seen["events"][0]["args"]["className"], "营业执照");
    let registrar = seen["state"]["registrar"].as_str().unwrap().to_lowercase();
    assert_eq!(registrar, format!("0x{}", hex::encode(devnet.registrar())));
    assert_eq!(seen["state"]["nonce"], 4, "a deployment and three events");
}

fn summary(event: &Value) -> (&str, u64, &str) {
    let args = &event["args"];
    let first = if args["certificateId"].is_string() { &args["certificateId"] } else { &args["clearanceNo"] };
    (event["event"].as_str().unwrap(), event["block"].as_u64().unwrap(), first.as_str().unwrap())
}
