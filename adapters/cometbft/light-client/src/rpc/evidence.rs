//! `/block`, `/block_results`, `/tx` and `/abci_query` to evidence.

use super::{need, result};
use crate::evidence::state::StateProof;
use crate::evidence::transactions::Executed;
use crate::fault::{Fault, Reason};
use crate::ics23::Tree;
use crate::merkle::Proof;
use crate::native::{Attribute, Base64, Event};
use crate::results::TxResult;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What a `CommitmentProof` of existence begins with: field 1, with a length.
const EXIST: u8 = 0x0a;

/// Transactions of one block with their results, from `/block?height=` and `/block_results?height=`.
///
/// # Errors
/// [`Fault`] if an answer cannot be read, or the two are of different heights or lengths.
pub fn executed(block: &Value, block_results: &Value) -> Result<Vec<Executed>, Fault> {
    let (block, results) = (need(result(block)?, "block")?, result(block_results)?);
    let (height, other) = (need(need(block, "header")?, "height")?, need(results, "height")?);
    if height != other {
        return Err(Fault::new(Reason::Rpc, format!("results of block {height}"), other));
    }
    let txs = list(block.get("data").and_then(|data| data.get("txs")))?;
    let results = list(results.get("txs_results"))?;
    if txs.len() != results.len() {
        return Err(Fault::new(Reason::ResultsCount, format!("{} results", txs.len()), results.len()));
    }
    let one = |(tx, result): (&Value, &Value)| {
        Ok(Executed { tx: bytes(Some(tx))?, result: tx_result(result)?, events: events(result)? })
    };
    txs.iter().zip(results).map(one).collect()
}

/// One transaction, as `/tx?hash=&prove=true` answers. It shows inclusion alone: the result here is the node's word until
/// it is found under the header above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Height of its block.
    pub height: u64,
    /// The ledger's bytes.
    pub tx: Vec<u8>,
    /// Its path under data_hash.
    pub proof: Proof,
}

/// Reads an answer to `/tx?prove=true`, or one entry of `/tx_search?prove=true`.
///
/// # Errors
/// [`Fault`] if it cannot be read.
pub fn included(answer: &Value) -> Result<Included, Fault> {
    let found = result(answer)?;
    let height = need(found, "height")?.as_str().and_then(|height| height.parse().ok());
    let height = height.ok_or_else(|| Fault::new(Reason::Rpc, "a height", "something else"))?;
    let proof = need(need(found, "proof")?, "proof")?;
    let proof =
        serde_json::from_value(proof.clone()).map_err(|fault| Fault::new(Reason::Rpc, "a Merkle proof", fault))?;
    Ok(Included { height, tx: bytes(found.get("tx"))?, proof })
}

/// A key of the state, as `/abci_query?path="/store/…/key"&height=&prove=true` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queried {
    /// The state after this height, which the header above it commits to.
    pub height: u64,
    /// The key.
    pub key: Vec<u8>,
    /// Its value or absence, with the proof.
    pub proof: StateProof,
}

/// Reads an answer to `/abci_query?prove=true`.
///
/// # Errors
/// [`Fault`] if it cannot be read, if the application refused, or if a proof operator is not one of ICS-23: IAVL's older
/// operators (`iavl:v`, `iavl:a`, a `RangeProof`) were forged in October 2022 and are never taken.
pub fn queried(answer: &Value) -> Result<Queried, Fault> {
    let response = need(result(answer)?, "response")?;
    let code = response.get("code").and_then(Value::as_u64).unwrap_or(0);
    if code != 0 {
        return Err(Fault::new(Reason::Rpc, "code 0", code));
    }
    let height = need(response, "height")?.as_str().and_then(|height| height.parse().ok());
    let height = height.ok_or_else(|| Fault::new(Reason::Rpc, "a height", "something else"))?;
    let proof = response.get("proofOps").or_else(|| response.get("proof_ops")).filter(|proof| !proof.is_null());
    let proof = proof.ok_or_else(|| Fault::new(Reason::ProofOperator, "proof operators", "none"))?;
    let ops = list(proof.get("ops"))?;
    let kinds: Vec<&str> = ops.iter().filter_map(|op| op.get("type").and_then(Value::as_str)).collect();
    let (iavl, simple) = (Tree::Iavl.operator(), Tree::Simple.operator());
    let known = kinds == [iavl, simple] || kinds == [simple, simple] || kinds == [simple];
    if kinds.len() != ops.len() || !known {
        let expected = "ics23:simple, alone or after ics23:iavl or ics23:simple";
        return Err(Fault::new(Reason::ProofOperator, expected, kinds.join(", ")));
    }
    let ops = ops.iter().map(|op| bytes(op.get("data")).map(Base64)).collect::<Result<Vec<_>, _>>()?;
    // Nodes write an empty value as they write none; which it is, the proof says.
    let shows_key = ops.first().is_some_and(|Base64(proof)| proof.first() == Some(&EXIST));
    let value = Some(bytes(response.get("value"))?).filter(|value| shows_key || !value.is_empty()).map(Base64);
    Ok(Queried { height, key: bytes(response.get("key"))?, proof: StateProof { value, ops } })
}

/// A list; nodes write `null` for an empty one.
fn list(value: Option<&Value>) -> Result<&[Value], Fault> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(Fault::new(Reason::Rpc, "a list", "something else")),
    }
}

/// Bytes in base64; nodes write `null` for none.
fn bytes(value: Option<&Value>) -> Result<Vec<u8>, Fault> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => STANDARD.decode(text).map_err(|_| Fault::new(Reason::Rpc, "base64", "other text")),
        Some(_) => Err(Fault::new(Reason::Rpc, "bytes in base64", "something else")),
    }
}

/// What validators sign of one entry of `/block_results`, or of the `tx_result` of `/tx`.
///
/// # Errors
/// [`Fault`] if it cannot be read.
pub fn tx_result(value: &Value) -> Result<TxResult, Fault> {
    let gas = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) => text.parse().map_err(|_| Fault::new(Reason::Rpc, "gas", text)),
        Some(other) => other.as_i64().ok_or_else(|| Fault::new(Reason::Rpc, "gas", other)),
    };
    let code = value.get("code").and_then(Value::as_u64).unwrap_or(0);
    let code = u32::try_from(code).map_err(|_| Fault::new(Reason::Rpc, "a code of 32 bits", code))?;
    Ok(TxResult { code, data: bytes(value.get("data"))?, gas_wanted: gas("gas_wanted")?, gas_used: gas("gas_used")? })
}

fn events(result: &Value) -> Result<Vec<Event>, Fault> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let event = |event: &Value| {
        let attributes = list(event.get("attributes"))?;
        let attribute = |it: &Value| Attribute { key: text(it, "key"), value: text(it, "value") };
        Ok(Event { kind: text(event, "type"), attributes: attributes.iter().map(attribute).collect() })
    };
    list(result.get("events"))?.iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_block_with_its_results() {
        let block = json!({ "result": { "block": { "header": { "height": "7" }, "data": { "txs": ["YQ=="] } } } });
        let results = json!({ "result": { "height": "7", "txs_results": [{
            "code": 3, "data": "Yg==", "gas_wanted": "9", "gas_used": "-1", "log": "ignored",
            "events": [{ "type": "grant", "attributes": [{ "key": "id", "value": "p-1", "index": true }] }],
        }] } });
        let all = executed(&block, &results).unwrap();
        assert_eq!((all[0].tx.as_slice(), all[0].result.code, all[0].result.gas_used), (&b"a"[..], 3, -1));
        assert_eq!(all[0].events[0].attributes[0].value, "p-1");
        let other = json!({ "result": { "height": "8", "txs_results": null } });
        assert_eq!(executed(&block, &other).unwrap_err().reason(), "rpc-malformed");
        let fewer = json!({ "result": { "height": "7", "txs_results": null } });
        assert_eq!(executed(&block, &fewer).unwrap_err().reason(), "results-count");
    }

    #[test]
    fn legacy_range_proofs_and_answers_without_proof() {
        let answer = |ops: Value| {
            json!({ "result": { "response": {
                "code": 0, "height": "7", "key": "YQ==", "value": "Yg==", "proofOps": ops,
            } } })
        };
        let op = |kind: &str| json!({ "type": kind, "key": "YQ==", "data": "AA==" });
        let good = queried(&answer(json!({ "ops": [op("ics23:iavl"), op("ics23:simple")] }))).unwrap();
        assert_eq!((good.height, good.key, good.proof.ops.len()), (7, b"a".to_vec(), 2));
        for ops in [json!({ "ops": [op("ics23:simple"), op("ics23:simple")] }), json!({ "ops": [op("ics23:simple")] })]
        {
            assert!(queried(&answer(ops)).is_ok(), "a simple tree in its store, and one without stores");
        }
        for ops in [
            json!({ "ops": [op("iavl:v"), op("multistore")] }),
            json!({ "ops": [op("iavl:a")] }),
            json!({ "ops": [op("ics23:simple"), op("ics23:iavl")] }),
            json!({ "ops": [op("ics23:iavl")] }),
            json!({ "ops": [] }),
            Value::Null,
        ] {
            assert_eq!(queried(&answer(ops.clone())).unwrap_err().reason(), "proof-operator", "{ops}");
        }
    }

    #[test]
    fn a_key_with_an_empty_value_is_not_taken_for_absent() {
        let proof = |first: u8| STANDARD.encode([first, 0]);
        let answer = |first: u8| {
            json!({ "result": { "response": {
                "code": 0, "height": "7", "key": "YQ==", "value": null,
                "proofOps": { "ops": [{ "type": "ics23:simple", "key": "YQ==", "data": proof(first) }] },
            } } })
        };
        assert_eq!(queried(&answer(0x0a)).unwrap().proof.value, Some(Base64(Vec::new())));
        assert_eq!(queried(&answer(0x12)).unwrap().proof.value, None);
    }

    #[test]
    fn a_nodes_error() {
        let error = json!({ "jsonrpc": "2.0", "error": { "code": -32603, "message": "height must be less" } });
        assert_eq!(queried(&error).unwrap_err().reason(), "rpc-malformed");
    }
}
