//! JSON-RPC 2.0 of CometBFT's nodes: one call an exchange, so that an answer's id says nothing new and is not read.

use hufu_adapters_nodes::NodeFault;
use serde::Deserialize;
use serde_json::{Value, json};

/// The body of one request. Numbers are texts, as in the answers.
pub(crate) fn write(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// An error object: nodes put the reason into `data`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct RpcError {
    #[serde(default)]
    pub(crate) code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Envelope {
    result: Option<Value>,
    error: Option<RpcError>,
}

/// As much of a foreign text as a reader can use.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Reads an answer: a result (`null` where there is none), or the node's error.
pub(crate) fn read(body: &[u8]) -> Result<Result<Value, RpcError>, NodeFault> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| {
        let start = body.get(..body.len().min(480)).unwrap_or_default();
        let got = format!("{} bytes: {:?}", body.len(), clip(&String::from_utf8_lossy(start)));
        NodeFault::malformed("a JSON-RPC answer", got)
    })?;
    Ok(match envelope.error {
        Some(error) => Err(error),
        None => Ok(envelope.result.unwrap_or_default()),
    })
}

/// What nodes say of a block, set or result that they no longer hold, or never kept (`rpc/core/env.go`, `state/errors.go`,
/// `state/store.go`).
const NOT_HELD: [&str; 5] =
    ["is not available, lowest height is", "could not find", "not persisting", "no validator set", "not found"];
/// What they say of a height that has not come (`rpc/core/env.go`).
const NOT_YET: &str = "must be less than or equal to";

impl RpcError {
    pub(crate) fn text(&self) -> String {
        let data = self.data.as_str().map_or_else(|| self.data.to_string(), str::to_owned);
        clip(&format!("error {}: {} {data}", self.code, self.message))
    }

    /// Whether we ask too much: what gateways in front of nodes answer with status 200.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self.code, -32005 | 429)
    }

    /// What it means that a node refuses `what` of a block at `height`.
    pub(crate) fn about(&self, what: &str, height: u64) -> NodeFault {
        let text = self.text();
        let lower = text.to_ascii_lowercase();
        if lower.contains(NOT_YET) {
            return NodeFault::Behind { wanted: height, at: height.saturating_sub(1) };
        }
        if NOT_HELD.iter().any(|words| lower.contains(words)) && self.code != -32601 {
            return NodeFault::Pruned(format!("{what} of block {height} ({text})"));
        }
        NodeFault::malformed(format!("{what} of block {height}"), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i64, data: &str) -> RpcError {
        let body = json!({ "jsonrpc": "2.0", "id": -1, "error": { "code": code, "message": "m", "data": data } });
        read(body.to_string().as_bytes()).unwrap().unwrap_err()
    }

    #[test]
    fn answers_and_what_is_none() {
        assert_eq!(read(br#"{"id":-1,"result":{"a":1}}"#), Ok(Ok(json!({ "a": 1 }))));
        assert_eq!(read(br#"{"id":-1,"result":null}"#), Ok(Ok(Value::Null)));
        for body in ["", "<html>", "[]", "{}x", "7"] {
            assert!(matches!(read(body.as_bytes()), Err(NodeFault::Malformed { .. })), "{body}");
        }
    }

    #[test]
    fn the_words_of_nodes_that_keep_no_history_and_of_those_that_are_not_that_far() {
        for words in [
            "height 3 is not available, lowest height is 9",
            "could not find validator set for height #3",
            "could not find results for height #3",
            "node is not persisting finalize block responses",
        ] {
            assert!(matches!(error(-32603, words).about("the commit", 3), NodeFault::Pruned(_)), "{words}");
        }
        let ahead = error(-32603, "height 9 must be less than or equal to the current blockchain height 8");
        assert_eq!(ahead.about("the commit", 9), NodeFault::Behind { wanted: 9, at: 8 });
        let missing = error(-32601, "method not found");
        assert!(matches!(missing.about("the commit", 9), NodeFault::Malformed { .. }));
        assert!(error(429, "").is_limit() && !ahead.is_limit());
    }
}
