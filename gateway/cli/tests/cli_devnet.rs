//! `hufu devnet`: says where it is and how to trust it, and ends when it is told to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::command;

/// Starts a ledger and waits for its first line.
fn start(seed: &str) -> (Child, Value) {
    let args = ["devnet", "evm", "--json", "--validators", "3", "--block-milliseconds", "200", "--seed", seed];
    let mut child = command(&args).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

fn stop(mut child: Child, signal: &str) -> i32 {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().expect("ended by itself, not by the signal");
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the ledger did not end within 20 s of {signal}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_says_where_it_is_and_how_to_anchor_it_and_ends_when_told() {
    let (child, told) = start("a");
    assert!(told["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{told}");
    assert_eq!(told["validators"].as_array().unwrap().len(), 3);
    let policy = format!("policy = 1\n{}\n", told["policyToml"].as_str().unwrap());
    let policy = hufu_gateway_verify::TrustPolicy::parse("policy.toml", &policy).expect("the snippet is a policy");
    let (ledger, anchor) = policy.anchors().next().unwrap();
    assert_eq!(ledger.as_str(), told["ledger"]);
    assert_eq!(anchor["hash"], told["genesisHash"]);
    assert_eq!(hufu_evm_light_client::Anchor::parse(anchor).unwrap().ledger(), ledger);
    assert_eq!(stop(child, "-TERM"), 0);
}

#[test]
fn one_seed_is_one_ledger() {
    let ((one, first), (two, second), (three, other)) = (start("b"), start("b"), start("c"));
    assert_eq!(first["genesisHash"], second["genesisHash"]);
    assert_ne!(first["genesisHash"], other["genesisHash"]);
    assert_eq!([stop(one, "-INT"), stop(two, "-INT"), stop(three, "-INT")], [0, 0, 0]);
}
