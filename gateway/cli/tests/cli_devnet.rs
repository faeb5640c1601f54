//! `hufu devnet`: says where it is and how to trust it, and ends when it is told to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::command;

/// Starts a ledger and waits for its first line.
fn start(family: &str, seed: &str) -> (Child, Value) {
    let args = ["devnet", family, "--json", "--validators", "3", "--block-milliseconds", "200", "--seed", seed];
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
    let (child, told) = start("evm", "a");
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
fn a_cometbft_ledger_says_the_same_and_grows() {
    let (child, told) = start("cometbft", "a");
    assert_eq!(told["validators"].as_array().unwrap().len(), 3);
    let policy = format!("policy = 1\n{}\n", told["policyToml"].as_str().unwrap());
    let policy = hufu_gateway_verify::TrustPolicy::parse("policy.toml", &policy).expect("the snippet is a policy");
    let (ledger, anchor) = policy.anchors().next().unwrap();
    assert_eq!(ledger.as_str(), told["ledger"]);
    let anchor = hufu_cometbft_light_client::Anchor::parse(anchor).unwrap();
    assert_eq!((anchor.ledger(), anchor.height()), (ledger, 1));
    let url = told["url"].as_str().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while get(url, "status")["result"]["sync_info"]["latest_block_height"] == "1" {
        assert!(Instant::now() < deadline, "no second block within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
    let first = hufu_cometbft_light_client::rpc::light::header(&get(url, "header?height=1")["result"]).unwrap();
    assert_eq!(first.hash(), anchor.hash());
    assert_eq!(stop(child, "-TERM"), 0);
}

/// One answer over HTTP/1.0, which ends with the connection.
fn get(url: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("GET /{path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn one_seed_is_one_ledger() {
    for family in ["evm", "cometbft"] {
        let ((one, first), (two, second), (three, other)) =
            (start(family, "b"), start(family, "b"), start(family, "c"));
        assert_eq!(first["genesisHash"], second["genesisHash"]);
        assert_ne!(first["genesisHash"], other["genesisHash"]);
        assert_eq!([stop(one, "-INT"), stop(two, "-INT"), stop(three, "-INT")], [0, 0, 0]);
    }
}
