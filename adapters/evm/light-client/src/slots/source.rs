//! The `source` section of a mapping that follows slots instead of events:
//! ```yaml
//! source:
//!   family: evm
//!   contract: "0x…"
//!   storage:
//!     name: StatusChanged        # what `/event` says
//!     slot: 3                    # of the mapping or variable; a number, or 0x and 64 hex digits
//!     key: string                # type of the mapping's keys; absent with `keys` for a plain variable
//!     keys: ["…", …]             # the keys that are followed
//!     member: 0                  # words into the value, of a struct
//!     offset: 0                  # bytes above the word's low end, where several values share one
//!     value: uint8               # type of the value
//! ```
//! The slot of a key is Keccak-256 of the key (as [`SlotType::key`] spells it) and the mapping's slot (Solidity
//! documentation, "Layout of State Variables in Storage").

use super::{Part, SlotSelector};
use crate::abi::slot::SlotType;
use crate::address::Address;
use crate::anchor::{FAMILY, brief, fault};
use crate::fault::Fault;
use crate::keccak::{Hash32, keccak256};
use crate::slots::selector::MAX_SLOTS;
use hufu_adapters_light_client::ConfigurationFault;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Characters of an event's name, as an envelope may hold it.
const NAME_MOST: usize = 128;

/// What the section says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    pub(super) name: String,
    pub(super) value: SlotType,
    pub(super) selector: SlotSelector,
    /// Keys by slot; empty for a plain variable.
    pub(super) keys: BTreeMap<Hash32, String>,
}

/// Whether a `source` section is of this kind.
pub fn is_meant(source: &Value) -> bool {
    source.get("storage").is_some()
}

/// Reads the section.
///
/// # Errors
/// [`ConfigurationFault`] with the pointer of what is missing, unknown or wrong.
pub fn read(source: &Value) -> Result<Storage, ConfigurationFault> {
    let section = known(source, "", &["family", "contract", "storage"])?;
    if section.get("family").is_none_or(|family| family != FAMILY) {
        return Err(fault("/family", "\"evm\"", &section.get("family").map_or("nothing".to_owned(), brief)));
    }
    let contract: Address = parsed(section, "", "contract", "0x and 40 hex digits")?;
    let storage = section.get("storage").unwrap_or(&Value::Null);
    let section = known(storage, "/storage", &["name", "slot", "key", "keys", "member", "offset", "value"])?;
    let name = text(section, "name")?.to_owned();
    if name.is_empty() || name.chars().count() > NAME_MOST {
        return Err(fault("/storage/name", &format!("1 to {NAME_MOST} characters"), &name.len().to_string()));
    }
    let value = kind(section, "value")?;
    let base = base_slot(section)?;
    let offset = small(section, "offset")?;
    let part = Part::new(usize::try_from(offset).unwrap_or(usize::MAX), value.bytes());
    let part = part.map_err(|error| at("offset", &error))?;
    let member = small(section, "member")?;
    let keys = keys(section, base, member)?;
    let slots = if keys.is_empty() { vec![plus(base, member)] } else { keys.keys().copied().collect() };
    let selector = SlotSelector::new(contract, slots, part).map_err(|error| at("keys", &error))?;
    Ok(Storage { name, value, selector, keys })
}

fn keys(
    section: &Map<String, Value>,
    base: Hash32,
    member: u64,
) -> Result<BTreeMap<Hash32, String>, ConfigurationFault> {
    let (typed, list) = match (section.get("key"), section.get("keys")) {
        (None, None) => return Ok(BTreeMap::new()),
        (Some(_), Some(list)) => (kind(section, "key")?, list),
        _ => return Err(fault("/storage/keys", "key and keys, or neither", "one of them")),
    };
    let due = format!("a list of 1 to {MAX_SLOTS} keys as text");
    let list = list.as_array().filter(|list| !list.is_empty() && list.len() <= MAX_SLOTS);
    let list = list.ok_or_else(|| fault("/storage/keys", &due, "another value"))?;
    let mut keys = BTreeMap::new();
    for (place, key) in list.iter().enumerate() {
        let pointer = format!("/storage/keys/{place}");
        let text = key.as_str().ok_or_else(|| fault(&pointer, "a key as text", &brief(key)))?;
        let bytes = typed.key(text).map_err(|error| fault(&pointer, error.expected(), error.got()))?;
        let slot = plus(keccak256(&[&bytes, &base.as_bytes()[..]].concat()), member);
        if keys.insert(slot, text.to_owned()).is_some() {
            return Err(fault(&pointer, "each key once", &brief(key)));
        }
    }
    Ok(keys)
}

fn base_slot(section: &Map<String, Value>) -> Result<Hash32, ConfigurationFault> {
    let due = "a number, or 0x and 64 hex digits";
    match section.get("slot") {
        Some(Value::Number(number)) => {
            let number = number.as_u64().ok_or_else(|| fault("/storage/slot", due, &number.to_string()))?;
            Ok(plus(Hash32::ZERO, number))
        }
        Some(Value::String(text)) => text.parse().map_err(|_| fault("/storage/slot", due, text)),
        other => Err(fault("/storage/slot", due, &other.map_or("nothing".to_owned(), brief))),
    }
}

/// The slot so many words further on; slots are counted modulo 2^256.
fn plus(slot: Hash32, words: u64) -> Hash32 {
    let mut bytes = *slot.as_bytes();
    let mut carry = u128::from(words);
    for byte in bytes.iter_mut().rev() {
        carry += u128::from(*byte);
        *byte = u8::try_from(carry & 0xff).unwrap_or(0);
        carry >>= 8;
    }
    Hash32::new(bytes)
}

fn at(key: &str, error: &Fault) -> ConfigurationFault {
    fault(&format!("/storage/{key}"), error.expected(), error.got())
}

fn known<'v>(value: &'v Value, at: &str, keys: &[&str]) -> Result<&'v Map<String, Value>, ConfigurationFault> {
    let section = value.as_object().ok_or_else(|| fault(at, "an object", &brief(value)))?;
    match section.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(section),
        Some(key) => Err(fault(&format!("{at}/{key}"), &format!("one of {}", keys.join(", ")), "another key")),
    }
}

fn text<'v>(section: &'v Map<String, Value>, key: &str) -> Result<&'v str, ConfigurationFault> {
    let value = section.get(key);
    let got = || value.map_or("nothing".to_owned(), brief);
    value.and_then(Value::as_str).ok_or_else(|| fault(&format!("/storage/{key}"), "text", &got()))
}

fn kind(section: &Map<String, Value>, key: &str) -> Result<SlotType, ConfigurationFault> {
    SlotType::parse(text(section, key)?).map_err(|error| at(key, &error))
}

fn small(section: &Map<String, Value>, key: &str) -> Result<u64, ConfigurationFault> {
    let Some(value) = section.get(key) else { return Ok(0) };
    value.as_u64().ok_or_else(|| fault(&format!("/storage/{key}"), "a number from 0", &brief(value)))
}

fn parsed<T: std::str::FromStr>(
    section: &Map<String, Value>,
    at: &str,
    key: &str,
    due: &str,
) -> Result<T, ConfigurationFault> {
    let value = section.get(key);
    let got = || value.map_or("nothing".to_owned(), brief);
    let read = value.and_then(Value::as_str).and_then(|text| text.parse().ok());
    read.ok_or_else(|| fault(&format!("{at}/{key}"), due, &got()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> Value {
        json!({ "family": "evm", "contract": Address::new([1; 20]), "storage": {
            "name": "StatusChanged", "slot": 3, "key": "string", "keys": ["甲", "乙"], "value": "uint8",
        }})
    }

    #[test]
    fn slots_of_keys() {
        let read = read(&source()).unwrap();
        let mut base = [0; 32];
        base[31] = 3;
        let expected = keccak256(&["甲".as_bytes(), &base].concat());
        assert_eq!(read.keys[&expected], "甲");
        assert_eq!((read.selector.slots().len(), read.selector.part().bytes()), (2, 1));
        let mut variable = source();
        variable["storage"] = json!({ "name": "Seat", "slot": 0, "value": "address", "offset": 2 });
        let read = super::read(&variable).unwrap();
        assert_eq!((read.selector.slots(), read.selector.part().offset()), (&[Hash32::ZERO][..], 2));
    }

    #[test]
    fn a_member_of_a_struct_stands_words_further_on() {
        assert_eq!(plus(Hash32::new([0xff; 32]), 1), Hash32::ZERO);
        let mut member = source();
        member["storage"]["member"] = json!(2);
        let (first, third) = (read(&source()).unwrap(), read(&member).unwrap());
        for (slot, key) in &first.keys {
            assert_eq!(third.keys.get(&plus(*slot, 2)), Some(key));
        }
    }

    #[test]
    fn a_section_with_a_typo() {
        for (place, value, pointer) in [
            ("/abi", json!([]), "/abi"),
            ("/code", json!("0x"), "/code"),
            ("/family", json!("fabric"), "/family"),
            ("/contract", json!("0x01"), "/contract"),
            ("/storage", json!([]), "/storage"),
            ("/storage/topics", json!([]), "/storage/topics"),
            ("/storage/name", json!(""), "/storage/name"),
            ("/storage/slot", json!(-1), "/storage/slot"),
            ("/storage/slot", json!("0x03"), "/storage/slot"),
            ("/storage/key", json!("uint8"), "/storage/keys/0"),
            ("/storage/key", json!("text"), "/storage/key"),
            ("/storage/keys", json!([]), "/storage/keys"),
            ("/storage/keys", json!(["甲", "甲"]), "/storage/keys/1"),
            ("/storage/keys", json!(vec!["甲"; 129]), "/storage/keys"),
            ("/storage/offset", json!(32), "/storage/offset"),
            ("/storage/value", json!("uint8[]"), "/storage/value"),
        ] {
            let mut source = source();
            let (parent, key) = place.rsplit_once('/').unwrap();
            source.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(read(&source).unwrap_err().pointer, pointer, "{place}");
        }
        let mut bare = source();
        bare["storage"].as_object_mut().unwrap().remove("key");
        assert_eq!(read(&bare).unwrap_err().pointer, "/storage/keys");
    }
}
