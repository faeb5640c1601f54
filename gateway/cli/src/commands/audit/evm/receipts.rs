//! Receipts as JSON-RPC gives them, compared with headers. A node's word counts for nothing: the receipts of a block must
//! rebuild the root that the sealed header carries.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use hufu_evm_light_client::Header;
use hufu_evm_light_client::rlp;
use hufu_evm_light_client::trie::{self, EMPTY_ROOT};
use serde_json::Value;

use super::body::said;
use crate::answer::misuse;
use crate::files;

/// Receipts by block, in consensus encoding by transaction index.
#[derive(Debug, Default)]
pub(super) struct GivenReceipts(BTreeMap<u64, BTreeMap<u64, Vec<u8>>>);

/// What comparing one block's receipts gave.
pub(super) enum Compared {
    /// They are the header's.
    Same,
    /// They are not, and why.
    Wrong(String),
    /// The block has receipts, and none were given.
    Missing,
}

impl GivenReceipts {
    /// Reads a file: receipts in any nesting, one JSON value or one after the other. All are held in memory.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let next = "give receipts as eth_getBlockReceipts or eth_getTransactionReceipt answer";
        let refused = |words: String| misuse(format!("{}: {words}", path.display()), next);
        let reader = BufReader::new(files::open(path)?);
        let mut all = Self::default();
        for value in serde_json::Deserializer::from_reader(reader).into_iter::<Value>() {
            let value = value.map_err(|error| refused(error.to_string()))?;
            all.take(&value).map_err(|words| refused(format!("a receipt: {words}")))?;
        }
        if all.0.is_empty() {
            return Err(refused("expected receipts, got none".to_owned()));
        }
        Ok(all)
    }

    /// Takes a receipt, or whatever holds receipts. serde_json bounds the depth.
    fn take(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.take(item)),
            Value::Object(members) if members.contains_key("cumulativeGasUsed") => {
                let height = number(value, "blockNumber")?;
                let index = number(value, "transactionIndex")?;
                if self.0.entry(height).or_default().insert(index, consensus(value)?).is_some() {
                    return Err(format!("transaction {index} of block {height} stands here twice"));
                }
                Ok(())
            }
            Value::Object(members) => members.values().try_for_each(|member| self.take(member)),
            _ => Ok(()),
        }
    }

    /// Compares a block's receipts with its header.
    pub(super) fn compare(&self, header: &Header) -> Compared {
        let fields = header.fields();
        let Some(given) = self.0.get(&fields.number) else {
            return if fields.receipts_root == EMPTY_ROOT { Compared::Same } else { Compared::Missing };
        };
        let values: Vec<&[u8]> = given.values().map(Vec::as_slice).collect();
        match trie::ordered_root(&values) {
            Ok(root) if root == fields.receipts_root => Compared::Same,
            Ok(root) => {
                let (due, count) = (fields.receipts_root, values.len());
                Compared::Wrong(format!("receipts-root: expected {due}, got {root} from {count} receipts"))
            }
            Err(fault) => Compared::Wrong(said(&fault)),
        }
    }
}

/// `[type] ‖ RLP[status or root, cumulativeGasUsed, logsBloom, logs]`. Whether it is right shows in the root alone.
fn consensus(receipt: &Value) -> Result<Vec<u8>, String> {
    let mut items = Vec::with_capacity(512);
    match receipt.get("status").filter(|status| !status.is_null()) {
        Some(_) => rlp::write_u64(number(receipt, "status")?, &mut items),
        None => rlp::write_string(&bytes(receipt, "root")?, &mut items),
    }
    rlp::write_u64(number(receipt, "cumulativeGasUsed")?, &mut items);
    rlp::write_string(&bytes(receipt, "logsBloom")?, &mut items);
    let mut logs = Vec::new();
    for log in list(receipt, "logs")? {
        write_log(log, &mut logs)?;
    }
    rlp::write_list(&logs, &mut items);
    let mut out = Vec::with_capacity(items.len() + 6);
    let kind = if receipt.get("type").is_none_or(Value::is_null) { 0 } else { number(receipt, "type")? };
    if kind != 0 {
        out.push(u8::try_from(kind).map_err(|_| format!("type: expected a type below 0x80, got {kind}"))?);
    }
    rlp::write_list(&items, &mut out);
    Ok(out)
}

fn write_log(log: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let mut topics = Vec::new();
    for topic in list(log, "topics")? {
        rlp::write_string(&hex_bytes(topic, "topics")?, &mut topics);
    }
    let mut items = Vec::new();
    rlp::write_string(&bytes(log, "address")?, &mut items);
    rlp::write_list(&topics, &mut items);
    rlp::write_string(&bytes(log, "data")?, &mut items);
    rlp::write_list(&items, out);
    Ok(())
}

fn list<'v>(value: &'v Value, field: &str) -> Result<&'v Vec<Value>, String> {
    value.get(field).and_then(Value::as_array).ok_or_else(|| format!("{field}: expected a list"))
}

fn bytes(value: &Value, field: &str) -> Result<Vec<u8>, String> {
    hex_bytes(value.get(field).unwrap_or(&Value::Null), field)
}

fn hex_bytes(value: &Value, field: &str) -> Result<Vec<u8>, String> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits.and_then(|digits| hex::decode(digits).ok()).ok_or_else(|| format!("{field}: expected 0x and hex digits"))
}

fn number(value: &Value, field: &str) -> Result<u64, String> {
    let digits = value.get(field).and_then(Value::as_str).and_then(|text| text.strip_prefix("0x"));
    let number = digits.filter(|it| !it.starts_with('+')).and_then(|it| u64::from_str_radix(it, 16).ok());
    number.ok_or_else(|| format!("{field}: expected 0x and a number in hex"))
}
