//! What a node answers over HTTP: the same keys and kinds as the recorded answers, and the words of real refusals
//! (CometBFT 0.38.17).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_cometbft_devnet::{Devnet, DevnetConfig, Misbehave};
use serde_json::{Value, json};

use crate::support::client::{answer, get, post, refusal, result};
use crate::support::recorded::Network;
use crate::support::{devnet, mine};

/// Where two answers differ in keys or kinds. Lists are compared by their first entries; `null` and a list are one kind
/// for Go, and so are `null` and text in base64.
fn difference(at: &str, ours: &Value, real: &Value) -> Option<String> {
    match (ours, real) {
        (Value::Object(ours), Value::Object(real)) => {
            let keys =
                |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<std::collections::BTreeSet<_>>();
            if keys(ours) != keys(real) {
                return Some(format!("{at}: {:?} and {:?}", keys(ours), keys(real)));
            }
            ours.iter().find_map(|(key, value)| difference(&format!("{at}/{key}"), value, &real[key]))
        }
        (Value::Array(ours), Value::Array(real)) => difference(&format!("{at}/0"), ours.first()?, real.first()?),
        (Value::Null, Value::Array(_) | Value::String(_) | Value::Null)
        | (Value::Array(_) | Value::String(_), Value::Null) => None,
        (Value::String(ours), Value::String(real)) => {
            // Numbers as text stay numbers, upper-case hex stays so.
            let kind = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let hex =
                    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
                (digits, hex)
            };
            (kind(ours) != kind(real)).then(|| format!("{at}: {ours:?} and {real:?}"))
        }
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) => None,
        _ => Some(format!("{at}: {ours} and {real}")),
    }
}

/// The recorded history, made again.
async fn same_history() -> Devnet {
    let devnet = devnet().await;
    mine(&devnet, 2);
    let case = Network::open("real-0.38").file("case");
    for name in ["put", "fail", "other"] {
        devnet.send(case["transactions"][name]["tx"].as_str().unwrap()).unwrap();
        mine(&devnet, 1);
    }
    mine(&devnet, 1);
    devnet
}

#[tokio::test]
async fn answers_have_the_keys_and_kinds_of_recorded_ones() {
    let (devnet, real) = (same_history().await, Network::open("real-0.38"));
    let url = devnet.url();
    let put = hex::encode(hufu_cometbft_devnet::merkle::sha256(&[&devnet.block(4).unwrap().txs[0]]));
    let query = |key: &str| format!("abci_query?path=%22/store/notices/key%22&data=%22{key}%22&prove=true&height=6");
    for (path, name) in [
        ("status".to_owned(), "status"),
        ("commit?height=4".to_owned(), "004.commit"),
        ("commit?height=1".to_owned(), "001.commit"),
        ("validators?height=4&per_page=100".to_owned(), "004.validators"),
        ("block?height=4".to_owned(), "004.block"),
        ("block?height=%224%22".to_owned(), "004.block"),
        ("block_results?height=4".to_owned(), "004.block_results"),
        ("block_results?height=7".to_owned(), "007.block_results"),
        (format!("tx?hash=0x{put}&prove=true"), "tx.put"),
        (query("notice/2026-001"), "key.present"),
        (query("notice/2026-0015"), "key.absent"),
        (query("a"), "key.absent-before-all"),
        (query("z"), "key.absent-after-all"),
    ] {
        let ours = match path.strip_prefix("block_results?height=7") {
            Some(_) => result(&url, "block_results?height=6").await,
            None => result(&url, &path).await,
        };
        assert_eq!(difference("", &ours, &real.answer(name)), None, "{path}");
    }
    let genesis = result(&url, "genesis").await;
    assert_eq!(difference("", &genesis["genesis"], &real.file("genesis")), None);
}

/// State, results and proofs depend on the transactions alone, so that they are the recorded ones to the byte.
#[tokio::test]
async fn the_same_transactions_give_the_recorded_answers() {
    let (devnet, real) = (same_history().await, Network::open("real-0.38"));
    let url = devnet.url();
    for (name, key) in [("present", "notice/2026-001"), ("absent", "notice/2026-0015")] {
        let path = format!("abci_query?path=%22/store/notices/key%22&data=0x{}&prove=true&height=6", hex::encode(key));
        assert_eq!(result(&url, &path).await, real.answer(&format!("key.{name}")), "{name}");
    }
    for (height, name) in [(4, "put"), (5, "fail"), (6, "other")] {
        let (ours, theirs) =
            (result(&url, &format!("block?height={height}")).await, real.answer(&format!("{height:03}.block")));
        for field in ["app_hash", "data_hash", "last_results_hash", "evidence_hash", "consensus_hash", "version"] {
            assert_eq!(ours["block"]["header"][field], theirs["block"]["header"][field], "{field} at {height}");
        }
        let hash = theirs_hash(&real, name);
        assert_eq!(result(&url, &format!("tx?hash=0x{hash}&prove=true")).await, real.answer(&format!("tx.{name}")));
    }
}

fn theirs_hash(real: &Network, name: &str) -> String {
    real.answer(&format!("tx.{name}"))["hash"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn refusals_are_worded_as_real_nodes_word_them() {
    let devnet = devnet().await;
    mine(&devnet, 2);
    let url = devnet.url();
    for (path, words) in [
        ("commit?height=100000", "height 100000 must be less than or equal to the current blockchain height 3"),
        ("block?height=4", "height 4 must be less than or equal to the current blockchain height 3"),
        ("block_results?height=9", "height 9 must be less than or equal to the current blockchain height 3"),
        ("header?height=9", "height 9 must be less than or equal to the current blockchain height 3"),
        ("validators?height=5", "height 5 must be less than or equal to the current blockchain height 4"),
        ("commit?height=0", "height must be greater than 0, but got 0"),
        ("commit?height=-1", "height must be greater than 0, but got -1"),
        (
            "commit?height=abc",
            "error converting http params to arguments: invalid 64-bit integer encoding \"abc\", expected string",
        ),
        ("validators?height=2&page=2&per_page=100", "page should be within [1, 1] range, given 2"),
        ("validators?height=2&page=0", "page should be within [1, 1] range, given 0"),
        ("tx?hash=0xABCD&prove=true", "tx (ABCD) not found"),
        ("blockchain?minHeight=3&maxHeight=2", "min height 3 can't be greater than max height 2"),
    ] {
        assert_eq!(refusal(&url, path).await, words, "{path}");
    }
    let node = devnet.add_node().await.unwrap();
    node.misbehave(Misbehave::Pruned { base: 2 }).unwrap();
    assert_eq!(refusal(&node.url(), "block?height=1").await, "height 1 is not available, lowest height is 2");
    assert_eq!(result(&node.url(), "status").await["sync_info"]["earliest_block_height"], "2");
    let missing = get(&url, "nosuch").await.unwrap();
    assert_eq!((missing.status, missing.body.as_str()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn the_application_refuses_other_paths_and_states_that_are_not_kept() {
    let devnet = Devnet::start(DevnetConfig { states: 2, ..DevnetConfig::default() }).await.unwrap();
    devnet.put("a", "1").unwrap();
    mine(&devnet, 4);
    let url = devnet.url();
    let query =
        |path: &str, height: u64| format!("abci_query?path=%22{path}%22&data=%22a%22&prove=true&height={height}");
    let refused = result(&url, &query("/nope", 0)).await;
    assert_eq!(
        refused,
        json!({ "response": {
            "code": 3, "log": "expected the path /store/notices/key", "info": "", "index": "0", "key": null, "value": null,
            "proofOps": null, "height": "0", "codespace": "",
        } })
    );
    for height in [3, 6] {
        assert_eq!(result(&url, &query("/store/notices/key", height)).await["response"]["code"], 4, "{height}");
    }
    for (asked, told) in [(4, "4"), (5, "5"), (0, "5")] {
        let answer = &result(&url, &query("/store/notices/key", asked)).await["response"];
        assert_eq!((answer["code"].as_u64(), answer["height"].as_str()), (Some(0), Some(told)));
    }
}

#[tokio::test]
async fn calls_by_post_in_each_form() {
    let devnet = devnet().await;
    mine(&devnet, 2);
    let url = devnet.url();
    let by_uri = result(&url, "commit?height=2").await;
    assert_eq!(answer(&url, "commit", json!({ "height": "2" })).await["result"], by_uri);
    assert_eq!(answer(&url, "commit", json!(["2"])).await["result"], by_uri);
    assert_eq!(answer(&url, "commit", json!({ "height": 2 })).await["error"]["code"], -32602);
    assert_eq!(answer(&url, "commit", json!({ "height": "9" })).await["error"]["code"], -32603);
    let unknown = answer(&url, "nosuch", json!({})).await;
    assert_eq!(
        unknown,
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601, "message": "Method not found" } })
    );
    let query = json!({ "path": "/store/notices/key", "data": hex::encode("about"), "prove": true });
    let told = answer(&url, "abci_query", query).await;
    assert_eq!(told["result"]["response"]["value"], STANDARD.encode("notices"));
    let batch =
        post(&url, r#"[{"jsonrpc":"2.0","id":1,"method":"health"},{"jsonrpc":"2.0","id":2,"method":"nosuch"}]"#);
    let batch = batch.await.unwrap();
    assert_eq!(batch.json()[0], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!((batch.status, batch.json()[1]["error"]["code"].as_i64()), (200, Some(-32601)));
    assert!(batch.head.contains("content-type: application/json"));
    assert_eq!(post(&url, r#"{"jsonrpc":"2.0","method":"health"}"#).await.unwrap().body, "");
    let broken = post(&url, "{bad").await.unwrap();
    assert_eq!((broken.status, broken.json()["error"]["code"].as_i64()), (500, Some(-32700)));
    let by_uri = get(&url, "health").await.unwrap();
    assert_eq!(by_uri.json(), json!({ "jsonrpc": "2.0", "id": -1, "result": {} }));
}

#[tokio::test]
async fn validators_come_in_pages_of_at_most_a_hundred() {
    let devnet = Devnet::start(DevnetConfig { validators: 130, ..DevnetConfig::default() }).await.unwrap();
    let url = devnet.url();
    let mut all = Vec::new();
    for (page, count) in [(1, "100"), (2, "30")] {
        let told = result(&url, &format!("validators?height=1&page={page}&per_page=1000")).await;
        assert_eq!((&told["count"], &told["total"]), (&json!(count), &json!("130")));
        all.extend(told["validators"].as_array().unwrap().clone());
    }
    let addresses: std::collections::BTreeSet<_> = all.iter().map(|it| it["address"].to_string()).collect();
    assert_eq!(addresses.len(), 130);
    assert_eq!(result(&url, "validators?height=1").await["count"], "30");
    assert_eq!(result(&url, "validators?height=1&per_page=0").await["count"], "30");
}

#[tokio::test]
async fn transactions_come_in_over_rpc() {
    let devnet = devnet().await;
    let url = devnet.url();
    let sent = result(&url, "broadcast_tx_sync?tx=%22put%20a=b%22").await;
    assert_eq!(sent["code"], 0);
    assert_eq!(refusal(&url, "broadcast_tx_sync?tx=%22put%20a=b%22").await, "tx already exists in cache");
    assert_eq!(result(&url, "broadcast_tx_sync?tx=%22nonsense%22").await["code"], 2);
    assert_eq!(devnet.height(), 1);
    let done = result(&url, "broadcast_tx_commit?tx=%22fail%209%22").await;
    assert_eq!(
        (&done["height"], &done["tx_result"]["code"], &done["check_tx"]["code"]),
        (&json!("2"), &json!(9), &json!(0))
    );
    let unread = result(&url, "broadcast_tx_commit?tx=%22nonsense%22").await;
    assert_eq!((&unread["height"], &unread["check_tx"]["code"]), (&json!("0"), &json!(2)));
    let told = result(&url, &format!("tx?hash=0x{}", sent["hash"].as_str().unwrap())).await;
    assert_eq!((&told["height"], &told["index"], told.get("proof")), (&json!("2"), &json!(0), None));
    let block = result(&url, "block?height=2").await;
    assert_eq!(block["block"]["data"]["txs"], json!([STANDARD.encode("put a=b"), STANDARD.encode("fail 9")]));
    let metas = result(&url, "blockchain?minHeight=1&maxHeight=9").await;
    let numbers: Vec<&Value> = metas["block_metas"].as_array().unwrap().iter().map(|meta| &meta["num_txs"]).collect();
    assert_eq!((numbers, &metas["last_height"]), (vec![&json!("2"), &json!("0")], &json!("2")));
    assert_eq!(result(&url, "commit").await["canonical"], false);
    assert_eq!(result(&url, "commit?height=1").await["canonical"], true);
}
