//! Validators' keys: which kinds there are, how they are hashed, and how their signatures are checked.
//!
//! | kind | protobuf field of `PublicKey` | bytes | address | rule |
//! |---|---|---|---|---|
//! | Ed25519 | 1 | 32 | SHA-256, first 20 bytes | ZIP-215 ([`ed25519`]) |
//! | secp256k1 | 2 | 33, compressed | RIPEMD-160 of SHA-256 | 64 bytes, low s ([`secp256k1`]) |
//! | SM2 (IRITA's fork) | 3 | 33, compressed | SHA-256, first 20 bytes | SM3 with the default id ([`sm2`]) |
//!
//! CometBFT 1.x uses field 3 for BLS12-381, which this client does not read; the lengths differ, so no bytes are both.

pub mod ed25519;
pub mod secp256k1;
pub mod sm2;

use crate::fault::{Fault, Reason};
use crate::hash::{Address, sha256};
use crate::proto::Message;
use ripemd::{Digest as _, Ripemd160};
use serde::{Deserialize, Serialize};

/// Bytes of every signature of the three kinds.
pub const SIGNATURE_BYTES: usize = 64;

/// The kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Ed25519 by ZIP-215.
    Ed25519,
    /// ECDSA over secp256k1.
    Secp256k1,
    /// SM2 of IRITA's fork.
    Sm2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Secp256k1, Self::Sm2];

    /// The name in anchors, which is the one of the ledger's consensus parameters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
            Self::Sm2 => "sm2",
        }
    }
}

/// A validator's public key. The bytes have the kind's length; whether they are a point is known when a signature of it
/// is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// Ed25519.
    Ed25519([u8; 32]),
    /// secp256k1, compressed.
    Secp256k1([u8; 33]),
    /// SM2, compressed.
    Sm2([u8; 33]),
}

impl PublicKey {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ed25519(_) => Kind::Ed25519,
            Self::Secp256k1(_) => Kind::Secp256k1,
            Self::Sm2(_) => Kind::Sm2,
        }
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) => bytes,
            Self::Secp256k1(bytes) | Self::Sm2(bytes) => bytes,
        }
    }

    /// The address that follows from the key. Addresses in messages are only compared with it.
    pub fn address(&self) -> Address {
        let hash = sha256(self.as_bytes());
        match self {
            Self::Ed25519(_) | Self::Sm2(_) => Address::new(hash.as_bytes().first_chunk().copied().unwrap_or_default()),
            Self::Secp256k1(_) => Address::new(Ripemd160::digest(hash.as_bytes()).into()),
        }
    }

    /// The protobuf message `PublicKey`, as validator sets hash it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let field = match self {
            Self::Ed25519(_) => 1,
            Self::Secp256k1(_) => 2,
            Self::Sm2(_) => 3,
        };
        Message::new().bytes(field, self.as_bytes()).done()
    }
}

/// A key as nodes write it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "crate::text::base64")]
    value: Vec<u8>,
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = match self {
            Self::Ed25519(_) => "tendermint/PubKeyEd25519",
            Self::Secp256k1(_) => "tendermint/PubKeySecp256k1",
            Self::Sm2(_) => "tendermint/PubKeySm2",
        };
        Written { kind: kind.to_owned(), value: self.as_bytes().to_vec() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { kind, value } = Written::deserialize(deserializer)?;
        let key = match kind.as_str() {
            "tendermint/PubKeyEd25519" => value.try_into().ok().map(Self::Ed25519),
            "tendermint/PubKeySecp256k1" => value.try_into().ok().map(Self::Secp256k1),
            "tendermint/PubKeySm2" => value.try_into().ok().map(Self::Sm2),
            _ => None,
        };
        key.ok_or_else(|| serde::de::Error::custom("expected an Ed25519, secp256k1 or SM2 key of its length"))
    }
}

/// A signature that somebody says is of this key over this message.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Whose.
    pub key: &'a PublicKey,
    /// Over what.
    pub message: Vec<u8>,
    /// The signature's bytes.
    pub signature: &'a [u8],
}

/// Checks every claim. Ed25519 signatures are checked together first, which is about twice as fast; where that fails,
/// one by one, so that the answer names the bad one. Both follow the same rule, so they cannot disagree.
///
/// # Errors
/// [`Fault`] that names the first signature that is not one.
pub fn verify_all(claims: &[Claim<'_>]) -> Result<(), Fault> {
    let ed25519: Vec<ed25519::Claim<'_>> = claims.iter().filter_map(ed25519::Claim::of).collect();
    let together = ed25519.len() > 1 && ed25519::verify_together(&ed25519);
    for claim in claims {
        let holds = match claim.key {
            PublicKey::Ed25519(_) if together => true,
            PublicKey::Ed25519(key) => ed25519::verify(key, &claim.message, claim.signature),
            PublicKey::Secp256k1(key) => secp256k1::verify(key, &claim.message, claim.signature),
            PublicKey::Sm2(key) => sm2::verify(key, &claim.message, claim.signature),
        };
        if !holds {
            let expected = format!("a signature of {}", claim.key.address());
            return Err(Fault::new(Reason::Signature, expected, hex::encode(claim.signature)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_address_follows_from_the_key() {
        // The validator of a recorded 0.38 network.
        let key: PublicKey = serde_json::from_value(json!({
            "type": "tendermint/PubKeyEd25519", "value": "bNNlGls5R25wC3Sd8720F/3+7IZBhXcD22MNFtPk/v0=",
        }))
        .unwrap();
        assert_eq!(key.address().to_string(), "2DD9F44FD9067555C322243C3C913BA7B51D2BE0");
        assert_eq!(key.encode()[..2], [0x0a, 32]);
    }

    #[test]
    fn each_kind_has_its_own_field_and_address() {
        let (k1, sm2) = (PublicKey::Secp256k1([2; 33]), PublicKey::Sm2([2; 33]));
        assert_ne!(k1.address(), sm2.address());
        assert_eq!((k1.encode()[0], sm2.encode()[0]), (0x12, 0x1a));
    }

    #[test]
    fn keys_of_another_kind_or_length() {
        for (kind, value) in [
            ("tendermint/PubKeyEd25519", "AAAA"),
            ("cometbft/PubKeyBls12381", "AAAA"),
            ("tendermint/PubKeySm2", "bNNlGls5R25wC3Sd8720F/3+7IZBhXcD22MNFtPk/v0="),
        ] {
            let read = serde_json::from_value::<PublicKey>(json!({ "type": kind, "value": value }));
            assert!(read.is_err(), "{kind}");
        }
    }
}
