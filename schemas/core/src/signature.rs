//! Ed25519 for notes: RFC 8032, cofactorless, S < L, canonical A and R, small-order A and R refused
//! (`verify_strict`). Batch verification is never used to accept: it takes signatures that strict verification refuses.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// C2SP signed-note signature type 0x01: Ed25519 over the note's text.
const ALGORITHM_ED25519: u8 = 1;

/// A key that may sign notes, with the name under which it signs: a C2SP *vkey*, `name+hash+base64(0x01 ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: VerifyingKey,
}

/// Why a text is not a verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a verifier key <name>+<8 hex digits>+<base64 of 0x01 and 32 bytes>, got {got:?}: {why}")]
pub struct NotAKey {
    got: String,
    why: &'static str,
}

impl NoteKey {
    /// Parses a vkey. Weak (small-order) keys are refused.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let fault = |why| NotAKey { got: text.chars().take(160).collect(), why };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fault("it has fewer than three parts"));
        };
        if !is_key_name(name) {
            return Err(fault("the name is empty, too long, or has spaces or a plus sign"));
        }
        let bytes = BASE64.decode(data).map_err(|_| fault("the key is not base64"))?;
        let Some((&ALGORITHM_ED25519, key)) = bytes.split_first() else {
            return Err(fault("it is not an Ed25519 key (type 0x01)"));
        };
        let key: &[u8; 32] = key.try_into().map_err(|_| fault("the key is not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| fault("the key is no point of the curve"))?;
        if key.is_weak() {
            return Err(fault("the key has small order: anybody could sign for it"));
        }
        let parsed = Self { name: name.to_owned(), key };
        if hex::encode(parsed.id()) != id {
            return Err(fault("the key id does not belong to the name and key"));
        }
        Ok(parsed)
    }

    /// The name under which it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key), as C2SP signed-note says.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, &self.key)
    }

    /// Strict verification of a 64-byte signature over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [&[ALGORITHM_ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), BASE64.encode(data))
    }
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({self})")
    }
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 160
        && !name.contains('+')
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ALGORITHM_ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    *hash.first_chunk().unwrap_or(&[0; 4])
}

/// A key that signs notes. Its secret is wiped when dropped, and it does not print.
pub struct NoteSigner {
    name: String,
    key: SigningKey,
}

impl NoteSigner {
    /// From 32 secret bytes that the caller drew at random or read from its key file.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NotAKey> {
        if !is_key_name(name) {
            return Err(NotAKey {
                got: name.to_owned(),
                why: "the name is empty, too long, or has spaces or a plus sign",
            });
        }
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// The public half.
    pub fn verifier(&self) -> NoteKey {
        NoteKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling_and_signs_under_one_name() {
        let signer = NoteSigner::from_seed("land.example/p/1", &[7; 32]).unwrap();
        let key = signer.verifier();
        let text = key.to_string();
        assert_eq!(NoteKey::parse(&text).unwrap(), key);
        let other = NoteSigner::from_seed("tax.example/p/1", &[7; 32]).unwrap();
        assert_ne!(other.verifier().id(), key.id());
        assert!(NoteKey::parse(&text.replace("land", "lend")).is_err());
        let signature = signer.sign(b"text");
        assert!(key.verifies(b"text", &signature));
        assert!(!key.verifies(b"Text", &signature));
    }

    #[test]
    fn a_small_order_key_is_refused() {
        // The identity point: every message "verifies" under it with the plain equation.
        let mut identity = [0u8; 32];
        identity[0] = 1;
        let key = VerifyingKey::from_bytes(&identity).unwrap();
        let text = NoteKey { name: "x".into(), key }.to_string();
        assert!(NoteKey::parse(&text).unwrap_err().to_string().contains("small order"));
    }

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn known_answer_of_rfc_8032() {
        let seed: [u8; 32] = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
            .unwrap()
            .try_into()
            .unwrap();
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(hex::encode(NoteSigner::from_seed("x", &seed).unwrap().sign(&[0x72])), expected);
    }
}
