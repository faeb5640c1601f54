//! Entries of a lane's log: 64 bytes each, which tell nothing to whoever was not given the statement.
//!
//! Entry = key tag ‖ SHA-256(statement bytes). The key tag is HMAC-SHA-256(lane tag key, record key): equal tags mean the
//! same key, so a receiver sees a *later sealed* entry about something it has opened. Leaves about no key carry 32 zero
//! bytes (design, decision 1).

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::digest::Digest;
use crate::ids::RecordKey;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 64;

/// One leaf of a lane's log, as the tree hashes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    tag: KeyTag,
    statement: Digest,
}

/// The tag of a record key in one lane; zero for leaves about no key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyTag(Digest);

impl KeyTag {
    /// The tag of leaves about no key.
    pub const NONE: Self = Self(Digest::from_bytes([0; 32]));

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for KeyTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyTag({})", self.0)
    }
}

/// The key under which a lane tags record keys. It stands in the lane's definition: receivers of the lane check tags on
/// what they open, strangers who hold the log alone cannot guess keys.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagKey(Digest);

impl TagKey {
    /// Wraps 32 random bytes that the caller drew.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The tag of `key` in this lane.
    pub fn tag(&self, key: &RecordKey) -> KeyTag {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else {
            // HMAC takes keys of any length (RFC 2104, 2).
            return KeyTag::NONE;
        };
        let bytes: [u8; 32] = mac.chain_update(key.as_str()).finalize().into_bytes().into();
        KeyTag(Digest::from_bytes(bytes))
    }
}

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey(..)")
    }
}

impl Entry {
    /// Puts an entry together.
    pub const fn new(tag: KeyTag, statement: Digest) -> Self {
        Self { tag, statement }
    }

    /// The tag.
    pub const fn tag(&self) -> KeyTag {
        self.tag
    }

    /// Digest of the statement's bytes.
    pub const fn statement(&self) -> Digest {
        self.statement
    }

    /// The 64 bytes that the tree hashes.
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (tag, statement) = bytes.split_at_mut(32);
        tag.copy_from_slice(self.tag.as_bytes());
        statement.copy_from_slice(self.statement.as_bytes());
        bytes
    }

    /// Reads 64 bytes.
    pub fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (tag, statement) = bytes.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
        let statement = statement.first_chunk::<32>().unwrap_or(&[0; 32]);
        Self { tag: KeyTag(Digest::from_bytes(*tag)), statement: Digest::from_bytes(*statement) }
    }

    /// Hash of this leaf in the tree.
    pub fn leaf_hash(&self) -> Digest {
        crate::merkle::leaf_hash(&self.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decision_1_equal_tags_mean_the_same_key_and_strangers_cannot_guess() {
        let (ours, other) = (TagKey::from_bytes([1; 32]), TagKey::from_bytes([2; 32]));
        let key = RecordKey::parse("e-certificate:91350100M000100Y43:A-1").unwrap();
        let another = RecordKey::parse("e-certificate:91350100M000100Y43:A-2").unwrap();
        assert_eq!(ours.tag(&key), ours.tag(&key));
        assert_ne!(ours.tag(&key), ours.tag(&another));
        assert_ne!(ours.tag(&key), other.tag(&key));
        assert_ne!(ours.tag(&key), KeyTag::NONE);
    }

    proptest! {
        #[test]
        fn decision_1_entries_are_64_bytes_and_round_trip(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            let entry = Entry::new(KeyTag(Digest::from_bytes(a)), Digest::from_bytes(b));
            prop_assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
            prop_assert_eq!(entry.to_bytes().len(), 64);
        }
    }
}
