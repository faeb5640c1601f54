//! secp256k1 as CometBFT's crypto/secp256k1: ECDSA over SHA-256 of the message, r and s of 32 bytes each, high s refused.

use secp256k1::{Message, PublicKey, ecdsa::Signature};

use crate::hash::sha256;

/// Whether this is a signature of `key` over `message`.
pub fn verify(key: &[u8; 33], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = PublicKey::from_slice(key) else { return false };
    let Ok(signature) = Signature::from_compact(signature) else { return false };
    let mut low = signature;
    low.normalize_s();
    if low != signature {
        return false;
    }
    let digest = Message::from_digest(*sha256(message).as_bytes());
    secp256k1::ecdsa::verify(&signature, digest, &key).is_ok()
}
