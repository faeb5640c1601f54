//! The folder of vectors itself: every file in it is known to a test, and every expected result that it states is
//! compared with what this light client makes of the bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

mod facts;
mod negative;
mod rows;

use hufu_evm_light_client::rlp::Reader;
use hufu_evm_light_client::{Address, Hash32, Header};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files beside the case folders, and a test that reads each.
const SINGLE: [(&str, &str); 8] = [
    ("README.md", "every_file_of_the_folder_is_known_to_a_test"),
    ("bft_genesis_extradata.json", "captured_extra_data"),
    ("clique_header_rinkeby_30000.json", "a_captured_clique_epoch_header"),
    ("mainnet_eth_getProof.json", "captured_answers_prove_accounts_and_slots"),
    ("mainnet_header_21925432.json", "captured_mainnet_headers_and_receipts"),
    ("mainnet_receipts_proofs.json", "captured_mainnet_receipts_are_under_their_root"),
    ("qbft_extradata_single.json", "captured_extra_data"),
    ("qbft_header_7528.json", "a_captured_qbft_header_of_another_client"),
];

/// Files of a case folder that `case.json` does not name, and what is done with each. The source text of a contract says
/// nothing that its compiled form does not.
const OF_A_CASE: [&str; 5] = ["README.md", "case.json", "genesis.json", "network.json", "contract.sol"];

/// The vectors, or `None` with a printed reason on a machine without them. Where `HUFU_VECTORS` is set they must be there.
pub(crate) fn vectors() -> Option<PathBuf> {
    let named = std::env::var_os("HUFU_VECTORS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors");
    let folder = named.clone().unwrap_or(beside).join("evm");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(named.is_none(), "HUFU_VECTORS is set, but {} is no folder", folder.display());
    println!("skipped: HUFU_VECTORS is not set and there are no vectors beside the workspace");
    None
}

pub(crate) fn read_json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("expected {}, got {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("expected hex digits, got {value}"));
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap()
}

pub(crate) fn hash(value: &Value) -> Hash32 {
    Hash32::new(bytes(value).try_into().unwrap())
}

pub(crate) fn addresses(value: &Value) -> Vec<Address> {
    value.as_array().unwrap().iter().map(|one| Address::new(bytes(one).try_into().unwrap())).collect()
}

/// Every folder with a `case.json`.
pub(crate) fn case_folders() -> Vec<(PathBuf, Value)> {
    let Some(root) = vectors() else { return Vec::new() };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let cases = folders.into_iter().filter(|folder| folder.join("case.json").is_file());
    cases.map(|folder| (folder.clone(), read_json(&folder.join("case.json")))).collect()
}

/// The headers of a file of blocks.
pub(crate) fn headers(path: &Path) -> Vec<Header> {
    let raw = std::fs::read(path).unwrap();
    let mut rest = Reader::new(&raw);
    let mut headers = Vec::new();
    while !rest.is_empty() {
        headers.push(Header::parse(rest.list().unwrap().raw().unwrap()).unwrap());
    }
    headers
}

/// Names of what lies in a folder.
fn entries(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a case names, with the folder of its negatives taken apart.
fn named_by(folder: &Path, case: &Value) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (member, value) in case.as_object().unwrap() {
        match member.as_str() {
            "family" | "anchor" | "note" => {}
            "blocks" => named.extend(value.as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned())),
            "expected" | "receipts" | "proofs" | "contract" => drop(named.insert(value.as_str().unwrap().to_owned())),
            "negative" => {
                let list = Path::new(value.as_str().unwrap());
                let within = list.parent().unwrap();
                let rows = read_json(&folder.join(list));
                let files = rows.as_array().unwrap().iter().map(|row| row["file"].as_str().unwrap().to_owned());
                let mut due: BTreeSet<String> = files.collect();
                due.insert(list.file_name().unwrap().to_str().unwrap().to_owned());
                assert_eq!(entries(&folder.join(within)), due, "{}: negative rows and files", folder.display());
                named.insert(within.to_str().unwrap().to_owned());
            }
            other => panic!("{}: no test knows the member {other} of case.json", folder.display()),
        }
    }
    named
}

#[test]
fn every_file_of_the_folder_is_known_to_a_test() {
    let Some(root) = vectors() else { return };
    let cases = case_folders();
    let mut known: BTreeSet<String> = SINGLE.iter().map(|(file, _)| (*file).to_owned()).collect();
    known.extend(cases.iter().map(|(folder, _)| folder.file_name().unwrap().to_str().unwrap().to_owned()));
    assert_eq!(entries(&root), known, "left: what lies in {}, right: what tests know", root.display());
    for (folder, case) in &cases {
        let mut known = named_by(folder, case);
        let there = entries(folder);
        known.extend(OF_A_CASE.iter().filter(|file| there.contains(**file)).map(|file| (*file).to_owned()));
        assert_eq!(there, known, "left: what lies in {}, right: what tests know", folder.display());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let sources: String = ["vectors.rs", "proofs.rs", "vector_files/main.rs"]
        .map(|file| std::fs::read_to_string(here.join(file)).unwrap())
        .concat();
    for (file, test) in SINGLE {
        assert!(sources.contains(&format!("fn {test}(")) && sources.contains(file), "{file}: {test}");
    }
}

#[test]
fn a_receipt_with_a_proof_is_taken_where_it_stands_and_nowhere_else() {
    let Some(root) = vectors() else { return };
    let vector = read_json(&root.join("mainnet_receipts_proofs.json"));
    let samples = vector["samples"].as_array().unwrap();
    let receipts_root = hash(&vector["receipts_root"]);
    for (at, sample) in samples.iter().enumerate() {
        let judge = |claim: &Value| negative::judge_receipt(claim, receipts_root);
        judge(sample).unwrap();
        let other = &samples[(at + 1) % samples.len()];
        for member in ["index", "receipt_2718", "proof"] {
            let mut claim = sample.clone();
            claim[member] = other[member].clone();
            judge(&claim).expect_err(member);
        }
        let mut hexadecimal = sample.clone();
        hexadecimal["index"] = json!(format!("{:#x}", sample["index"].as_u64().unwrap()));
        judge(&hexadecimal).unwrap();
        negative::judge_receipt(sample, Hash32::new([7; 32])).expect_err("another root");
    }
}
