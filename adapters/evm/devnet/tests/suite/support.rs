//! A JSON-RPC client of a few lines, so that the server is not tested with the library it is built from.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use hufu_evm_devnet::block::Header;
use hufu_evm_devnet::keys::recover;
use hufu_evm_devnet::{Devnet, DevnetConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for one answer; only a fault of the server can use it up.
const DEADLINE: Duration = Duration::from_secs(20);

/// What came over the wire.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a body and reads until the server closes (HTTP/1.0: no chunks).
pub(crate) async fn post(url: &str, body: &str) -> std::io::Result<Raw> {
    let address = url.strip_prefix("http://").unwrap();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let head =
            format!("POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer within the deadline")?;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Raw { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// The whole answer object of one call.
pub(crate) async fn answer(url: &str, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    serde_json::from_str(&post(url, &request.to_string()).await.unwrap().body).unwrap()
}

/// The result of one call that must succeed.
pub(crate) async fn call(url: &str, method: &str, params: Value) -> Value {
    let mut answer = answer(url, method, params).await;
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}

pub(crate) fn bytes(value: &Value) -> Bytes {
    value.as_str().unwrap().parse().unwrap()
}

pub(crate) fn word(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

pub(crate) fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

/// A header put together from the JSON of a block.
pub(crate) fn header_from_json(block: &Value) -> Header {
    Header {
        parent_hash: word(&block["parentHash"]),
        ommers_hash: word(&block["sha3Uncles"]),
        beneficiary: Address::from_slice(&bytes(&block["miner"])),
        state_root: word(&block["stateRoot"]),
        transactions_root: word(&block["transactionsRoot"]),
        receipts_root: word(&block["receiptsRoot"]),
        logs_bloom: Bloom::from_slice(&bytes(&block["logsBloom"])),
        difficulty: U256::from(number(&block["difficulty"])),
        number: number(&block["number"]),
        gas_limit: number(&block["gasLimit"]),
        gas_used: number(&block["gasUsed"]),
        timestamp: number(&block["timestamp"]),
        extra_data: bytes(&block["extraData"]),
        mix_hash: word(&block["mixHash"]),
        nonce: block["nonce"].as_str().unwrap().parse().unwrap(),
    }
}

pub(crate) fn header(rlp: Option<Vec<u8>>) -> Header {
    let bytes = rlp.expect("the block is there");
    let mut rest = bytes.as_slice();
    let header = Header::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    header
}

/// Who sealed, recovered over the digest of this very header.
pub(crate) fn signers(header: &Header) -> Vec<Address> {
    let digest = header.seal_digest().unwrap();
    header.extra().unwrap().seals.iter().map(|seal| recover(&digest, seal).unwrap_or_default()).collect()
}

pub(crate) async fn devnet(validators: usize, epoch: u64) -> Devnet {
    Devnet::start(DevnetConfig { validators, epoch, seed: [9; 32], ..DevnetConfig::default() }).await.unwrap()
}
