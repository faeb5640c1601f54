//! A validator's signature over a digest: `r(32) ‖ s(32) ‖ v(1)` on secp256k1, the signer recovered from it.
//!
//! **High s is accepted.** A seal is never a name for anything here: who signed is counted by the recovered address, once
//! each, and replay keys are made of block hashes and positions. Networks accept high s (their own import check does), so
//! refusing it would refuse real blocks and would gain nothing. `v` must be 0 or 1, as in every recorded block; 27 and
//! 28, or the overflow ids 2 and 3, are refused.

use crate::address::Address;
use crate::keccak::{Hash32, keccak256};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use thiserror::Error;

/// Bytes of a seal.
pub const SEAL_BYTES: usize = 65;

/// Why a seal names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealFault {
    /// Not 65 bytes.
    #[error("seal length: expected {SEAL_BYTES} bytes, got {got}")]
    Length {
        /// Bytes found.
        got: usize,
    },
    /// `v` is neither 0 nor 1.
    #[error("seal recovery id: expected 0 or 1, got {got}")]
    RecoveryId {
        /// The byte found.
        got: u8,
    },
    /// No key fits this signature.
    #[error("seal does not recover: expected r, s of a point on secp256k1, got {got}")]
    NotRecoverable {
        /// r ‖ s as hex.
        got: String,
    },
    /// The key's address is zero.
    #[error("seal recovers to the zero address: expected an address that somebody holds")]
    ZeroAddress,
}

impl SealFault {
    /// Metric label, from a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Length { .. } => "seal-length",
            Self::RecoveryId { .. } => "seal-recovery-id",
            Self::NotRecoverable { .. } => "seal-not-recoverable",
            Self::ZeroAddress => "seal-zero-address",
        }
    }
}

/// The 65 bytes of one seal, not yet believed. It has no equality on purpose: one signer can write many seals.
#[derive(Clone)]
pub struct Seal([u8; SEAL_BYTES]);

impl Seal {
    /// Takes 65 bytes.
    ///
    /// # Errors
    /// [`SealFault::Length`] for any other number.
    pub fn parse(bytes: &[u8]) -> Result<Self, SealFault> {
        bytes.try_into().map(Self).map_err(|_| SealFault::Length { got: bytes.len() })
    }

    /// The bytes, for re-encoding only.
    pub fn as_bytes(&self) -> &[u8; SEAL_BYTES] {
        &self.0
    }

    /// The address whose key signed `digest` (the digest itself: no prefix, no further hash).
    ///
    /// # Errors
    /// [`SealFault`] if there is none.
    pub fn recover(&self, digest: &Hash32) -> Result<Address, SealFault> {
        let [rs @ .., v] = &self.0;
        let id = match v {
            0 => RecoveryId::Zero,
            1 => RecoveryId::One,
            _ => return Err(SealFault::RecoveryId { got: *v }),
        };
        let fault = |_| SealFault::NotRecoverable { got: hex::encode(rs) };
        let signature = RecoverableSignature::from_compact(rs, id).map_err(fault)?;
        let key = signature.recover_ecdsa(Message::from_digest(*digest.as_bytes())).map_err(fault)?;
        let [_, point @ ..] = key.serialize_uncompressed();
        address_of(&keccak256(&point))
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal(0x{})", hex::encode(self.0))
    }
}

fn address_of(hash: &Hash32) -> Result<Address, SealFault> {
    let tail = hash.as_bytes().last_chunk::<20>().copied().unwrap_or_default();
    let address = Address::new(tail);
    if address == Address::ZERO {
        return Err(SealFault::ZeroAddress);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Key;

    #[test]
    fn recovers_the_signer_and_nobody_else() {
        let digest = keccak256(b"block");
        let key = Key::number(1);
        let seal = key.seal(&digest);
        assert_eq!(seal.recover(&digest).unwrap(), key.address());
        assert_ne!(seal.recover(&keccak256(b"another block")).unwrap(), key.address());
    }

    #[test]
    fn a_high_s_twin_is_the_same_signer() {
        let digest = keccak256(b"block");
        let key = Key::number(1);
        let twin = key.high_s_seal(&digest);
        assert_ne!(twin.as_bytes(), key.seal(&digest).as_bytes());
        assert_eq!(twin.recover(&digest).unwrap(), key.address());
    }

    #[test]
    fn recovery_ids_other_than_zero_and_one() {
        let digest = keccak256(b"block");
        for v in [2, 3, 27, 28, 255] {
            let mut bytes = *Key::number(1).seal(&digest).as_bytes();
            bytes[64] = v;
            assert_eq!(Seal(bytes).recover(&digest), Err(SealFault::RecoveryId { got: v }));
        }
    }

    #[test]
    fn zero_and_overflowing_numbers() {
        let digest = keccak256(b"block");
        for rs in [[0u8; 64], [0xff; 64]] {
            let mut bytes = [0; 65];
            bytes[..64].copy_from_slice(&rs);
            assert!(matches!(Seal(bytes).recover(&digest), Err(SealFault::NotRecoverable { .. })));
        }
        assert_eq!(Seal::parse(&[0; 64]).unwrap_err(), SealFault::Length { got: 64 });
    }

    #[test]
    fn the_zero_address() {
        assert_eq!(address_of(&Hash32::ZERO), Err(SealFault::ZeroAddress));
    }
}
