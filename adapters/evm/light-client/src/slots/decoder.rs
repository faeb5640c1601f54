//! A change of a slot to vendor-neutral JSON:
//! ```json
//! {"contract": "0x…", "event": "StatusChanged", "args": {"key": "…", "old": "1", "new": "2"},
//!  "height": "4", "time": "2026-11-21T08:00:00Z"}
//! ```
//! `event` is the name that the mapping gives; a plain variable has no `key`. There is no transaction: none is proven.

use super::Change;
use super::source::{self, Storage};
use crate::fault::{Fault, Reason};
use hufu_adapters_light_client::{ConfigurationFault, DecodeFault, Decoded, Decoder, DecoderVersion, Proven, Selector};
use serde_json::{Map, Value, json};

/// Reads the changes of the slots that one mapping names.
#[derive(Debug, Clone)]
pub struct EvmStorageDecoder {
    storage: Storage,
    selector: Selector,
}

impl EvmStorageDecoder {
    /// A decoder for a mapping's `source` section ([`crate::slots::source`]).
    ///
    /// # Errors
    /// [`ConfigurationFault`] with the pointer of what is missing, unknown or wrong.
    pub fn from_source(source: &Value) -> Result<Self, ConfigurationFault> {
        let storage = source::read(source)?;
        let selector = storage.selector.to_selector();
        Ok(Self { storage, selector })
    }

    /// Old and new value, with the key, by name.
    ///
    /// # Errors
    /// [`Fault`] if the bytes are no change of a slot that is followed, or a word holds no value of the type.
    pub fn decode_change(&self, native: &[u8]) -> Result<Map<String, Value>, Fault> {
        let change = Change::parse(native)?;
        let selector = &self.storage.selector;
        if change.contract != selector.contract() || selector.slots().binary_search(&change.slot).is_err() {
            let got = format!("slot {} of {}", change.slot, change.contract);
            return Err(Fault::new(Reason::ItemOfAnother, format!("a slot of {}", selector.contract()), got));
        }
        let offset = usize::from(selector.part().offset());
        let mut args = Map::new();
        if let Some(key) = self.storage.keys.get(&change.slot) {
            args.insert("key".to_owned(), json!(key));
        }
        for (name, word) in [("old", &change.before), ("new", &change.after)] {
            let value = self.storage.value.decode(word.as_bytes(), offset).map_err(|fault| fault.within(name))?;
            args.insert(name.to_owned(), value);
        }
        Ok(args)
    }
}

impl Decoder for EvmStorageDecoder {
    fn version(&self) -> DecoderVersion {
        DecoderVersion { name: "evm-storage".to_owned(), version: 1 }
    }

    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn decode(&self, item: &Proven) -> Result<Vec<Decoded>, DecodeFault> {
        let args = self.decode_change(item.native())?;
        let (contract, event) = (self.storage.selector.contract().to_string(), self.storage.name.clone());
        let value = json!({
            "contract": contract,
            "event": event,
            "args": args,
            "height": item.position().height.to_string(),
            "time": item.time().to_string(),
        });
        Ok(vec![Decoded { value, contract, event }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::keccak::Hash32;
    use crate::uint::U256;

    fn decoder() -> EvmStorageDecoder {
        EvmStorageDecoder::from_source(&json!({ "family": "evm", "contract": Address::new([1; 20]), "storage": {
            "name": "StatusChanged", "slot": 3, "key": "string", "keys": ["甲"], "value": "uint8", "offset": 1,
        }}))
        .unwrap()
    }

    #[test]
    fn old_and_new_by_key() {
        let decoder = decoder();
        let change = Change {
            contract: Address::new([1; 20]),
            slot: decoder.storage.selector.slots()[0],
            before: U256::default(),
            after: U256::from(0x02ff),
        };
        assert_eq!(Change::parse(&change.to_native()).unwrap(), change);
        let args = decoder.decode_change(&change.to_native()).unwrap();
        assert_eq!(Value::Object(args), json!({ "key": "甲", "old": "0", "new": "2" }));
        for other in [Change { contract: Address::new([2; 20]), ..change }, Change { slot: Hash32::ZERO, ..change }] {
            assert_eq!(decoder.decode_change(&other.to_native()).unwrap_err().reason(), "item-not-selected");
        }
        assert!(decoder.decode_change(b"").is_err());
    }
}
