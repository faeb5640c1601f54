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

#[cfg(test)]
mod tests {
    use super::*;
    use secp256k1::SecretKey;

    fn signed(message: &[u8]) -> ([u8; 33], [u8; 64]) {
        let key = SecretKey::from_secret_bytes([7; 32]).unwrap();
        let digest = Message::from_digest(*sha256(message).as_bytes());
        let signature = secp256k1::ecdsa::sign(digest, &key).serialize_compact();
        (PublicKey::from_secret_key(&key).serialize(), signature)
    }

    #[test]
    fn a_signature_over_sha_256_of_the_message() {
        let (key, signature) = signed(b"vote");
        assert!(verify(&key, b"vote", &signature));
        assert!(!verify(&key, b"veto", &signature));
        assert!(!verify(&[2; 33], b"vote", &signature));
        assert!(!verify(&[0; 33], b"vote", &signature));
        assert!(!verify(&key, b"vote", &signature[..63]));
        assert!(!verify(&key, b"vote", &[0; 64]));
    }

    #[test]
    fn high_s_is_refused() {
        let (key, mut signature) = signed(b"vote");
        let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
        let mut borrow = 0_i16;
        for (byte, due) in signature[32..].iter_mut().zip(order).rev() {
            let difference = i16::from(due) - i16::from(*byte) - borrow;
            borrow = i16::from(difference < 0);
            *byte = (difference + 256 * borrow).to_le_bytes()[0];
        }
        assert!(!verify(&key, b"vote", &signature));
    }
}
