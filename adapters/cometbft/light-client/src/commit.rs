//! A commit: the precommit votes that made a block final, one entry for each validator in the set's order.

use crate::fault::{Fault, Reason};
use crate::hash::Address;
use crate::header::BlockId;
use crate::keys::SIGNATURE_BYTES;
use crate::text;
use crate::time::Time;
use crate::validators::{MAX_VALIDATORS, ValidatorSet};
use serde::{Deserialize, Serialize};

/// What one validator's entry says (types/block.go, `BlockIDFlag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Flag {
    /// No vote was seen.
    Absent,
    /// A vote for the block.
    Commit,
    /// A vote for no block; it counts for nothing.
    Nil,
}

impl TryFrom<u8> for Flag {
    type Error = &'static str;

    fn try_from(flag: u8) -> Result<Self, &'static str> {
        match flag {
            1 => Ok(Self::Absent),
            2 => Ok(Self::Commit),
            3 => Ok(Self::Nil),
            _ => Err("expected a flag of 1 (absent), 2 (commit) or 3 (nil)"),
        }
    }
}

impl From<Flag> for u8 {
    fn from(flag: Flag) -> Self {
        match flag {
            Flag::Absent => 1,
            Flag::Commit => 2,
            Flag::Nil => 3,
        }
    }
}

/// One validator's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitSig {
    /// What it says.
    #[serde(rename = "block_id_flag")]
    pub flag: Flag,
    /// Whose it is; must be the address of the validator at this index.
    #[serde(rename = "validator_address", with = "text::or_empty")]
    pub address: Option<Address>,
    /// When the validator voted: each signature covers its own.
    pub timestamp: Time,
    /// The signature.
    #[serde(with = "signature")]
    pub signature: Vec<u8>,
}

/// A commit, as nodes write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Height of the block.
    #[serde(with = "text::decimal")]
    pub height: u64,
    /// Round in which it was agreed.
    pub round: u32,
    /// The block.
    pub block_id: BlockId,
    /// One entry for each validator.
    pub signatures: Vec<CommitSig>,
}

impl Commit {
    /// Checks the shape of every entry against the set, whether or not the entry will be counted: nodes since January
    /// 2026 refuse a commit with the address of another validator at an index (cometbft cbccfe3ce), and only so is a
    /// vote counted for whoever signed it.
    ///
    /// # Errors
    /// [`Fault`] if there is not one entry for each validator, if nobody voted, if an entry has the address of another, or is shaped as
    /// no node writes it.
    pub fn check(&self, validators: &ValidatorSet) -> Result<(), Fault> {
        let count = validators.validators().len();
        if self.signatures.len() != count || count > MAX_VALIDATORS {
            return Err(Fault::new(Reason::CommitCount, format!("{count} entries"), self.signatures.len()));
        }
        if self.signatures.iter().all(|entry| entry.flag == Flag::Absent) {
            return Err(Fault::new(Reason::Quorum, "votes", "none at all"));
        }
        for (index, (entry, due)) in self.signatures.iter().zip(validators.addresses()).enumerate() {
            entry.check(index)?;
            match entry.address {
                Some(address) if address != *due => {
                    self.require_single(address)?;
                    let got = format!("{address} at index {index}");
                    return Err(Fault::new(Reason::CommitAddress, due, got));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Says so where a wrong address is one that stands elsewhere too: that is a vote to be counted twice.
    fn require_single(&self, address: Address) -> Result<(), Fault> {
        let times = self.signatures.iter().filter(|entry| entry.address == Some(address)).count();
        if times > 1 {
            return Err(Fault::new(Reason::DoubleVote, format!("one vote of {address}"), times));
        }
        Ok(())
    }
}

impl CommitSig {
    /// `CommitSig.ValidateBasic` of types/block.go, except for the time of an absent vote, which says nothing: recordings
    /// differ in it.
    fn check(&self, index: usize) -> Result<(), Fault> {
        let fault = |expected: &str, got: String| {
            Err(Fault::new(Reason::CommitEntry, expected, format!("{got} at index {index}")))
        };
        match self.flag {
            Flag::Absent if self.address.is_some() || !self.signature.is_empty() => {
                fault("an absent vote without address and signature", "one of them".to_owned())
            }
            Flag::Absent => Ok(()),
            Flag::Commit | Flag::Nil if self.address.is_none() => fault("the address of a voter", "none".to_owned()),
            Flag::Commit | Flag::Nil if self.signature.len() != SIGNATURE_BYTES => {
                fault("a signature of 64 bytes", self.signature.len().to_string())
            }
            Flag::Commit | Flag::Nil => Ok(()),
        }
    }
}

/// Base64; nodes write `null` where there is none.
mod signature {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if bytes.is_empty() { serializer.serialize_none() } else { serializer.serialize_str(&STANDARD.encode(bytes)) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map_err(|_| de::Error::custom("expected base64"))
    }
}
