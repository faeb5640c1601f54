//! Header and block in RLP, block hash and seal digest, as GoQuorum with QBFT makes them.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, b256, keccak256};
use alloy_rlp::{Decodable, Encodable, Error, Result};

use crate::extra::Extra;
use crate::rlp;
use crate::transaction::Transaction;

/// The mixHash that marks a BFT block.
pub const BFT_MIX_HASH: B256 = b256!("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365");

/// Keccak-256 of the empty RLP list: no uncles.
pub const EMPTY_OMMERS: B256 = b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");

/// A header of 15 fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Hash of the block before.
    pub parent_hash: B256,
    /// Always [`EMPTY_OMMERS`].
    pub ommers_hash: B256,
    /// The proposer (`miner` in JSON).
    pub beneficiary: Address,
    /// Root of the accounts after this block.
    pub state_root: B256,
    /// Root of the transactions trie.
    pub transactions_root: B256,
    /// Root of the receipts trie.
    pub receipts_root: B256,
    /// Bloom filter of all logs.
    pub logs_bloom: Bloom,
    /// 1 in every BFT block.
    pub difficulty: U256,
    /// Height.
    pub number: u64,
    /// Units of gas a block may use.
    pub gas_limit: u64,
    /// Units of gas this block used.
    pub gas_used: u64,
    /// Unix seconds.
    pub timestamp: u64,
    /// See [`Extra`].
    pub extra_data: Bytes,
    /// [`BFT_MIX_HASH`].
    pub mix_hash: B256,
    /// Zero.
    pub nonce: B64,
}

impl Header {
    /// The header's own bytes.
    pub fn to_rlp(&self) -> Vec<u8> {
        self.to_rlp_with(&self.extra_data)
    }

    /// The same header with other extraData: what hash and seals are taken over.
    fn to_rlp_with(&self, extra_data: &Bytes) -> Vec<u8> {
        rlp::list(|out| {
            self.parent_hash.encode(out);
            self.ommers_hash.encode(out);
            self.beneficiary.encode(out);
            self.state_root.encode(out);
            self.transactions_root.encode(out);
            self.receipts_root.encode(out);
            self.logs_bloom.encode(out);
            self.difficulty.encode(out);
            self.number.encode(out);
            self.gas_limit.encode(out);
            self.gas_used.encode(out);
            self.timestamp.encode(out);
            extra_data.encode(out);
            self.mix_hash.encode(out);
            self.nonce.encode(out);
        })
    }

    /// Takes one header off the front of `input`.
    ///
    /// # Errors
    /// When the item is no list of exactly these 15 fields in their shortest form.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut items = rlp::take_list(input)?;
        let header = Self {
            parent_hash: B256::decode(&mut items)?,
            ommers_hash: B256::decode(&mut items)?,
            beneficiary: Address::decode(&mut items)?,
            state_root: B256::decode(&mut items)?,
            transactions_root: B256::decode(&mut items)?,
            receipts_root: B256::decode(&mut items)?,
            logs_bloom: Bloom::decode(&mut items)?,
            difficulty: U256::decode(&mut items)?,
            number: u64::decode(&mut items)?,
            gas_limit: u64::decode(&mut items)?,
            gas_used: u64::decode(&mut items)?,
            timestamp: u64::decode(&mut items)?,
            extra_data: Bytes::decode(&mut items)?,
            mix_hash: B256::decode(&mut items)?,
            nonce: B64::decode(&mut items)?,
        };
        rlp::finish(items)?;
        Ok(header)
    }

    /// The parts of extraData.
    ///
    /// # Errors
    /// When it is no QBFT extraData.
    pub fn extra(&self) -> Result<Extra> {
        Extra::decode(&self.extra_data)
    }

    /// The block hash: round and seals do not count, the vote does.
    ///
    /// # Errors
    /// When extraData is no QBFT extraData.
    pub fn hash(&self) -> Result<B256> {
        Ok(keccak256(self.to_rlp_with(&self.extra()?.for_hash().encode().into())))
    }

    /// What each committed seal signs: the round counts, seals do not.
    ///
    /// # Errors
    /// When extraData is no QBFT extraData.
    pub fn seal_digest(&self) -> Result<B256> {
        Ok(keccak256(self.to_rlp_with(&self.extra()?.for_seals().encode().into())))
    }
}

/// A block: `[header, transactions, uncles]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions in order.
    pub transactions: Vec<Transaction>,
}

impl Block {
    /// The block's bytes; there are never uncles.
    pub fn to_rlp(&self) -> Vec<u8> {
        rlp::list(|out| {
            out.extend(self.header.to_rlp());
            out.extend(rlp::list(|body| self.transactions.iter().for_each(|tx| tx.encode_in_body(body))));
            out.push(alloy_rlp::EMPTY_LIST_CODE);
        })
    }

    /// Takes one block off the front of `input`.
    ///
    /// # Errors
    /// On anything that [`Block::to_rlp`] would not write, uncles included.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut items = rlp::take_list(input)?;
        let header = Header::decode(&mut items)?;
        let mut body = rlp::take_list(&mut items)?;
        let mut transactions = Vec::new();
        while !body.is_empty() {
            transactions.push(Transaction::decode_in_body(&mut body)?);
        }
        if !rlp::take_list(&mut items)?.is_empty() {
            return Err(Error::Custom("a BFT block has no uncles"));
        }
        rlp::finish(items)?;
        Ok(Self { header, transactions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::LegacyTransaction;
    use proptest::prelude::*;

    prop_compose! {
        fn any_header()(
            words: [[u8; 32]; 6],
            address: [u8; 20],
            bloom in prop::collection::vec(any::<u8>(), 256),
            numbers: [u64; 5],
            extra in prop::collection::vec(any::<u8>(), 0..120),
            nonce: [u8; 8],
        ) -> Header {
            Header {
                parent_hash: words[0].into(),
                ommers_hash: words[1].into(),
                beneficiary: address.into(),
                state_root: words[2].into(),
                transactions_root: words[3].into(),
                receipts_root: words[4].into(),
                logs_bloom: Bloom::from_slice(&bloom),
                difficulty: U256::from(numbers[0]),
                number: numbers[1],
                gas_limit: numbers[2],
                gas_used: numbers[3],
                timestamp: numbers[4],
                extra_data: extra.into(),
                mix_hash: words[5].into(),
                nonce: nonce.into(),
            }
        }
    }

    prop_compose! {
        fn any_transaction()(
            typed: bool,
            nonce: u64,
            gas_price: u128,
            to in prop::option::of(any::<[u8; 20]>()),
            input in prop::collection::vec(any::<u8>(), 1..100),
            numbers: [[u8; 32]; 3],
        ) -> Transaction {
            if typed {
                return Transaction::Typed(input.into());
            }
            let [value, r, s] = numbers.map(U256::from_be_bytes);
            let to = to.map(Address::from);
            Transaction::Legacy(LegacyTransaction {
                nonce, gas_price, gas_limit: nonce, to, value, input: input.into(), v: 27, r, s,
            })
        }
    }

    proptest! {
        #[test]
        fn a_block_comes_back(header in any_header(), transactions in prop::collection::vec(any_transaction(), 0..4)) {
            let block = Block { header, transactions };
            let bytes = block.to_rlp();
            let mut rest = bytes.as_slice();
            prop_assert_eq!(Block::decode(&mut rest), Ok(block));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_header_with_a_sixteenth_field_is_refused(header in any_header()) {
            let bytes = header.to_rlp();
            let mut rest = bytes.as_slice();
            let items = rlp::take_list(&mut rest).unwrap();
            let longer = rlp::list(|out| {
                out.extend_from_slice(items);
                7u64.encode(out);
            });
            prop_assert!(Header::decode(&mut longer.as_slice()).is_err());
        }
    }
}
