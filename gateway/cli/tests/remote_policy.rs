//! Commands that edit what a gateway trusts: `hufu lane accept`, `hufu ledger anchor`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use hufu_gateway_server::families::families;
use hufu_gateway_store::{LedgerAdvance, Store};
use hufu_gateway_verify::TrustPolicy;
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::{Digest, LaneId, LedgerId};
use serde_json::{Value, json};
use support::{hufu, text};

const LANE: &str = "notary.example/certificates/1";
const GENESIS: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
const LEDGER: &str = "evm:11111111111111111111111111111111";

/// A policy with comments everywhere an operator may write one.
fn policy() -> String {
    let key = NoteSigner::from_seed("notary.example", &[7; 32]).unwrap().verifier().to_string();
    format!(
        "# decided on 2026-11-20\npolicy = 1 # the format\n\n[[ledger]]\nid = \"{LEDGER}\" # their ledger\n\
         anchor = {{ family = \"evm\", consensus = \"qbft\", height = 0, hash = \"{GENESIS}\" }} # from the minutes\n\n\
         [[peer]]\ngateway = \"notary.example\"\norganisation = \"12100000400000000X\"\nlog_keys = [\"{key}\"]\n\n\
         # what the notary may say\n[[lane]]\nid = \"{LANE}\"\ndefinitions = [ # read by two of us\n]\n\
         types = [\"e-certificate\"]\nissuers = [\"12100000400000000X\"] # itself\n# the end\n"
    )
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once('#')).map(|(_, comment)| comment).collect()
}

#[test]
fn lane_accept_adds_one_digest_and_keeps_every_comment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, policy()).unwrap();
    let digest = Digest::of(b"definition");
    let ran = hufu(&["lane", "accept", LANE, &digest.to_hex(), "--policy", text(&path)]);
    assert!(ran.code == 0 && ran.stdout.contains("within seconds"), "{ran}");
    let after = fs::read_to_string(&path).unwrap();
    assert_eq!(comments(&after), comments(&policy()), "{after}");
    let known = TrustPolicy::parse("p", &after).unwrap();
    assert_eq!(known.lane(&LaneId::parse(LANE).unwrap()).unwrap().definitions, [digest]);
    let again = hufu(&["lane", "accept", LANE, &digest.to_hex(), "--policy", text(&path), "--json"]);
    assert_eq!((again.code, &again.json()["changed"]), (0, &Value::Bool(false)), "{again}");
    assert_eq!(fs::read_to_string(&path).unwrap(), after);
    let words = hufu(&["lane", "accept", LANE, &digest.to_hex(), "--policy", text(&path)]);
    assert!(words.stdout.contains("nothing changed"), "{words}");
}

#[test]
fn lane_accept_refuses_what_the_operator_did_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, policy()).unwrap();
    let digest = Digest::of(b"definition").to_hex();
    let ran = hufu(&["lane", "accept", "tax.example/clearance/1", &digest, "--policy", text(&path)]);
    assert!(
        ran.code == 2 && ran.stderr.contains(&format!("names no lane tax.example/clearance/1; it names {LANE}")),
        "{ran}"
    );
    let ran = hufu(&["lane", "accept", LANE, "0x12", "--policy", text(&path)]);
    assert!(ran.code == 2 && ran.stderr.contains("64 lower-case hex digits"), "{ran}");
    assert_eq!(hufu(&["lane", "accept", LANE, &digest]).code, 2, "without a policy");
    assert_eq!(fs::read_to_string(&path).unwrap(), policy());
}

/// A new anchor of the same ledger, as a file.
fn anchor(folder: &Path, genesis: &str) -> (PathBuf, Value) {
    let path = folder.join("anchor.toml");
    let hash = "0x2222222222222222222222222222222222222222222222222222222222222222";
    let lines = format!("consensus = \"qbft\"\nheight = 120000\nhash = \"{hash}\"\ngenesis = \"{genesis}\"\n");
    fs::write(&path, format!("family = \"evm\"\n{lines}")).unwrap();
    let value = json!({"family": "evm", "consensus": "qbft", "height": 120_000, "hash": hash, "genesis": genesis});
    (path, value)
}

#[test]
fn ledger_anchor_replaces_the_anchor_in_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, policy()).unwrap();
    let (file, value) = anchor(folder.path(), GENESIS);
    let ran = hufu(&["ledger", "anchor", LEDGER, text(&file), "--policy", text(&path), "--json"]);
    assert_eq!((ran.code, &ran.json()["changed"]), (0, &Value::Bool(true)), "{ran}");
    let after = fs::read_to_string(&path).unwrap();
    assert_eq!(comments(&after), comments(&policy()), "{after}");
    assert_eq!(TrustPolicy::parse("p", &after).unwrap().anchor(&LedgerId::parse(LEDGER).unwrap()), Some(&value));
    let again = hufu(&["ledger", "anchor", LEDGER, text(&file), "--policy", text(&path)]);
    assert!(again.code == 0 && again.stdout.contains("nothing changed"), "{again}");
}

#[test]
fn an_anchor_of_another_ledger_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, policy()).unwrap();
    let other = "0x3333333333333333333333333333333333333333333333333333333333333333";
    let (file, _) = anchor(folder.path(), other);
    let ran = hufu(&["ledger", "anchor", LEDGER, text(&file), "--policy", text(&path)]);
    assert!(ran.code == 2 && ran.stderr.contains("got one of evm:33333333333333333333333333333333"), "{ran}");
    fs::write(&file, "family = \"evm\"\nconsensus = \"qbft\"\n").unwrap();
    let ran = hufu(&["ledger", "anchor", LEDGER, text(&file), "--policy", text(&path)]);
    assert!(ran.code == 2 && ran.stderr.contains("/height"), "{ran}");
    assert_eq!(fs::read_to_string(&path).unwrap(), policy());
}

/// A gateway's folder whose peers listener stands on `port`.
fn gateway(folder: &Path, port: u16) -> (String, PathBuf) {
    let dir = folder.join("tax");
    assert_eq!(hufu(&["init", text(&dir), "--name", "tax.example"]).code, 0);
    fs::write(dir.join("policy.toml"), policy()).unwrap();
    let config = dir.join("gateway.toml");
    let written = fs::read_to_string(&config).unwrap().replace("127.0.0.1:7401", &format!("127.0.0.1:{port}"));
    fs::write(&config, written).unwrap();
    (text(&config).to_owned(), dir)
}

#[tokio::test]
async fn ledger_anchor_replaces_a_stored_head_of_a_stopped_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let (config, dir) = gateway(folder.path(), 0);
    let (file, value) = anchor(folder.path(), GENESIS);
    let ledger = LedgerId::parse(LEDGER).unwrap();
    let args = ["ledger", "anchor", LEDGER, text(&file), "--config", config.as_str(), "--reason", "expired", "--json"];

    let old = json!({"family": "evm", "consensus": "qbft", "height": 0, "hash": GENESIS});
    let store = Store::open(dir.join("hufu.db")).await.unwrap();
    let head = families().client(&old).unwrap().anchor();
    let (expected, blocks, steps, final_to) = (None, Vec::new(), Vec::new(), None);
    store
        .advance(LedgerAdvance { ledger: ledger.clone(), expected, head, blocks, steps, final_to, undone: None })
        .await
        .unwrap();
    store.close().await;

    let ran = hufu(&args);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(ran.json()["headReplaced"], true, "{ran}");
    let store = Store::open(dir.join("hufu.db")).await.unwrap();
    let row = store.head(&ledger).await.unwrap().unwrap();
    assert_eq!(row.head, families().client(&value).unwrap().anchor());
    let log = store.operator_log(0, 10).await.unwrap();
    assert_eq!((log[0].what.as_str(), log[0].act.why.as_str()), ("reanchor-ledger", "expired"));
    store.close().await;
}

#[test]
fn ledger_anchor_leaves_a_running_gateway_alone() {
    let folder = tempfile::tempdir().unwrap();
    let running = TcpListener::bind("127.0.0.1:0").unwrap();
    let (config, dir) = gateway(folder.path(), running.local_addr().unwrap().port());
    let (file, _) = anchor(folder.path(), GENESIS);
    let ran = hufu(&["ledger", "anchor", LEDGER, text(&file), "--config", &config]);
    assert!(ran.code == 2 && ran.stderr.contains("a gateway is listening on"), "{ran}");
    assert_eq!(fs::read_to_string(dir.join("policy.toml")).unwrap(), policy());
}
