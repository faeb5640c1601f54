//! Which items a lane is about.
//!
//! | kind | items | standing | complete |
//! |---|---|---|---|
//! | `sequence` | values at `prefix` and a running number: a state key a message | proven, under app_hash | yes, where the application numbers without gaps |
//! | `state` | changes of named keys, value before and after the block | proven, under app_hash | yes |
//! | `transactions` | transactions that succeeded, or their messages | proven, under data_hash and last_results_hash | yes, with whole evidence |
//! | `events` | events as a node tells them | **said**: nothing that validators sign commits to them | no |

use crate::fault::{Fault, Reason};
use hufu_adapters_light_client::Selector;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names that one selector may hold.
pub const MAX_NAMES: usize = 256;
/// Bytes of the longest key or prefix, and of the longest name.
pub const MAX_KEY_BYTES: usize = 512;

/// Bytes in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexBytes(pub Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map(Self).map_err(|_| de::Error::custom("expected hex"))
    }
}

/// What a lane is about, in the one spelling that stands in its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Lane {
    /// Transactions with code 0; of the Cosmos SDK, their messages of these types, one item each.
    Transactions {
        /// Types such as `/land.v1.MsgGrant`, ascending. Without them a whole transaction is one item.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        messages: Option<Vec<String>>,
    },
    /// Changes of these keys of the state.
    State {
        /// The store of the Cosmos SDK; without it the application's state is one simple Merkle tree.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
        /// The keys, ascending.
        keys: Vec<HexBytes>,
    },
    /// Values at keys of a prefix and a number of 8 bytes, big-endian, that rises by one.
    Sequence {
        /// The store of the Cosmos SDK; without it the application's state is one simple Merkle tree.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
        /// What stands before the number.
        prefix: HexBytes,
        /// The first number that the application gives.
        #[serde(with = "crate::text::decimal")]
        first: u64,
    },
    /// Events of these types, as a node tells them.
    Events {
        /// The types, ascending.
        types: Vec<String>,
    },
}

impl Lane {
    /// Reads the family's selector.
    ///
    /// # Errors
    /// [`Fault`] if it is none, names nothing, too much, or is not in the one spelling.
    pub fn read(selector: &Selector) -> Result<Self, Fault> {
        let lane = Self::deserialize(selector.value())
            .map_err(|fault| Fault::new(Reason::Selector, "transactions, state, sequence or events", fault))?;
        lane.check()?;
        if lane.to_selector() == *selector {
            return Ok(lane);
        }
        Err(Fault::new(Reason::Selector, "the one spelling of a selector", "another"))
    }

    /// The form that stands in a lane's definition.
    pub fn to_selector(&self) -> Selector {
        // Enums of strings always serialise.
        Selector::new(serde_json::to_value(self).unwrap_or_default())
    }

    /// Names ascending, so that there is one spelling; keys and names within their limits.
    ///
    /// # Errors
    /// [`Fault`] otherwise.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Transactions { messages: None } => Ok(()),
            Self::Transactions { messages: Some(names) } | Self::Events { types: names } => {
                require(names, "names", |name| (1..=MAX_KEY_BYTES).contains(&name.len()))
            }
            Self::State { store, keys } => {
                require_store(store.as_deref())?;
                require(keys, "keys", |key| (1..=MAX_KEY_BYTES).contains(&key.0.len()))
            }
            Self::Sequence { store, prefix, .. } => {
                require_store(store.as_deref())?;
                require(std::slice::from_ref(prefix), "a prefix", |prefix| prefix.0.len() <= MAX_KEY_BYTES - 8)
            }
        }
    }
}

fn require_store(store: Option<&str>) -> Result<(), Fault> {
    match store {
        Some(name) if name.is_empty() || name.len() > MAX_KEY_BYTES => {
            Err(Fault::new(Reason::Selector, "the name of a store", name.len()))
        }
        _ => Ok(()),
    }
}

fn require<T: Ord>(names: &[T], what: &str, fits: impl Fn(&T) -> bool) -> Result<(), Fault> {
    let ascending = names.iter().zip(names.iter().skip(1)).all(|(a, b)| a < b);
    if names.is_empty() || names.len() > MAX_NAMES || !ascending || !names.iter().all(fits) {
        let expected = format!("1 to {MAX_NAMES} {what}, ascending, of at most {MAX_KEY_BYTES} bytes");
        return Err(Fault::new(Reason::Selector, expected, names.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_spelling() {
        for good in [
            json!({ "kind": "transactions" }),
            json!({ "kind": "transactions", "messages": ["/a", "/b"] }),
            json!({ "kind": "state", "store": "land", "keys": ["01", "02"] }),
            json!({ "kind": "state", "keys": ["01"] }),
            json!({ "kind": "sequence", "store": "land", "prefix": "01", "first": "1" }),
            json!({ "kind": "events", "types": ["a"] }),
        ] {
            Lane::read(&Selector::new(good)).unwrap();
        }
        for bad in [
            json!({}),
            json!({ "kind": "transaction" }),
            json!({ "kind": "transactions", "messages": [] }),
            json!({ "kind": "transactions", "messages": null }),
            json!({ "kind": "transactions", "messages": ["/b", "/a"] }),
            json!({ "kind": "transactions", "messages": ["/a", "/a"] }),
            json!({ "kind": "transactions", "more": 1 }),
            json!({ "kind": "state", "keys": [] }),
            json!({ "kind": "state", "keys": [""] }),
            json!({ "kind": "state", "keys": ["AA"] }),
            json!({ "kind": "state", "store": "", "keys": ["01"] }),
            json!({ "kind": "sequence", "prefix": "01", "first": 1 }),
            json!({ "kind": "sequence", "prefix": "01", "first": "01" }),
            json!({ "kind": "events", "types": [""] }),
        ] {
            let fault = Lane::read(&Selector::new(bad.clone())).unwrap_err();
            assert_eq!(fault.reason(), "selector-malformed", "{bad}");
        }
    }
}
