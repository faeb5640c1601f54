//! JSON-RPC 2.0: requests to bytes, answers from bytes. An answer's results stay text until somebody knows their type.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::hex_json::clip;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Call {
    pub(crate) fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }

    /// A request about one height.
    pub(crate) fn at(method: &'static str, height: u64) -> Self {
        Self::new(method, json!([quantity(height)]))
    }

    fn to_json(&self, id: usize) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": self.method, "params": self.params })
    }
}

/// A number as JSON-RPC writes it.
pub(crate) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// The body of a request: an object for one call (some nodes refuse lists), a list for several. Ids count from 0.
pub(crate) fn write(calls: &[Call]) -> String {
    match calls {
        [one] => one.to_json(0).to_string(),
        many => Value::Array(many.iter().enumerate().map(|(id, call)| call.to_json(id)).collect()).to_string(),
    }
}

/// An error object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    /// How long the node asks us to wait, in the form of Infura (`data.rate.backoff_seconds`).
    pub(crate) wait: Option<Duration>,
}

/// What nodes say of a block or state that they do not hold: go-ethereum and its descendants, Besu, Erigon, Nethermind.
/// Whether it is gone or has not come yet, the height decides.
const NOT_HELD: [&str; 8] = [
    "missing trie node",
    "header not found",
    "block not found",
    "unknown block",
    "pruned",
    "history unavailable",
    "historical state",
    "history has been removed",
];

impl RpcError {
    /// Whether the node does not offer the method at all: "method not found" of JSON-RPC 2.0, "method not supported" of
    /// EIP-1474, and what Besu says of an interface that is switched off.
    pub(crate) fn is_missing_method(&self) -> bool {
        matches!(self.code, -32601 | -32004 | -32604)
    }

    /// Whether the node does not hold what was asked for: "pruned history unavailable" of EIP-4444 nodes by its code,
    /// others by their words alone.
    pub(crate) fn is_not_held(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        self.code == 4444 || NOT_HELD.iter().any(|words| message.contains(words))
    }

    /// Whether we ask too much: "limit exceeded" of EIP-1474, and the HTTP status that some put in its place.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self.code, -32005 | 429)
    }
}

/// What one call gave: nothing (`null`), a result, or an error.
pub(crate) type Answer = Result<Option<Box<RawValue>>, RpcError>;

/// A body that does not answer the calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// One error for the whole batch.
    Refused(RpcError),
    /// Not JSON-RPC.
    Malformed { expected: String, got: String },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorJson<'a>>,
}

#[derive(Deserialize)]
struct ErrorJson<'a> {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DataJson {
    rate: RateJson,
}

#[derive(Deserialize)]
struct RateJson {
    backoff_seconds: f64,
}

impl Envelope<'_> {
    fn answer(self) -> Answer {
        match self.error {
            Some(error) => Err(error.into()),
            None => Ok(self.result.map(ToOwned::to_owned)),
        }
    }
}

impl From<ErrorJson<'_>> for RpcError {
    fn from(error: ErrorJson<'_>) -> Self {
        let data = error.data.and_then(|data| serde_json::from_str::<DataJson>(data.get()).ok());
        let wait = data.and_then(|data| Duration::try_from_secs_f64(data.rate.backoff_seconds).ok());
        Self { code: error.code, message: clip(&error.message), wait }
    }
}

/// Reads the answers to `count` calls, in the order of the calls: nodes may answer a batch in any order.
pub(crate) fn read(body: &[u8], count: usize) -> Result<Vec<Answer>, Unanswered> {
    if count == 1 {
        // A node may answer a list of one even where an object was sent.
        let envelope: Envelope<'_> = match serde_json::from_slice::<Vec<Envelope<'_>>>(body) {
            Ok(mut list) if list.len() == 1 => list.pop().ok_or_else(|| malformed(body, 1))?,
            _ => serde_json::from_slice(body).map_err(|_| malformed(body, 1))?,
        };
        return Ok(vec![envelope.answer()]);
    }
    let envelopes: Vec<Envelope<'_>> = match serde_json::from_slice(body) {
        Ok(list) => list,
        Err(_) => return Err(refusal(body, count)),
    };
    let mut slots: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    for envelope in envelopes {
        let at = envelope.id.and_then(|id| usize::try_from(id).ok());
        match at.and_then(|at| slots.get_mut(at)) {
            Some(slot @ None) => *slot = Some(envelope.answer()),
            _ => return Err(malformed(body, count)),
        }
    }
    slots.into_iter().collect::<Option<Vec<Answer>>>().ok_or_else(|| malformed(body, count))
}

fn refusal(body: &[u8], count: usize) -> Unanswered {
    match serde_json::from_slice::<Envelope<'_>>(body) {
        Ok(Envelope { error: Some(error), .. }) => Unanswered::Refused(error.into()),
        _ => malformed(body, count),
    }
}

fn malformed(body: &[u8], count: usize) -> Unanswered {
    let start = body.get(..body.len().min(480)).unwrap_or_default();
    Unanswered::Malformed {
        expected: format!("{count} JSON-RPC answers"),
        got: format!("{} bytes: {:?}", body.len(), clip(&String::from_utf8_lossy(start))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, count: usize) -> Vec<String> {
        let answers = read(body.as_bytes(), count).unwrap();
        answers
            .into_iter()
            .map(|answer| answer.unwrap().map_or("null".to_owned(), |raw| raw.get().to_owned()))
            .collect()
    }

    #[test]
    fn answers_in_any_order() {
        let body = r#"[{"id":1,"result":"b"},{"jsonrpc":"2.0","id":0,"result":null},{"id":2,"result":{"x":[1]}}]"#;
        assert_eq!(texts(body, 3), ["null", r#""b""#, r#"{"x":[1]}"#]);
        assert_eq!(texts(r#"{"id":0,"result":7}"#, 1), ["7"]);
        assert_eq!(texts(r#"[{"id":0,"result":7}]"#, 1), ["7"]);
    }

    #[test]
    fn errors_of_one_call_and_of_the_whole_batch() {
        let body = r#"[{"id":0,"error":{"code":-32601,"message":"no"}},{"id":1,"result":1}]"#;
        let answers = read(body.as_bytes(), 2).unwrap();
        assert!(answers[0].as_ref().unwrap_err().is_missing_method());
        let body = br#"{"id":null,"error":{"code":-32600,"message":"batches are off"}}"#;
        assert!(matches!(read(body, 2), Err(Unanswered::Refused(error)) if error.code == -32600));
    }

    #[test]
    fn a_limit_and_the_pause_that_goes_with_it() {
        let error = |text: &str| read(text.as_bytes(), 1).unwrap().pop().unwrap().unwrap_err();
        let told = error(r#"{"id":0,"error":{"code":-32005,"message":"x","data":{"rate":{"backoff_seconds":30.5}}}}"#);
        assert_eq!((told.is_limit(), told.wait), (true, Some(Duration::from_millis(30_500))));
        for data in [
            "null",
            "7",
            r#"{"rate":{}}"#,
            r#"{"rate":{"backoff_seconds":-1}}"#,
            r#"{"rate":{"backoff_seconds":1e300}}"#,
        ] {
            let told = error(&format!(r#"{{"id":0,"error":{{"code":429,"message":"x","data":{data}}}}}"#));
            assert_eq!((told.is_limit(), told.wait), (true, None), "{data}");
        }
        assert!(!error(r#"{"id":0,"error":{"code":-32000,"message":"x"}}"#).is_limit());
    }

    #[test]
    fn the_words_of_nodes_that_keep_no_history() {
        let says = |code, message: &str| RpcError { code, message: message.to_owned(), wait: None }.is_not_held();
        assert!(says(4444, "pruned history unavailable"));
        for words in [
            "missing trie node 0d…e1 (path )",
            "header not found",
            "History pruned",
            "Unknown block",
            "required historical state unavailable (reexec=128)",
            "block not found: 0x10",
        ] {
            assert!(says(-32000, words), "{words}");
        }
        assert!(!says(-32000, "execution reverted") && !says(-32601, "the method does not exist"));
    }

    #[test]
    fn answers_that_are_none() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}x",
            r#"[{"id":0,"result":1}]"#,
            r#"[{"id":0,"result":1},{"id":0,"result":1}]"#,
            r#"[{"id":0,"result":1},{"id":2,"result":1}]"#,
            r#"[{"id":0,"result":1},{"result":1}]"#,
        ] {
            assert!(matches!(read(body.as_bytes(), 2), Err(Unanswered::Malformed { .. })), "{body}");
        }
    }

    #[test]
    fn one_call_is_no_list() {
        assert!(write(&[Call::at("eth_x", 16)]).contains(r#""params":["0x10"]"#));
        assert!(write(&[Call::at("eth_x", 16)]).starts_with('{'));
        assert!(write(&[Call::at("eth_x", 1), Call::at("eth_x", 2)]).starts_with('['));
    }
}
