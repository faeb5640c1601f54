//! Blocks, transactions, receipts and logs as JSON-RPC shows them.

use alloy_primitives::{Address, B256, U256, hex};
use serde_json::{Value, json};

use crate::receipt::Receipt;
use crate::transaction::Transaction;
use crate::view::Told;

/// A number without leading zeros.
pub(crate) fn quantity(value: u64) -> Value {
    json!(format!("{value:#x}"))
}

/// Bytes as they are.
pub(crate) fn data(bytes: impl AsRef<[u8]>) -> Value {
    json!(hex::encode_prefixed(bytes.as_ref()))
}

pub(crate) fn wide(value: U256) -> Value {
    json!(format!("{value:#x}"))
}

fn address(value: Option<Address>) -> Value {
    value.map_or(Value::Null, data)
}

pub(crate) fn block(told: &Told<'_>, chain_id: u64, full: bool) -> Value {
    let header = &told.header;
    let whole = told.to_block();
    let transactions: Vec<Value> = if full {
        (0..whole.transactions.len()).filter_map(|index| transaction(told, index, chain_id)).collect()
    } else {
        whole.transactions.iter().map(|tx| data(tx.hash())).collect()
    };
    let mut shown = head(told);
    if let Some(members) = shown.as_object_mut() {
        members.extend([
            ("totalDifficulty".to_owned(), quantity(header.number.saturating_add(1))),
            ("size".to_owned(), quantity(whole.to_rlp().len() as u64)),
            ("transactions".to_owned(), Value::Array(transactions)),
            ("uncles".to_owned(), json!([])),
        ]);
    }
    shown
}

/// A header alone, as subscribers to new heads get it.
pub(crate) fn head(told: &Told<'_>) -> Value {
    let header = &told.header;
    json!({
        "number": quantity(header.number),
        "hash": data(told.hash()),
        "parentHash": data(header.parent_hash),
        "sha3Uncles": data(header.ommers_hash),
        "miner": data(header.beneficiary),
        "stateRoot": data(header.state_root),
        "transactionsRoot": data(header.transactions_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "difficulty": wide(header.difficulty),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": data(&header.extra_data),
        "mixHash": data(header.mix_hash),
        "nonce": data(header.nonce),
    })
}

pub(crate) fn transaction(told: &Told<'_>, index: usize, chain_id: u64) -> Option<Value> {
    let transaction = told.sealed.block.transactions.get(index)?;
    let Transaction::Legacy(legacy) = transaction else {
        return None;
    };
    Some(json!({
        "blockHash": data(told.hash()),
        "blockNumber": quantity(told.number()),
        "transactionIndex": quantity(index as u64),
        "hash": data(transaction.hash()),
        "type": "0x0",
        "chainId": quantity(chain_id),
        "from": address(legacy.sender(chain_id)),
        "to": address(legacy.to),
        "nonce": quantity(legacy.nonce),
        "gas": quantity(legacy.gas_limit),
        "gasPrice": json!(format!("{:#x}", legacy.gas_price)),
        "value": wide(legacy.value),
        "input": data(&legacy.input),
        "v": quantity(legacy.v),
        "r": wide(legacy.r),
        "s": wide(legacy.s),
    }))
}

pub(crate) fn receipt(told: &Told<'_>, index: usize, registrar: Address) -> Option<Value> {
    let transaction = told.sealed.block.transactions.get(index)?;
    let Transaction::Legacy(legacy) = transaction else {
        return None;
    };
    let receipt = told.receipts.get(index)?;
    let before = index.checked_sub(1).and_then(|i| told.receipts.get(i)).map_or(0, |r| r.cumulative_gas_used);
    let created = legacy.to.is_none().then(|| registrar.create(legacy.nonce));
    Some(json!({
        "blockHash": data(told.hash()),
        "blockNumber": quantity(told.number()),
        "transactionIndex": quantity(index as u64),
        "transactionHash": data(transaction.hash()),
        "type": "0x0",
        "from": data(registrar),
        "to": address(legacy.to),
        "contractAddress": address(created),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "gasUsed": quantity(receipt.cumulative_gas_used.saturating_sub(before)),
        "effectiveGasPrice": "0x0",
        "status": quantity(u64::from(receipt.status)),
        "logsBloom": data(receipt.bloom),
        "logs": logs(told, index),
    }))
}

/// The logs of one transaction; `logIndex` counts through the whole block.
pub(crate) fn logs(told: &Told<'_>, index: usize) -> Vec<Value> {
    let earlier: usize = told.receipts.iter().take(index).map(|receipt: &Receipt| receipt.logs.len()).sum();
    let hash = told.sealed.block.transactions.get(index).map_or(B256::ZERO, Transaction::hash);
    let logs = told.receipts.get(index).map(|receipt| receipt.logs.as_slice()).unwrap_or_default();
    let show = |(offset, log): (usize, &crate::receipt::Log)| {
        json!({
            "address": data(log.address),
            "topics": log.topics.iter().map(data).collect::<Vec<_>>(),
            "data": data(&log.data),
            "blockNumber": quantity(told.number()),
            "blockHash": data(told.hash()),
            "transactionHash": data(hash),
            "transactionIndex": quantity(index as u64),
            "logIndex": quantity((earlier + offset) as u64),
            "removed": false,
        })
    };
    logs.iter().enumerate().map(show).collect()
}
