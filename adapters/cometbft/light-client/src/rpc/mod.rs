//! Nodes' JSON-RPC answers, as captured, to the steps and evidence that travel.
//!
//! Nodes of 0.34, 0.37, 0.38 and 1.x name some fields differently and add some; here their answers are brought to one
//! shape, and only what is hashed, signed or proven is kept. Nothing is believed on the way: addresses, hashes and
//! counts beside it are recomputed or compared later.

pub mod evidence;
pub mod light;
mod shape;

use crate::fault::{Fault, Reason};
use serde_json::Value;

/// The `result` of a JSON-RPC answer, or the value itself where the envelope was taken off already.
///
/// # Errors
/// [`Fault`] if the answer is a node's error.
pub fn result(answer: &Value) -> Result<&Value, Fault> {
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let words: String = error.to_string().chars().take(200).collect();
        return Err(Fault::new(Reason::Rpc, "an answer", words));
    }
    Ok(answer.get("result").unwrap_or(answer))
}

pub(crate) fn need<'a>(value: &'a Value, key: &str) -> Result<&'a Value, Fault> {
    value
        .get(key)
        .filter(|found| !found.is_null())
        .ok_or_else(|| Fault::new(Reason::Rpc, format!("a field `{key}`"), "none"))
}
