//! What validators sign of a transaction's result: code, data and gas, under `last_results_hash` of the *next* header.
//!
//! Log, info, code space and **events are not in it** (types/results.go, `NewResults`; abci/types, deterministic
//! `ExecTxResult`): what a node says of them is its own word.

use crate::hash::Hash32;
use crate::merkle;
use crate::proto::Message;
use crate::text;
use serde::{Deserialize, Serialize};

/// The committed part of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxResult {
    /// 0 where the transaction did what it asked for.
    pub code: u32,
    /// What the application answered.
    #[serde(with = "text::base64")]
    pub data: Vec<u8>,
    /// Gas asked for.
    #[serde(with = "text::decimal")]
    pub gas_wanted: i64,
    /// Gas used.
    #[serde(with = "text::decimal")]
    pub gas_used: i64,
}

impl TxResult {
    /// `ExecTxResult{code = 1, data = 2, gas_wanted = 5, gas_used = 6}`: the leaf of the results tree.
    pub fn encode(&self) -> Vec<u8> {
        Message::new()
            .uint(1, u64::from(self.code))
            .bytes(2, &self.data)
            .int(5, self.gas_wanted)
            .int(6, self.gas_used)
            .done()
    }

    /// Whether the transaction did what it asked for.
    pub const fn is_success(&self) -> bool {
        self.code == 0
    }
}

/// Root over results, in the block's order.
pub fn root<'a>(results: impl IntoIterator<Item = &'a TxResult>) -> Hash32 {
    let leaves: Vec<Vec<u8>> = results.into_iter().map(TxResult::encode).collect();
    merkle::root(&leaves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_leave_nothing_and_negative_gas_takes_ten_bytes() {
        let mut result = TxResult { code: 0, data: Vec::new(), gas_wanted: 0, gas_used: 0 };
        assert!(result.encode().is_empty());
        result.gas_wanted = -1;
        assert_eq!(result.encode().len(), 11);
        (result.code, result.gas_wanted, result.gas_used) = (5, 300, 7);
        result.data = b"ok".to_vec();
        assert_eq!(result.encode(), [8, 5, 18, 2, b'o', b'k', 40, 0xac, 2, 48, 7]);
    }
}
