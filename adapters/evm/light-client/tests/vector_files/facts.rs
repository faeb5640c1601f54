//! What stands beside the blocks: the genesis file, the facts of a recorded network, its contract, and the members of the
//! single files that the tests of their subjects leave out.

use super::{addresses, bytes, case_folders, hash, headers, read_json, vectors};
use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::receipt::Receipt;
use hufu_evm_light_client::{Header, keccak256, qbft, rlp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap(),
        other => other.as_u64().unwrap_or_else(|| panic!("expected a number, got {other}")),
    }
}

#[test]
fn genesis_files_are_block_zero() {
    for (folder, case) in case_folders() {
        let path = folder.join("genesis.json");
        if !path.is_file() {
            continue;
        }
        let genesis = read_json(&path);
        let header = headers(&folder.join(case["blocks"][0].as_str().unwrap())).remove(0);
        let fields = header.fields();
        assert_eq!(fields.extra_data, bytes(&genesis["extraData"]));
        assert_eq!(fields.mix_hash, hash(&genesis["mixHash"]));
        assert_eq!(fields.parent_hash, hash(&genesis["parentHash"]));
        assert_eq!(fields.coinbase.as_bytes()[..], bytes(&genesis["coinbase"]));
        assert_eq!(fields.difficulty.to_u64(), Some(number(&genesis["difficulty"])));
        let seen =
            [fields.number, fields.timestamp, fields.gas_limit, fields.gas_used, u64::from_be_bytes(fields.nonce)];
        assert_eq!(seen, ["number", "timestamp", "gasLimit", "gasUsed", "nonce"].map(|name| number(&genesis[name])));
        assert_eq!(genesis["config"]["chainId"], case["anchor"]["chain_id"]);
        assert_eq!(genesis["config"]["qbft"]["epochlength"], case["anchor"]["epoch"]);
    }
}

#[test]
fn the_facts_of_a_recorded_network_are_in_its_blocks() {
    for (folder, case) in case_folders() {
        let path = folder.join("network.json");
        if !path.is_file() {
            continue;
        }
        let network = read_json(&path);
        let headers = headers(&folder.join(case["blocks"][0].as_str().unwrap()));
        assert_eq!(number(&network["last_block"]), headers.last().unwrap().fields().number);
        assert_eq!(network["chain_id"], case["anchor"]["chain_id"]);
        assert_eq!(network["epoch_length"], case["anchor"]["epoch"]);
        check_facts(&headers, &network);
    }
}

fn check_facts(headers: &[Header], network: &Value) {
    let blocks: Vec<qbft::Block> = headers.iter().map(|header| qbft::Block::read(header.clone()).unwrap()).collect();
    let height = |block: &qbft::Block| block.header().fields().number;
    assert_eq!(number(&network["validators_at_genesis"]), blocks[0].validators().len() as u64);
    let rounds: BTreeMap<String, u32> = blocks
        .iter()
        .filter(|block| block.extra().round() > 0)
        .map(|block| (height(block).to_string(), block.extra().round()))
        .collect();
    let votes: Vec<u64> = blocks.iter().filter(|block| block.extra().vote().is_some()).map(height).collect();
    let mut seals: BTreeMap<String, u64> = BTreeMap::new();
    for block in &blocks[1..] {
        let signers = block.require_quorum(&mut Budget::for_update()).unwrap().len();
        *seals.entry(format!("{signers} of {}", block.validators().len())).or_default() += 1;
    }
    let epoch = number(&network["epoch_length"]);
    let epochs: Vec<u64> = blocks.iter().map(height).filter(|at| *at > 0 && at % epoch == 0).collect();
    for (fact, value) in network["facts"].as_object().unwrap() {
        match fact.as_str() {
            "blocks_with_round_above_0" => assert_eq!(*value, json!(rounds)),
            "blocks_with_a_vote" => assert_eq!(*value, json!(votes)),
            "seals" => assert_eq!(*value, json!(seals)),
            "epoch_blocks" => assert_eq!(*value, json!(epochs)),
            "validator_changes" => check_changes(&blocks, value),
            // With the receipts, and with the bodies.
            "failed_transactions" => assert_eq!(number(value), failed()),
            "blocks_with_transactions" => {
                let empty = hufu_evm_light_client::trie::EMPTY_ROOT;
                let busy = blocks.iter().filter(|block| block.header().fields().transactions_root != empty).map(height);
                let busy: Vec<String> = busy.map(|at| at.to_string()).collect();
                let mut named: Vec<&String> = value.as_object().unwrap().keys().collect();
                named.sort_by_key(|at| at.parse::<u64>().unwrap());
                assert_eq!(busy.iter().collect::<Vec<_>>(), named);
            }
            other => panic!("no test knows the fact {other}"),
        }
    }
}

fn check_changes(blocks: &[qbft::Block], changes: &Value) {
    let mut seen = Vec::new();
    for pair in blocks.windows(2).filter(|pair| pair[0].validators() != pair[1].validators()) {
        let (before, after) = (pair[0].validators(), pair[1].validators());
        let missing =
            |all: &[_], from: &[_]| all.iter().filter(|one| !from.contains(*one)).copied().collect::<Vec<_>>();
        let heights = [0, 1].map(|at| pair[at].header().fields().number);
        seen.push((heights, missing(after, before), missing(before, after), [before.len(), after.len()]));
    }
    let named = changes.as_array().unwrap().iter().map(|change| {
        let heights = ["vote_that_passed_in_block", "signs_from_block"].map(|name| number(&change[name]));
        let counts =
            ["validators_before", "validators_after"].map(|name| usize::try_from(number(&change[name])).unwrap());
        (heights, addresses(&change["added"]), addresses(&change["removed"]), counts)
    });
    assert_eq!(seen, named.collect::<Vec<_>>());
}

/// Failed transactions of all recorded receipts, by their consensus bytes.
fn failed() -> u64 {
    let mut failed = 0;
    for (folder, case) in case_folders() {
        let Some(file) = case["receipts"].as_str() else { continue };
        for entry in read_json(&folder.join(file)).as_object().unwrap().values() {
            let raw = entry["consensus"].as_array().unwrap().iter().map(bytes);
            failed += raw.filter(|raw| !Receipt::parse(raw).unwrap().success()).count() as u64;
        }
    }
    failed
}

#[test]
fn a_recorded_contract_has_the_code_hash_and_the_method_ids_that_are_named() {
    for (folder, case) in case_folders() {
        let Some(file) = case["contract"].as_str() else { continue };
        let contract = read_json(&folder.join(file));
        assert_eq!(keccak256(&bytes(&contract["runtime_code"])), hash(&contract["runtime_code_hash"]));
        for (signature, id) in contract["method_ids"].as_object().unwrap() {
            assert_eq!(keccak256(signature.as_bytes()).as_bytes()[..4], bytes(id), "{signature}");
        }
    }
}

#[test]
fn the_members_of_single_files_that_other_tests_leave_out() {
    let Some(root) = vectors() else { return };
    let vector = read_json(&root.join("qbft_header_7528.json"));
    let block = qbft::Block::read(Header::parse(&bytes(&vector["header_rlp"])).unwrap()).unwrap();
    assert_eq!(keccak256(&bytes(&vector["seal_preimage_rlp"])), hash(&vector["seal_digest"]));
    let fields = block.header().fields();
    assert_eq!([fields.number, fields.timestamp], ["number", "timestamp"].map(|name| number(&vector[name])));
    assert_eq!(
        (fields.state_root, u64::from(block.extra().round())),
        (hash(&vector["state_root"]), number(&vector["round"]))
    );

    let header = read_json(&root.join("mainnet_header_21925432.json"));
    let raw = bytes(&header["header_rlp"]);
    let mut items = rlp::Reader::whole_list(&raw).unwrap();
    let mut count = 0;
    while !items.is_empty() {
        items.raw().unwrap();
        count += 1;
    }
    assert_eq!(number(&header["fields"]), count);

    let receipts = read_json(&root.join("mainnet_receipts_proofs.json"));
    for sample in receipts["samples"].as_array().unwrap() {
        let mut key = Vec::new();
        rlp::write_u64(number(&sample["index"]), &mut key);
        assert_eq!(key, bytes(&sample["key"]));
        assert!(number(&sample["index"]) < number(&receipts["receipt_count"]));
        let raw = bytes(&sample["receipt_2718"]);
        let receipt = Receipt::parse(&raw).unwrap();
        for (log, shown) in receipt.logs().iter().zip(sample["logs"].as_array().unwrap()) {
            assert_eq!(log.address().as_bytes()[..], bytes(&shown["address"]));
            assert_eq!(log.data(), bytes(&shown["data"]));
            let topics: Vec<_> = shown["topics"].as_array().unwrap().iter().map(hash).collect();
            assert_eq!(log.topics(), topics);
        }
    }
}
