//! Accounts, code and slots over JSON-RPC: what is said is what the state root of the header proves.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::proof::verify_proof;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use hufu_evm_devnet::Devnet;
use hufu_evm_devnet::registry::runtime_code;
use serde_json::{Value, json};

use crate::support::{answer, bytes, call, devnet, header, number, word};

const OTHER: [u8; 20] = [9; 20];

fn slot(n: u8) -> [u8; 32] {
    let mut slot = [0; 32];
    slot[31] = n;
    slot
}

/// Block 1: a registry; and an account with code and three slots.
async fn one_block() -> (Devnet, [u8; 20]) {
    let devnet = devnet(4, 100).await;
    let contract = devnet.deploy_registry();
    devnet.set_code(OTHER, b"first");
    (1..=3).for_each(|n| devnet.set_storage(OTHER, slot(n), slot(n * 10)));
    devnet.mine().unwrap();
    (devnet, contract)
}

fn list(value: &Value) -> Vec<Bytes> {
    value.as_array().unwrap().iter().map(bytes).collect()
}

fn wide(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

fn rlp(value: &impl Encodable) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

/// Asks and checks everything that can be checked, with a trie of another author.
async fn proven(devnet: &Devnet, address: [u8; 20], slots: &[u8], at: u64) -> Value {
    let keys: Vec<Value> = slots.iter().map(|n| json!(format!("0x{}", hex::encode(slot(*n))))).collect();
    let shown = format!("0x{}", hex::encode(address));
    let told = call(&devnet.url(), "eth_getProof", json!([shown, keys, format!("{at:#x}")])).await;
    let root = header(devnet.header_rlp(at)).state_root;
    let storage_root = word(&told["storageHash"]);
    let account = TrieAccount::new(number(&told["nonce"]), U256::ZERO, storage_root, word(&told["codeHash"]));
    let exists = account != TrieAccount::new(0, U256::ZERO, EMPTY_ROOT_HASH, KECCAK256_EMPTY);
    let path = Nibbles::unpack(keccak256(address));
    verify_proof(root, path, exists.then(|| rlp(&account)), &list(&told["accountProof"])).unwrap();
    for (key, entry) in slots.iter().zip(told["storageProof"].as_array().unwrap()) {
        let value = wide(&entry["value"]);
        let leaf = (!value.is_zero()).then(|| rlp(&value));
        let path = Nibbles::unpack(keccak256(slot(*key)));
        verify_proof(storage_root, path, leaf, &list(&entry["proof"])).unwrap();
    }
    told
}

#[tokio::test]
async fn what_is_said_of_accounts_and_slots_is_proven_under_the_header() {
    let (devnet, contract) = one_block().await;
    let told = proven(&devnet, OTHER, &[1, 2, 3, 4], 1).await;
    let values: Vec<u64> = told["storageProof"].as_array().unwrap().iter().map(|s| number(&s["value"])).collect();
    assert_eq!(values, [10, 20, 30, 0]);
    assert_eq!(word(&told["codeHash"]), keccak256(b"first"));

    let told = proven(&devnet, contract, &[0], 1).await;
    assert_eq!(word(&told["codeHash"]), keccak256(runtime_code()));
    assert_eq!(Address::from_word(wide(&told["storageProof"][0]["value"]).into()).0, devnet.registrar());

    let told = proven(&devnet, [0xaa; 20], &[1], 1).await;
    assert_eq!((word(&told["codeHash"]), word(&told["storageHash"])), (KECCAK256_EMPTY, EMPTY_ROOT_HASH));
    assert_eq!(told["storageProof"][0]["proof"], json!([]));
    proven(&devnet, contract, &[0], 0).await;
}

#[tokio::test]
async fn an_upgrade_a_cleared_slot_and_a_destruction_show_from_their_block_on() {
    let (devnet, _) = one_block().await;
    devnet.set_code(OTHER, b"second");
    devnet.set_storage(OTHER, slot(1), slot(0));
    devnet.mine().unwrap();
    devnet.destroy(OTHER);
    devnet.mine().unwrap();
    let mut seen = Vec::new();
    for at in 1..=3 {
        let told = proven(&devnet, OTHER, &[1, 2], at).await;
        let values = told["storageProof"].as_array().unwrap().iter().map(|s| number(&s["value"])).collect::<Vec<_>>();
        seen.push((devnet.code(at, OTHER), values));
    }
    assert_eq!(
        seen,
        [(Some(b"first".to_vec()), vec![10, 20]), (Some(b"second".to_vec()), vec![0, 20]), (None, vec![0, 0])]
    );
}

#[tokio::test]
async fn a_change_and_its_reversal_within_one_block_leave_the_root_as_it_was() {
    let (devnet, _) = one_block().await;
    devnet.set_code(OTHER, b"evil");
    devnet.set_code(OTHER, b"first");
    devnet.mine().unwrap();
    let root = |at| header(devnet.header_rlp(at)).state_root;
    assert_eq!(root(1), root(2));
}

#[tokio::test]
async fn the_plain_answers_agree_with_the_proofs() {
    let (devnet, contract) = one_block().await;
    let url = devnet.url();
    let shown = |address: [u8; 20]| format!("0x{}", hex::encode(address));
    let other = shown(OTHER);
    assert_eq!(bytes(&call(&url, "eth_getCode", json!([other, "latest"])).await).as_ref(), b"first");
    assert_eq!(call(&url, "eth_getCode", json!([other, "0x0"])).await, "0x");
    assert_eq!(word(&call(&url, "eth_getStorageAt", json!([other, "0x2", "latest"])).await).0, slot(20));
    let long = format!("0x{}", hex::encode(slot(2)));
    assert_eq!(word(&call(&url, "eth_getStorageAt", json!([other, long, "0x0"])).await), B256::ZERO);
    let registrar = shown(devnet.registrar());
    assert_eq!(number(&call(&url, "eth_getTransactionCount", json!([registrar, "latest"])).await), 1);
    assert_eq!(number(&call(&url, "eth_getTransactionCount", json!([registrar, "0x0"])).await), 0);
    assert_eq!(number(&call(&url, "eth_getBalance", json!([registrar, "latest"])).await), 0);

    let selector = format!("0x{}", hex::encode(&keccak256("registrar()")[..4]));
    let asked = json!([{ "to": shown(contract), "data": selector }, "latest"]);
    let told = word(&call(&url, "eth_call", asked).await);
    assert_eq!(Address::from_word(told).0, devnet.registrar());
    assert_eq!(call(&url, "eth_call", json!([{ "to": shown([1; 20]) }, "latest"])).await, "0x");
}

#[tokio::test]
async fn a_call_that_would_need_an_evm_is_an_error_and_no_invention() {
    let (devnet, contract) = one_block().await;
    let to = format!("0x{}", hex::encode(contract));
    for call in [json!({ "to": to, "data": "0x12345678" }), json!({ "data": "0x6001" })] {
        let told = answer(&devnet.url(), "eth_call", json!([call, "latest"])).await;
        assert!(told["error"]["message"].as_str().unwrap().contains("no EVM"), "{told}");
    }
}

#[tokio::test]
async fn slots_and_addresses_that_are_none_are_refused() {
    let (devnet, _) = one_block().await;
    let other = format!("0x{}", hex::encode(OTHER));
    let long = format!("0x1{}", "0".repeat(64));
    for params in [
        json!([other, "2", "latest"]),
        json!([other, "0x", "latest"]),
        json!([other, long, "latest"]),
        json!(["0x12", "0x0", "latest"]),
        json!([other, "0x0", "0x99"]),
    ] {
        let told = answer(&devnet.url(), "eth_getStorageAt", params).await;
        assert!(told.get("error").is_some(), "{told}");
    }
    let many: Vec<String> = (0..1_025).map(|n| format!("{n:#x}")).collect();
    assert!(answer(&devnet.url(), "eth_getProof", json!([other, many, "latest"])).await.get("error").is_some());
}
