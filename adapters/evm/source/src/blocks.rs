//! A block's JSON to the header's bytes, and what the hash of a header may be.

use hufu_evm_light_client::header::Header;
use hufu_evm_light_client::keccak::Hash32;
use hufu_evm_light_client::{bft, rlp};
use serde::Deserialize;

use crate::hex_json::{Text, Unreadable};

/// A block as `eth_getBlockByNumber` answers, without its `hash`: that one is never taken from a node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockJson<'a> {
    #[serde(borrow)]
    parent_hash: Text<'a>,
    sha3_uncles: Text<'a>,
    miner: Text<'a>,
    state_root: Text<'a>,
    transactions_root: Text<'a>,
    receipts_root: Text<'a>,
    logs_bloom: Text<'a>,
    difficulty: Text<'a>,
    number: Text<'a>,
    gas_limit: Text<'a>,
    gas_used: Text<'a>,
    timestamp: Text<'a>,
    extra_data: Text<'a>,
    mix_hash: Text<'a>,
    nonce: Text<'a>,
    base_fee_per_gas: Option<Text<'a>>,
    withdrawals_root: Option<Text<'a>>,
    blob_gas_used: Option<Text<'a>>,
    excess_blob_gas: Option<Text<'a>>,
    parent_beacon_block_root: Option<Text<'a>>,
    requests_hash: Option<Text<'a>>,
}

/// The transactions of a block, by hash.
#[derive(Debug, Deserialize)]
pub(crate) struct TransactionsJson<'a> {
    #[serde(borrow)]
    pub(crate) transactions: Vec<Text<'a>>,
}

impl BlockJson<'_> {
    /// The header's RLP, with every trailing field that the node names. Whether it is the header that was meant shows
    /// in its hash alone.
    pub(crate) fn to_rlp(&self) -> Result<Vec<u8>, Unreadable> {
        let mut items = Vec::with_capacity(1_024);
        put_fixed::<32>(&self.parent_hash, "parentHash", &mut items)?;
        put_fixed::<32>(&self.sha3_uncles, "sha3Uncles", &mut items)?;
        put_fixed::<20>(&self.miner, "miner", &mut items)?;
        put_fixed::<32>(&self.state_root, "stateRoot", &mut items)?;
        put_fixed::<32>(&self.transactions_root, "transactionsRoot", &mut items)?;
        put_fixed::<32>(&self.receipts_root, "receiptsRoot", &mut items)?;
        put_fixed::<256>(&self.logs_bloom, "logsBloom", &mut items)?;
        put_number(&self.difficulty, "difficulty", &mut items)?;
        put_number(&self.number, "number", &mut items)?;
        put_number(&self.gas_limit, "gasLimit", &mut items)?;
        put_number(&self.gas_used, "gasUsed", &mut items)?;
        put_number(&self.timestamp, "timestamp", &mut items)?;
        rlp::write_string(&self.extra_data.data("extraData")?, &mut items);
        put_fixed::<32>(&self.mix_hash, "mixHash", &mut items)?;
        put_fixed::<8>(&self.nonce, "nonce", &mut items)?;
        self.put_trailing(&mut items)?;
        let mut out = Vec::with_capacity(items.len() + 4);
        rlp::write_list(&items, &mut out);
        Ok(out)
    }

    /// Forks append in one order, so a field without those before it is no header.
    fn put_trailing(&self, items: &mut Vec<u8>) -> Result<(), Unreadable> {
        type Put = fn(&Text<'_>, &'static str, &mut Vec<u8>) -> Result<(), Unreadable>;
        let fields: [(&Option<Text<'_>>, &'static str, Put); 6] = [
            (&self.base_fee_per_gas, "baseFeePerGas", put_number),
            (&self.withdrawals_root, "withdrawalsRoot", put_fixed::<32>),
            (&self.blob_gas_used, "blobGasUsed", put_number),
            (&self.excess_blob_gas, "excessBlobGas", put_number),
            (&self.parent_beacon_block_root, "parentBeaconBlockRoot", put_fixed::<32>),
            (&self.requests_hash, "requestsHash", put_fixed::<32>),
        ];
        let mut missing = false;
        for (value, field, put) in fields {
            match value {
                Some(_) if missing => return Err(Unreadable::new(field, "the fields of earlier forks too", "a gap")),
                Some(value) => put(value, field, items)?,
                None => missing = true,
            }
        }
        Ok(())
    }
}

fn put_fixed<const N: usize>(value: &Text<'_>, field: &'static str, items: &mut Vec<u8>) -> Result<(), Unreadable> {
    rlp::write_string(&value.fixed::<N>(field)?, items);
    Ok(())
}

fn put_number(value: &Text<'_>, field: &'static str, items: &mut Vec<u8>) -> Result<(), Unreadable> {
    rlp::write_string(&value.quantity(field)?, items);
    Ok(())
}

/// What the hash of this header may be. How a block is hashed depends on its consensus kind, and the source does not
/// judge that: a link that holds by one of the rules is let through to the light client, which knows the rule.
pub(crate) fn possible_hashes(header: &Header) -> Vec<Hash32> {
    let mut hashes = vec![header.raw_hash()];
    let by_kind = |kind: bft::Kind| kind.read(header.clone()).ok().map(|block| block.hash());
    hashes.extend(bft::Kind::ALL.into_iter().filter_map(by_kind));
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn block() -> Value {
        let hash = format!("0x{}", "11".repeat(32));
        json!({
            "hash": "0x00", "parentHash": hash, "sha3Uncles": hash, "miner": format!("0x{}", "22".repeat(20)),
            "stateRoot": hash, "transactionsRoot": hash, "receiptsRoot": hash,
            "logsBloom": format!("0x{}", "00".repeat(256)), "difficulty": "0x1", "number": "0x7", "gasLimit": "0xff00",
            "gasUsed": "0x0", "timestamp": "0x65", "extraData": "0x", "mixHash": hash, "nonce": "0x0000000000000000",
        })
    }

    fn encode(block: &Value) -> Result<Vec<u8>, Unreadable> {
        let text = block.to_string();
        let block: BlockJson<'_> = serde_json::from_str(&text).unwrap();
        block.to_rlp()
    }

    #[test]
    fn headers_of_every_fork_up_to_prague_are_read_back() {
        let mut value = block();
        let hash = format!("0x{}", "33".repeat(32));
        let forks: [&[(&str, &str)]; 5] = [
            &[],
            &[("baseFeePerGas", "0x0")],
            &[("withdrawalsRoot", &hash)],
            &[("blobGasUsed", "0x1"), ("excessBlobGas", "0x0"), ("parentBeaconBlockRoot", &hash)],
            &[("requestsHash", &hash)],
        ];
        for added in forks {
            for (field, text) in added {
                value[*field] = json!(text);
            }
            let header = Header::parse(&encode(&value).unwrap()).unwrap();
            assert_eq!((header.fields().number, header.fields().timestamp), (7, 0x65));
        }
    }

    #[test]
    fn a_later_field_without_the_earlier_ones() {
        let mut value = block();
        value["requestsHash"] = json!(format!("0x{}", "33".repeat(32)));
        assert_eq!(encode(&value).unwrap_err().field, "requestsHash");
    }

    #[test]
    fn fields_of_another_length() {
        for field in ["parentHash", "miner", "logsBloom", "nonce"] {
            let mut value = block();
            value[field] = json!("0x00");
            assert_eq!(encode(&value).unwrap_err().field, field);
        }
    }
}
