//! Selector, decoder and family of the simulated ledger.

use std::collections::BTreeSet;

use hufu_adapters_light_client::{
    ConfigurationFault, DecodeFault, Decoded, Decoder, DecoderVersion, DynLightClient, Erased, Family, Proven,
    Rejection, Selector,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::FAMILY;
use super::client::{SimAnchor, SimClient};
use super::wire::{SimItem, decode};

/// One contract and the names of its events. As JSON: `{"contract": "registry", "events": ["Granted"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimSelector {
    /// Who speaks.
    pub contract: String,
    /// Names of events.
    pub events: BTreeSet<String>,
}

impl SimSelector {
    /// Events of one contract.
    pub fn new(contract: &str, events: &[&str]) -> Self {
        Self { contract: contract.to_owned(), events: events.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// The form that stands in a lane's definition.
    pub fn to_selector(&self) -> Selector {
        Selector::new(json!({ "contract": self.contract, "events": self.events }))
    }

    /// Reads the family's selector.
    ///
    /// # Errors
    /// [`Rejection`] `selector-malformed`.
    pub fn read(selector: &Selector) -> Result<Self, Rejection> {
        Self::deserialize(selector.value())
            .map_err(|fault| Rejection::new("selector-malformed", "{contract, events}", fault.to_string()))
    }

    /// Whether the item is one of those meant.
    pub fn matches(&self, item: &SimItem) -> bool {
        item.contract == self.contract && self.events.contains(&item.name)
    }
}

/// Decodes items: their body is JSON already.
#[derive(Debug, Clone)]
pub struct SimDecoder {
    wanted: SimSelector,
    selector: Selector,
}

impl SimDecoder {
    /// A decoder of these events.
    pub fn new(wanted: SimSelector) -> Self {
        Self { selector: wanted.to_selector(), wanted }
    }
}

impl Decoder for SimDecoder {
    fn version(&self) -> DecoderVersion {
        DecoderVersion { name: "sim-json".to_owned(), version: 1 }
    }

    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn decode(&self, item: &Proven) -> Result<Vec<Decoded>, DecodeFault> {
        let fault = |reason, expected: &str, got: String| DecodeFault { reason, expected: expected.to_owned(), got };
        if item.ledger().family() != FAMILY {
            return Err(fault("item-of-another-family", FAMILY, item.ledger().to_string()));
        }
        let read: SimItem = decode(item.native(), "item-malformed", "an item")
            .map_err(|rejection| fault("item-malformed", "an item", rejection.to_string()))?;
        if !self.wanted.matches(&read) {
            let got = format!("{} of {}", read.name, read.contract);
            return Err(fault("item-not-selected", "an event of the selector", got));
        }
        Ok(vec![Decoded { value: read.body, contract: read.contract, event: read.name }])
    }
}

/// The family's door.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimFamily;

impl Family for SimFamily {
    fn name(&self) -> &'static str {
        FAMILY
    }

    fn client(&self, anchor: &Value) -> Result<Box<dyn DynLightClient>, ConfigurationFault> {
        let fault = |pointer: &str, expected: &str, got: String| ConfigurationFault {
            pointer: pointer.to_owned(),
            expected: expected.to_owned(),
            got,
        };
        let anchor = SimAnchor::deserialize(anchor)
            .map_err(|error| fault("", "{family, genesis, validators, trusted_for}", error.to_string()))?;
        let client = SimClient::new(&anchor).map_err(|(pointer, got)| fault(pointer, "a usable value", got))?;
        Ok(Box::new(Erased::new(client)))
    }

    /// A mapping's `source` section is the selector, with or without `family`.
    fn decoder(&self, source: &Value) -> Result<Box<dyn Decoder>, ConfigurationFault> {
        let mut section = source.clone();
        if let Some(map) = section.as_object_mut() {
            map.remove("family");
        }
        let wanted = SimSelector::deserialize(&section).map_err(|error| ConfigurationFault {
            pointer: String::new(),
            expected: "{contract, events}".to_owned(),
            got: error.to_string(),
        })?;
        Ok(Box::new(SimDecoder::new(wanted)))
    }
}
