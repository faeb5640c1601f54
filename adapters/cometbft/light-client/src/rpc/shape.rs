//! Brings nodes' JSON to the one shape that this client's own types read.

use super::need;
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::{commit::Commit, validators::Validator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// These fields of an object and no others; what is missing is left out.
fn only(value: &Value, keys: &[&str]) -> Map<String, Value> {
    let field = |key: &&str| value.get(*key).map(|found| ((*key).to_owned(), found.clone()));
    keys.iter().filter_map(field).collect()
}

fn typed<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, Fault> {
    serde_json::from_value(value).map_err(|fault| Fault::new(Reason::Rpc, what, fault))
}

/// `null` becomes the empty text.
fn or_empty(map: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        let entry = map.entry((*key).to_owned()).or_insert(Value::Null);
        if entry.is_null() {
            *entry = json!("");
        }
    }
}

/// A block id: the parts are `parts` over JSON-RPC and `part_set_header` elsewhere; none at all before the first block.
fn block_id(value: Option<&Value>) -> Value {
    let empty = Value::Null;
    let value = value.unwrap_or(&empty);
    let parts = value.get("parts").or_else(|| value.get("part_set_header")).unwrap_or(&empty);
    let mut inner = only(parts, &["total", "hash"]);
    inner.entry("total").or_insert(json!(0));
    or_empty(&mut inner, &["hash"]);
    let mut outer = only(value, &["hash"]);
    or_empty(&mut outer, &["hash"]);
    outer.insert("parts".to_owned(), Value::Object(inner));
    Value::Object(outer)
}

const HASHES: [&str; 6] =
    ["last_commit_hash", "data_hash", "consensus_hash", "app_hash", "last_results_hash", "evidence_hash"];

pub(super) fn header(value: &Value) -> Result<Header, Fault> {
    let mut map =
        only(value, &["chain_id", "height", "time", "validators_hash", "next_validators_hash", "proposer_address"]);
    map.append(&mut only(value, &HASHES));
    or_empty(&mut map, &HASHES);
    or_empty(&mut map, &["proposer_address"]);
    map.insert("version".to_owned(), Value::Object(only(need(value, "version")?, &["block", "app"])));
    map.insert("last_block_id".to_owned(), block_id(value.get("last_block_id")));
    typed(Value::Object(map), "a header")
}

pub(super) fn commit(value: &Value) -> Result<Commit, Fault> {
    let mut map = only(value, &["height", "round"]);
    map.insert("block_id".to_owned(), block_id(value.get("block_id")));
    let empty = Vec::new();
    let entries = value.get("signatures").and_then(Value::as_array).unwrap_or(&empty);
    let entries = entries.iter().map(|entry| {
        let mut entry = only(entry, &["block_id_flag", "validator_address", "timestamp", "signature"]);
        or_empty(&mut entry, &["validator_address"]);
        Value::Object(entry)
    });
    map.insert("signatures".to_owned(), entries.collect());
    typed(Value::Object(map), "a commit")
}

/// A validator of `/validators` (`voting_power`) or of `/genesis` (`power`). Its address is not read: it follows from the key.
pub(super) fn validator(value: &Value) -> Result<Validator, Fault> {
    let power = value.get("voting_power").or_else(|| value.get("power")).cloned().unwrap_or_default();
    let key = only(need(value, "pub_key")?, &["type", "value"]);
    typed(json!({ "pub_key": key, "voting_power": power }), "a validator")
}
