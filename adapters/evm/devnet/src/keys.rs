//! Keys from a seed, recoverable signatures over a digest, and the address a signature speaks for.

use alloy_primitives::{Address, B256, FixedBytes, keccak256};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};

/// `r ‖ s ‖ v` with v 0 or 1, as committed seals carry it.
pub type Seal = FixedBytes<65>;

/// One secp256k1 key with its address.
#[derive(Clone)]
pub struct Key {
    signing: SigningKey,
    address: Address,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.address).finish()
    }
}

impl Key {
    /// The key that `seed`, `role` and `index` always give.
    pub fn derive(seed: &[u8; 32], role: &str, index: u64) -> Self {
        let mut material = keccak256([seed.as_slice(), role.as_bytes(), &index.to_be_bytes()].concat());
        loop {
            // About one hash in 2^128 is no valid scalar; the next one then is.
            if let Ok(signing) = SigningKey::from_slice(material.as_slice()) {
                let address = address_of(signing.verifying_key());
                return Self { signing, address };
            }
            material = keccak256(material);
        }
    }

    /// The account of this key.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs the digest itself, with no further hash or prefix.
    pub fn sign(&self, digest: &B256) -> Seal {
        let (signature, recovery) = self.signing.sign_prehash_recoverable(digest.as_slice());
        let mut seal = [0; 65];
        let (rs, v) = seal.split_at_mut(64);
        rs.copy_from_slice(&signature.to_bytes());
        v.fill(recovery.to_byte());
        Seal::new(seal)
    }
}

/// The address whose key made `seal` over `digest`; none when it is no signature at all.
pub fn recover(digest: &B256, seal: &Seal) -> Option<Address> {
    let (rs, v) = seal.as_slice().split_at_checked(64)?;
    let recovery = RecoveryId::from_byte(*v.first()?).filter(|id| !id.is_x_reduced())?;
    let signature = Signature::from_slice(rs).ok()?;
    let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, recovery).ok()?;
    Some(address_of(&key))
}

/// The last 20 bytes of Keccak-256 of the uncompressed point.
fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_sec1_point(false);
    Address::from_raw_public_key(point.as_bytes().get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_key_has_its_known_address() {
        let mut one = [0; 32];
        one[31] = 1;
        let key = SigningKey::from_slice(&one).unwrap();
        assert_eq!(
            address_of(key.verifying_key()).to_string().to_lowercase(),
            "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
        );
    }

    #[test]
    fn a_seal_recovers_to_its_maker_over_its_digest_only() {
        let key = Key::derive(&[7; 32], "validator", 0);
        let (digest, other) = (keccak256(b"a"), keccak256(b"b"));
        let seal = key.sign(&digest);
        assert_eq!(recover(&digest, &seal), Some(key.address()));
        assert_ne!(recover(&other, &seal), Some(key.address()));
    }

    #[test]
    fn the_same_seed_gives_the_same_key_and_each_role_its_own() {
        let key = |seed, role, index| Key::derive(&[seed; 32], role, index).address();
        assert_eq!(key(1, "validator", 0), key(1, "validator", 0));
        assert_ne!(key(1, "validator", 0), key(2, "validator", 0));
        assert_ne!(key(1, "validator", 0), key(1, "validator", 1));
        assert_ne!(key(1, "validator", 0), key(1, "registrar", 0));
    }

    #[test]
    fn a_seal_with_an_odd_v_or_zero_numbers_is_no_signature() {
        let digest = keccak256(b"a");
        let mut seal = Key::derive(&[7; 32], "validator", 0).sign(&digest);
        seal.0[64] = 27;
        assert_eq!(recover(&digest, &seal), None);
        assert_eq!(recover(&digest, &Seal::ZERO), None);
    }
}
