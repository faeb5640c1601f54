//! Transactions: the legacy form that the registrar signs, and typed ones carried as bytes.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, Error, Header, Result};

use crate::keys::{Key, Seal, recover};
use crate::rlp;

/// EIP-155: v = 35 + 2 · chain id + parity.
const EIP155_OFFSET: u64 = 35;

/// A legacy transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyTransaction {
    /// The sender's count of earlier transactions.
    pub nonce: u64,
    /// Wei for one unit of gas; zero on the networks this stands for.
    pub gas_price: u128,
    /// Units of gas the sender allows.
    pub gas_limit: u64,
    /// The account called; none creates a contract.
    pub to: Option<Address>,
    /// Wei sent along.
    pub value: U256,
    /// Call data, or creation code.
    pub input: Bytes,
    /// Parity and chain id of the signature.
    pub v: u64,
    /// Signature, first number.
    pub r: U256,
    /// Signature, second number.
    pub s: U256,
}

impl LegacyTransaction {
    /// Fills in the signature for one chain (EIP-155).
    #[must_use]
    pub fn signed(mut self, key: &Key, chain_id: u64) -> Self {
        let seal = key.sign(&self.signing_hash(chain_id));
        let (r, s, parity) = split(&seal);
        self.v = eip155_base(chain_id).saturating_add(parity);
        (self.r, self.s) = (r, s);
        self
    }

    /// The account whose key signed it for this chain; none when nobody did.
    pub fn sender(&self, chain_id: u64) -> Option<Address> {
        let parity = u8::try_from(self.v.checked_sub(eip155_base(chain_id))?).ok()?;
        let seal = [self.r.to_be_bytes::<32>().as_slice(), &self.s.to_be_bytes::<32>(), &[parity]].concat();
        recover(&self.signing_hash(chain_id), &Seal::from_slice(&seal))
    }

    fn signing_hash(&self, chain_id: u64) -> B256 {
        keccak256(rlp::list(|out| {
            self.encode_unsigned(out);
            chain_id.encode(out);
            0u8.encode(out);
            0u8.encode(out);
        }))
    }

    fn encode_unsigned(&self, out: &mut Vec<u8>) {
        self.nonce.encode(out);
        self.gas_price.encode(out);
        self.gas_limit.encode(out);
        match self.to {
            Some(to) => to.encode(out),
            None => [].as_slice().encode(out),
        }
        self.value.encode(out);
        self.input.encode(out);
    }

    fn to_rlp(&self) -> Vec<u8> {
        rlp::list(|out| {
            self.encode_unsigned(out);
            self.v.encode(out);
            self.r.encode(out);
            self.s.encode(out);
        })
    }

    fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut items = rlp::take_list(input)?;
        let transaction = Self {
            nonce: u64::decode(&mut items)?,
            gas_price: u128::decode(&mut items)?,
            gas_limit: u64::decode(&mut items)?,
            to: decode_recipient(&mut items)?,
            value: U256::decode(&mut items)?,
            input: Bytes::decode(&mut items)?,
            v: u64::decode(&mut items)?,
            r: U256::decode(&mut items)?,
            s: U256::decode(&mut items)?,
        };
        rlp::finish(items)?;
        Ok(transaction)
    }
}

fn decode_recipient(items: &mut &[u8]) -> Result<Option<Address>> {
    let bytes = Header::decode_bytes(items, false)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Address::try_from(bytes).map(Some).map_err(|_| Error::UnexpectedLength)
}

fn eip155_base(chain_id: u64) -> u64 {
    chain_id.saturating_mul(2).saturating_add(EIP155_OFFSET)
}

fn split(seal: &Seal) -> (U256, U256, u64) {
    let (rs, v) = seal.as_slice().split_at(64);
    let (r, s) = rs.split_at(32);
    (U256::from_be_slice(r), U256::from_be_slice(s), v.first().copied().map_or(0, u64::from))
}

/// A transaction as a block body holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// An RLP list.
    Legacy(LegacyTransaction),
    /// Type byte and payload (EIP-2718); never made here, but recorded blocks hold them.
    Typed(Bytes),
}

impl Transaction {
    /// The bytes that are hashed and that stand in the transactions trie (EIP-2718).
    pub fn to_raw(&self) -> Vec<u8> {
        match self {
            Self::Legacy(transaction) => transaction.to_rlp(),
            Self::Typed(bytes) => bytes.to_vec(),
        }
    }

    /// Keccak-256 of [`Transaction::to_raw`].
    pub fn hash(&self) -> B256 {
        keccak256(self.to_raw())
    }

    /// Appends the form of a block body: a typed transaction is an RLP string there.
    pub fn encode_in_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Legacy(transaction) => out.extend(transaction.to_rlp()),
            Self::Typed(bytes) => bytes.encode(out),
        }
    }

    /// Reads the form of a block body.
    ///
    /// # Errors
    /// When the item is no transaction, or an empty string.
    pub fn decode_in_body(input: &mut &[u8]) -> Result<Self> {
        if input.first().is_some_and(|byte| *byte >= alloy_rlp::EMPTY_LIST_CODE) {
            return LegacyTransaction::decode(input).map(Self::Legacy);
        }
        let bytes = Bytes::decode(input)?;
        if bytes.is_empty() { Err(Error::InputTooShort) } else { Ok(Self::Typed(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of EIP-155 itself.
    #[test]
    fn the_example_of_eip_155_recovers_to_its_sender() {
        let raw = hex::decode(concat!(
            "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080",
            "25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276",
            "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
        ))
        .unwrap();
        let mut input = raw.as_slice();
        let Transaction::Legacy(transaction) = Transaction::decode_in_body(&mut input).unwrap() else {
            panic!("a list is a legacy transaction")
        };
        assert_eq!(
            hex::encode(transaction.signing_hash(1)),
            "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"
        );
        let sender = transaction.sender(1).unwrap();
        assert_eq!(hex::encode(sender), "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f");
        assert_eq!(Transaction::Legacy(transaction).to_raw(), raw);
    }

    #[test]
    fn a_signed_transaction_speaks_for_its_key_on_its_chain_only() {
        let key = Key::derive(&[3; 32], "registrar", 0);
        let unsigned = LegacyTransaction {
            nonce: 1,
            gas_price: 0,
            gas_limit: 90_000,
            to: None,
            value: U256::ZERO,
            input: Bytes::from_static(b"code"),
            v: 0,
            r: U256::ZERO,
            s: U256::ZERO,
        };
        let transaction = unsigned.signed(&key, 20_211);
        assert_eq!(transaction.sender(20_211), Some(key.address()));
        assert_eq!(transaction.sender(20_212), None);
    }
}
