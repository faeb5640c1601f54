//! A receipt's JSON to its consensus bytes: what the receipts trie holds. Whether they are the right ones shows in the
//! root alone. Who reads a node and who audits its export make the same bytes, so the maker stands here, once.
//!
//! Source: the execution API's `ReceiptInfo`; seen on GoQuorum 24.4.1, go-ethereum and Besu.

use super::{MAX_LOGS, MAX_TOPICS};
use crate::fault::{Fault, Reason};
use crate::rlp;
use serde::Deserialize;
use std::borrow::Cow;

/// A receipt as `eth_getBlockReceipts` and `eth_getTransactionReceipt` answer; not believed. Fields that its consensus
/// bytes do not hold are passed over, but for its place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptJson<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    status: Option<Text<'a>>,
    root: Option<Text<'a>>,
    cumulative_gas_used: Text<'a>,
    logs_bloom: Text<'a>,
    logs: Vec<LogJson<'a>>,
    block_number: Option<Text<'a>>,
    transaction_index: Option<Text<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct LogJson<'a> {
    #[serde(borrow)]
    address: Text<'a>,
    topics: Vec<Text<'a>>,
    data: Text<'a>,
}

impl ReceiptJson<'_> {
    /// The height of its block and its index there, as the node says them.
    ///
    /// # Errors
    /// [`Fault`] `receipt-malformed` if either is missing or no number.
    pub fn place(&self) -> Result<(u64, u64), Fault> {
        let number = |field: &'static str, text: &Option<Text<'_>>| match text {
            Some(text) => text.number(field),
            None => Err(malformed(field, "a number", "nothing")),
        };
        Ok((number("blockNumber", &self.block_number)?, number("transactionIndex", &self.transaction_index)?))
    }

    /// `[type] ‖ RLP[status or root, cumulativeGasUsed, logsBloom, logs]` for legacy receipts and types 1 to 4.
    ///
    /// # Errors
    /// [`Fault`] `receipt-malformed` with the field that cannot be read; `too-large` for more logs than evidence may hold.
    pub fn to_consensus(&self) -> Result<Vec<u8>, Fault> {
        if self.logs.len() > MAX_LOGS {
            return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_LOGS} logs"), self.logs.len()));
        }
        let mut items = Vec::with_capacity(512);
        self.put_status(&mut items)?;
        rlp::write_string(&self.cumulative_gas_used.quantity("cumulativeGasUsed")?, &mut items);
        rlp::write_string(&self.logs_bloom.fixed::<256>("logsBloom")?, &mut items);
        let mut logs = Vec::new();
        self.logs.iter().try_for_each(|log| log.put(&mut logs))?;
        rlp::write_list(&logs, &mut items);
        let mut out = Vec::with_capacity(items.len() + 6);
        out.extend(self.kind()?);
        rlp::write_list(&items, &mut out);
        Ok(out)
    }

    fn kind(&self) -> Result<Option<u8>, Fault> {
        let Some(text) = &self.kind else { return Ok(None) };
        match text.number("type")? {
            0 => Ok(None),
            kind @ 1..=4 => Ok(u8::try_from(kind).ok()),
            _ => Err(malformed("type", "a type from 0x0 to 0x4", &text.0)),
        }
    }

    fn put_status(&self, items: &mut Vec<u8>) -> Result<(), Fault> {
        match (&self.status, &self.root) {
            (Some(status), _) => rlp::write_u64(status.number("status")?, items),
            (None, Some(root)) => rlp::write_string(&root.fixed::<32>("root")?, items),
            (None, None) => return Err(malformed("status", "a status or a root", "neither")),
        }
        Ok(())
    }
}

impl LogJson<'_> {
    fn put(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.topics.len() > MAX_TOPICS {
            return Err(malformed("topics", &format!("at most {MAX_TOPICS}"), &self.topics.len().to_string()));
        }
        let mut topics = Vec::with_capacity(MAX_TOPICS * 33);
        for topic in &self.topics {
            rlp::write_string(&topic.fixed::<32>("topics")?, &mut topics);
        }
        let mut items = Vec::with_capacity(256);
        rlp::write_string(&self.address.fixed::<20>("address")?, &mut items);
        rlp::write_list(&topics, &mut items);
        rlp::write_string(&self.data.data("data")?, &mut items);
        rlp::write_list(&items, out);
        Ok(())
    }
}

fn malformed(field: &str, expected: &str, got: &str) -> Fault {
    let got: String = got.chars().take(120).collect();
    Fault::new(Reason::Receipt, format!("{field}: {expected}"), format!("{got:?}"))
}

/// A JSON string, borrowed where it has no escapes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn digits(&self, field: &'static str) -> Result<&str, Fault> {
        self.0.strip_prefix("0x").ok_or_else(|| malformed(field, "0x and hex digits", &self.0))
    }

    /// Data of any length.
    fn data(&self, field: &'static str) -> Result<Vec<u8>, Fault> {
        hex::decode(self.digits(field)?).map_err(|_| malformed(field, "0x and an even number of hex digits", &self.0))
    }

    /// Data of exactly `N` bytes.
    fn fixed<const N: usize>(&self, field: &'static str) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        hex::decode_to_slice(self.digits(field)?, &mut bytes)
            .map_err(|_| malformed(field, &format!("0x and {} hex digits", 2 * N), &self.0))?;
        Ok(bytes)
    }

    /// A number of at most 32 bytes as big-endian bytes without leading zeros. Nodes that pad are read all the same.
    fn quantity(&self, field: &'static str) -> Result<Vec<u8>, Fault> {
        let bad = || malformed(field, "0x and 1 to 64 hex digits", &self.0);
        let digits = self.digits(field)?;
        if digits.is_empty() || digits.len() > 64 {
            return Err(bad());
        }
        let bytes = hex::decode(format!("{digits:0>64}")).map_err(|_| bad())?;
        Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
    }

    /// A number below 2^64.
    fn number(&self, field: &'static str) -> Result<u64, Fault> {
        let bytes = self.quantity(field)?;
        if bytes.len() > 8 {
            return Err(malformed(field, "a number below 2^64", &self.0));
        }
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Receipt;
    use super::*;
    use serde_json::{Value, json};

    fn receipt() -> Value {
        json!({
            "type": "0x0", "status": "0x1", "cumulativeGasUsed": "0x5208", "logsBloom": format!("0x{}", "00".repeat(256)),
            "blockNumber": "0x10", "transactionIndex": "0x2",
            "logs": [{
                "address": format!("0x{}", "22".repeat(20)), "topics": [format!("0x{}", "33".repeat(32))],
                "data": "0x0102", "logIndex": "0x0",
            }],
        })
    }

    fn encode(value: &Value) -> Result<Vec<u8>, Fault> {
        ReceiptJson::deserialize(value).unwrap().to_consensus()
    }

    fn refused(value: &Value) -> String {
        let fault = encode(value).unwrap_err();
        assert_eq!(fault.reason(), "receipt-malformed");
        fault.expected().to_owned()
    }

    #[test]
    fn legacy_and_typed_receipts_are_read_back() {
        for kind in 0..=4u8 {
            let mut value = receipt();
            value["type"] = json!(format!("{kind:#x}"));
            let bytes = encode(&value).unwrap();
            let read = Receipt::parse(&bytes).unwrap();
            assert_eq!((read.kind(), read.success(), read.cumulative_gas_used()), (kind, true, 21_000));
            assert_eq!(read.logs()[0].data(), [1, 2]);
        }
        let mut untyped = receipt();
        untyped.as_object_mut().unwrap().remove("type");
        assert_eq!(encode(&untyped).unwrap(), encode(&receipt()).unwrap());
    }

    #[test]
    fn a_root_where_there_was_no_status_yet() {
        let mut value = receipt();
        value["status"] = Value::Null;
        assert!(refused(&value).starts_with("status"));
        value["root"] = json!(format!("0x{}", "44".repeat(32)));
        let bytes = encode(&value).unwrap();
        assert_eq!(Receipt::parse(&bytes).unwrap_err().reason(), "receipt-without-status");
    }

    #[test]
    fn receipts_that_are_none() {
        for (field, text) in [
            ("type", "0x5"),
            ("type", "0x10000000000000000"),
            ("status", "yes"),
            ("status", "0x-1"),
            ("logsBloom", "0x00"),
            ("cumulativeGasUsed", "0x"),
            ("cumulativeGasUsed", "1"),
        ] {
            let mut value = receipt();
            value[field] = json!(text);
            assert!(refused(&value).starts_with(field), "{field} {text}");
        }
        let mut value = receipt();
        value["logs"][0]["topics"] = json!(vec![format!("0x{}", "33".repeat(32)); 5]);
        assert!(refused(&value).starts_with("topics"));
        value["logs"][0] = json!({ "address": "0x22", "topics": [], "data": "0x0" });
        assert!(refused(&value).starts_with("address"));
    }

    #[test]
    fn its_place_is_what_the_node_says() {
        let mut value = receipt();
        assert_eq!(ReceiptJson::deserialize(&value).unwrap().place().unwrap(), (16, 2));
        value["blockNumber"] = Value::Null;
        assert!(ReceiptJson::deserialize(&value).unwrap().place().is_err(), "of a block that is pending");
    }
}
