//! Captured proofs of receipts, accounts and slots, and what must not pass for one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use hufu_adapters_light_client::{Budget, Control};
use hufu_evm_light_client::account::{EMPTY_CODE_HASH, verify_account};
use hufu_evm_light_client::control::{CodeProof, Shown, StateProof, StateRoots};
use hufu_evm_light_client::get_proof::{GetProof, ProvenState};
use hufu_evm_light_client::pin::Pin;
use hufu_evm_light_client::proof::verify_item;
use hufu_evm_light_client::rlp::{self, Reader};
use hufu_evm_light_client::uint::U256;
use hufu_evm_light_client::{Address, Fault, Hash32, Header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The vectors, or `None` with a printed reason on a machine without them. Where `HUFU_VECTORS` is set they must be there.
fn vectors() -> Option<PathBuf> {
    if let Ok(root) = std::env::var("HUFU_VECTORS") {
        let folder = Path::new(&root).join("evm");
        assert!(folder.is_dir(), "HUFU_VECTORS is set, but {} is no folder", folder.display());
        return Some(folder);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors/evm");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: HUFU_VECTORS is not set and there are no vectors beside the workspace");
    None
}

fn read_json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("expected {}, got {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap()
}

fn nodes(list: &Value) -> Vec<Vec<u8>> {
    list.as_array().unwrap().iter().map(bytes).collect()
}

fn hash(value: &Value) -> Hash32 {
    Hash32::new(bytes(value).try_into().unwrap())
}

fn address(value: &Value) -> Address {
    Address::new(bytes(value).try_into().unwrap())
}

/// `0x` and digits, as many as there are.
fn number(value: &Value) -> U256 {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    U256::from_be_slice(&hex::decode(format!("{digits:0>64}")).unwrap()).unwrap()
}

/// Every `eth_getProof` result of the vectors with its state root.
fn answers() -> Vec<(Hash32, Value)> {
    let Some(root) = vectors() else { return Vec::new() };
    let mainnet = read_json(&root.join("mainnet_eth_getProof.json"));
    let mut all = vec![(hash(&mainnet["state_root"]), mainnet["proof"].clone())];
    for entry in read_json(&root.join("real-qbft/proofs.json")).as_array().unwrap() {
        all.push((hash(&entry["stateRoot"]), entry["result"].clone()));
    }
    assert!(all.len() >= 4, "expected the answers of two networks, got {}", all.len());
    all
}

fn asked(answer: &Value) -> Vec<Hash32> {
    let entries = answer["storageProof"].as_array().unwrap().iter();
    entries.map(|entry| Hash32::new(*number(&entry["key"]).as_bytes())).collect()
}

fn verify(root: Hash32, answer: &Value) -> Result<ProvenState, Fault> {
    let parsed = GetProof::parse(answer.to_string().as_bytes())?;
    parsed.verify(root, address(&answer["address"]), &asked(answer), &mut Budget::for_evidence())
}

fn refused(root: Hash32, answer: &Value, what: &str) -> &'static str {
    verify(root, answer).expect_err(what).reason()
}

/// Headers of the recorded network by height.
fn recorded_headers(root: &Path) -> Vec<Header> {
    let raw = std::fs::read(root.join("real-qbft/blocks.rlp")).unwrap();
    let mut blocks = Reader::new(&raw);
    let mut headers = Vec::new();
    while !blocks.is_empty() {
        let mut block = blocks.list().unwrap();
        headers.push(Header::parse(block.raw().unwrap()).unwrap());
    }
    headers
}

#[test]
fn captured_mainnet_receipts_are_under_their_root() {
    let Some(root) = vectors() else { return };
    let vector = read_json(&root.join("mainnet_receipts_proofs.json"));
    let receipts_root = hash(&vector["receipts_root"]);
    let samples = vector["samples"].as_array().unwrap();
    let header = read_json(&root.join("mainnet_header_21925432.json"));
    if header["hash"] == vector["block_hash"] {
        let header = Header::parse(&bytes(&header["header_rlp"])).unwrap();
        assert_eq!(header.fields().receipts_root, receipts_root, "the header names the root");
    }
    for sample in samples {
        let index = sample["index"].as_u64().unwrap();
        let proof = nodes(&sample["proof"]);
        let prove = |index| verify_item(receipts_root, index, &proof, &mut Budget::for_evidence());
        assert_eq!(prove(index).unwrap().unwrap(), bytes(&sample["receipt_2718"]), "receipt {index}");
        // receipt_proof_under_another_index
        for other in samples.iter().map(|sample| sample["index"].as_u64().unwrap()).filter(|other| *other != index) {
            assert!(prove(other).is_err(), "the proof of {index} as that of {other}");
        }
    }
}

#[test]
fn receipts_and_transactions_of_recorded_blocks_one_by_one() {
    let Some(root) = vectors() else { return };
    let headers = recorded_headers(&root);
    let raw = std::fs::read(root.join("real-qbft/blocks.rlp")).unwrap();
    let mut blocks = Reader::new(&raw);
    let receipts = read_json(&root.join("real-qbft/receipts.json"));
    let mut proven = 0;
    for (height, header) in headers.iter().enumerate() {
        let mut block = blocks.list().unwrap();
        block.raw().unwrap();
        let mut list = block.list().unwrap();
        let mut transactions = Vec::new();
        while !list.is_empty() {
            let raw = list.raw().unwrap();
            let typed = Reader::new(raw).string().ok();
            transactions.push(typed.unwrap_or(raw).to_vec());
        }
        proven += every_item(header.fields().transactions_root, &transactions);
        if let Some(entry) = receipts.get(height.to_string()) {
            proven += every_item(header.fields().receipts_root, &nodes(&entry["consensus"]));
        }
    }
    // Each transaction of the network, and its receipt.
    let expected = read_json(&root.join("real-qbft/expected.json"));
    let counts = expected.as_array().unwrap().iter().map(|block| block["transactions"].as_u64().unwrap());
    let transactions = usize::try_from(counts.sum::<u64>()).unwrap();
    assert!(transactions > 0 && proven == 2 * transactions, "{proven} proven of {transactions} and their receipts");
}

/// Proves each of `values` under `root` and that none follows; how many there were.
fn every_item(root: Hash32, values: &[Vec<u8>]) -> usize {
    for index in 0..=values.len() as u64 {
        let proof = item_proof(values, index);
        let found = verify_item(root, index, &proof, &mut Budget::for_evidence()).unwrap();
        assert_eq!(found, values.get(usize::try_from(index).unwrap()).map(Vec::as_slice), "item {index} under {root}");
    }
    values.len()
}

/// The proof of item `index` as the oracle makes it, less the inlined nodes, which it keeps too.
fn item_proof(values: &[Vec<u8>], index: u64) -> Vec<Vec<u8>> {
    let key = |index: u64| {
        let mut key = Vec::new();
        rlp::write_u64(index, &mut key);
        key
    };
    let leaves: BTreeMap<Vec<u8>, &Vec<u8>> = (0..).zip(values).map(|(index, value)| (key(index), value)).collect();
    let retainer = ProofRetainer::from_iter([Nibbles::unpack(key(index))]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    leaves.iter().for_each(|(key, value)| builder.add_leaf(Nibbles::unpack(key), value));
    builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().enumerate();
    nodes.filter(|(at, (_, raw))| *at == 0 || raw.len() >= 32).map(|(_, (_, raw))| raw.to_vec()).collect()
}

#[test]
fn captured_answers_prove_accounts_and_slots() {
    for (root, answer) in answers() {
        let state = verify(root, &answer).unwrap_or_else(|fault| panic!("{}: {fault}", answer["address"]));
        let slots = answer["storageProof"].as_array().unwrap();
        assert_eq!(state.slots().len(), slots.len());
        for ((_, value), entry) in state.slots().iter().zip(slots) {
            assert_eq!(*value, number(&entry["value"]), "slot {}", entry["key"]);
        }
        let Some(account) = state.account() else {
            assert_eq!(number(&answer["nonce"]), U256::default());
            continue;
        };
        assert_eq!(U256::from(account.nonce()), number(&answer["nonce"]));
        assert_eq!(account.balance(), number(&answer["balance"]));
        assert_eq!(account.storage_root(), hash(&answer["storageHash"]));
        assert_eq!(account.code_hash(), hash(&answer["codeHash"]));
    }
}

#[test]
fn recorded_answers_stand_under_the_state_roots_of_their_headers() {
    let Some(root) = vectors() else { return };
    let headers = recorded_headers(&root);
    let (mut present, mut absent, mut nobody) = (0, 0, 0);
    for entry in read_json(&root.join("real-qbft/proofs.json")).as_array().unwrap() {
        let header = &headers[usize::try_from(entry["number"].as_u64().unwrap()).unwrap()];
        assert_eq!(header.fields().state_root, hash(&entry["stateRoot"]));
        let state = verify(header.fields().state_root, &entry["result"]).unwrap();
        present += state.slots().iter().filter(|(_, value)| *value != U256::default()).count();
        absent += state.slots().iter().filter(|(_, value)| *value == U256::default()).count();
        nobody += usize::from(state.account().is_none());
    }
    assert!(present >= 3 && absent >= 1 && nobody >= 1, "{present} present, {absent} absent, {nobody} nobody");
}

#[test]
fn code_hash_changed() {
    let Some(root) = vectors() else { return };
    let contract = read_json(&root.join("real-qbft/contract.json"));
    let mut budget = Budget::for_evidence();
    let mut seen = 0;
    for (root, answer) in answers().into_iter().filter(|(_, answer)| answer["address"] == contract["address"]) {
        let account = *verify(root, &answer).unwrap().account().unwrap();
        let code = bytes(&contract["runtime_code"]);
        account.require_code(&code, &mut budget).unwrap();
        account.require_code_hash(hash(&contract["runtime_code_hash"])).unwrap();
        let other = [&code[..code.len() - 1], &[code[code.len() - 1] ^ 1]].concat();
        assert_eq!(account.require_code(&other, &mut budget).unwrap_err().reason(), "code-hash");
        let mut claimed = answer;
        claimed["codeHash"] = json!(Hash32::new([7; 32]));
        assert_eq!(refused(root, &claimed, "another code hash beside the proof"), "proof-claim");
        seen += 1;
    }
    assert!(seen > 0, "the contract's account is among the recorded answers");
}

#[test]
fn absence_claimed_for_a_present_key() {
    for (root, answer) in answers() {
        let absent = verify(root, &answer).unwrap().account().is_none();
        let mut none = answer.clone();
        none["accountProof"] = json!([]);
        assert_eq!(refused(root, &none, "an empty proof"), "proof-empty");
        if absent {
            continue;
        }
        let mut cut = answer.clone();
        cut["accountProof"].as_array_mut().unwrap().pop();
        assert_eq!(refused(root, &cut, "a proof without its leaf"), "proof-truncated");
        for (at, entry) in answer["storageProof"].as_array().unwrap().iter().enumerate() {
            let mut zero = answer.clone();
            zero["storageProof"][at]["proof"] = json!([]);
            assert_eq!(refused(root, &zero, "an empty proof of a slot"), "proof-empty");
            if number(&entry["value"]) != U256::default() {
                let mut zero = answer.clone();
                zero["storageProof"][at]["value"] = json!("0x0");
                assert_eq!(refused(root, &zero, "zero for a slot that is not"), "proof-claim");
            }
        }
    }
}

#[test]
fn presence_claimed_for_absent() {
    let all = answers();
    for (root, answer) in &all {
        if verify(*root, answer).unwrap().account().is_none() {
            let mut rich = answer.clone();
            rich["balance"] = json!("0x1");
            assert_eq!(refused(*root, &rich, "a balance of nobody"), "proof-claim");
            for (_, other) in all.iter().filter(|(other, _)| other == root) {
                let mut borrowed = answer.clone();
                borrowed["accountProof"] = other["accountProof"].clone();
                assert!(other["address"] == answer["address"] || verify(*root, &borrowed).is_err());
            }
        }
        for (at, entry) in answer["storageProof"].as_array().unwrap().iter().enumerate() {
            let mut one_more = answer.clone();
            one_more["storageProof"][at]["value"] = json!("0x1");
            assert!(entry["value"] == "0x1" || refused(*root, &one_more, "another value") == "proof-claim");
        }
    }
}

#[test]
fn proof_with_unused_nodes() {
    for (root, answer) in answers() {
        let mut more = answer.clone();
        let first = more["accountProof"][0].clone();
        more["accountProof"].as_array_mut().unwrap().push(first);
        assert_eq!(refused(root, &more, "one node more"), "proof-unused-nodes");
    }
}

#[test]
fn every_bit_of_a_captured_account_proof_counts() {
    let Some((root, answer)) = answers().into_iter().nth(1) else { return };
    let honest = nodes(&answer["accountProof"]);
    let who = address(&answer["address"]);
    for at in 0..honest.len() {
        for byte in 0..honest[at].len() {
            for bit in 0..8 {
                let mut changed = honest.clone();
                changed[at][byte] ^= 1 << bit;
                let outcome = verify_account(root, who, &changed, &mut Budget::for_evidence());
                assert_eq!(outcome.unwrap_err().reason(), "proof-node-hash", "bit {bit} of byte {byte} of node {at}");
            }
        }
    }
}

#[test]
fn captured_accounts_show_the_code_that_is_pinned_and_no_other() {
    let Some(folder) = vectors() else { return };
    let captured = read_json(&folder.join("real-qbft/proofs.json"));
    let mut with_code = 0;
    for entry in captured.as_array().unwrap() {
        let (root, answer) = (Hash32::new(bytes(&entry["stateRoot"]).try_into().unwrap()), &entry["result"]);
        let proof = GetProof::parse(answer.to_string().as_bytes()).unwrap();
        let address: Address = answer["address"].as_str().unwrap().parse().unwrap();
        let code: Hash32 = answer["codeHash"].as_str().unwrap().parse().unwrap();
        if code == Hash32::ZERO || code == EMPTY_CODE_HASH {
            continue;
        }
        let end = StateProof { account: proof.account_nodes(), ..StateProof::default() };
        let shown = |pinned: Hash32, before: Option<Hash32>| {
            let roots = StateRoots { now: root, before };
            let proof = CodeProof { address, code: &[], now: end.clone(), before: end.clone() };
            proof.judge(&Pin::new(pinned, None).unwrap(), roots, &mut Budget::for_evidence())
        };
        let other = Hash32::new([7; 32]);
        assert_eq!(shown(code, Some(root)).unwrap(), Shown::CodeMissing, "it closes, and asks for the code");
        assert_eq!(shown(code, None).unwrap(), Shown::Control(Control::IssuerControlled));
        assert_eq!(shown(other, Some(root)).unwrap(), Shown::Control(Control::Changed));
        assert_eq!(shown(code, Some(other)).unwrap_err().reason(), "proof-node-hash");
        with_code += 1;
    }
    assert!(with_code > 0, "a captured contract");
}
