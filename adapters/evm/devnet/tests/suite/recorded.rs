//! The devnet's own block types against blocks recorded from real networks: decode, encode again byte for byte,
//! recompute every hash and root, recover every seal, and follow votes and proposers. What passes here is the form
//! in which the devnet makes its blocks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use hufu_evm_devnet::block::{Block, Header};
use hufu_evm_devnet::chain::Chain;
use hufu_evm_devnet::extra::Extra;
use hufu_evm_devnet::keys::recover;
use hufu_evm_devnet::receipt::{Receipt, bloom_of, receipts_root, transactions_root};
use hufu_evm_devnet::tally::{Tally, quorum};
use hufu_evm_devnet::transaction::Transaction;
use serde_json::Value;

/// The folder of EVM vectors; none, said aloud, where a checkout has none. A stated folder must be there.
fn vectors() -> Option<PathBuf> {
    if let Some(stated) = std::env::var_os("HUFU_VECTORS") {
        let folder = PathBuf::from(stated).join("evm");
        assert!(folder.is_dir(), "HUFU_VECTORS is set, but {} is no folder", folder.display());
        return Some(folder);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors/evm");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: HUFU_VECTORS is not set and no vectors lie beside the workspace");
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// Every case folder of QBFT with its description.
fn cases() -> Vec<(PathBuf, Value)> {
    let Some(folder) = vectors() else { return Vec::new() };
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.json").is_file())
        .map(|path| (path.clone(), json(&path.join("case.json"))))
        .filter(|(_, case)| case["anchor"]["consensus"] == "qbft")
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!cases.is_empty(), "no case.json with consensus qbft under {}", folder.display());
    cases
}

fn blocks(path: &Path) -> (Vec<u8>, Vec<Block>) {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        blocks.push(Block::decode(&mut rest).unwrap_or_else(|e| panic!("block {}: {e}", blocks.len())));
    }
    (bytes, blocks)
}

fn files(case: &Value) -> Vec<&str> {
    case["blocks"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect()
}

fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn addresses(value: &Value) -> Vec<Address> {
    value.as_array().unwrap().iter().map(|a| a.as_str().unwrap().parse().unwrap()).collect()
}

fn signers(header: &Header) -> Vec<Address> {
    let digest = header.seal_digest().unwrap();
    header.extra().unwrap().seals.iter().map(|seal| recover(&digest, seal).expect("a seal is a signature")).collect()
}

#[test]
fn recorded_blocks_encode_to_the_same_bytes() {
    for (folder, case) in cases() {
        for file in files(&case) {
            let (bytes, blocks) = blocks(&folder.join(file));
            let again: Vec<u8> = blocks.iter().flat_map(Block::to_rlp).collect();
            assert!(again == bytes, "{file}: encoding differs");
            for block in &blocks {
                let extra = block.header.extra().unwrap();
                assert_eq!(extra.encode(), block.header.extra_data);
            }
        }
    }
}

#[test]
fn recorded_hashes_links_and_signers_are_recomputed() {
    for (folder, case) in cases() {
        let expected = json(&folder.join(case["expected"].as_str().unwrap()));
        for (turn, file) in files(&case).into_iter().enumerate() {
            let (_, blocks) = blocks(&folder.join(file));
            assert_eq!(blocks.len(), expected.as_array().unwrap().len());
            let mut parent = B256::ZERO;
            for (block, row) in blocks.iter().zip(expected.as_array().unwrap()) {
                let (header, number) = (&block.header, block.header.number);
                assert_eq!(row["number"], number);
                assert_eq!(header.hash().unwrap(), hash(&row["hash"]), "hash of block {number}");
                assert_eq!(header.parent_hash, parent);
                parent = header.hash().unwrap();
                check_seals(header, row, turn == 0);
            }
        }
    }
}

/// `expected.json` lists the signers of the first file; a second node holds others, as good.
fn check_seals(header: &Header, row: &Value, first_file: bool) {
    if header.number == 0 {
        return;
    }
    let (signers, set) = (signers(header), header.extra().unwrap().validators);
    if first_file {
        assert_eq!(signers, addresses(&row["committed_signers"]), "signers of block {}", header.number);
    }
    let distinct: BTreeSet<_> = signers.iter().collect();
    assert_eq!(distinct.len(), signers.len());
    assert!(distinct.len() >= quorum(set.len()) && signers.iter().all(|signer| set.contains(signer)));
}

#[test]
fn recorded_votes_sets_and_proposers_follow_our_rules() {
    for (folder, case) in cases() {
        let expected = json(&folder.join(case["expected"].as_str().unwrap()));
        let epoch = case["anchor"]["epoch"].as_u64().unwrap();
        let (_, blocks) = blocks(&folder.join(files(&case)[0]));
        let mut tally = Tally::new(blocks[0].header.extra().unwrap().validators);
        let mut last = Address::ZERO;
        for (block, row) in blocks.iter().zip(expected.as_array().unwrap()).skip(1) {
            let (header, extra) = (&block.header, block.header.extra().unwrap());
            assert_eq!(extra.validators, tally.validators(), "set that seals block {}", header.number);
            assert_eq!(tally.proposer(last, extra.round), Some(header.beneficiary), "block {}", header.number);
            tally = tally.after(header.number, header.beneficiary, extra.vote, epoch);
            last = header.beneficiary;
            if row.get("validators").is_some() {
                assert_eq!(addresses(&row["validators"]), tally.validators(), "set after block {}", header.number);
            }
        }
    }
}

#[test]
fn recorded_transactions_and_receipts_give_the_roots_of_the_headers() {
    for (folder, case) in cases() {
        let chain_id = case["anchor"]["chain_id"].as_u64().unwrap();
        let receipts = case["receipts"].as_str().map(|file| json(&folder.join(file)));
        let (_, blocks) = blocks(&folder.join(files(&case)[0]));
        for block in &blocks {
            assert_eq!(transactions_root(&block.transactions), block.header.transactions_root);
            let Some(rows) = receipts.as_ref().and_then(|all| all.get(block.header.number.to_string())) else {
                assert!(receipts.is_none() || block.transactions.is_empty());
                continue;
            };
            check_receipts(block, rows, chain_id);
        }
    }
}

fn check_receipts(block: &Block, rows: &Value, chain_id: u64) {
    let raw: Vec<Vec<u8>> = rows["consensus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| alloy_primitives::hex::decode(text.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(receipts_root(&raw), block.header.receipts_root, "receipts of block {}", block.header.number);

    let receipts: Vec<Receipt> = raw.iter().map(|bytes| Receipt::from_consensus(bytes).unwrap()).collect();
    assert_eq!(receipts.iter().map(Receipt::to_consensus).collect::<Vec<_>>(), raw);
    assert!(receipts.iter().all(|receipt| receipt.bloom == bloom_of(&receipt.logs)));
    assert_eq!(bloom_of(receipts.iter().flat_map(|receipt| &receipt.logs)), block.header.logs_bloom);

    for (transaction, shown) in block.transactions.iter().zip(rows["receipts"].as_array().unwrap()) {
        assert_eq!(transaction.hash(), hash(&shown["transactionHash"]));
        if let Transaction::Legacy(legacy) = transaction {
            assert_eq!(legacy.sender(chain_id), Some(shown["from"].as_str().unwrap().parse().unwrap()));
        }
    }
}

/// The genesis block we would make from the same validators and time differs in its accounts alone.
#[test]
fn our_genesis_is_the_recorded_one_but_for_its_accounts() {
    for (folder, case) in cases() {
        let (_, blocks) = blocks(&folder.join(files(&case)[0]));
        let recorded = &blocks[0].header;
        let set = recorded.extra().unwrap().validators;
        let ours = Chain::new(&[0; 32], 1, 1, recorded.timestamp, &set, Vec::new());
        let header = Header { state_root: recorded.state_root, ..ours.head().block.header.clone() };
        assert_eq!(&header, recorded);
    }
}

#[test]
fn a_recorded_header_of_another_client_gives_its_digest_hash_and_signers() {
    let Some(folder) = vectors() else { return };
    let vector = json(&folder.join("qbft_header_7528.json"));
    let bytes = alloy_primitives::hex::decode(vector["header_rlp"].as_str().unwrap()).unwrap();
    let header = Header::decode(&mut bytes.as_slice()).unwrap();
    assert_eq!(header.to_rlp(), bytes);
    assert_eq!(header.seal_digest().unwrap(), hash(&vector["seal_digest"]));
    assert_eq!(header.hash().unwrap(), hash(&vector["block_hash"]));
    assert_eq!(signers(&header), addresses(&vector["seal_signers"]));

    let single = json(&folder.join("qbft_extradata_single.json"));
    let extra = alloy_primitives::hex::decode(single["extra_hex"].as_str().unwrap()).unwrap();
    let parts = Extra::decode(&extra).unwrap();
    assert_eq!((parts.validators.len(), parts.round, parts.seals.len(), parts.vote), (1, 0, 1, None));
    assert_eq!(parts.encode(), extra);
}
