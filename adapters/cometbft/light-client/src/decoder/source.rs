//! The `source` section of a mapping.

use super::{CometbftDecoder, Format};
use crate::anchor::{FAMILY, brief, fault};
use crate::protobuf::Descriptors;
use crate::selector::Lane;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_adapters_light_client::ConfigurationFault;
use serde_json::{Map, Value};

/// What is about values and not about which items are meant.
const OF_FORMAT: [&str; 3] = ["format", "descriptors", "message"];

impl CometbftDecoder {
    /// A decoder for a mapping's `source` section: `{"family": "cometbft", "kind": …}` with the fields of the selector's
    /// kind ([`crate::selector`]), and for values and bodies
    /// - `format`: `json`, `bytes` or `protobuf`; not for events, which have attributes;
    /// - `descriptors`, for protobuf: base64 of a `FileDescriptorSet` with all that it imports;
    /// - `message`, for protobuf in the state and in whole transactions: the type's full name. Messages of transactions
    ///   name theirs.
    ///
    /// # Errors
    /// [`ConfigurationFault`] with the pointer of what is missing, unknown or wrong.
    pub fn from_source(source: &Value) -> Result<Self, ConfigurationFault> {
        let object = source.as_object().ok_or_else(|| fault("", "an object", &brief(source)))?;
        match object.get("family").and_then(Value::as_str) {
            Some(FAMILY) => {}
            other => return Err(fault("/family", "\"cometbft\"", other.unwrap_or("nothing"))),
        }
        let about = object.iter().filter(|(key, _)| *key != "family" && !OF_FORMAT.contains(&key.as_str()));
        let about: Map<String, Value> = about.map(|(key, value)| (key.clone(), value.clone())).collect();
        let kind = about.get("kind").and_then(Value::as_str).unwrap_or_default();
        let kinds = ["transactions", "state", "sequence", "events"];
        if !kinds.contains(&kind) {
            return Err(fault("/kind", &kinds.join(", "), kind));
        }
        let lane: Lane = serde_json::from_value(Value::Object(about))
            .map_err(|error| fault("", "the fields of this kind", &error.to_string()))?;
        lane.check().map_err(|error| fault("", error.expected(), error.got()))?;
        let format = read_format(object, &lane)?;
        Ok(Self { selector: lane.to_selector(), lane, format })
    }
}

fn read_format(object: &Map<String, Value>, lane: &Lane) -> Result<Format, ConfigurationFault> {
    let text = |key: &str| {
        object.get(key).map(|value| value.as_str().ok_or_else(|| fault(&format!("/{key}"), "text", &brief(value))))
    };
    let (format, descriptors, message) =
        (text("format").transpose()?, text("descriptors").transpose()?, text("message").transpose()?);
    let stray = |key: &str| Err(fault(&format!("/{key}"), "nothing here", "something"));
    if matches!(lane, Lane::Events { .. }) {
        return match OF_FORMAT.into_iter().find(|key| object.contains_key(*key)) {
            Some(key) => stray(key),
            None => Ok(Format::Bytes),
        };
    }
    let format = format.ok_or_else(|| fault("/format", "json, bytes or protobuf", "nothing"))?;
    if format != "protobuf" {
        if let Some(key) = ["descriptors", "message"].into_iter().find(|key| object.contains_key(*key)) {
            return stray(key);
        }
        return match format {
            "json" => Ok(Format::Json),
            "bytes" => Ok(Format::Bytes),
            other => Err(fault("/format", "json, bytes or protobuf", other)),
        };
    }
    let descriptors = descriptors.ok_or_else(|| fault("/descriptors", "a FileDescriptorSet in base64", "nothing"))?;
    let bytes = STANDARD.decode(descriptors).map_err(|error| fault("/descriptors", "base64", &error.to_string()))?;
    let types = Descriptors::parse(&bytes).map_err(|error| fault("/descriptors", error.expected(), error.got()))?;
    let names: Vec<&str> = match (lane, message) {
        (Lane::Transactions { messages: Some(_) }, Some(_)) => return stray("message"),
        (Lane::Transactions { messages: Some(urls) }, None) => {
            urls.iter().filter_map(|url| url.rsplit('/').next()).collect()
        }
        (_, Some(name)) => vec![name],
        (_, None) => return Err(fault("/message", "the type of the values", "nothing")),
    };
    match names.iter().find(|name| !types.holds(name)) {
        Some(missing) => Err(fault("/descriptors", &format!("a type {missing}"), "none")),
        None => Ok(Format::Protobuf { types, name: message.map(str::to_owned) }),
    }
}
