//! Validators' Ed25519 keys from a seed.

use ed25519_dalek::{Signer as _, SigningKey};

use crate::merkle::sha256;

/// First 20 bytes of the SHA-256 of a public key (`crypto/ed25519`, `PubKey.Address`).
pub type Address = [u8; 20];

/// One validator's key.
#[derive(Clone)]
pub struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&hex::encode_upper(self.address())).finish()
    }
}

impl Key {
    /// The key that `seed` and `index` always give.
    pub fn derive(seed: &[u8; 32], index: u64) -> Self {
        Self(SigningKey::from_bytes(&sha256(&[b"hufu cometbft devnet validator", seed, &index.to_be_bytes()])))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The validator's address.
    pub fn address(&self) -> Address {
        address(&self.public())
    }

    /// Signs the bytes.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

/// The address of an Ed25519 public key.
pub fn address(public: &[u8; 32]) -> Address {
    let mut address = [0; 20];
    address.iter_mut().zip(sha256(&[public])).for_each(|(to, from)| *to = from);
    address
}
