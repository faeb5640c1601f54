//! Events decoded by their JSON ABI, strictly: what is accepted has exactly one encoding.
//!
//! Canonical encoding puts the tail of each dynamic value right behind the one before it. So offsets are not followed
//! but *checked*: each must point where the next tail starts, nothing may lie between values or after them, and all
//! padding must be what its type demands. Source: Solidity ABI specification, "formal specification of the encoding".
//!
//! As JSON: integers are decimal strings (they can be larger than any JSON number), addresses and bytes lower-case hex
//! with `0x`, tuples objects by field name, arrays arrays. An indexed argument of a dynamic or composed type is only a
//! hash on the ledger and is given as `{"hash": "0x…"}`. An argument without a name is `arg0`, `arg1`, … by place.
//!
//! Faults never repeat a value of the event: a fault may be published as the reason of a skipped leaf.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::receipt::Log;
use crate::uint::U256;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Bytes of the largest event data decoded.
pub const MAX_DATA_BYTES: usize = 1 << 20;
/// Events of one ABI.
pub const MAX_EVENTS: usize = 1_024;
/// Arguments of one event, or fields of one tuple.
pub const MAX_PARAMS: usize = 64;
/// How deep arrays and tuples nest in one type.
pub const MAX_DEPTH: usize = 8;
/// Words (32 bytes) of the largest type of fixed size: as much as [`MAX_DATA_BYTES`] can hold.
pub const MAX_STATIC_WORDS: usize = MAX_DATA_BYTES / WORD;
/// Arguments that can be indexed besides the signature: LOG4 has four topics.
const MAX_INDEXED: usize = 3;
const WORD: usize = 32;

/// A type of the ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Uint { bytes: usize },
    Int { bytes: usize },
    Address,
    Bool,
    FixedBytes { bytes: usize },
    Bytes,
    String,
    Array(Box<Kind>),
    FixedArray(Box<Kind>, usize),
    Tuple(Vec<Param>),
}

/// A named type.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Param {
    name: String,
    kind: Kind,
    indexed: bool,
}

/// One event of an ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    name: String,
    signature: String,
    topic: Hash32,
    params: Vec<Param>,
}

/// An event's arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedEvent {
    /// Its name, or its signature where the ABI uses the name twice.
    pub name: String,
    /// Its arguments by name.
    pub args: Map<String, Value>,
}

/// The named events of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abi {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    inputs: Vec<Input>,
    #[serde(default)]
    anonymous: bool,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    indexed: bool,
    #[serde(default)]
    components: Vec<Input>,
}

impl Abi {
    /// Reads the events of a JSON ABI; functions, errors, constructors and anonymous events are passed over.
    ///
    /// # Errors
    /// [`Fault`] if it is no ABI, has two events of one signature, types that are unknown or beyond the limits, or two
    /// arguments of one name.
    pub fn parse(value: &Value) -> Result<Self, Fault> {
        let entries = Vec::<Entry>::deserialize(value)
            .map_err(|error| Fault::new(Reason::Abi, "a JSON ABI: a list of entries", error))?;
        let mut events: Vec<Event> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.kind == "event" && !entry.anonymous) {
            if events.len() == MAX_EVENTS {
                return Err(Fault::new(Reason::Abi, format!("at most {MAX_EVENTS} events"), "one more"));
            }
            let event = Event::read(entry)?;
            if events.iter().any(|other| other.topic == event.topic) {
                return Err(Fault::new(Reason::Abi, "each event once", &event.signature));
            }
            events.push(event);
        }
        Ok(Self { events })
    }

    /// The events, in the order of the ABI.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Keeps only these events, named by name or by signature.
    ///
    /// # Errors
    /// [`Fault`] if one names no event, or several.
    pub fn only(mut self, wanted: &[String]) -> Result<Self, Fault> {
        for want in wanted {
            let found = self.events.iter().filter(|event| event.is(want)).count();
            if found != 1 {
                let expected = format!("one event {want} (a name that is used twice needs its signature)");
                return Err(Fault::new(Reason::Abi, expected, format!("{found} such events")));
            }
        }
        self.events.retain(|event| wanted.iter().any(|want| event.is(want)));
        Ok(self)
    }

    /// Decodes a log.
    ///
    /// # Errors
    /// [`Fault`] if no event has its first topic, or topics or data are not its canonical encoding.
    pub fn decode(&self, log: &Log<'_>) -> Result<DecodedEvent, Fault> {
        let first = log.topics().first();
        let event = self.events.iter().find(|event| Some(&event.topic) == first).ok_or_else(|| {
            Fault::new(Reason::UnknownEvent, "the first topic of an event of the ABI", format!("{first:?}"))
        })?;
        let overloaded = self.events.iter().filter(|other| other.name == event.name).count() > 1;
        let name = if overloaded { &event.signature } else { &event.name };
        Ok(DecodedEvent { name: name.clone(), args: event.decode(log)? })
    }
}

impl Event {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its signature, `Name(type,type)`.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Keccak-256 of the signature: the first topic of its logs.
    pub fn topic(&self) -> Hash32 {
        self.topic
    }

    fn is(&self, wanted: &str) -> bool {
        self.name == wanted || self.signature == wanted
    }

    fn read(entry: &Entry) -> Result<Self, Fault> {
        let params = read_params(&entry.inputs, 0)?;
        if entry.name.is_empty() {
            return Err(Fault::new(Reason::Abi, "an event with a name", "no name"));
        }
        let indexed = params.iter().filter(|param| param.indexed).count();
        if indexed > MAX_INDEXED {
            return Err(Fault::new(Reason::Abi, format!("at most {MAX_INDEXED} indexed arguments"), indexed));
        }
        let signature = format!("{}{}", entry.name, tuple_signature(&params));
        let topic = keccak256(signature.as_bytes());
        Ok(Self { name: entry.name.clone(), signature, topic, params })
    }

    fn decode(&self, log: &Log<'_>) -> Result<Map<String, Value>, Fault> {
        let mut topics = log.topics().iter().skip(1);
        let due = 1 + self.params.iter().filter(|param| param.indexed).count();
        if log.topics().len() != due {
            return Err(Fault::new(Reason::Topics, format!("{due} topics of {}", self.signature), log.topics().len()));
        }
        let mut values = decode_data(&self.params, log.data())?.into_iter();
        let mut args = Map::new();
        for param in &self.params {
            let value = if param.indexed {
                topics.next().map(|topic| param.kind.decode_topic(topic)).transpose()?
            } else {
                values.next()
            };
            args.insert(param.name.clone(), value.unwrap_or_default());
        }
        Ok(args)
    }
}

/// Decodes the arguments that are not indexed, which make up the whole data.
fn decode_data(params: &[Param], data: &[u8]) -> Result<Vec<Value>, Fault> {
    if data.len() > MAX_DATA_BYTES {
        let expected = format!("event data of at most {MAX_DATA_BYTES} bytes");
        return Err(Fault::new(Reason::TooLarge, expected, data.len()));
    }
    let kinds: Vec<&Kind> = params.iter().filter(|param| !param.indexed).map(|param| &param.kind).collect();
    let (values, used) = decode_sequence(&kinds, data)?;
    if used != data.len() {
        return Err(Fault::new(Reason::DataTrailing, format!("{used} bytes of data"), data.len()));
    }
    Ok(values)
}

fn read_params(inputs: &[Input], depth: usize) -> Result<Vec<Param>, Fault> {
    if inputs.len() > MAX_PARAMS {
        return Err(Fault::new(Reason::Abi, format!("at most {MAX_PARAMS} arguments or fields"), inputs.len()));
    }
    let mut params: Vec<Param> = Vec::with_capacity(inputs.len());
    for (place, input) in inputs.iter().enumerate() {
        let name = if input.name.is_empty() { format!("arg{place}") } else { input.name.clone() };
        if params.iter().any(|other| other.name == name) {
            return Err(Fault::new(Reason::Abi, "arguments of different names", name));
        }
        params.push(Param { name, kind: Kind::read(&input.kind, &input.components, depth)?, indexed: input.indexed });
    }
    Ok(params)
}

fn tuple_signature(params: &[Param]) -> String {
    let types: Vec<String> = params.iter().map(|param| param.kind.signature()).collect();
    format!("({})", types.join(","))
}

impl Kind {
    fn read(text: &str, components: &[Input], depth: usize) -> Result<Self, Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault::new(Reason::Abi, format!("types nested at most {MAX_DEPTH} deep"), text));
        }
        let fault = || Fault::new(Reason::Abi, "a supported type in canonical spelling", text);
        let kind = match text.strip_suffix(']') {
            None => Self::read_plain(text, components, depth)?.ok_or_else(fault)?,
            Some(inner) => {
                let (element, length) = inner.rsplit_once('[').ok_or_else(fault)?;
                let element = Box::new(Self::read(element, components, depth + 1)?);
                if length.is_empty() {
                    Self::Array(element)
                } else {
                    Self::FixedArray(element, canonical_number(length, MAX_STATIC_WORDS).ok_or_else(fault)?)
                }
            }
        };
        kind.head_words().filter(|words| *words <= MAX_STATIC_WORDS).ok_or_else(fault)?;
        Ok(kind)
    }

    fn read_plain(text: &str, components: &[Input], depth: usize) -> Result<Option<Self>, Fault> {
        let bits = |digits: &str| canonical_number(digits, 256).filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
        Ok(match text {
            "address" => Some(Self::Address),
            "bool" => Some(Self::Bool),
            "bytes" => Some(Self::Bytes),
            "string" => Some(Self::String),
            // A tuple without fields would take no bytes, and an array of such could be of any length.
            "tuple" if !components.is_empty() => Some(Self::Tuple(read_params(components, depth + 1)?)),
            _ => {
                if let Some(digits) = text.strip_prefix("uint") {
                    bits(digits).map(|bytes| Self::Uint { bytes })
                } else if let Some(digits) = text.strip_prefix("int") {
                    bits(digits).map(|bytes| Self::Int { bytes })
                } else {
                    let digits = text.strip_prefix("bytes");
                    digits.and_then(|digits| canonical_number(digits, WORD)).map(|bytes| Self::FixedBytes { bytes })
                }
            }
        })
    }

    fn signature(&self) -> String {
        match self {
            Self::Uint { bytes } => format!("uint{}", bytes * 8),
            Self::Int { bytes } => format!("int{}", bytes * 8),
            Self::Address => "address".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::FixedBytes { bytes } => format!("bytes{bytes}"),
            Self::Bytes => "bytes".to_owned(),
            Self::String => "string".to_owned(),
            Self::Array(element) => format!("{}[]", element.signature()),
            Self::FixedArray(element, length) => format!("{}[{length}]", element.signature()),
            Self::Tuple(params) => tuple_signature(params),
        }
    }

    fn is_dynamic(&self) -> bool {
        match self {
            Self::Bytes | Self::String | Self::Array(_) => true,
            Self::FixedArray(element, _) => element.is_dynamic(),
            Self::Tuple(params) => params.iter().any(|param| param.kind.is_dynamic()),
            _ => false,
        }
    }

    /// Words that the value takes in the head of what holds it: one for an offset, or the whole value. At least one,
    /// so that a length can be held against the bytes that are there. `None` if beyond counting.
    fn head_words(&self) -> Option<usize> {
        if self.is_dynamic() {
            return Some(1);
        }
        match self {
            Self::FixedArray(element, length) => element.head_words()?.checked_mul(*length),
            Self::Tuple(params) => {
                params.iter().try_fold(0usize, |sum, param| sum.checked_add(param.kind.head_words()?))
            }
            _ => Some(1),
        }
    }

    fn decode_topic(&self, topic: &Hash32) -> Result<Value, Fault> {
        match self {
            Self::Bytes | Self::String | Self::Array(_) | Self::FixedArray(..) | Self::Tuple(_) => {
                Ok(json!({ "hash": topic }))
            }
            _ => self.decode_word(topic.as_bytes()),
        }
    }

    /// Decodes the value that starts at `bytes`; gives it with the number of bytes it takes there.
    fn decode(&self, bytes: &[u8]) -> Result<(Value, usize), Fault> {
        match self {
            Self::Bytes => {
                let (content, used) = decode_bytes(bytes)?;
                Ok((Value::String(hex_text(content)), used))
            }
            Self::String => {
                let (content, used) = decode_bytes(bytes)?;
                let text = std::str::from_utf8(content).map_err(|error| {
                    let got = format!("a fault after {} of {} bytes", error.valid_up_to(), content.len());
                    Fault::new(Reason::DataUtf8, "a string in UTF-8", got)
                })?;
                Ok((Value::String(text.to_owned()), used))
            }
            Self::Array(element) => {
                let (length, rest) = split_length(bytes)?;
                let room = rest.len() / WORD / element.head_words().unwrap_or(usize::MAX).max(1);
                if length > room {
                    return Err(Fault::new(Reason::DataLength, format!("an array of at most {room} elements"), length));
                }
                let (values, used) = decode_sequence(&vec![element.as_ref(); length], rest)?;
                Ok((Value::Array(values), WORD + used))
            }
            Self::FixedArray(element, length) => {
                require_room(bytes, element.head_words().unwrap_or(usize::MAX).saturating_mul(*length))?;
                let (values, used) = decode_sequence(&vec![element.as_ref(); *length], bytes)?;
                Ok((Value::Array(values), used))
            }
            Self::Tuple(params) => {
                let kinds: Vec<&Self> = params.iter().map(|param| &param.kind).collect();
                let (values, used) = decode_sequence(&kinds, bytes)?;
                let fields = params.iter().map(|param| param.name.clone()).zip(values).collect();
                Ok((Value::Object(fields), used))
            }
            _ => {
                let (word, _) = split_word(bytes)?;
                Ok((self.decode_word(word)?, WORD))
            }
        }
    }

    /// Decodes a value that is one word.
    fn decode_word(&self, word: &[u8; WORD]) -> Result<Value, Fault> {
        match self {
            Self::Uint { bytes } => {
                self.require_padding(word, WORD - bytes, false, 0)?;
                Ok(Value::String(U256::new(*word).to_string()))
            }
            Self::Int { bytes } => {
                let sign = word.get(WORD - bytes).is_some_and(|byte| byte & 0x80 != 0);
                self.require_padding(word, WORD - bytes, false, if sign { 0xff } else { 0 })?;
                Ok(Value::String(U256::new(*word).to_signed_decimal()))
            }
            Self::Address => {
                self.require_padding(word, 12, false, 0)?;
                Ok(json!(Address::new(word.last_chunk().copied().unwrap_or_default())))
            }
            Self::FixedBytes { bytes } => {
                self.require_padding(word, WORD - bytes, true, 0)?;
                Ok(Value::String(hex_text(word.get(..*bytes).unwrap_or_default())))
            }
            _ => {
                self.require_padding(word, WORD - 1, false, 0)?;
                match word.last() {
                    Some(0) => Ok(Value::Bool(false)),
                    Some(1) => Ok(Value::Bool(true)),
                    _ => Err(Fault::new(Reason::DataPadding, "bool 0 or 1", "another number")),
                }
            }
        }
    }

    /// Asserts that `count` bytes at one end of the word are all `fill`.
    fn require_padding(&self, word: &[u8; WORD], count: usize, at_end: bool, fill: u8) -> Result<(), Fault> {
        let padding = if at_end { word.get(WORD - count..) } else { word.get(..count) };
        if padding.is_some_and(|bytes| bytes.iter().all(|byte| *byte == fill)) {
            return Ok(());
        }
        Err(Fault::new(Reason::DataPadding, format!("{} padded with {fill:02x}", self.signature()), "other bytes"))
    }
}

/// Decodes values that stand side by side: heads first, then the tails of the dynamic ones in the same order. Gives
/// them with the number of bytes of heads and tails.
fn decode_sequence(kinds: &[&Kind], bytes: &[u8]) -> Result<(Vec<Value>, usize), Fault> {
    let head_words = kinds.iter().try_fold(0usize, |sum, kind| sum.checked_add(kind.head_words()?));
    require_room(bytes, head_words.unwrap_or(usize::MAX))?;
    let mut tail = head_words.unwrap_or(usize::MAX).saturating_mul(WORD);
    let mut head = bytes;
    let mut values = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let (value, used_in_head) = if kind.is_dynamic() {
            let (offset, _) = split_length(head)?;
            if offset != tail {
                return Err(Fault::new(Reason::DataOffset, format!("offset {tail}"), offset));
            }
            let (value, used) = kind.decode(bytes.get(tail..).unwrap_or_default())?;
            tail = tail.saturating_add(used);
            (value, WORD)
        } else {
            kind.decode(head)?
        };
        values.push(value);
        head = head.get(used_in_head..).unwrap_or_default();
    }
    Ok((values, tail))
}

/// A length, its bytes, and zeros up to a whole number of words.
fn decode_bytes(bytes: &[u8]) -> Result<(&[u8], usize), Fault> {
    let (length, rest) = split_length(bytes)?;
    let padded = length.checked_next_multiple_of(WORD).filter(|padded| *padded <= rest.len());
    let Some(padded) = padded else {
        return Err(Fault::new(Reason::DataLength, format!("a length of at most {}", rest.len()), length));
    };
    let (content, padding) = rest.get(..padded).unwrap_or_default().split_at_checked(length).unwrap_or_default();
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Fault::new(Reason::DataPadding, "zeros after the content", "other bytes"));
    }
    Ok((content, WORD + padded))
}

/// A word that is a length or an offset, and what follows it.
fn split_length(bytes: &[u8]) -> Result<(usize, &[u8]), Fault> {
    let (word, rest) = split_word(bytes)?;
    let number = U256::new(*word).to_u64().and_then(|number| usize::try_from(number).ok());
    match number {
        Some(number) if number <= MAX_DATA_BYTES => Ok((number, rest)),
        _ => Err(Fault::new(Reason::DataLength, format!("a number up to {MAX_DATA_BYTES}"), "a larger one")),
    }
}

fn split_word(bytes: &[u8]) -> Result<(&[u8; WORD], &[u8]), Fault> {
    bytes.split_first_chunk().ok_or_else(|| Fault::new(Reason::DataShort, "one more word of 32 bytes", bytes.len()))
}

fn require_room(bytes: &[u8], words: usize) -> Result<(), Fault> {
    if bytes.len() / WORD >= words {
        return Ok(());
    }
    Err(Fault::new(Reason::DataShort, format!("{words} words of 32 bytes"), format!("{} bytes", bytes.len())))
}

fn canonical_number(digits: &str, most: usize) -> Option<usize> {
    let number: usize = digits.parse().ok()?;
    (number > 0 && number <= most && number.to_string() == digits).then_some(number)
}

fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(types: &[&str]) -> Vec<Param> {
        types
            .iter()
            .enumerate()
            .map(|(place, text)| Param {
                name: format!("a{place}"),
                kind: Kind::read(text, &[], 0).unwrap(),
                indexed: false,
            })
            .collect()
    }

    fn data(words: &str) -> Vec<u8> {
        hex::decode(words.split_whitespace().map(|word| format!("{word:0>64}")).collect::<String>()).unwrap()
    }

    /// Text padded on the right to one word.
    fn left(hex_digits: &str) -> String {
        format!("{hex_digits:0<64}")
    }

    fn decode(types: &[&str], words: &str) -> Result<Vec<Value>, &'static str> {
        decode_data(&params(types), &data(words)).map_err(|fault| fault.reason())
    }

    #[test]
    fn words() {
        let minus_one = "f".repeat(64);
        assert_eq!(decode(&["uint256"], &minus_one).unwrap()[0], json!(U256::new([0xff; 32]).to_string()));
        assert_eq!(
            decode(&["int8", "int256"], &format!("{minus_one} {minus_one}")).unwrap(),
            [json!("-1"), json!("-1")]
        );
        assert_eq!(decode(&["bool", "uint8"], "1 ff").unwrap(), [json!(true), json!("255")]);
        assert_eq!(decode(&["bytes4"], &left("01020304")).unwrap(), [json!("0x01020304")]);
        let address = "aa".repeat(20);
        assert_eq!(decode(&["address"], &address).unwrap(), [json!(format!("0x{address}"))]);
    }

    #[test]
    fn padding_that_is_not_the_types() {
        for (kind, word) in [
            ("uint8", "100".to_owned()),
            ("int8", "80".to_owned()),
            ("int8", format!("{}7f", "f".repeat(62))),
            ("bool", "2".to_owned()),
            ("address", "aa".repeat(21)),
            ("bytes4", left("0102030405")),
        ] {
            assert_eq!(decode(&[kind], &word), Err("event-data-padding"), "{kind} {word}");
        }
        let text = format!("20 1 {}", left("6162"));
        assert_eq!(decode(&["string"], &text), Err("event-data-padding"));
    }

    #[test]
    fn dynamic_values_in_their_canonical_places() {
        let words = format!("40 80 2 {} 3 {}", left("6162"), left("010203"));
        assert_eq!(decode(&["string", "bytes"], &words).unwrap(), [json!("ab"), json!("0x010203")]);
        assert_eq!(decode(&["uint8[]", "uint8[2]"], "60 1 2 2 3 4").unwrap(), [json!(["3", "4"]), json!(["1", "2"])]);
        let nested = format!("20 2 40 80 1 {} 1 {}", left("61"), left("62"));
        assert_eq!(decode(&["string[]"], &nested).unwrap(), [json!(["a", "b"])]);
    }

    #[test]
    fn offsets_that_overlap_leave_gaps_or_point_outside() {
        for offset in ["20", "60", "0", "1000", "41", &"f".repeat(64)] {
            let words = format!("40 {offset} 2 {} 3 {}", left("6162"), left("010203"));
            let reason = decode(&["string", "bytes"], &words).unwrap_err();
            assert!(["event-data-offset", "event-data-length"].contains(&reason), "{offset}: {reason}");
        }
    }

    #[test]
    fn trailing_bytes() {
        assert_eq!(decode(&["bool"], "1 0"), Err("event-data-trailing"));
        assert_eq!(decode(&[], "0"), Err("event-data-trailing"));
        let mut odd = data("1");
        odd.push(0);
        assert_eq!(decode_data(&params(&["bool"]), &odd).unwrap_err().reason(), "event-data-trailing");
    }

    #[test]
    fn lengths_beyond_what_is_there() {
        assert_eq!(decode(&["bytes"], "20 21 0"), Err("event-data-length"));
        assert_eq!(decode(&["uint8[]"], "20 2 0"), Err("event-data-length"));
        assert_eq!(decode(&["uint8[]"], &format!("20 {}", "f".repeat(64))), Err("event-data-length"));
        assert_eq!(decode(&["uint8", "uint8"], "1"), Err("event-data-short"));
        assert_eq!(decode(&["string[5]"], "20 1"), Err("event-data-short"));
    }

    #[test]
    fn a_string_that_is_not_utf8() {
        assert_eq!(decode(&["string"], &format!("20 2 {}", left("c328"))), Err("event-data-utf8"));
    }

    #[test]
    fn types_that_are_unknown_or_boundless() {
        for text in [
            "uint",
            "uint7",
            "uint264",
            "uint08",
            "bytes0",
            "bytes33",
            "fixed128x18",
            "function",
            "uint8[0]",
            "uint8[01]",
            "uint8[",
            "uint8]",
            "tuple",
            "uint8[40000]",
            "uint8[1000][1000]",
            "",
            "Uint8",
            "uint8[][][][][][][][]",
        ] {
            assert_eq!(Kind::read(text, &[], 0).unwrap_err().reason(), "abi-malformed", "{text}");
        }
    }

    fn registry() -> Abi {
        Abi::parse(&json!([
            {"type": "constructor", "inputs": []},
            {"type": "event", "name": "Noted", "inputs": [
                {"name": "id", "type": "bytes32", "indexed": true},
                {"name": "title", "type": "string", "indexed": true},
                {"name": "deed", "type": "tuple", "components": [
                    {"name": "holder", "type": "string"}, {"name": "shares", "type": "uint16[2]"}]},
                {"name": "", "type": "tuple[]", "components": [{"name": "x", "type": "int8"}]}]},
        ]))
        .unwrap()
    }

    #[test]
    fn tuples_are_objects_and_indexed_dynamic_values_are_hashes() {
        let abi = registry();
        assert_eq!(abi.events()[0].signature(), "Noted(bytes32,string,(string,uint16[2]),(int8)[])");
        let topics = [abi.events()[0].topic(), Hash32::new([1; 32]), Hash32::new([2; 32])];
        let words = format!("40 e0 60 7 8 2 {} 1 5", left("e58f"));
        let log = log(&topics, &data(&words.replace("e58f", "6f6b")));
        let args = abi.decode(&Log::parse(&log).unwrap()).unwrap().args;
        let expected = json!({
            "id": Hash32::new([1; 32]),
            "title": {"hash": Hash32::new([2; 32])},
            "deed": {"holder": "ok", "shares": ["7", "8"]},
            "arg3": [{"x": "5"}],
        });
        assert_eq!(Value::Object(args), expected);
    }

    fn log(topics: &[Hash32], data: &[u8]) -> Vec<u8> {
        use crate::rlp;
        let mut list = Vec::new();
        topics.iter().for_each(|topic| rlp::write_string(topic.as_bytes(), &mut list));
        let mut items = Vec::new();
        rlp::write_string(&[1; 20], &mut items);
        rlp::write_list(&list, &mut items);
        rlp::write_string(data, &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    #[test]
    fn an_event_name_used_twice_is_told_apart_by_its_signature() {
        let abi = Abi::parse(&json!([
            {"type": "event", "name": "E", "inputs": []},
            {"type": "event", "name": "E", "inputs": [{"name": "a", "type": "bool"}]},
        ]))
        .unwrap();
        let log = log(&[abi.events()[0].topic()], &[]);
        assert_eq!(abi.decode(&Log::parse(&log).unwrap()).unwrap().name, "E()");
        assert!(abi.clone().only(&["E".to_owned()]).is_err());
        assert_eq!(abi.only(&["E(bool)".to_owned()]).unwrap().events().len(), 1);
    }

    #[test]
    fn topics_of_another_event_or_number() {
        let abi = registry();
        let topic = abi.events()[0].topic();
        let one_short = log(&[topic, topic], &[]);
        assert_eq!(abi.decode(&Log::parse(&one_short).unwrap()).unwrap_err().reason(), "event-topics");
        let unknown = log(&[Hash32::ZERO], &[]);
        assert_eq!(abi.decode(&Log::parse(&unknown).unwrap()).unwrap_err().reason(), "event-unknown");
        let anonymous = log(&[], &[]);
        assert_eq!(abi.decode(&Log::parse(&anonymous).unwrap()).unwrap_err().reason(), "event-unknown");
    }

    #[test]
    fn an_abi_with_an_event_twice_or_two_arguments_of_one_name() {
        let event = json!({"type": "event", "name": "E", "inputs": [{"name": "a", "type": "bool"}]});
        assert!(Abi::parse(&json!([event, event])).is_err());
        let twice = json!([{"type": "event", "name": "E", "inputs": [
            {"name": "a", "type": "bool"}, {"name": "a", "type": "bool"}]}]);
        assert_eq!(Abi::parse(&twice).unwrap_err().reason(), "abi-malformed");
    }

    /// Encodes texts and numbers as the specification says, to hold the decoder against something else.
    fn encode_texts(texts: &[String], numbers: &[u64]) -> Vec<u8> {
        let word = |number: usize| U256::from(number as u64).as_bytes().to_vec();
        let tails: Vec<Vec<u8>> = texts
            .iter()
            .map(|text| {
                let mut padded = text.as_bytes().to_vec();
                padded.resize(text.len().next_multiple_of(32), 0);
                [word(text.len()), padded].concat()
            })
            .collect();
        let mut out = [word(64), word(64 + 32 + texts.len() * 32 + tails.concat().len()), word(texts.len())].concat();
        let mut at = texts.len() * 32;
        for tail in &tails {
            out.extend(word(at));
            at += tail.len();
        }
        out.extend(tails.concat());
        out.extend(word(numbers.len()));
        numbers.iter().for_each(|number| out.extend(U256::from(*number).as_bytes()));
        out
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            texts in proptest::collection::vec(".{0,40}", 0..6), numbers in proptest::collection::vec(any::<u64>(), 0..6)
        ) {
            let bytes = encode_texts(&texts, &numbers);
            let values = decode_data(&params(&["string[]", "uint64[]"]), &bytes).unwrap();
            let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
            prop_assert_eq!(values, vec![json!(texts), json!(numbers)]);
        }

        #[test]
        fn a_changed_byte_is_refused_or_another_value(at in any::<usize>(), bit in 0u8..8) {
            let good = encode_texts(&["abc".to_owned(), String::new()], &[1, 2]);
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at] ^= 1 << bit;
            let kinds = params(&["string[]", "uint64[]"]);
            if let Ok(values) = decode_data(&kinds, &bad) {
                prop_assert_ne!(values, decode_data(&kinds, &good).unwrap());
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_data(&params(&["string[]", "bytes[2]", "int64[][3]"]), &bytes);
        }
    }
}
