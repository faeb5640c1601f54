//! Keccak-256 (the 2011 submission with padding 0x01, not SHA3-256) and the 32-byte value that it gives.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha3::{Digest, Keccak256};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A 32-byte hash. Prints and parses as `0x` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash32([u8; 32]);

impl Hash32 {
    /// The hash with all bits zero; no preimage is known, so it stands for "none" in headers.
    pub const ZERO: Self = Self([0; 32]);

    /// Wraps 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Text is not `0x` and the due number of hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected 0x and {expected} hex digits, got {got:?}")]
pub struct HexFault {
    /// Digits due.
    pub expected: usize,
    /// What stood there, cut to 80 characters.
    pub got: String,
}

/// Reads `0x` and exactly `2 * N` hex digits.
///
/// # Errors
/// [`HexFault`] for anything else.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HexFault> {
    let fault = || HexFault { expected: 2 * N, got: text.chars().take(80).collect() };
    let digits = text.strip_prefix("0x").ok_or_else(fault)?;
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| fault())?;
    Ok(bytes)
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash32 {
    type Err = HexFault;

    fn from_str(text: &str) -> Result<Self, HexFault> {
        parse_hex(text).map(Self)
    }
}

impl Serialize for Hash32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Keccak-256 of `bytes`.
pub fn keccak256(bytes: &[u8]) -> Hash32 {
    Hash32(Keccak256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(keccak256(b"").to_string(), empty);
        let transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
        assert_eq!(keccak256(b"Transfer(address,address,uint256)"), transfer.parse().unwrap());
    }

    #[test]
    fn hex_of_another_length_or_without_prefix() {
        for text in ["", "0x", "0x00", &"0".repeat(64), &format!("0x{}", "g".repeat(64))] {
            assert!(text.parse::<Hash32>().is_err(), "{text}");
        }
    }
}
