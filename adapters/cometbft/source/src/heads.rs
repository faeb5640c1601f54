//! Announcements of new headers: `subscribe` to `NewBlockHeader` on `/websocket`.
//!
//! Confirmation and events come under the request's own id: first an empty result, then results with `data`
//! (`rpc/core/events.go`).

use hufu_adapters_nodes::hint::{Dialect, Told};
use serde::Deserialize;
use serde_json::Value;

/// A header is 2 KiB in JSON. Nodes before 0.38 add the events of a block's begin and end, of which Cosmos ledgers have a
/// few hundred; where there are more, the socket is given up and polling finds the same.
const MESSAGE_BYTES: usize = 1 << 20;

pub(crate) const DIALECT: Dialect = Dialect {
    subscribe: r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"query":"tm.event='NewBlockHeader'"}}"#,
    what: "subscribe to NewBlockHeader",
    message_bytes: MESSAGE_BYTES,
    read,
};

#[derive(Deserialize)]
struct Envelope {
    id: Option<Value>,
    result: Option<Result>,
}

#[derive(Deserialize)]
struct Result {
    #[serde(default)]
    data: Option<serde::de::IgnoredAny>,
}

fn read(text: &str) -> Option<Told> {
    let told: Envelope = serde_json::from_str(text).ok()?;
    // Nodes of 0.34 put a text behind the id of an event: `1#event`.
    let ours = match &told.id {
        Some(Value::Number(id)) => id.as_u64() == Some(1),
        Some(Value::String(id)) => id.starts_with('1'),
        _ => false,
    };
    Some(match told.result {
        _ if !ours => Told::Other,
        Some(Result { data: Some(_) }) => Told::Head(String::new()),
        Some(Result { data: None }) => Told::Subscribed(String::new()),
        None => Told::Refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say() {
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Some(Told::Subscribed(String::new())));
        let head = r#"{"jsonrpc":"2.0","id":1,"result":{"query":"q","data":{"type":"t","value":{}},"events":{}}}"#;
        assert_eq!(read(head), Some(Told::Head(String::new())));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603}}"#), Some(Told::Refused));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":7,"result":{"data":{}}}"#), Some(Told::Other));
        assert_eq!(read("<html>"), None);
    }
}
