//! Logs to vendor-neutral JSON, and the family's door for the gateway.
//!
//! A decoded event is
//! ```json
//! {"contract": "0x…", "event": "CertificateIssued", "args": {"id": "0x…", "holder": "…"},
//!  "height": "4", "time": "2026-11-21T08:00:00Z", "transaction": 0, "index": 0}
//! ```
//! `index` counts within the transaction: an index within the block cannot be proven by one receipt. There is no
//! transaction hash: a receipt does not hold it. Where an ABI uses one event name twice, `event` is the signature.

use crate::abi::Abi;
use crate::address::Address;
use crate::anchor::{Anchor, FAMILY, brief, fault};
use crate::client::EvmLightClient;
use crate::fault::{Fault, Reason};
use crate::receipt::Log;
use crate::selector::LogSelector;
use hufu_adapters_light_client::{
    ConfigurationFault, DecodeFault, Decoded, Decoder, DecoderVersion, DynLightClient, Erased, Family, Proven, Selector,
};
use serde_json::{Value, json};

/// Reads the events of one contract by a pinned ABI.
#[derive(Debug, Clone)]
pub struct EvmDecoder {
    selector: Selector,
    contract: Address,
    abi: Abi,
}

impl EvmDecoder {
    /// A decoder of every event of `abi` that `contract` emits.
    ///
    /// # Errors
    /// [`Fault`] if the ABI has no named event, or too many.
    pub fn new(contract: Address, abi: Abi) -> Result<Self, Fault> {
        let topics = abi.events().iter().map(|event| event.topic()).collect();
        let selector = LogSelector::new(contract, topics)?.to_selector();
        Ok(Self { selector, contract, abi })
    }

    /// A decoder for a mapping's `source` section:
    /// `{"family": "evm", "contract": "0x…", "event": "Name" | "events": ["Name", "Name(type)"], "abi": […]}`.
    /// Without `event` and `events` all named events of the ABI are meant.
    ///
    /// # Errors
    /// [`ConfigurationFault`] with the pointer of what is missing, unknown or wrong.
    pub fn from_source(source: &Value) -> Result<Self, ConfigurationFault> {
        let object = source.as_object().ok_or_else(|| fault("", "an object", &brief(source)))?;
        let known = ["family", "contract", "event", "events", "abi"];
        if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(fault(&format!("/{key}"), &format!("one of {}", known.join(", ")), "another key"));
        }
        let need = |key: &str, due: &str| object.get(key).ok_or_else(|| fault(&format!("/{key}"), due, "nothing"));
        let family = need("family", "\"evm\"")?;
        if family != FAMILY {
            return Err(fault("/family", "\"evm\"", &brief(family)));
        }
        let contract = need("contract", "an address")?;
        let address = contract.as_str().and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| fault("/contract", "0x and 40 hex digits", &brief(contract)))?;
        let abi = Abi::parse(need("abi", "the contract's JSON ABI")?);
        let abi = abi.map_err(|error| fault("/abi", error.expected(), error.got()))?;
        let abi = match wanted_events(object.get("event"), object.get("events"))? {
            None => abi,
            Some((pointer, wanted)) => {
                abi.only(&wanted).map_err(|error| fault(pointer, error.expected(), error.got()))?
            }
        };
        Self::new(address, abi).map_err(|error| fault("/abi", error.expected(), error.got()))
    }

    /// Decodes one log's RLP.
    ///
    /// # Errors
    /// [`Fault`] if it is no log, is of another contract, or does not fit the ABI.
    pub fn decode_log(&self, native: &[u8]) -> Result<(String, Value), Fault> {
        let log = Log::parse(native)?;
        if log.address() != self.contract {
            return Err(Fault::new(Reason::ItemOfAnother, format!("contract {}", self.contract), log.address()));
        }
        let event = self.abi.decode(&log)?;
        let value = json!({ "contract": self.contract, "event": event.name, "args": event.args });
        Ok((event.name, value))
    }
}

type Wanted = Option<(&'static str, Vec<String>)>;

fn wanted_events(one: Option<&Value>, many: Option<&Value>) -> Result<Wanted, ConfigurationFault> {
    match (one, many) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(fault("/events", "either event or events", "both")),
        (Some(one), None) => {
            let name = one.as_str().ok_or_else(|| fault("/event", "an event's name or signature", &brief(one)))?;
            Ok(Some(("/event", vec![name.to_owned()])))
        }
        (None, Some(many)) => {
            let names = many.as_array().filter(|names| !names.is_empty());
            let names = names.and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
            names
                .map(|names| Some(("/events", names)))
                .ok_or_else(|| fault("/events", "a list of events' names or signatures", &brief(many)))
        }
    }
}

impl Decoder for EvmDecoder {
    fn version(&self) -> DecoderVersion {
        DecoderVersion { name: "evm-abi".to_owned(), version: 1 }
    }

    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn decode(&self, item: &Proven) -> Result<Vec<Decoded>, DecodeFault> {
        let (event, mut value) = self.decode_log(item.native())?;
        let position = item.position();
        if let Some(object) = value.as_object_mut() {
            object.insert("height".to_owned(), json!(position.height.to_string()));
            object.insert("time".to_owned(), json!(item.time().to_string()));
            object.insert("transaction".to_owned(), json!(position.transaction));
            object.insert("index".to_owned(), json!(position.event));
        }
        Ok(vec![Decoded { value, contract: self.contract.to_string(), event }])
    }
}

/// The EVM family.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvmFamily;

impl Family for EvmFamily {
    fn name(&self) -> &'static str {
        FAMILY
    }

    fn client(&self, anchor: &Value) -> Result<Box<dyn DynLightClient>, ConfigurationFault> {
        Ok(Box::new(Erased::new(EvmLightClient::new(Anchor::parse(anchor)?))))
    }

    fn decoder(&self, source: &Value) -> Result<Box<dyn Decoder>, ConfigurationFault> {
        Ok(Box::new(EvmDecoder::from_source(source)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlp;

    fn source() -> Value {
        json!({
            "family": "evm",
            "contract": Address::new([1; 20]),
            "event": "Noted",
            "abi": [{"type": "event", "name": "Noted", "inputs": [{"name": "on", "type": "bool"}]}],
        })
    }

    fn log(contract: u8, decoder: &EvmDecoder) -> Vec<u8> {
        let mut topics = Vec::new();
        rlp::write_string(decoder.abi.events()[0].topic().as_bytes(), &mut topics);
        let mut items = Vec::new();
        rlp::write_string(&[contract; 20], &mut items);
        rlp::write_list(&topics, &mut items);
        rlp::write_string(&[&[0; 31][..], &[1]].concat(), &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    #[test]
    fn a_log_of_the_contract() {
        let decoder = EvmDecoder::from_source(&source()).unwrap();
        let (event, value) = decoder.decode_log(&log(1, &decoder)).unwrap();
        assert_eq!((event.as_str(), &value["args"]), ("Noted", &json!({ "on": true })));
    }

    #[test]
    fn wrong_contract() {
        let decoder = EvmDecoder::from_source(&source()).unwrap();
        assert_eq!(decoder.decode_log(&log(2, &decoder)).unwrap_err().reason(), "item-not-selected");
    }

    #[test]
    fn a_source_with_a_typo() {
        for (key, value, pointer) in [
            ("contracts", json!("0x"), "/contracts"),
            ("contract", json!("0x01"), "/contract"),
            ("family", json!("fabric"), "/family"),
            ("event", json!("Forgotten"), "/event"),
            ("events", json!(["Noted"]), "/events"),
            ("abi", json!({}), "/abi"),
            ("abi", json!([]), "/event"),
        ] {
            let mut source = source();
            source[key] = value;
            assert_eq!(EvmDecoder::from_source(&source).unwrap_err().pointer, pointer, "{key}");
        }
    }
}
