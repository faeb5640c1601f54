//! A receipt's JSON to its consensus bytes: what the receipts trie holds. Whether they are the right ones shows in the
//! root alone.

use hufu_evm_light_client::receipt::{MAX_LOGS, MAX_TOPICS};
use hufu_evm_light_client::rlp;
use serde::Deserialize;

use crate::hex_json::{Text, Unreadable};

/// A receipt as `eth_getBlockReceipts` and `eth_getTransactionReceipt` answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptJson<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    status: Option<Text<'a>>,
    root: Option<Text<'a>>,
    cumulative_gas_used: Text<'a>,
    logs_bloom: Text<'a>,
    logs: Vec<LogJson<'a>>,
}

#[derive(Debug, Deserialize)]
struct LogJson<'a> {
    #[serde(borrow)]
    address: Text<'a>,
    topics: Vec<Text<'a>>,
    data: Text<'a>,
}

impl ReceiptJson<'_> {
    /// `[type] ‖ RLP[status or root, cumulativeGasUsed, logsBloom, logs]` for legacy receipts and types 1 to 4.
    pub(crate) fn to_consensus(&self) -> Result<Vec<u8>, Unreadable> {
        if self.logs.len() > MAX_LOGS {
            return Err(Unreadable::new("logs", "at most 65536 logs", &self.logs.len().to_string()));
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

    fn kind(&self) -> Result<Option<u8>, Unreadable> {
        let Some(text) = &self.kind else { return Ok(None) };
        match text.number("type")? {
            0 => Ok(None),
            kind @ 1..=4 => Ok(u8::try_from(kind).ok()),
            _ => Err(Unreadable::new("type", "a type from 0x0 to 0x4", &text.0)),
        }
    }

    fn put_status(&self, items: &mut Vec<u8>) -> Result<(), Unreadable> {
        match (&self.status, &self.root) {
            (Some(status), _) => rlp::write_u64(status.number("status")?, items),
            (None, Some(root)) => rlp::write_string(&root.fixed::<32>("root")?, items),
            (None, None) => return Err(Unreadable::new("status", "a status or a root", "neither")),
        }
        Ok(())
    }
}

impl LogJson<'_> {
    fn put(&self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.topics.len() > MAX_TOPICS {
            return Err(Unreadable::new("topics", "at most 4 topics", &self.topics.len().to_string()));
        }
        let mut topics = Vec::with_capacity(4 * 33);
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

#[cfg(test)]
mod tests {
    use super::*;
    use hufu_evm_light_client::receipt::Receipt;
    use serde_json::{Value, json};

    fn receipt() -> Value {
        json!({
            "type": "0x0", "status": "0x1", "cumulativeGasUsed": "0x5208", "logsBloom": format!("0x{}", "00".repeat(256)),
            "logs": [{
                "address": format!("0x{}", "22".repeat(20)), "topics": [format!("0x{}", "33".repeat(32))],
                "data": "0x0102", "logIndex": "0x0",
            }],
        })
    }

    fn encode(value: &Value) -> Result<Vec<u8>, Unreadable> {
        let text = value.to_string();
        let receipt: ReceiptJson<'_> = serde_json::from_str(&text).unwrap();
        receipt.to_consensus()
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
    fn receipts_that_are_none() {
        for (field, text) in [("type", "0x5"), ("status", "yes"), ("logsBloom", "0x00"), ("cumulativeGasUsed", "0x")] {
            let mut value = receipt();
            value[field] = json!(text);
            assert_eq!(encode(&value).unwrap_err().field, field);
        }
        let mut value = receipt();
        value["logs"][0]["topics"] = json!(vec![format!("0x{}", "33".repeat(32)); 5]);
        assert_eq!(encode(&value).unwrap_err().field, "topics");
    }
}
