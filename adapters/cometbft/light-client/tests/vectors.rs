//! Every file of the CometBFT vectors against this light client: each says itself what must come out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Family, Outcome, Shortfall, Step};
use hufu_cometbft_light_client::hash::sha256;
use hufu_cometbft_light_client::ics23::{Proof, Tree};
use hufu_cometbft_light_client::keys::Kind;
use hufu_cometbft_light_client::rpc::{evidence, light};
use hufu_cometbft_light_client::verify::{Rules, TrustLevel, Trusted};
use hufu_cometbft_light_client::{CometbftFamily, Fault, Hash32, Header, SignedHeader, Time, ValidatorSet};
use hufu_schemas_core::{Height, Timestamp};
use prost::Message as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The vectors, or `None` with a printed reason on a machine without them. Where `HUFU_VECTORS` is set they must be there.
fn vectors() -> Option<PathBuf> {
    if let Ok(root) = std::env::var("HUFU_VECTORS") {
        let folder = Path::new(&root).join("cometbft");
        assert!(folder.is_dir(), "HUFU_VECTORS is set, but {} is no folder", folder.display());
        return Some(folder);
    }
    println!("skipped: HUFU_VECTORS is not set");
    None
}

/// Every JSON file of a folder, by name.
fn files(folder: &str) -> Vec<(String, Value)> {
    let Some(root) = vectors() else { return Vec::new() };
    let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no vectors in {folder}");
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
    };
    paths.into_iter().map(read).collect()
}

fn whole_seconds(text: &Value) -> Timestamp {
    let time: Time = text.as_str().unwrap().parse().unwrap();
    assert_eq!(time.nanos(), 0, "a clock of whole seconds");
    Timestamp::from_seconds(time.seconds().try_into().unwrap()).unwrap()
}

fn nanoseconds(text: &Value) -> u64 {
    text.as_str().unwrap().parse::<u64>().unwrap() / 1_000_000_000
}

fn set(value: &Value) -> Result<ValidatorSet, Fault> {
    light::validators(std::slice::from_ref(value))
}

fn rules(chain_id: &str, trusting_period: u64) -> Rules {
    let (chain_id, kinds) = (chain_id.to_owned(), vec![Kind::Ed25519]);
    Rules { chain_id, kinds, trust_level: TrustLevel::THIRD, trusting_period, clock_drift: 0 }
}

struct State {
    header: Header,
    next: ValidatorSet,
}

impl State {
    fn trusted(&self) -> Trusted<'_> {
        Trusted {
            height: self.header.height,
            time: self.header.time,
            next_validators_hash: self.header.next_validators_hash,
            next_validators: Some(&self.next),
        }
    }
}

/// The verdict of the model for an answer of ours.
fn verdict(outcome: &Result<(), Refusal>) -> (&'static str, String) {
    match outcome {
        Ok(()) => ("SUCCESS", "accepted".to_owned()),
        Err(Refusal::NotYet(Shortfall::Headers { .. })) => ("NOT_ENOUGH_TRUST", "headers-wanted".to_owned()),
        // The model has one word for what a later clock, an operator or nothing could change.
        Err(Refusal::NotYet(shortfall)) => ("INVALID", shortfall.reason().to_owned()),
        Err(Refusal::Reject(rejection)) => ("INVALID", rejection.reason().to_owned()),
    }
}

#[test]
fn light_single_step() {
    for (name, case) in files("light_single_step") {
        let initial = &case["initial"];
        let first = light::signed_header(&initial["signed_header"]).unwrap();
        assert_eq!(Some(first.header.hash()), first.commit.block_id.hash, "{name}");
        let mut state = State { header: first.header, next: set(&initial["next_validator_set"]).unwrap() };
        let rules = rules("test-chain", nanoseconds(&initial["trusting_period"]));
        for (number, input) in case["input"].as_array().unwrap().iter().enumerate() {
            let block = &input["block"];
            let signed: SignedHeader = light::signed_header(&block["signed_header"]).unwrap();
            let now = whole_seconds(&input["now"]);
            let outcome = match set(&block["validator_set"]) {
                Ok(set) => rules.verify(&state.trusted(), &signed, &set, now, &mut Budget::for_update()),
                Err(fault) => Err(Refusal::Reject(fault.into())),
            };
            let (got, why) = verdict(&outcome);
            let expected = input["verdict"].as_str().unwrap();
            println!(
                "{name:58} step {number} height {:2} expected {expected:16} got {got:16} ({why})",
                signed.header.height
            );
            assert_eq!(got, expected, "{name}, step {number}");
            if outcome.is_ok() {
                state = State { header: signed.header, next: set(&block["next_validator_set"]).unwrap() };
            }
        }
    }
}

fn decoded_hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn ics23_proofs_of_a_tendermint_tree() {
    for (name, case) in files("ics23").into_iter().filter(|(name, _)| name.starts_with("tendermint_")) {
        let (root, key, bytes) = (decoded_hex(&case["root"]), decoded_hex(&case["key"]), decoded_hex(&case["proof"]));
        let proof = Proof::parse(Tree::Simple, &bytes, &mut Budget::for_evidence()).unwrap();
        let expected = decoded_hex(&case["value"]);
        if expected.is_empty() {
            proof.nothing_at(&root, &key).unwrap();
            assert!(proof.value_at(&root, &key).is_err());
        } else {
            assert_eq!(proof.value_at(&root, &key).unwrap(), expected);
        }
        assert!(Proof::parse(Tree::Iavl, &bytes, &mut Budget::for_evidence()).is_err());
        println!("{name:28} expected {:9} got the same", if expected.is_empty() { "absent" } else { "present" });
    }
}

fn answer(files: &[(String, Value)], name: &str) -> Option<Value> {
    files.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
}

#[test]
fn kvstore_v0_38_headers_commit_and_transactions() {
    let files = files("kvstore_v0_38");
    let Some(commit) = answer(&files, "commit_at_height_10") else { return };
    let get = |name: &str| answer(&files, name).unwrap();
    let signed = light::signed_header(&commit).unwrap();
    assert_eq!(Some(signed.header.hash()), signed.commit.block_id.hash);
    for height in [1, 10] {
        let block = get(&format!("block_at_height_{height}"));
        let said = block["result"]["block_id"]["hash"].as_str().unwrap();
        assert_eq!(light::header(&block).unwrap().hash().to_string(), said, "block {height}");
    }
    let genesis = get("genesis");
    let validators = light::validators(&[genesis["result"]["genesis"].clone()]).unwrap();
    assert_eq!(validators.hash(), signed.header.validators_hash);
    let rules = rules("dockerchain", 1_209_600);
    rules.check_block(&signed, &validators).unwrap();
    rules.require_signed(&signed, &validators, None, &mut Budget::for_update()).unwrap();
    let txs = get("tx_search_with_prove");
    let txs = txs["result"]["txs"].as_array().unwrap();
    for tx in txs {
        let included = evidence::included(tx).unwrap();
        let root: Hash32 = tx["proof"]["root_hash"].as_str().unwrap().parse().unwrap();
        included.proof.verify(sha256(&included.tx).as_bytes(), root).unwrap();
        assert!(included.proof.verify(sha256(b"other").as_bytes(), root).is_err());
        println!("transaction {} at height {} leads to {root}", sha256(&included.tx), included.height);
    }
    assert_eq!(txs.len(), 9);
    let executed = evidence::executed(&get("block_at_height_10"), &get("block_results_at_height_10")).unwrap();
    assert!(executed.is_empty());
    // This application's state is no tree: its answers carry no proof.
    let queried = evidence::queried(&get("abci_query_with_existing_key")).unwrap_err();
    assert_eq!(queried.reason(), "proof-operator");
}

/// Recorded before 0.34, with another encoding of headers: no release since gives these hashes (tests/oracle.rs shows that
/// tendermint-rs gives ours). What they expect to fail fails; what they expect to succeed cannot be anchored.
#[test]
fn light_bisection() {
    for (name, case) in files("light_bisection") {
        let options = &case["trust_options"];
        let anchor = json!({
            "family": "cometbft",
            "chain_id": case["primary"]["chain_id"],
            "height": options["height"].as_str().unwrap().parse::<u64>().unwrap(),
            "hash": options["hash"],
            "trusting_period": nanoseconds(&options["period"]),
        });
        let client = CometbftFamily.client(&anchor).unwrap();
        let first = &case["primary"]["lite_blocks"][0];
        let step = light::step(&first["signed_header"], std::slice::from_ref(&first["validator_set"]), None).unwrap();
        let step = Step { height: Height::new(step.height()), bytes: step.write() };
        let now = whole_seconds(&case["now"]);
        let outcome = client.advance(&client.anchor(), &[step], now, &mut Budget::for_update());
        println!("{name:36} expected {} got an error (headers of before 0.34)", case["expected_output"]);
        assert!(matches!(outcome, Outcome::Reject(no) if no.reason() == "block-version"), "{name}");
    }
}

fn proto_bytes(value: &Value) -> Vec<u8> {
    value.as_str().map_or_else(Vec::new, |text| STANDARD.decode(text).unwrap())
}

fn small(value: &Value) -> i32 {
    i32::try_from(value.as_i64().unwrap_or(0)).unwrap()
}

fn leaf_op(value: &Value) -> ::ics23::LeafOp {
    ::ics23::LeafOp {
        hash: small(&value["hash"]),
        prehash_key: small(&value["prehash_key"]),
        prehash_value: small(&value["prehash_value"]),
        length: small(&value["length"]),
        prefix: proto_bytes(&value["prefix"]),
    }
}

fn inner_op(value: &Value) -> ::ics23::InnerOp {
    ::ics23::InnerOp {
        hash: small(&value["hash"]),
        prefix: proto_bytes(&value["prefix"]),
        suffix: proto_bytes(&value["suffix"]),
    }
}

fn existence(value: &Value) -> ::ics23::ExistenceProof {
    let path = value["path"].as_array().map_or_else(Vec::new, |path| path.iter().map(inner_op).collect());
    ::ics23::ExistenceProof {
        key: proto_bytes(&value["key"]),
        value: proto_bytes(&value["value"]),
        leaf: (!value["leaf"].is_null()).then(|| leaf_op(&value["leaf"])),
        path,
    }
}

/// Whether this client reads a proof as one of a tree.
fn reads(tree: Tree, proof: ::ics23::ExistenceProof) -> Result<(), String> {
    let proof = ::ics23::CommitmentProof { proof: Some(::ics23::commitment_proof::Proof::Exist(proof)) };
    match Proof::parse(tree, &proof.encode_to_vec(), &mut Budget::for_evidence()) {
        Ok(_) => Ok(()),
        Err(fault) => Err(fault.reason().to_owned()),
    }
}

#[test]
fn ics23_proofs_against_their_specification() {
    let files = files("ics23");
    let Some(cases) = answer(&files, "TestCheckAgainstSpecData") else { return };
    for (name, case) in cases.as_object().unwrap() {
        let expected = case["Err"].as_str().unwrap();
        let mut proof = existence(&case["Proof"]);
        let as_recorded = reads(Tree::Iavl, proof.clone());
        // The recordings leave out the right sibling of a left child. No node of an IAVL tree is without it: completed, the
        // same proof is read.
        for op in proof.path.iter_mut().filter(|op| op.prefix.len() <= 12 && op.prefix.ends_with(&[32])) {
            op.suffix = [&[32][..], &[7; 32]].concat();
        }
        let completed = reads(Tree::Iavl, proof);
        println!("{name:66} expected {expected:?} got {as_recorded:?}, with siblings {completed:?}");
        assert_eq!(expected.is_empty(), completed.is_ok(), "{name}");
        assert!(expected.is_empty() || as_recorded.is_err(), "{name}");
    }
}

/// Operations and leaves by themselves, of any specification. What the recordings refuse must be refused; what they accept
/// is refused too unless it is an operation of the two trees, which have one leaf and one inner form each.
#[test]
fn ics23_operations_of_other_trees_are_not_read() {
    let files = files("ics23");
    for (file, field) in [
        ("TestLeafOpData", "Op"),
        ("TestCheckLeafData", "Leaf"),
        ("TestExistenceProofData", "Proof"),
        ("TestInnerOpData", "Op"),
    ] {
        let Some(cases) = answer(&files, file) else { return };
        for (name, case) in cases.as_object().unwrap() {
            let proof = match file {
                "TestExistenceProofData" => existence(&case[field]),
                "TestInnerOpData" => {
                    let mut proof = existence(&json!({ "key": "YQ==", "value": "YQ==" }));
                    proof.leaf = Some(::ics23::tendermint_spec().leaf_spec.unwrap());
                    proof.path = vec![inner_op(&case[field])];
                    proof
                }
                _ => {
                    let mut proof = existence(&json!({ "key": case["Key"], "value": case["Value"] }));
                    proof.leaf = Some(leaf_op(&case[field]));
                    proof
                }
            };
            for tree in [Tree::Iavl, Tree::Simple] {
                let got = reads(tree, proof.clone());
                println!("{file:24} {name:60} {tree:?} expected error {} got {got:?}", case["IsErr"]);
                assert!(got.is_err(), "{file}, {name}, {tree:?}");
            }
        }
    }
    // The other two files are about hash functions and placeholders of trees that are not read.
    for (file, why) in [
        ("TestDoHashData", "hash functions beside SHA-256: see leaf_operations_other_than_the_trees_own"),
        ("TestEmptyBranchData", "placeholders of sparse trees"),
    ] {
        if answer(&files, file).is_some() {
            println!("{file:24} not run: {why}");
        }
    }
}
