//! Logs to vendor-neutral JSON, and the family's door for the gateway.
//!
//! A decoded event is
//! ```json
//! {"contract": "0x…", "event": "CertificateIssued", "args": {"id": "0x…", "holder": "…"},
//!  "height": "4", "time": "2026-11-21T08:00:00Z", "transaction": 0, "index": 0}
//! ```
//! `index` counts within the transaction: an index within the block cannot be proven by one receipt. There is no
//! transaction hash: a receipt does not hold it. Where two of the events that are read from a contract bear one name,
//! `event` is the signature. Events of one name of two contracts are told apart by `contract`.

use crate::abi::Abi;
use crate::address::Address;
use crate::anchor::{Anchor, FAMILY, fault};
use crate::client::EvmLightClient;
use crate::fault::{Fault, Reason};
use crate::lane_source;
use crate::pin::Pin;
use crate::receipt::Log;
use crate::selector::{ContractLogs, LogSelector};
use crate::slots;
use hufu_adapters_light_client::{
    ConfigurationFault, DecodeFault, Decoded, Decoder, DecoderVersion, DynLightClient, Erased, Family, Proven, Selector,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Reads the events of contracts by their pinned ABIs.
#[derive(Debug, Clone)]
pub struct EvmDecoder {
    selector: Selector,
    contracts: BTreeMap<Address, Abi>,
}

impl EvmDecoder {
    /// A decoder of the events of `abi` that `contract` emits.
    ///
    /// # Errors
    /// [`Fault`] if the ABI has no event that is read, or too many.
    pub fn new(contract: Address, abi: Abi) -> Result<Self, Fault> {
        Self::of(vec![(contract, abi)])
    }

    /// A decoder of the events of several contracts, each with its ABI.
    ///
    /// # Errors
    /// [`Fault`] if there is no contract, one twice, one whose ABI has no event that is read, or too many of either.
    pub fn of(contracts: Vec<(Address, Abi)>) -> Result<Self, Fault> {
        let logs = contracts.iter().map(|(contract, abi)| logs_of(*contract, abi)).collect();
        let selector = LogSelector::of(logs)?.to_selector();
        Ok(Self { selector, contracts: contracts.into_iter().collect() })
    }

    fn pinned(self, pins: &BTreeMap<Address, Pin>) -> Result<Self, Fault> {
        let selector = LogSelector::read(&self.selector)?.pinned(pins)?.to_selector();
        Ok(Self { selector, ..self })
    }

    /// A decoder for a mapping's `source` section, of one contract or of several ([`crate::lane_source`]).
    ///
    /// # Errors
    /// [`ConfigurationFault`] with the pointer of what is missing, unknown or wrong.
    pub fn from_source(source: &Value) -> Result<Self, ConfigurationFault> {
        let contracts = lane_source::read(source)?;
        let place = if source.get("contracts").is_some() { "/contracts" } else { "/abi" };
        let pins = lane_source::pins(source)?;
        let pinned = Self::of(contracts).and_then(|decoder| decoder.pinned(&pins));
        pinned.map_err(|error| fault(place, error.expected(), error.got()))
    }

    /// Decodes one log's RLP.
    ///
    /// # Errors
    /// [`Fault`] if it is no log, is of another contract, or does not fit the ABI.
    pub fn decode_log(&self, native: &[u8]) -> Result<DecodedLog, Fault> {
        let log = Log::parse(native)?;
        let contract = log.address();
        let abi = self.contracts.get(&contract).ok_or_else(|| {
            let expected = self.contracts.keys().map(Address::to_string).collect::<Vec<_>>().join(" or ");
            Fault::new(Reason::ItemOfAnother, format!("contract {expected}"), contract)
        })?;
        let event = abi.decode(&log)?;
        let value = json!({ "contract": contract, "event": event.name, "args": event.args });
        Ok(DecodedLog { contract, event: event.name, value })
    }
}

/// A log as a decoder reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedLog {
    /// The contract that spoke.
    pub contract: Address,
    /// The event's name.
    pub event: String,
    /// `{"contract", "event", "args"}`.
    pub value: Value,
}

fn logs_of(contract: Address, abi: &Abi) -> ContractLogs {
    let named = abi.events().iter().filter_map(|event| event.topic());
    let anonymous = abi.events().iter().filter(|event| event.topic().is_none()).map(|event| event.topics_due());
    ContractLogs::named(contract, named.collect()).and_anonymous(anonymous.collect(), abi.others().to_vec())
}

impl Decoder for EvmDecoder {
    fn version(&self) -> DecoderVersion {
        DecoderVersion { name: "evm-abi".to_owned(), version: 1 }
    }

    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn decode(&self, item: &Proven) -> Result<Vec<Decoded>, DecodeFault> {
        let DecodedLog { contract, event, mut value } = self.decode_log(item.native())?;
        let position = item.position();
        if let Some(object) = value.as_object_mut() {
            object.insert("height".to_owned(), json!(position.height.to_string()));
            object.insert("time".to_owned(), json!(item.time().to_string()));
            object.insert("transaction".to_owned(), json!(position.transaction));
            object.insert("index".to_owned(), json!(position.event));
        }
        Ok(vec![Decoded { value, contract: contract.to_string(), event }])
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
        if slots::source::is_meant(source) {
            return Ok(Box::new(slots::EvmStorageDecoder::from_source(source)?));
        }
        Ok(Box::new(EvmDecoder::from_source(source)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak::{Hash32, keccak256};
    use crate::rlp;
    use serde_json::json;

    fn event(name: &str, anonymous: bool) -> Value {
        let inputs = json!([{ "name": "on", "type": "bool", "indexed": anonymous }]);
        json!({ "type": "event", "name": name, "inputs": inputs, "anonymous": anonymous })
    }

    fn one() -> Value {
        json!({ "family": "evm", "contract": Address::new([1; 20]), "event": "Noted", "abi": [event("Noted", false)] })
    }

    /// Three contracts: the first two share an ABI and an event's name, the third has an anonymous event.
    fn several() -> Value {
        json!({ "family": "evm", "abi": [event("Noted", false), event("Struck", false)], "contracts": [
            { "contract": Address::new([2; 20]), "event": "Noted" },
            { "contract": Address::new([1; 20]) },
            { "contract": Address::new([3; 20]), "events": ["Quiet"], "abi": [event("Loud", false), event("Quiet", true)] },
        ]})
    }

    fn log(contract: u8, topics: &[Hash32], data: &[u8]) -> Vec<u8> {
        let mut list = Vec::new();
        topics.iter().for_each(|topic| rlp::write_string(topic.as_bytes(), &mut list));
        let mut items = Vec::new();
        rlp::write_string(&[contract; 20], &mut items);
        rlp::write_list(&list, &mut items);
        rlp::write_string(data, &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    fn yes() -> [u8; 32] {
        let mut word = [0; 32];
        word[31] = 1;
        word
    }

    fn signature(name: &str) -> Hash32 {
        keccak256(format!("{name}(bool)").as_bytes())
    }

    #[test]
    fn a_log_of_the_contract() {
        let decoder = EvmDecoder::from_source(&one()).unwrap();
        let decoded = decoder.decode_log(&log(1, &[signature("Noted")], &yes())).unwrap();
        assert_eq!((decoded.event.as_str(), &decoded.value["args"]), ("Noted", &json!({ "on": true })));
    }

    #[test]
    fn wrong_contract() {
        let decoder = EvmDecoder::from_source(&one()).unwrap();
        let refused = decoder.decode_log(&log(2, &[signature("Noted")], &yes())).unwrap_err();
        assert_eq!(refused.reason(), "item-not-selected");
    }

    #[test]
    fn each_contract_has_its_own_events() {
        let decoder = EvmDecoder::from_source(&several()).unwrap();
        let selector = LogSelector::read(decoder.selector()).unwrap();
        let quiet = Hash32::new(yes());
        for (contract, topic, data, expected) in [
            (1, signature("Noted"), &yes()[..], Some("Noted")),
            (1, signature("Struck"), &yes()[..], Some("Struck")),
            (2, signature("Noted"), &yes()[..], Some("Noted")),
            (2, signature("Struck"), &yes()[..], None),
            (3, signature("Noted"), &yes()[..], Some("event-data-trailing")),
            (3, quiet, &[][..], Some("Quiet")),
            (3, signature("Loud"), &[][..], None),
            (4, signature("Noted"), &yes()[..], None),
        ] {
            let bytes = log(contract, &[topic], data);
            let selected = selector.matches(&Log::parse(&bytes).unwrap());
            assert_eq!(selected, expected.is_some(), "{contract} {topic}");
            match decoder.decode_log(&bytes) {
                Ok(decoded) => {
                    assert_eq!(Some(decoded.event.as_str()), expected);
                    assert_eq!(decoded.contract, Address::new([contract; 20]));
                    assert_eq!(decoded.value["contract"], decoded.contract.to_string());
                }
                Err(fault) if selected => assert_eq!(Some(fault.reason()), expected),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn a_contract_named_twice() {
        let mut twice = several();
        twice["contracts"][0]["contract"] = json!(Address::new([1; 20]));
        assert_eq!(EvmDecoder::from_source(&twice).unwrap_err().pointer, "/contracts");
    }

    /// What stands in definitions that peers have pinned: neither selector nor decoder of an older file may change.
    #[test]
    fn the_selector_of_one_contract_is_frozen() {
        let abi = json!([event("Noted", false), event("Struck", false), event("Quiet", true)]);
        let source = json!({ "family": "evm", "contract": Address::new([1; 20]), "abi": abi });
        let decoder = EvmDecoder::from_source(&source).unwrap();
        let expected = json!({
            "contract": "0x0101010101010101010101010101010101010101",
            "topics": [
                "0x856284c9cf0d27d2afb7547417d155c38486fef198fe031166cb221b5c986597",
                "0xe8e7b4df81a8568bbc4dc397152f32f171670e2149af7d7e7c7b37820da80c69",
            ],
        });
        assert_eq!(decoder.selector().value(), &expected);
        assert_eq!(decoder.version(), DecoderVersion { name: "evm-abi".to_owned(), version: 1 });
    }
}
