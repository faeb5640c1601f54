//! Items to vendor-neutral JSON, and the family's door for the gateway.
//!
//! A decoded item is, by the lane's kind,
//! ```json
//! {"kind": "sequence", "height": "9", "time": "…", "index": 0, "store": "land", "sequence": "7", "key": "…", "value": …}
//! {"kind": "state", "height": "9", "time": "…", "index": 1, "store": "land", "key": "…", "value": …}
//! {"kind": "transaction", "height": "9", "time": "…", "transaction": 0, "index": 0, "hash": "…", "data": "…", "body": …}
//! {"kind": "transaction", "height": "9", "time": "…", "transaction": 0, "index": 2, "hash": "…",
//!  "type": "/land.v1.MsgGrant", "body": …}
//! {"kind": "event", "height": "9", "time": "…", "transaction": 0, "index": 3, "hash": "…", "type": "grant",
//!  "attributes": {"id": "p-1", "many": ["a", "b"]}}
//! ```
//! the first two of `transaction` being a whole one and one message, which has no `data`: the result is the transaction's.
//! Values and bodies are read by the mapping's `format`: `json`, `bytes` (base64), or `protobuf` with pinned descriptors.

mod source;

use crate::anchor::{Anchor, FAMILY};
use crate::client::CometbftLightClient;
use crate::fault::{Fault, Reason};
use crate::hash::sha256;
use crate::native::{Base64, Event, Native};
use crate::protobuf::Descriptors;
use crate::selector::Lane;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_adapters_light_client::{
    ConfigurationFault, DecodeFault, Decoded, Decoder, DecoderVersion, DynLightClient, Erased, Family, Proven, Selector,
};
use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use serde_json::{Map, Value, json};

/// How values and bodies are written on the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Format {
    /// JSON.
    Json,
    /// Anything: given as base64.
    Bytes,
    /// Protobuf; the type is named here, or by the message itself.
    Protobuf { types: Descriptors, name: Option<String> },
}

impl Format {
    fn read(&self, bytes: &[u8], type_url: Option<&str>) -> Result<Value, Fault> {
        match self {
            Self::Bytes => Ok(json!(STANDARD.encode(bytes))),
            Self::Json => {
                canonical::parse(bytes, &JsonLimits::RECORD).map_err(|fault| Fault::new(Reason::Json, "JSON", fault))
            }
            Self::Protobuf { types, name } => {
                // `/land.v1.MsgGrant`: the name stands after the last stroke.
                let named = type_url.and_then(|url| url.rsplit('/').next()).or(name.as_deref());
                types.decode(named.unwrap_or_default(), bytes)
            }
        }
    }
}

/// Reads the items of one lane.
#[derive(Debug, Clone)]
pub struct CometbftDecoder {
    lane: Lane,
    selector: Selector,
    format: Format,
}

impl CometbftDecoder {
    /// Decodes one item's bytes: namespace, event's name, and JSON without the block's height and time.
    ///
    /// # Errors
    /// [`Fault`] if they are none of the lane's kind, or the value is not in the format.
    pub fn decode_native(&self, native: &[u8]) -> Result<(String, String, Map<String, Value>), Fault> {
        let native = Native::read(native)?;
        let other = || Fault::new(Reason::ItemOfAnother, "an item of the lane's kind", "another kind");
        match (&self.lane, &native) {
            (Lane::Transactions { messages: None }, Native::Transaction { tx, result }) => {
                let (body, data) = (self.format.read(tx, None)?, STANDARD.encode(&result.data));
                let value = json!({ "kind": "transaction", "hash": sha256(tx), "data": data, "body": body });
                Ok(said("transactions", "executed", value))
            }
            (Lane::Transactions { messages: Some(names) }, Native::Message { tx, type_url, value, .. })
                if names.contains(type_url) =>
            {
                let full = type_url.rsplit('/').next().unwrap_or_default();
                let (package, name) = full.rsplit_once('.').unwrap_or(("transactions", full));
                let body = self.format.read(&value.0, Some(type_url))?;
                let value = json!({ "kind": "transaction", "hash": tx, "type": type_url, "body": body });
                Ok(said(package, name, value))
            }
            (Lane::Transactions { messages: Some(_) }, Native::Unreadable { tx, fault }) => {
                Err(Fault::new(Reason::Unreadable, format!("a body of transaction {tx} that is read"), fault))
            }
            (Lane::State { store, .. }, Native::State { store: found, key, value }) if store == found => {
                let event = if value.is_some() { "changed" } else { "removed" };
                let read = value.as_ref().map(|Base64(value)| self.format.read(value, None)).transpose()?;
                let value = json!({ "kind": "state", "store": store, "key": key, "value": read });
                Ok(said(namespace(store.as_deref()), event, value))
            }
            (Lane::Sequence { store, .. }, Native::Sequence { store: found, sequence, key, value })
                if store == found =>
            {
                let read = self.format.read(&value.0, None)?;
                let sequence = sequence.to_string();
                let value =
                    json!({ "kind": "sequence", "store": store, "sequence": sequence, "key": key, "value": read });
                Ok(said(namespace(store.as_deref()), "added", value))
            }
            (Lane::Events { types }, Native::Event { tx, event }) if types.contains(&event.kind) => {
                let value = json!({ "kind": "event", "hash": tx, "type": event.kind, "attributes": attributes(event) });
                Ok(said("events", &event.kind, value))
            }
            _ => Err(other()),
        }
    }
}

fn said(namespace: &str, event: &str, value: Value) -> (String, String, Map<String, Value>) {
    let map = match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    (namespace.to_owned(), event.to_owned(), map)
}

fn namespace(store: Option<&str>) -> &str {
    store.unwrap_or("state")
}

/// By name; a name that stands more than once has a list, in the node's order.
fn attributes(event: &Event) -> Value {
    let mut map = Map::new();
    for attribute in &event.attributes {
        let value = json!(attribute.value);
        match map.get_mut(&attribute.key) {
            None => drop(map.insert(attribute.key.clone(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(one) => *one = json!([one.take(), value]),
        }
    }
    Value::Object(map)
}

impl Decoder for CometbftDecoder {
    fn version(&self) -> DecoderVersion {
        DecoderVersion { name: "cometbft".to_owned(), version: 1 }
    }

    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn decode(&self, item: &Proven) -> Result<Vec<Decoded>, DecodeFault> {
        let (contract, event, mut map) = self.decode_native(item.native())?;
        let position = item.position();
        map.insert("height".to_owned(), json!(position.height.to_string()));
        map.insert("time".to_owned(), json!(item.time().to_string()));
        map.insert("index".to_owned(), json!(position.event));
        if matches!(self.lane, Lane::Transactions { .. } | Lane::Events { .. }) {
            map.insert("transaction".to_owned(), json!(position.transaction));
        }
        Ok(vec![Decoded { value: Value::Object(map), contract, event }])
    }
}

/// The CometBFT family.
#[derive(Debug, Clone, Copy, Default)]
pub struct CometbftFamily;

impl Family for CometbftFamily {
    fn name(&self) -> &'static str {
        FAMILY
    }

    fn client(&self, anchor: &Value) -> Result<Box<dyn DynLightClient>, ConfigurationFault> {
        Ok(Box::new(Erased::new(CometbftLightClient::new(Anchor::parse(anchor)?))))
    }

    fn decoder(&self, source: &Value) -> Result<Box<dyn Decoder>, ConfigurationFault> {
        Ok(Box::new(CometbftDecoder::from_source(source)?))
    }
}

#[cfg(test)]
mod tests;
