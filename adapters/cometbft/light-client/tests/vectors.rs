//! Every file of the CometBFT vectors against this light client: each says itself what must come out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Shortfall};
use hufu_cometbft_light_client::ics23::{Proof, Tree};
use hufu_cometbft_light_client::keys::Kind;
use hufu_cometbft_light_client::rpc::light;
use hufu_cometbft_light_client::verify::{Rules, TrustLevel, Trusted};
use hufu_cometbft_light_client::{Fault, Header, SignedHeader, Time, ValidatorSet};
use hufu_schemas_core::Timestamp;
use serde_json::Value;
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
