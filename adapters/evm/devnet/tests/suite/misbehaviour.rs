//! Each misbehaviour shows in what its node answers, and in no other node's answers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{answer, bytes, call, devnet, header, header_from_json, number, post, signers};
use alloy_primitives::{Address, hex};
use hufu_evm_devnet::block::Header;
use hufu_evm_devnet::receipt::{Receipt, receipts_root};
use hufu_evm_devnet::registry::CLEARANCE_GRANTED;
use hufu_evm_devnet::{Devnet, DevnetConfig, DevnetError, EventCall, Misbehave, NodeHandle};
use serde_json::{Value, json};

const CONTRACT: [u8; 20] = [0xc0; 20];
const GRANTED: [&str; 6] = ["TAX-1", "911101066976941872", "11430000006122244L", "2025", "clear", "20260101"];

/// Four blocks with one event each, an honest node and one that will not be.
async fn two_nodes() -> (Devnet, NodeHandle) {
    let devnet = devnet(4, 100).await;
    for _ in 0..4 {
        devnet.emit_event(CONTRACT, CLEARANCE_GRANTED, &GRANTED).unwrap();
        devnet.mine().unwrap();
    }
    let node = devnet.add_node().await.unwrap();
    (devnet, node)
}

/// The header a node tells over RPC, which must be the one its handle gives.
async fn told(node: &NodeHandle, height: u64) -> Header {
    let block = call(&node.url(), "eth_getBlockByNumber", json!([format!("{height:#x}"), false])).await;
    let header = header_from_json(&block);
    assert_eq!(Some(header.to_rlp()), node.header_rlp(height));
    header
}

fn distinct(header: &Header) -> BTreeSet<Address> {
    signers(header).into_iter().collect()
}

#[tokio::test]
async fn honest_nodes_hold_different_seals_and_the_same_hash() {
    let (devnet, node) = two_nodes().await;
    let (here, there) = (header(devnet.header_rlp(2)), told(&node, 2).await);
    assert_ne!(here.extra_data, there.extra_data);
    assert_eq!(here.hash(), there.hash());
    assert_eq!(distinct(&there).len(), 3);
}

#[tokio::test]
async fn seals_below_quorum() {
    let (devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::SealsBelowQuorum { from: 3 }).unwrap();
    assert_eq!(distinct(&told(&node, 2).await).len(), 3);
    let bad = told(&node, 3).await;
    assert_eq!(distinct(&bad).len(), 2);
    assert_eq!(bad.hash().unwrap().0, devnet.block_hash(3).unwrap());
    assert_eq!(distinct(&header(devnet.header_rlp(3))).len(), 3, "the other node is honest");
    node.behave();
    assert_eq!(distinct(&told(&node, 3).await).len(), 3);
}

#[tokio::test]
async fn one_seal_repeated() {
    let (_devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::SealRepeated { from: 1 }).unwrap();
    let bad = told(&node, 2).await;
    assert_eq!((signers(&bad).len(), distinct(&bad).len()), (3, 2));
}

#[tokio::test]
async fn an_outsiders_seal() {
    let (_devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::SealOfAnOutsider { from: 1 }).unwrap();
    let bad = told(&node, 2).await;
    let set = bad.extra().unwrap().validators;
    assert_eq!(distinct(&bad).len(), 3);
    assert_eq!(distinct(&bad).iter().filter(|signer| set.contains(signer)).count(), 2);
}

#[tokio::test]
async fn seals_of_another_round() {
    let (devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::SealsOfAnotherRound { from: 1 }).unwrap();
    let bad = told(&node, 2).await;
    let set = bad.extra().unwrap().validators;
    assert_eq!(bad.hash().unwrap().0, devnet.block_hash(2).unwrap());
    assert!(signers(&bad).iter().all(|signer| !set.contains(signer)));
}

#[tokio::test]
async fn forged_receipts_keep_the_header_and_break_its_root() {
    let (devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::ForgedReceipts { from: 2 }).unwrap();
    assert_eq!(node.receipts_rlp(1), devnet.receipts_rlp(1));
    let forged = node.receipts_rlp(2).unwrap();
    let header = told(&node, 2).await;
    assert_ne!(receipts_root(&forged), header.receipts_root);
    assert_eq!(receipts_root(&devnet.receipts_rlp(2).unwrap()), header.receipts_root);

    let data = Receipt::from_consensus(&forged[0]).unwrap().logs[0].data.clone();
    assert!(data.windows(8).any(|text| text == b"20260102"), "the date is another, and still a date");
    let shown = call(&node.url(), "eth_getBlockReceipts", json!(["0x2"])).await;
    assert_eq!(bytes(&shown[0]["logs"][0]["data"]), data);
    let single = call(&node.url(), "eth_getTransactionReceipt", json!([shown[0]["transactionHash"]])).await;
    assert_eq!(single, shown[0]);
    let raw = call(&node.url(), "debug_getRawReceipts", json!(["0x2"])).await;
    assert_eq!(raw, json!([hex::encode_prefixed(&forged[0])]));
}

#[tokio::test]
async fn omitted_receipts_and_logs() {
    let (devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::OmittedReceipts).unwrap();
    node.misbehave(Misbehave::OmittedLogs).unwrap();
    let filter = json!([{ "fromBlock": "0x1" }]);
    for (url, logs, receipts) in [(devnet.url(), 4, 1), (node.url(), 3, 0)] {
        assert_eq!(call(&url, "eth_getLogs", filter.clone()).await.as_array().unwrap().len(), logs);
        let found = call(&url, "eth_getBlockReceipts", json!(["0x2"])).await;
        assert_eq!(found.as_array().unwrap().len(), receipts);
    }
}

#[tokio::test]
async fn a_node_behind_and_a_node_that_stopped() {
    let (devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::Lagging { by: 2 }).unwrap();
    assert_eq!(number(&call(&node.url(), "eth_blockNumber", json!([])).await), 2);
    assert!(call(&node.url(), "eth_getBlockByNumber", json!(["0x3", false])).await.is_null());
    let hash = hex::encode_prefixed(devnet.block_hash(3).unwrap());
    assert!(call(&node.url(), "eth_getBlockByHash", json!([hash, false])).await.is_null());
    devnet.mine().unwrap();
    assert_eq!(node.height(), 3);

    node.behave();
    node.misbehave(Misbehave::Stalled { at: 1 }).unwrap();
    devnet.mine().unwrap();
    assert_eq!((node.height(), devnet.height()), (1, 6));
}

#[tokio::test]
async fn a_fork_has_good_seals_on_other_contents_and_grows_with_the_ledger() {
    let (devnet, node) = two_nodes().await;
    let other = EventCall::new(CLEARANCE_GRANTED, &["TAX-1", "", "", "", "in arrears", "20260101"]);
    node.misbehave(Misbehave::Fork { from: 3, events: vec![(CONTRACT, other)] }).unwrap();
    devnet.mine().unwrap();
    assert_eq!(node.height(), 5);
    assert_eq!(told(&node, 2).await.hash().unwrap().0, devnet.block_hash(2).unwrap());

    let mut parent = devnet.block_hash(2).unwrap();
    for height in 3..=5 {
        let (branch, main) = (told(&node, height).await, header(devnet.header_rlp(height)));
        assert_eq!(branch.parent_hash.0, parent);
        assert_ne!(branch.hash(), main.hash());
        let set = main.extra().unwrap().validators;
        for header in [&branch, &main] {
            assert_eq!(distinct(header).iter().filter(|signer| set.contains(signer)).count(), 3);
        }
        parent = branch.hash().unwrap().0;
    }
    let logs = call(&node.url(), "eth_getLogs", json!([{ "fromBlock": "0x3" }])).await;
    assert_eq!(logs.as_array().unwrap().len(), 1);
    assert!(bytes(&logs[0]["data"]).windows(10).any(|text| text == b"in arrears"));

    for from in [0, 9] {
        let refused = node.misbehave(Misbehave::Fork { from, events: Vec::new() });
        assert!(matches!(refused, Err(DevnetError::Height { .. })));
    }
}

#[tokio::test]
async fn a_node_of_another_network_differs_by_chain_id_or_by_genesis_alone() {
    let (devnet, node) = two_nodes().await;
    let config = DevnetConfig { seed: [1; 32], ..DevnetConfig::default() };
    let twin = Devnet::start(config.clone()).await.unwrap();
    let stranger = Devnet::start(DevnetConfig { chain_id: 5, ..config }).await.unwrap();
    for (other, same_id) in [(twin, true), (stranger, false)] {
        node.behave();
        node.misbehave(Misbehave::OtherNetwork(other.clone())).unwrap();
        let id = call(&node.url(), "eth_chainId", json!([])).await;
        assert_eq!(number(&id) == devnet.chain_id(), same_id);
        assert_eq!(told(&node, 0).await.hash().unwrap().0, other.genesis_hash());
        assert_ne!(other.genesis_hash(), devnet.genesis_hash());
    }
}

#[tokio::test]
async fn methods_and_batches_can_be_missing() {
    let (_devnet, node) = two_nodes().await;
    node.misbehave(Misbehave::WithoutMethods(vec!["eth_getBlockReceipts".to_owned()])).unwrap();
    let refused = answer(&node.url(), "eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(refused["error"]["code"], -32_601);
    assert_eq!(number(&call(&node.url(), "eth_blockNumber", json!([])).await), 4);

    node.misbehave(Misbehave::WithoutBatches).unwrap();
    let batch = json!([{ "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber" }]);
    let body = post(&node.url(), &batch.to_string()).await.unwrap().body;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"]["code"], -32_600);
}

#[tokio::test]
async fn transport_faults() {
    let (_devnet, node) = two_nodes().await;
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber" }).to_string();
    let good = post(&node.url(), &request).await.unwrap().body;
    let with = async |fault| {
        node.behave();
        node.misbehave(fault).unwrap();
        post(&node.url(), &request).await.unwrap()
    };

    let html = with(Misbehave::Html).await;
    assert_eq!(html.status, 200);
    assert!(html.head.contains("text/html") && html.body.starts_with("<html>"));
    assert_eq!(with(Misbehave::Status(503)).await.status, 503);
    let cut = with(Misbehave::Truncated).await.body;
    assert!(good.starts_with(&cut) && cut.len() == good.len() / 2);
    let padded = with(Misbehave::Oversized { padding: 100_000 }).await.body;
    assert_eq!((padded.len(), padded.trim_start()), (good.len() + 100_000, good.as_str()));

    let every = Duration::from_millis(4);
    let begun = Instant::now();
    let dripped = with(Misbehave::SlowDrip { bytes: 3, every }).await.body;
    assert_eq!(dripped, good);
    assert!(begun.elapsed() >= every * u32::try_from(good.len() / 3).unwrap());
}

#[tokio::test]
async fn a_node_that_goes_down_comes_back_at_the_same_url() {
    let (devnet, node) = two_nodes().await;
    let url = node.url();
    node.stop();
    let deadline = Instant::now() + Duration::from_secs(20);
    while post(&url, "{}").await.is_ok() {
        assert!(Instant::now() < deadline, "waited in vain: the port to close");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(number(&call(&devnet.url(), "eth_blockNumber", json!([])).await), 4);
    node.start().await.unwrap();
    assert_eq!(number(&call(&url, "eth_blockNumber", json!([])).await), 4);
}
