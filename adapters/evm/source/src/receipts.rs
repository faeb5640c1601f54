//! A receipt as a node answers, through the one maker of consensus bytes, which stands with the light client.

use hufu_evm_light_client::receipt::json;
use serde::Deserialize;

use crate::hex_json::Unreadable;

/// A receipt as `eth_getBlockReceipts` and `eth_getTransactionReceipt` answer.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ReceiptJson<'a>(#[serde(borrow)] json::ReceiptJson<'a>);

impl ReceiptJson<'_> {
    /// What the receipts trie holds of it.
    pub(crate) fn to_consensus(&self) -> Result<Vec<u8>, Unreadable> {
        let unreadable = |fault: hufu_evm_light_client::Fault| Unreadable {
            field: "receipt",
            expected: "a receipt as JSON-RPC gives it",
            got: format!("one with {}, got {}", fault.expected(), fault.got()),
        };
        self.0.to_consensus().map_err(unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_leaves_out_is_said() {
        let answer = r#"{"cumulativeGasUsed": "0x1", "logsBloom": "0x", "logs": []}"#;
        let receipt: ReceiptJson<'_> = serde_json::from_str(answer).unwrap();
        let fault = receipt.to_consensus().unwrap_err();
        assert!(fault.to_string().contains("status"), "{fault}");
    }
}
