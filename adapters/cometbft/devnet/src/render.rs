//! JSON as nodes of CometBFT 0.38 write it: 64-bit numbers and heights as text, hashes in upper-case hex, bytes in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::{ProofOp, TxResult};
use crate::block::Block;
use crate::commit::{Commit, CommitSig};
use crate::header::{BlockId, Header};
use crate::merkle::{self, Hash, path, sha256};
use crate::time::rfc3339;
use crate::validators::{Update, Validator};

pub(crate) fn upper_hex(bytes: &[u8]) -> Value {
    Value::String(hex::encode_upper(bytes))
}

/// Nothing is `null`, as Go writes a nil slice.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Null } else { Value::String(STANDARD.encode(bytes)) }
}

fn decimal(number: impl std::fmt::Display) -> Value {
    Value::String(number.to_string())
}

/// A block id.
pub fn block_id(id: &BlockId) -> Value {
    json!({
        "hash": upper_hex(&id.hash),
        "parts": { "total": id.parts, "hash": upper_hex(&id.parts_hash) },
    })
}

/// A header.
pub fn header(header: &Header) -> Value {
    json!({
        "version": { "block": decimal(header.block_version), "app": decimal(header.app_version) },
        "chain_id": header.chain_id,
        "height": decimal(header.height),
        "time": rfc3339(Some(header.time)),
        "last_block_id": block_id(&header.last_block_id),
        "last_commit_hash": upper_hex(&header.last_commit_hash),
        "data_hash": upper_hex(&header.data_hash),
        "validators_hash": upper_hex(&header.validators_hash),
        "next_validators_hash": upper_hex(&header.next_validators_hash),
        "consensus_hash": upper_hex(&header.consensus_hash),
        "app_hash": upper_hex(&header.app_hash),
        "last_results_hash": upper_hex(&header.last_results_hash),
        "evidence_hash": upper_hex(&header.evidence_hash),
        "proposer_address": upper_hex(&header.proposer_address),
    })
}

/// A commit.
pub fn commit(commit: &Commit) -> Value {
    let signature = |entry: &CommitSig| {
        json!({
            "block_id_flag": entry.flag.number(),
            "validator_address": upper_hex(&entry.address),
            "timestamp": rfc3339(entry.time),
            "signature": bytes(&entry.signature),
        })
    };
    json!({
        "height": decimal(commit.height),
        "round": commit.round,
        "block_id": block_id(&commit.block_id),
        "signatures": commit.signatures.iter().map(signature).collect::<Vec<_>>(),
    })
}

/// The answer to `/commit`; `canonical` where the next block carries these votes.
pub fn signed_header(shown: &Header, votes: &Commit, canonical: bool) -> Value {
    json!({ "signed_header": { "header": header(shown), "commit": commit(votes) }, "canonical": canonical })
}

/// The answer to `/block`.
pub fn block(block: &Block, txs: &[Vec<u8>]) -> Value {
    json!({
        "block_id": block_id(&block.id),
        "block": {
            "header": header(&block.header),
            "data": { "txs": txs.iter().map(|tx| STANDARD.encode(tx)).collect::<Vec<_>>() },
            "evidence": { "evidence": [] },
            "last_commit": commit(&block.last_commit),
        },
    })
}

/// One block of `/blockchain`.
pub(crate) fn meta(block: &Block) -> Value {
    json!({
        "block_id": block_id(&block.id),
        "block_size": decimal(block.size),
        "header": header(&block.header),
        "num_txs": decimal(block.txs.len()),
    })
}

fn public_key(key: &[u8; 32]) -> Value {
    json!({ "type": "tendermint/PubKeyEd25519", "value": STANDARD.encode(key) })
}

/// One validator of `/validators`.
pub fn validator(validator: &Validator) -> Value {
    json!({
        "address": upper_hex(&validator.address()),
        "pub_key": public_key(&validator.public_key),
        "voting_power": decimal(validator.power),
        "proposer_priority": decimal(validator.priority),
    })
}

/// The answering node's own validator, in `/status`.
pub(crate) fn own_validator(it: &Update, power: i64) -> Value {
    json!({
        "address": upper_hex(&crate::keys::address(&it.public_key)),
        "pub_key": public_key(&it.public_key),
        "voting_power": decimal(power),
    })
}

/// One validator of `/genesis`.
pub(crate) fn genesis_validator(number: usize, it: &Update) -> Value {
    json!({
        "address": upper_hex(&crate::keys::address(&it.public_key)),
        "pub_key": public_key(&it.public_key),
        "power": decimal(it.power),
        "name": format!("node{number}"),
    })
}

/// What became of a transaction.
pub fn tx_result(result: &TxResult) -> Value {
    let attribute = |(key, value): &(String, String)| json!({ "key": key, "value": value, "index": true });
    let event = |event: &crate::app::Event| {
        let attributes: Vec<Value> = event.attributes.iter().map(attribute).collect();
        json!({ "type": event.kind, "attributes": attributes })
    };
    json!({
        "code": result.code,
        "data": bytes(&result.data),
        "log": result.log,
        "info": "",
        "gas_wanted": decimal(result.gas_wanted),
        "gas_used": decimal(result.gas_used),
        "events": result.events.iter().map(event).collect::<Vec<_>>(),
        "codespace": "",
    })
}

/// The answer to `/block_results`.
pub fn block_results(block: &Block, results: &[TxResult]) -> Value {
    let update = |update: &Update| {
        let key = json!({ "ed25519": STANDARD.encode(update.public_key) });
        let key = json!({ "Sum": { "type": "tendermint.crypto.PublicKey_Ed25519", "value": key } });
        match update.power {
            // A power of 0 is a default, which the encoding of this one message leaves out.
            0 => json!({ "pub_key": key }),
            power => json!({ "pub_key": key, "power": decimal(power) }),
        }
    };
    let or_null = |list: Vec<Value>| if list.is_empty() { Value::Null } else { Value::Array(list) };
    json!({
        "height": decimal(block.header.height),
        "txs_results": or_null(results.iter().map(tx_result).collect()),
        "finalize_block_events": null,
        "validator_updates": or_null(block.updates.iter().map(update).collect()),
        "consensus_param_updates": null,
        "app_hash": bytes(&block.app_hash),
    })
}

/// The answer to `/tx` for a transaction of the block, which has that many.
pub fn tx(block: &Block, index: usize, result: &TxResult, prove: bool) -> Option<Value> {
    let tx = block.txs.get(index)?;
    let mut answer = json!({
        "hash": upper_hex(&sha256(&[tx])),
        "height": decimal(block.header.height),
        "index": index,
        "tx_result": tx_result(result),
        "tx": STANDARD.encode(tx),
    });
    if prove && let Some(fields) = answer.as_object_mut() {
        fields.insert("proof".to_owned(), tx_proof(block, index, tx));
    }
    Some(answer)
}

fn tx_proof(block: &Block, index: usize, tx: &[u8]) -> Value {
    let leaves: Vec<Hash> = block.txs.iter().map(|tx| merkle::leaf(&sha256(&[tx]))).collect();
    let aunts: Vec<String> = path(&leaves, index).iter().map(|aunt| STANDARD.encode(aunt.hash)).collect();
    json!({
        "root_hash": upper_hex(&merkle::root(&leaves)),
        "data": STANDARD.encode(tx),
        "proof": {
            "total": decimal(leaves.len()),
            "index": decimal(index),
            "leaf_hash": STANDARD.encode(merkle::leaf(&sha256(&[tx]))),
            "aunts": aunts,
        },
    })
}

/// The answer to `/abci_query`.
pub fn query(height: u64, key: &[u8], value: Option<&[u8]>, proof: Option<&[ProofOp]>) -> Value {
    let op = |op: &ProofOp| json!({ "type": "ics23:simple", "key": STANDARD.encode(&op.key), "data": STANDARD.encode(&op.data) });
    let proof = proof.map(|ops| json!({ "ops": ops.iter().map(op).collect::<Vec<_>>() }));
    json!({ "response": {
        "code": 0,
        "log": "",
        "info": "",
        "index": "0",
        "key": bytes(key),
        "value": bytes(value.unwrap_or_default()),
        "proofOps": proof,
        "height": decimal(height),
        "codespace": "",
    } })
}

/// A query that the application refused.
pub(crate) fn query_refused(code: u32, log: &str) -> Value {
    json!({ "response": {
        "code": code, "log": log, "info": "", "index": "0", "key": null, "value": null, "proofOps": null, "height": "0",
        "codespace": "",
    } })
}
