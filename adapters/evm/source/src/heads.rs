//! Announcements of new heads in the form of go-ethereum: `eth_subscribe` to `newHeads`.

use hufu_adapters_nodes::hint::{Dialect, Told};
use serde::Deserialize;

/// A header is 2 KiB in JSON, and extraData of 100 validators (20 bytes each) with their seals (65 bytes each) is 17 KiB
/// in hex.
const MESSAGE_BYTES: usize = 64 << 10;

pub(crate) const DIALECT: Dialect = Dialect {
    subscribe: r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#,
    what: "eth_subscribe to newHeads",
    message_bytes: MESSAGE_BYTES,
    read,
};

#[derive(Deserialize)]
struct Envelope {
    id: Option<u64>,
    result: Option<String>,
    method: Option<String>,
    params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    subscription: Option<String>,
}

fn read(text: &str) -> Option<Told> {
    let told: Envelope = serde_json::from_str(text).ok()?;
    if told.id == Some(1) {
        return Some(told.result.map_or(Told::Refused, Told::Subscribed));
    }
    let subscription = told.params.and_then(|params| params.subscription);
    let head = subscription.filter(|_| told.method.as_deref() == Some("eth_subscription"));
    Some(head.map_or(Told::Other, Told::Head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say() {
        let stands = read(r#"{"jsonrpc":"2.0","id":1,"result":"0xab"}"#);
        assert_eq!(stands, Some(Told::Subscribed("0xab".to_owned())));
        let head = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xab","result":{}}}"#;
        assert_eq!(read(head), Some(Told::Head("0xab".to_owned())));
        let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#;
        assert_eq!(read(refusal), Some(Told::Refused));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":7,"result":"0xab"}"#), Some(Told::Other));
        assert_eq!(read("<html>"), None);
    }
}
