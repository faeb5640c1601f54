//! What the ledger makes, and that JSON-RPC tells the same as the bytes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{answer, bytes, call, devnet, header, header_from_json, number, post, signers, word};
use alloy_primitives::{Address, Bytes, hex, keccak256};
use hufu_evm_devnet::chain::Call;
use hufu_evm_devnet::receipt::{Log, Receipt, bloom_of, receipts_root};
use hufu_evm_devnet::registry::{CLEARANCE_GRANTED, runtime_code};
use hufu_evm_devnet::tally::quorum;
use hufu_evm_devnet::{Devnet, DevnetConfig, DevnetError, run};
use serde_json::{Value, json};

const CLEARANCE: [&str; 6] = ["TAX-1", "911101066976941872", "11430000006122244L", "2025", "无欠税", "20260105"];

fn mine(devnet: &Devnet, blocks: usize) {
    for _ in 0..blocks {
        devnet.mine().unwrap();
    }
}

/// Blocks 1 to 3: a deployment; two clearances and a failing call; nothing.
async fn three_blocks() -> (Devnet, [u8; 20]) {
    let devnet = devnet(4, 100).await;
    let contract = devnet.deploy_registry();
    devnet.mine().unwrap();
    devnet.emit_event(contract, CLEARANCE_GRANTED, &CLEARANCE).unwrap();
    devnet.submit(Call { status: false, ..Call::new(contract.into(), Bytes::from_static(b"bad"), Vec::new()) });
    devnet.emit_event(contract, CLEARANCE_GRANTED, &CLEARANCE).unwrap();
    devnet.mine().unwrap();
    devnet.mine().unwrap();
    (devnet, contract)
}

#[tokio::test]
async fn every_block_has_a_quorum_of_distinct_validators_over_its_own_digest() {
    for n in [1, 3, 4, 7] {
        let devnet = devnet(n, 5).await;
        let mut parent = devnet.genesis_hash();
        for height in 1..=8 {
            devnet.emit_log([1; 20], &[[2; 32]], b"data");
            let hash = devnet.mine().unwrap();
            let header = header(devnet.header_rlp(height));
            let set = header.extra().unwrap().validators;
            let who: BTreeSet<Address> = signers(&header).into_iter().collect();
            assert_eq!(who.len(), quorum(n));
            assert!(who.iter().all(|signer| set.contains(signer)));
            assert_eq!(header.hash().unwrap().0, hash);
            assert_eq!(header.parent_hash.0, parent);
            parent = hash;
        }
    }
}

#[tokio::test]
async fn equal_configurations_make_equal_ledgers_and_another_seed_another_genesis() {
    let hash = |seed| async move {
        let devnet = Devnet::start(DevnetConfig { seed: [seed; 32], ..DevnetConfig::default() }).await.unwrap();
        devnet.emit_log([1; 20], &[], b"x");
        (devnet.genesis_hash(), devnet.mine().unwrap())
    };
    assert_eq!(hash(1).await, hash(1).await);
    assert_ne!(hash(1).await.0, hash(2).await.0);
}

#[tokio::test]
async fn blocks_over_rpc_are_the_blocks_of_the_bytes() {
    let (devnet, _) = three_blocks().await;
    let url = devnet.url();
    assert_eq!(number(&call(&url, "eth_blockNumber", json!([])).await), 3);
    for height in 0..=3u64 {
        let at = format!("{height:#x}");
        let block = call(&url, "eth_getBlockByNumber", json!([at, false])).await;
        let header = header_from_json(&block);
        assert_eq!(Some(header.to_rlp()), devnet.header_rlp(height));
        assert_eq!(word(&block["hash"]), header.hash().unwrap());
        assert_eq!(bytes(&call(&url, "debug_getRawHeader", json!([at])).await), header.to_rlp());

        let raw = call(&url, "debug_getRawBlock", json!([at])).await;
        assert_eq!(Some(bytes(&raw).to_vec()), devnet.block_rlp(height));
        assert_eq!(number(&block["size"]), bytes(&raw).len() as u64);
        let old = call(&url, "debug_getBlockRlp", json!([height])).await;
        assert_eq!(format!("0x{}", old.as_str().unwrap()), raw.as_str().unwrap());

        let by_hash = call(&url, "eth_getBlockByHash", json!([block["hash"], true])).await;
        let full = call(&url, "eth_getBlockByNumber", json!([at, true])).await;
        assert_eq!(by_hash, full);
        let hashes: Value = full["transactions"].as_array().unwrap().iter().map(|tx| tx["hash"].clone()).collect();
        assert_eq!(hashes, block["transactions"]);
        for tx in full["transactions"].as_array().unwrap() {
            assert_eq!(&call(&url, "eth_getTransactionByHash", json!([tx["hash"]])).await, tx);
            assert_eq!(bytes(&tx["from"]).as_ref(), devnet.registrar());
        }
        let set = call(&url, "qbft_getValidatorsByBlockNumber", json!([at])).await;
        let listed: Vec<_> = header.extra().unwrap().validators.iter().map(|v| json!(format!("{v:#x}"))).collect();
        assert_eq!(set, Value::Array(listed));
    }
    let latest = call(&url, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(number(&latest["number"]), 3);
}

/// The receipt that the JSON describes, in our own type.
fn receipt_from_json(shown: &Value) -> Receipt {
    let log = |log: &Value| Log {
        address: Address::from_slice(&bytes(&log["address"])),
        topics: log["topics"].as_array().unwrap().iter().map(word).collect(),
        data: bytes(&log["data"]),
    };
    let logs = shown["logs"].as_array().unwrap().iter().map(log).collect();
    Receipt::new(shown["status"] == "0x1", number(&shown["cumulativeGasUsed"]), logs)
}

#[tokio::test]
async fn receipts_over_rpc_rebuild_the_root_of_the_header() {
    let (devnet, contract) = three_blocks().await;
    let url = devnet.url();
    for height in 1..=3u64 {
        let at = format!("{height:#x}");
        let header = header(devnet.header_rlp(height));
        let shown = call(&url, "eth_getBlockReceipts", json!([at])).await;
        let receipts: Vec<Receipt> = shown.as_array().unwrap().iter().map(receipt_from_json).collect();
        let consensus: Vec<Vec<u8>> = receipts.iter().map(Receipt::to_consensus).collect();
        assert_eq!(receipts_root(&consensus), header.receipts_root);
        assert_eq!(bloom_of(receipts.iter().flat_map(|r| &r.logs)), header.logs_bloom);
        assert_eq!(Some(consensus.clone()), devnet.receipts_rlp(height));
        let raw = call(&url, "debug_getRawReceipts", json!([at])).await;
        assert_eq!(raw, json!(consensus.iter().map(hex::encode_prefixed).collect::<Vec<_>>()));
        for receipt in shown.as_array().unwrap() {
            let single = call(&url, "eth_getTransactionReceipt", json!([receipt["transactionHash"]])).await;
            assert_eq!(&single, receipt);
        }
    }
    let shown = call(&url, "eth_getBlockReceipts", json!(["0x2"])).await;
    let statuses: Vec<_> = shown.as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses, ["0x1", "0x0", "0x1"]);
    assert_eq!(shown[2]["logs"][0]["logIndex"], "0x1");
    let created = call(&url, "eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(bytes(&created[0]["contractAddress"]).as_ref(), contract);
}

#[tokio::test]
async fn the_code_stands_from_its_block_on() {
    let (devnet, contract) = three_blocks().await;
    let url = devnet.url();
    let address = hex::encode_prefixed(contract);
    assert_eq!(call(&url, "eth_getCode", json!([address, "0x0"])).await, "0x");
    assert_eq!(bytes(&call(&url, "eth_getCode", json!([address, "latest"])).await), runtime_code());
}

#[tokio::test]
async fn logs_are_found_by_address_topic_and_block() {
    let (devnet, contract) = three_blocks().await;
    devnet.emit_log([7; 20], &[[1; 32], [2; 32]], b"other");
    devnet.mine().unwrap();
    let url = devnet.url();
    let topic = hex::encode_prefixed(keccak256(CLEARANCE_GRANTED));
    let at = hex::encode_prefixed(contract);
    let other = json!([null, [format!("0x{}", "02".repeat(32)), topic]]);
    let hash = hex::encode_prefixed(devnet.block_hash(2).unwrap());
    for (filter, count) in [
        (json!({ "fromBlock": "0x0" }), 3),
        (json!({ "fromBlock": "0x0", "address": at }), 2),
        (json!({ "fromBlock": "earliest", "address": [at, format!("0x{}", "07".repeat(20))] }), 3),
        (json!({ "fromBlock": "0x0", "topics": [topic] }), 2),
        (json!({ "fromBlock": "0x0", "topics": other }), 1),
        (json!({ "fromBlock": "0x3", "topics": [topic] }), 0),
        (json!({ "blockHash": hash }), 2),
        (json!({}), 1),
    ] {
        let found = call(&url, "eth_getLogs", json!([filter])).await;
        assert_eq!(found.as_array().unwrap().len(), count, "{filter}");
    }
}

#[tokio::test]
async fn a_batch_gives_the_answers_of_its_requests_in_order() {
    let (devnet, _) = three_blocks().await;
    let url = devnet.url();
    let wanted = [
        ("eth_chainId", json!([])),
        ("eth_getBlockByNumber", json!(["0x2", true])),
        ("net_version", json!([])),
        ("eth_getBlockByNumber", json!(["0x63", true])),
    ];
    let batch: Vec<Value> = wanted
        .iter()
        .enumerate()
        .map(|(id, (method, params))| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
        .chain([json!({ "jsonrpc": "2.0", "method": "eth_chainId" })])
        .collect();
    let answers = post(&url, &json!(batch).to_string()).await.unwrap().body;
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), wanted.len(), "a notification is not answered");
    for (id, (method, params)) in wanted.into_iter().enumerate() {
        assert_eq!(answers[id]["id"], id);
        assert_eq!(answers[id]["result"], call(&url, method, params).await);
    }
    assert_eq!(answers[0]["result"], format!("{:#x}", devnet.chain_id()));
    assert_eq!(answers[3]["result"], Value::Null);
}

#[tokio::test]
async fn errors_have_their_standard_codes() {
    let (devnet, _) = three_blocks().await;
    let url = devnet.url();
    for (body, code) in [
        ("{", -32_700),
        ("[]", -32_600),
        ("7", -32_600),
        (r#"{"id":1,"method":"eth_chainId"}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}"#, -32_601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["2"]}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x02"]}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":{"a":1}}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["0x12"]}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"debug_getRawHeader","params":["0x63"]}"#, -32_000),
    ] {
        let raw = post(&url, body).await.unwrap();
        let answer: Value = serde_json::from_str(&raw.body).unwrap();
        assert_eq!((raw.status, answer["error"]["code"].as_i64()), (200, Some(code)), "{body}");
    }
}

#[tokio::test]
async fn a_vote_adds_a_validator_that_seals_from_the_next_block() {
    let devnet = devnet(4, 100).await;
    let newcomer = devnet.known_validators()[4];
    devnet.vote(newcomer, true);
    mine(&devnet, 8);
    // Three of four: the third proposer's block passes it.
    for (height, size) in [(1, 4), (2, 4), (3, 4), (4, 5), (8, 5)] {
        let extra = header(devnet.header_rlp(height)).extra().unwrap();
        assert_eq!(extra.validators.len(), size, "set that seals block {height}");
        assert_eq!(extra.vote.is_some(), height <= 3);
    }
    let made: BTreeSet<_> = (4..=8).map(|height| header(devnet.header_rlp(height)).beneficiary.0.0).collect();
    assert!(made.contains(&newcomer), "it takes its turn as proposer");

    devnet.vote(newcomer, false);
    mine(&devnet, 6);
    assert_eq!(devnet.validators().len(), 4);
    assert_eq!(header(devnet.header_rlp(14)).extra().unwrap().validators.len(), 4);
}

#[tokio::test]
async fn votes_on_both_sides_of_an_epoch_do_not_add_up() {
    let devnet = devnet(4, 3).await;
    let newcomer = devnet.known_validators()[4];
    // Two vote in blocks 1 and 2; block 3 drops them; a third votes in block 4's round of turns.
    (0..2).for_each(|i| devnet.vote_by(i, newcomer, true).unwrap());
    mine(&devnet, 3);
    devnet.vote_by(3, newcomer, true).unwrap();
    devnet.mine().unwrap();
    assert!(header(devnet.header_rlp(2)).extra().unwrap().vote.is_some());
    assert!(header(devnet.header_rlp(4)).extra().unwrap().vote.is_some());
    assert_eq!(devnet.validators().len(), 4);
}

#[tokio::test]
async fn a_stopped_validator_costs_a_round_and_two_of_four_stop_the_ledger() {
    let devnet = devnet(4, 100).await;
    devnet.stop_validator(0).unwrap();
    devnet.mine().unwrap();
    assert_eq!(header(devnet.header_rlp(1)).extra().unwrap().round, 1);
    assert_eq!(signers(&header(devnet.header_rlp(1))).len(), 3);
    devnet.stop_validator(1).unwrap();
    assert!(matches!(devnet.mine(), Err(DevnetError::NoQuorum { needed: 3, live: 2 })));
    devnet.start_validator(0).unwrap();
    devnet.mine().unwrap();
    assert_eq!(devnet.height(), 2);
    assert!(matches!(devnet.stop_validator(99), Err(DevnetError::Index { .. })));
}

#[tokio::test]
async fn another_process_can_write_over_rpc() {
    let devnet = devnet(1, 100).await;
    let url = devnet.url();
    let contract = call(&url, "devnet_deployRegistry", json!([])).await;
    let transaction = call(&url, "devnet_emitEvent", json!([contract, CLEARANCE_GRANTED, CLEARANCE])).await;
    let hash = call(&url, "devnet_mine", json!([])).await;
    let receipt = call(&url, "eth_getTransactionReceipt", json!([transaction])).await;
    assert_eq!(receipt["blockHash"], hash);
    assert_eq!(receipt["logs"][0]["address"], contract);
    let refused = answer(&url, "devnet_emitEvent", json!([contract, CLEARANCE_GRANTED, ["one"]])).await;
    assert_eq!(refused["error"]["code"], -32_000);
}

/// Polls until `done`, and says what it waited for when that never comes.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_timer_takes_what_is_queued_and_the_ledger_ends_with_its_last_handle() {
    let config = DevnetConfig { block_time: Some(Duration::from_millis(20)), ..DevnetConfig::default() };
    let (told, url) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(run(config, |devnet| drop(told.send(devnet.url())), async { drop(stopped.await) }));
    let url = url.await.unwrap();
    for _ in 0..3 {
        let before = number(&call(&url, "eth_blockNumber", json!([])).await);
        let event = json!([format!("0x{}", "01".repeat(20)), "Noted(string)", ["x"]]);
        let hash = call(&url, "devnet_emitEvent", event).await;
        until("the event's block", async || !call(&url, "eth_getTransactionReceipt", json!([hash])).await.is_null())
            .await;
        assert!(number(&call(&url, "eth_blockNumber", json!([])).await) > before);
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    until("the port to close", async || post(&url, "{}").await.is_err()).await;
}

#[tokio::test]
async fn configurations_that_make_no_ledger_are_refused() {
    let good = DevnetConfig::default();
    for bad in [
        DevnetConfig { validators: 0, ..good.clone() },
        DevnetConfig { validators: 101, ..good.clone() },
        DevnetConfig { epoch: 0, ..good.clone() },
        DevnetConfig { block_time: Some(Duration::ZERO), ..good },
    ] {
        assert!(matches!(Devnet::start(bad).await, Err(DevnetError::Config { .. })));
    }
}
