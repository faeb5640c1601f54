//! Names. Each is parsed once, has one spelling and does not mix with another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A name that does not have the form of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got:?}")]
pub struct NotAName {
    expected: &'static str,
    got: String,
}

impl NotAName {
    fn new(expected: &'static str, got: &str) -> Self {
        // Names end up in error texts: never repeat more of a foreign string than a reader can use.
        Self { expected, got: got.chars().take(120).collect() }
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the one spelling.
            pub fn parse(text: &str) -> Result<Self, NotAName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(NotAName::new($expected, text)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

fn is_slug(text: &str, most: usize) -> bool {
    let mut bytes = text.bytes();
    let Some(first) = bytes.next() else { return false };
    text.len() <= most
        && first.is_ascii_lowercase()
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_host_like(text: &str) -> bool {
    text.len() <= 64 && !text.is_empty() && text.split('.').all(|label| is_slug(label, 63))
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

text_name! {
    /// A gateway, named like a host: `land.example`. Lower-case labels of letters, digits and hyphens, 64 characters.
    GatewayId, "a gateway name such as land.example (lower case, at most 64 characters)", is_host_like
}

text_name! {
    /// A lane's name within its gateway: `property-rights`.
    LaneSlug, "a lane name such as property-rights (lower case letters, digits, hyphens; at most 63)",
    |text| is_slug(text, 63)
}

text_name! {
    /// A ledger: `<family>:<first 32 hex digits of its genesis hash>`. Chain ids and channel names repeat between
    /// private networks, so they are aliases in configuration and never identity (design, section 2).
    LedgerId, "a ledger id <family>:<32 lower-case hex digits>",
    |text| text.split_once(':').is_some_and(|(family, hex)| is_slug(family, 32) && is_lower_hex(hex, 32))
}

text_name! {
    /// A department that signs: the unit in which quorums count.
    OrganisationId, "an organisation name such as notary-office", |text| is_slug(text, 63)
}

text_name! {
    /// The stable key of a thing over all versions of its record: `<type>:<issuer uscc>:<key>` (design, decision 5).
    RecordKey, "a record key <type>:<issuer>:<key>, at most 256 characters without spaces at the ends",
    |text| {
        let mut parts = text.splitn(3, ':');
        let kind = parts.next().is_some_and(|kind| is_slug(kind, 63));
        let issuer = parts.next().is_some_and(|issuer| !issuer.is_empty() && issuer.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        let key = parts.next().is_some_and(|key| !key.is_empty() && key.trim() == key && !key.chars().any(char::is_control));
        kind && issuer && key && text.len() <= 256
    }
}

impl LedgerId {
    /// The id of the ledger of `family` whose genesis block hashes to `genesis`.
    pub fn of_genesis(family: &str, genesis: &[u8; 32]) -> Result<Self, NotAName> {
        let first = genesis.first_chunk::<16>().unwrap_or(&[0; 16]);
        Self::parse(&format!("{family}:{}", hex::encode(first)))
    }

    /// The family in front of the colon.
    pub fn family(&self) -> &str {
        self.0.split_once(':').map_or("", |(family, _)| family)
    }
}

impl RecordKey {
    /// The record type in front of the first colon.
    pub fn record_type(&self) -> &str {
        self.0.split(':').next().unwrap_or("")
    }

    /// The issuer between the first two colons.
    pub fn issuer(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or("")
    }
}

/// One ordered stream: (gateway, lane name, epoch). Written `land.example/property-rights/1`, which is also the origin
/// line of its checkpoints. A new epoch is a new log; an old epoch never continues.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LaneId {
    gateway: GatewayId,
    slug: LaneSlug,
    epoch: u32,
}

impl LaneId {
    /// Puts a lane's name together. Epochs start at 1; zero is not a lane.
    pub fn new(gateway: GatewayId, slug: LaneSlug, epoch: u32) -> Result<Self, NotAName> {
        if epoch == 0 {
            return Err(NotAName::new("a lane epoch of at least 1", "0"));
        }
        Ok(Self { gateway, slug, epoch })
    }

    /// Parses `<gateway>/<lane>/<epoch>`.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let fault = || NotAName::new("a lane <gateway>/<lane>/<epoch> such as land.example/property-rights/1", text);
        let mut parts = text.split('/');
        let (Some(gateway), Some(slug), Some(epoch), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fault());
        };
        let number: u32 = epoch.parse().map_err(|_| fault())?;
        if number.to_string() != epoch {
            return Err(fault());
        }
        Self::new(GatewayId::parse(gateway)?, LaneSlug::parse(slug)?, number).map_err(|_| fault())
    }

    /// The gateway that signs this lane.
    pub const fn gateway(&self) -> &GatewayId {
        &self.gateway
    }

    /// The name within the gateway.
    pub const fn slug(&self) -> &LaneSlug {
        &self.slug
    }

    /// The epoch, from 1.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.gateway, self.slug, self.epoch)
    }
}

impl fmt::Debug for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaneId({self})")
    }
}

impl TryFrom<String> for LaneId {
    type Error = NotAName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for LaneId {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<LaneId> for String {
    fn from(lane: LaneId) -> Self {
        lane.to_string()
    }
}

/// The height of a block. JSON carries it as a decimal string where a record holds it, as a number on our own wires
/// (heights beyond 2^53 do not occur and are refused there).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(u64);

impl Height {
    /// Wraps a height.
    pub const fn new(height: u64) -> Self {
        Self(height)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The following height; `None` at the end of the range.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a block as its ledger defines it (for most: a hash of its header). 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockHash(Digest);

impl BlockHash {
    /// Wraps 32 bytes computed as a block's identity.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockHash({self})")
    }
}

/// Where on its ledger a native item stands: transaction and event are indices within the block and the transaction.
/// Order of positions is ledger order; two items never share one (decision 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    /// Height of the block.
    pub height: Height,
    /// Index of the transaction in its block.
    pub transaction: u32,
    /// Index of the event in its transaction.
    pub event: u32,
}

impl Position {
    /// `%012d/%06d/%06d`: text order is ledger order (records.md 3.3).
    pub fn sortable(&self) -> String {
        format!("{:012}/{:06}/{:06}", self.height, self.transaction, self.event)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "height {}, transaction {}, event {}", self.height, self.transaction, self.event)
    }
}

/// The content id of a schema: the digest of its canonical form without annotations.
pub type ContentId = Digest;

/// A schema named twice: by its id, which people read, and by its content id, which decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaRef {
    /// The schema's `$id`.
    pub id: String,
    /// Its content id.
    pub content_id: ContentId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ledger_is_named_by_its_genesis_and_not_by_its_chain_id() {
        let one = LedgerId::of_genesis("evm", &[1; 32]).unwrap();
        let other = LedgerId::of_genesis("evm", &[2; 32]).unwrap();
        assert_eq!(one.as_str(), "evm:01010101010101010101010101010101");
        assert_eq!(one.family(), "evm");
        assert_ne!(one, other);
    }

    #[test]
    fn lanes_have_one_spelling() {
        let lane = LaneId::parse("land.example/property-rights/1").unwrap();
        assert_eq!(lane.to_string(), "land.example/property-rights/1");
        for bad in ["land.example/p/0", "land.example/p/01", "land.example/p", "Land/p/1", "land.example/p/1/x", "/p/1"]
        {
            assert!(LaneId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn record_keys_start_with_type_and_issuer() {
        let key = RecordKey::parse("e-certificate:91350100M000100Y43:A-1").unwrap();
        assert_eq!((key.record_type(), key.issuer()), ("e-certificate", "91350100M000100Y43"));
        for bad in ["e-certificate", "e-certificate::1", "x:y:", "x:y: 1", "x:y:1\n"] {
            assert!(RecordKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn names_never_panic(text in ".{0,80}") {
            let _ = (LaneId::parse(&text), LedgerId::parse(&text), RecordKey::parse(&text), GatewayId::parse(&text));
        }

        #[test]
        fn positions_sort_as_text(a in 0u64..1 << 39, b in 0u32..1 << 19, c in 0u64..1 << 39, d in 0u32..1 << 19) {
            let one = Position { height: Height::new(a), transaction: b, event: 0 };
            let other = Position { height: Height::new(c), transaction: d, event: 0 };
            prop_assert_eq!(one.cmp(&other), one.sortable().cmp(&other.sortable()));
        }
    }
}
