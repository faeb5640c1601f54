//! Receipts and logs: consensus encoding, bloom, and the roots of the two tries of a block.

use alloy_primitives::{Address, B256, Bloom, Bytes};
use alloy_rlp::{Decodable, Encodable, Error, Result};
use alloy_trie::root::ordered_trie_root_with_encoder;

use crate::rlp;
use crate::transaction::Transaction;

/// Transaction types stay below this; from here on the first byte is an RLP list.
const FIRST_LIST_BYTE: u8 = alloy_rlp::EMPTY_LIST_CODE;

/// One event as a contract emitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The contract.
    pub address: Address,
    /// Up to four words; the first names the event.
    pub topics: Vec<B256>,
    /// ABI-encoded arguments that are not indexed.
    pub data: Bytes,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// 0 for legacy, otherwise the EIP-2718 type.
    pub kind: u8,
    /// Whether it succeeded.
    pub status: bool,
    /// Gas used in the block up to and with this transaction.
    pub cumulative_gas_used: u64,
    /// Bloom filter of the logs, as stated.
    pub bloom: Bloom,
    /// Its logs in order.
    pub logs: Vec<Log>,
}

impl Receipt {
    /// A receipt of a legacy transaction; the bloom is computed.
    pub fn new(status: bool, cumulative_gas_used: u64, logs: Vec<Log>) -> Self {
        let bloom = bloom_of(&logs);
        Self { kind: 0, status, cumulative_gas_used, bloom, logs }
    }

    /// The bytes that stand in the receipts trie: `[type] ‖ RLP[status, gas, bloom, logs]`.
    pub fn to_consensus(&self) -> Vec<u8> {
        let body = rlp::list(|out| {
            self.status.encode(out);
            self.cumulative_gas_used.encode(out);
            self.bloom.encode(out);
            out.extend(rlp::list(|logs| self.logs.iter().for_each(|log| logs.extend(encode_log(log)))));
        });
        if self.kind == 0 { body } else { [[self.kind].as_slice(), &body].concat() }
    }

    /// Reads the bytes of the receipts trie.
    ///
    /// # Errors
    /// On anything that [`Receipt::to_consensus`] would not write, a state root in place of the status included.
    pub fn from_consensus(input: &[u8]) -> Result<Self> {
        let (kind, mut body) = match input.split_first() {
            Some((kind, rest)) if *kind < FIRST_LIST_BYTE => (*kind, rest),
            _ => (0, input),
        };
        let mut items = rlp::take_list(&mut body)?;
        rlp::finish(body)?;
        let receipt = Self {
            kind,
            status: bool::decode(&mut items)?,
            cumulative_gas_used: u64::decode(&mut items)?,
            bloom: Bloom::decode(&mut items)?,
            logs: decode_logs(&mut items)?,
        };
        rlp::finish(items)?;
        Ok(receipt)
    }
}

fn encode_log(log: &Log) -> Vec<u8> {
    rlp::list(|out| {
        log.address.encode(out);
        out.extend(rlp::list_of(&log.topics));
        log.data.encode(out);
    })
}

fn decode_logs(input: &mut &[u8]) -> Result<Vec<Log>> {
    let mut items = rlp::take_list(input)?;
    let mut logs = Vec::new();
    while !items.is_empty() {
        let mut fields = rlp::take_list(&mut items)?;
        let log = Log {
            address: Address::decode(&mut fields)?,
            topics: Vec::decode(&mut fields)?,
            data: Bytes::decode(&mut fields)?,
        };
        if !fields.is_empty() {
            return Err(Error::UnexpectedLength);
        }
        logs.push(log);
    }
    Ok(logs)
}

/// The bloom filter over addresses and topics of these logs.
pub fn bloom_of<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    bloom
}

/// The root of the receipts trie, over receipts in consensus encoding.
pub fn receipts_root<T: AsRef<[u8]>>(consensus: &[T]) -> B256 {
    ordered_trie_root_with_encoder(consensus, |bytes, out| out.extend_from_slice(bytes.as_ref()))
}

/// The root of the transactions trie.
pub fn transactions_root(transactions: &[Transaction]) -> B256 {
    ordered_trie_root_with_encoder(transactions, |transaction, out| out.extend(transaction.to_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_log()(
            address: [u8; 20],
            topics in prop::collection::vec(any::<[u8; 32]>(), 0..4),
            data in prop::collection::vec(any::<u8>(), 0..300),
        ) -> Log {
            Log { address: address.into(), topics: topics.into_iter().map(B256::from).collect(), data: data.into() }
        }
    }

    proptest! {
        #[test]
        fn a_receipt_comes_back(
            kind in 0u8..3,
            status: bool,
            gas: u64,
            logs in prop::collection::vec(any_log(), 0..4),
        ) {
            let receipt = Receipt { kind, ..Receipt::new(status, gas, logs) };
            prop_assert_eq!(Receipt::from_consensus(&receipt.to_consensus()), Ok(receipt));
        }
    }

    #[test]
    fn no_receipts_give_the_root_of_the_empty_trie() {
        assert_eq!(receipts_root::<Vec<u8>>(&[]), alloy_trie::EMPTY_ROOT_HASH);
        assert_eq!(transactions_root(&[]), alloy_trie::EMPTY_ROOT_HASH);
    }
}
