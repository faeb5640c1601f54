//! The Ethereum block header, with every trailing field up to Prague, and hashes recomputed from its bytes.
//!
//! A header has 15 fields, and forks append to it in one order only: baseFeePerGas (London), withdrawalsRoot
//! (Shanghai), blobGasUsed, excessBlobGas and parentBeaconBlockRoot (Cancun, together), requestsHash (Prague). So 15,
//! 16, 17, 20 or 21 items; any other number is a fork that this code does not know, and is refused rather than guessed.
//!
//! What is hashed is never taken from a struct that could disagree with the bytes: [`Header`] keeps the bytes, and a
//! hash with another extraData is spliced from them.

use crate::address::Address;
use crate::bloom::Bloom;
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::rlp::{self, Reader};
use crate::uint::U256;
use std::ops::Range;

/// Bytes of the largest header: 1,024 validators of 21 bytes and as many seals of 67, and the fixed fields.
pub const MAX_HEADER_BYTES: usize = 128 << 10;

/// Keccak-256 of the RLP of an empty list: the ommers hash of every block of a ledger without ommers.
pub const EMPTY_OMMERS: Hash32 = Hash32::new([
    0x1d, 0xcc, 0x4d, 0xe8, 0xde, 0xc7, 0x5d, 0x7a, 0xab, 0x85, 0xb5, 0x67, 0xb6, 0xcc, 0xd4, 0x1a, 0xd3, 0x12, 0x45,
    0x1b, 0x94, 0x8a, 0x74, 0x13, 0xf0, 0xa1, 0x42, 0xfd, 0x40, 0xd4, 0x93, 0x47,
]);

/// The fields of a header, as they stand in it. Units: gas in gas, time in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Hash of the block before.
    pub parent_hash: Hash32,
    /// Hash of the list of ommers.
    pub ommers_hash: Hash32,
    /// Author, or on some consensus kinds the candidate of a vote.
    pub coinbase: Address,
    /// Root of the accounts trie after this block.
    pub state_root: Hash32,
    /// Root of the transactions trie.
    pub transactions_root: Hash32,
    /// Root of the receipts trie.
    pub receipts_root: Hash32,
    /// Filter over the logs.
    pub bloom: Bloom,
    /// Difficulty.
    pub difficulty: U256,
    /// Height.
    pub number: u64,
    /// Gas that the block may use.
    pub gas_limit: u64,
    /// Gas that it used.
    pub gas_used: u64,
    /// Time in seconds.
    pub timestamp: u64,
    /// What the consensus kind puts there.
    pub extra_data: Vec<u8>,
    /// On permissioned kinds a constant.
    pub mix_hash: Hash32,
    /// On permissioned kinds a constant or a vote.
    pub nonce: [u8; 8],
    /// From London on.
    pub base_fee_per_gas: Option<U256>,
    /// From Shanghai on.
    pub withdrawals_root: Option<Hash32>,
    /// From Cancun on.
    pub blob: Option<BlobFields>,
    /// From Prague on.
    pub requests_hash: Option<Hash32>,
}

/// The three fields that Cancun brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobFields {
    /// Blob gas used.
    pub blob_gas_used: u64,
    /// Excess blob gas.
    pub excess_blob_gas: u64,
    /// Root of the parent beacon block.
    pub parent_beacon_block_root: Hash32,
}

/// A header that was read from its canonical bytes and from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    raw: Vec<u8>,
    before_extra: Range<usize>,
    after_extra: Range<usize>,
    fields: Fields,
}

impl Header {
    /// Reads exactly one header.
    ///
    /// # Errors
    /// [`Fault`] if the bytes are too many, not canonical RLP, not a known number of fields, or followed by anything.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > MAX_HEADER_BYTES {
            return Err(Fault::new(
                Reason::TooLarge,
                format!("a header of at most {MAX_HEADER_BYTES} bytes"),
                bytes.len(),
            ));
        }
        let mut items = Reader::whole_list(bytes)?;
        let start = bytes.len() - items.rest().len();
        let head = Head::read(&mut items)?;
        let extra_start = bytes.len() - items.rest().len();
        let extra_data = items.string()?.to_vec();
        let extra_end = bytes.len() - items.rest().len();
        let fields = head.complete(extra_data, &mut items)?;
        Ok(Self { raw: bytes.to_vec(), before_extra: start..extra_start, after_extra: extra_end..bytes.len(), fields })
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The bytes it was read from.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Keccak-256 of the header as it stands.
    pub fn raw_hash(&self) -> Hash32 {
        keccak256(&self.raw)
    }

    /// Keccak-256 of the header with another extraData, every other byte as it stands.
    pub fn hash_with_extra(&self, extra_data: &[u8]) -> Hash32 {
        let mut extra = Vec::with_capacity(extra_data.len() + 9);
        rlp::write_string(extra_data, &mut extra);
        let before = self.raw.get(self.before_extra.clone()).unwrap_or_default();
        let after = self.raw.get(self.after_extra.clone()).unwrap_or_default();
        let mut preimage = Vec::with_capacity(self.raw.len() + 9);
        rlp::write_list_of(&[before, &extra, after], &mut preimage);
        keccak256(&preimage)
    }

    /// Whether this header may stand on a parent of this height, hash and time: what holds for every consensus kind.
    ///
    /// # Errors
    /// [`Fault`] that names the first of height, parent hash, time and gas that does not fit.
    pub fn check_follows(&self, parent: &Link) -> Result<(), Fault> {
        let due = parent.height.checked_add(1);
        if Some(self.fields.number) != due {
            return Err(Fault::new(Reason::Height, format!("{due:?}"), self.fields.number));
        }
        if self.fields.parent_hash != parent.hash {
            return Err(Fault::new(Reason::Parent, parent.hash, self.fields.parent_hash));
        }
        if self.fields.timestamp <= parent.time {
            return Err(Fault::new(Reason::Time, format!("a time after {}", parent.time), self.fields.timestamp));
        }
        self.check_gas()
    }

    /// Asserts that the block used no more gas than it may.
    pub(crate) fn check_gas(&self) -> Result<(), Fault> {
        if self.fields.gas_used > self.fields.gas_limit {
            let expected = format!("at most the gas limit {}", self.fields.gas_limit);
            return Err(Fault::new(Reason::Gas, expected, self.fields.gas_used));
        }
        Ok(())
    }

    /// Asserts what every permissioned kind fixes: no ommers, and this mixHash.
    ///
    /// # Errors
    /// [`Fault`] with the field that differs.
    pub fn check_fixed(&self, mix_hash: Hash32) -> Result<(), Fault> {
        if self.fields.ommers_hash != EMPTY_OMMERS {
            let expected = format!("ommersHash {EMPTY_OMMERS}");
            return Err(Fault::new(Reason::FixedField, expected, self.fields.ommers_hash));
        }
        if self.fields.mix_hash != mix_hash {
            return Err(Fault::new(Reason::FixedField, format!("mixHash {mix_hash}"), self.fields.mix_hash));
        }
        Ok(())
    }
}

/// What a following header must link to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Height of the block.
    pub height: u64,
    /// Its hash by its consensus kind.
    pub hash: Hash32,
    /// Its time in seconds.
    pub time: u64,
    /// Root of the state after it: the state that the following block begins with. `None` in heads stored before it was
    /// kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_root: Option<Hash32>,
}

impl Link {
    /// What must follow the block with this header, whose hash by its consensus kind is `hash`.
    pub fn of(header: &Header, hash: Hash32) -> Self {
        let fields = header.fields();
        Self { height: fields.number, hash, time: fields.timestamp, state_root: Some(fields.state_root) }
    }
}

/// The twelve fields in front of extraData.
struct Head {
    parent_hash: Hash32,
    ommers_hash: Hash32,
    coinbase: Address,
    state_root: Hash32,
    transactions_root: Hash32,
    receipts_root: Hash32,
    bloom: Bloom,
    difficulty: U256,
    number: u64,
    gas_limit: u64,
    gas_used: u64,
    timestamp: u64,
}

impl Head {
    fn read(items: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            parent_hash: hash(items)?,
            ommers_hash: hash(items)?,
            coinbase: Address::new(items.fixed()?),
            state_root: hash(items)?,
            transactions_root: hash(items)?,
            receipts_root: hash(items)?,
            bloom: Bloom::new(items.fixed()?),
            difficulty: number256(items)?,
            number: items.u64()?,
            gas_limit: items.u64()?,
            gas_used: items.u64()?,
            timestamp: items.u64()?,
        })
    }

    fn complete(self, extra_data: Vec<u8>, items: &mut Reader<'_>) -> Result<Fields, Fault> {
        let mix_hash = hash(items)?;
        let nonce = items.fixed()?;
        let base_fee_per_gas = optional(items, number256)?;
        let withdrawals_root = optional(items, hash)?;
        let blob = optional(items, blob)?;
        let requests_hash = optional(items, hash)?;
        if !items.is_empty() {
            let got = format!("{} more bytes", items.rest().len());
            return Err(Fault::new(Reason::HeaderFields, "15, 16, 17, 20 or 21 fields", got));
        }
        Ok(Fields {
            parent_hash: self.parent_hash,
            ommers_hash: self.ommers_hash,
            coinbase: self.coinbase,
            state_root: self.state_root,
            transactions_root: self.transactions_root,
            receipts_root: self.receipts_root,
            bloom: self.bloom,
            difficulty: self.difficulty,
            number: self.number,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
            timestamp: self.timestamp,
            extra_data,
            mix_hash,
            nonce,
            base_fee_per_gas,
            withdrawals_root,
            blob,
            requests_hash,
        })
    }
}

fn hash(items: &mut Reader<'_>) -> Result<Hash32, Fault> {
    Ok(Hash32::new(items.fixed()?))
}

fn number256(items: &mut Reader<'_>) -> Result<U256, Fault> {
    Ok(U256::from_be_slice(items.scalar(32)?).unwrap_or_default())
}

fn blob(items: &mut Reader<'_>) -> Result<BlobFields, Fault> {
    Ok(BlobFields {
        blob_gas_used: items.u64()?,
        excess_blob_gas: items.u64()?,
        parent_beacon_block_root: hash(items)?,
    })
}

fn optional<'a, T>(
    items: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    if items.is_empty() {
        return Ok(None);
    }
    read(items).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::HeaderDraft;
    use proptest::prelude::*;

    #[test]
    fn every_fork_up_to_prague() {
        for fields in [15, 16, 17, 20, 21] {
            let draft = HeaderDraft { trailing: HeaderDraft::trailing_of(fields), ..HeaderDraft::default() };
            let bytes = draft.encode();
            let header = Header::parse(&bytes).unwrap();
            assert_eq!(header.raw_hash(), keccak256(&bytes));
            assert_eq!(header.hash_with_extra(&header.fields().extra_data), header.raw_hash());
            assert_eq!(header.fields().base_fee_per_gas.is_some(), fields >= 16);
            assert_eq!(header.fields().requests_hash.is_some(), fields == 21);
        }
    }

    #[test]
    fn an_unknown_trailing_field() {
        let mut trailing = HeaderDraft::trailing_of(21);
        trailing.push(vec![0x80]);
        let bytes = HeaderDraft { trailing, ..HeaderDraft::default() }.encode();
        assert_eq!(Header::parse(&bytes).unwrap_err().reason(), "header-fields");
    }

    #[test]
    fn a_number_of_fields_that_no_fork_has() {
        for fields in [18, 19] {
            let bytes = HeaderDraft { trailing: HeaderDraft::trailing_of(fields), ..HeaderDraft::default() }.encode();
            assert!(Header::parse(&bytes).is_err(), "{fields} fields");
        }
    }

    #[test]
    fn trailing_bytes() {
        let mut bytes = HeaderDraft::default().encode();
        bytes.push(0);
        assert_eq!(Header::parse(&bytes).unwrap_err().reason(), "rlp-trailing-bytes");
    }

    #[test]
    fn non_minimal_rlp() {
        let bytes = HeaderDraft { gas_used: vec![0x00, 0x01], ..HeaderDraft::default() }.encode();
        assert_eq!(Header::parse(&bytes).unwrap_err().reason(), "rlp-leading-zero");
    }

    #[test]
    fn a_header_beyond_its_limit() {
        assert_eq!(Header::parse(&vec![0; MAX_HEADER_BYTES + 1]).unwrap_err().reason(), "too-large");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let _ = Header::parse(&bytes);
        }

        #[test]
        fn a_changed_byte_is_refused_or_another_hash(at in 0usize..500, bit in 0u8..8) {
            let good = HeaderDraft::default().encode();
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at] ^= 1 << bit;
            if let Ok(header) = Header::parse(&bad) {
                prop_assert_ne!(header.raw_hash(), keccak256(&good));
            }
        }
    }
}
