//! One message to JSON.

use super::descriptor::{Descriptors, Field, Kind, MessageType};
use crate::fault::Fault;
use crate::wire::{Field as WireField, Reader, fault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Messages inside messages.
const MAX_DEPTH: usize = 32;
/// Values in one message, with all inside it: a mapping reads some tens.
const MAX_VALUES: usize = 10_000;

impl Descriptors {
    /// Decodes the message of this type.
    ///
    /// # Errors
    /// [`Fault`] if the bytes are not such a message, hold what the descriptor does not know, or go beyond the limits.
    pub fn decode(&self, type_name: &str, bytes: &[u8]) -> Result<Value, Fault> {
        Decoding { types: self, left: MAX_VALUES }.message(type_name, bytes, 0)
    }
}

struct Decoding<'a> {
    types: &'a Descriptors,
    left: usize,
}

impl Decoding<'_> {
    fn message(&mut self, name: &str, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(&format!("at most {MAX_DEPTH} messages inside messages"), "more"));
        }
        let message = self.types.message(name).ok_or_else(|| fault("a message type of the descriptors", name))?;
        let mut found = Map::new();
        let mut oneofs = BTreeSet::new();
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (number, value) = reader.field()?;
            let field = message.fields.get(&number).ok_or_else(|| fault(&format!("a field of {name}"), number))?;
            self.take(field, value, &mut found, depth)?;
            if let Some(oneof) = field.oneof.filter(|_| !field.repeated)
                && !oneofs.insert(oneof)
            {
                return Err(fault("one field of a oneof", format!("{} beside another", field.name)));
            }
        }
        self.fill(message, &mut found);
        Ok(Value::Object(found))
    }

    fn take(
        &mut self,
        field: &Field,
        value: WireField<'_>,
        found: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Fault> {
        if !field.repeated {
            let value = self.value(&field.kind, value, depth)?;
            return match found.insert(field.name.clone(), value) {
                None => Ok(()),
                Some(_) => Err(fault("a field once", format!("{} twice", field.name))),
            };
        }
        if let Kind::Message(name) = &field.kind
            && self.types.message(name).is_some_and(|message| message.is_map_entry)
        {
            return self.map_entry(field, name, value, found, depth);
        }
        let mut values = Vec::new();
        match value {
            WireField::Bytes(packed) if field.kind.is_packable() => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    let one = field.kind.read(&mut reader)?;
                    values.push(self.value(&field.kind, one, depth)?);
                }
            }
            one => values.push(self.value(&field.kind, one, depth)?),
        }
        match found.entry(field.name.clone()).or_insert(json!([])) {
            Value::Array(list) => list.extend(values),
            _ => return Err(fault("a list", &field.name)),
        }
        Ok(())
    }

    fn map_entry(
        &mut self,
        field: &Field,
        name: &str,
        value: WireField<'_>,
        found: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Fault> {
        let entry = self.message(name, value.bytes()?, depth + 1)?;
        let key = match entry.get("key") {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return Err(fault("a key", "none")),
        };
        let value = entry.get("value").cloned().unwrap_or_default();
        match found.entry(field.name.clone()).or_insert(json!({})) {
            Value::Object(map) if !map.contains_key(&key) => drop(map.insert(key, value)),
            _ => return Err(fault("each key once", key)),
        }
        Ok(())
    }

    /// What is not on the wire has its default, so that a mapping's path does not depend on a value; what shows its
    /// absence stays out.
    fn fill(&self, message: &MessageType, found: &mut Map<String, Value>) {
        for field in message.fields.values().filter(|field| field.oneof.is_none()) {
            let default = match &field.kind {
                Kind::Message(name) if field.repeated && self.types.message(name).is_some_and(|it| it.is_map_entry) => {
                    json!({})
                }
                _ if field.repeated => json!([]),
                Kind::Message(_) | Kind::Refused => continue,
                Kind::Bool => json!(false),
                Kind::Text | Kind::Bytes => json!(""),
                Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => json!("0"),
                Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => json!(0),
                Kind::Enum(name) => self.enum_value(name, 0),
            };
            found.entry(field.name.clone()).or_insert(default);
        }
    }

    fn enum_value(&self, name: &str, number: i32) -> Value {
        self.types.value_name(name, number).map_or_else(|| json!(number), |name| json!(name))
    }

    fn value(&mut self, kind: &Kind, field: WireField<'_>, depth: usize) -> Result<Value, Fault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| fault(&format!("at most {MAX_VALUES} values"), "more"))?;
        let wrong = || fault(&format!("a value of {kind:?}"), format!("{field:?}"));
        let small = |number: i64| i32::try_from(number).map(|number| json!(number)).map_err(|_| wrong());
        Ok(match (kind, field) {
            (Kind::Int32, WireField::Varint(number)) => small(number.cast_signed())?,
            (Kind::Int64, WireField::Varint(number)) => json!(number.cast_signed().to_string()),
            (Kind::Uint32, WireField::Varint(number)) => json!(u32::try_from(number).map_err(|_| wrong())?),
            (Kind::Uint64, WireField::Varint(number)) => json!(number.to_string()),
            (Kind::Sint32, WireField::Varint(number)) => small(zigzag(number))?,
            (Kind::Sint64, WireField::Varint(number)) => json!(zigzag(number).to_string()),
            (Kind::Fixed32, WireField::Fixed32(number)) => json!(number),
            (Kind::Fixed64, WireField::Fixed64(number)) => json!(number.to_string()),
            (Kind::Sfixed32, WireField::Fixed32(number)) => json!(number.cast_signed()),
            (Kind::Sfixed64, WireField::Fixed64(number)) => json!(number.cast_signed().to_string()),
            (Kind::Bool, WireField::Varint(0)) => json!(false),
            (Kind::Bool, WireField::Varint(1)) => json!(true),
            (Kind::Enum(name), WireField::Varint(number)) => {
                self.enum_value(name, i32::try_from(number.cast_signed()).map_err(|_| wrong())?)
            }
            (Kind::Text, WireField::Bytes(_)) => json!(field.text()?),
            (Kind::Bytes, WireField::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
            (Kind::Message(name), WireField::Bytes(bytes)) => self.message(name, bytes, depth + 1)?,
            _ => return Err(wrong()),
        })
    }
}

impl Kind {
    const fn is_packable(&self) -> bool {
        !matches!(self, Self::Text | Self::Bytes | Self::Message(_) | Self::Refused)
    }

    /// One value of a packed list.
    fn read<'a>(&self, reader: &mut Reader<'a>) -> Result<WireField<'a>, Fault> {
        match self {
            Self::Fixed32 | Self::Sfixed32 => reader.fixed32(),
            Self::Fixed64 | Self::Sfixed64 => reader.fixed64(),
            _ => reader.varint().map(WireField::Varint),
        }
    }
}

const fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Message as Writer;
    use proptest::prelude::*;

    fn field(name: &str, number: u64, label: u64, kind: u64, type_name: &str) -> Writer {
        Writer::new()
            .bytes(1, name.as_bytes())
            .uint(3, number)
            .uint(4, label)
            .uint(5, kind)
            .bytes(6, type_name.as_bytes())
    }

    /// `package land.v1; enum Kind { NONE = 0; FIELD = 1; }  message Plot { … }`
    fn set() -> Vec<u8> {
        let value = |name: &str, number| Writer::new().bytes(1, name.as_bytes()).uint(2, number).done();
        let kind = Writer::new().bytes(1, b"Kind").message(2, &value("NONE", 0)).message(2, &value("FIELD", 1)).done();
        let entry = Writer::new()
            .bytes(1, b"NotesEntry")
            .message(2, &field("key", 1, 1, 9, "").done())
            .message(2, &field("value", 2, 1, 3, "").done())
            .message(7, &Writer::new().uint(7, 1).done())
            .done();
        let plot = Writer::new()
            .bytes(1, b"Plot")
            .message(2, &field("id", 1, 1, 9, "").done())
            .message(2, &field("area", 2, 1, 4, "").done())
            .message(2, &field("kind", 3, 1, 14, ".land.v1.Kind").done())
            .message(2, &field("parts", 4, 3, 13, "").done())
            .message(2, &field("inner", 5, 1, 11, ".land.v1.Plot").done())
            .message(2, &field("notes", 6, 3, 11, ".land.v1.Plot.NotesEntry").done())
            .message(2, &field("seal", 7, 1, 12, "").done())
            .message(2, &field("price", 8, 1, 1, "").done())
            .message(2, &field("paid", 9, 1, 8, "").uint(9, 1).done())
            .message(2, &field("east", 10, 1, 17, "").done())
            .message(3, &entry)
            .done();
        let file =
            Writer::new().bytes(1, b"land.proto").bytes(2, b"land.v1").message(4, &plot).message(5, &kind).done();
        Writer::new().message(1, &file).done()
    }

    fn decode(bytes: &[u8]) -> Result<Value, Fault> {
        Descriptors::parse(&set()).unwrap().decode("land.v1.Plot", bytes)
    }

    #[test]
    fn a_message_with_everything() {
        let note = Writer::new().bytes(1, b"n").int(2, -4).done();
        let bytes = Writer::new()
            .bytes(1, b"p-1")
            .uint(2, u64::MAX)
            .uint(3, 1)
            .bytes(4, &[1, 0x80, 1])
            .uint(4, 7)
            .message(5, &Writer::new().bytes(1, b"p-0").done())
            .message(6, &note)
            .bytes(7, &[0xff])
            .uint(9, 1)
            .uint(10, 3)
            .done();
        let value = decode(&bytes).unwrap();
        assert_eq!(value["area"], "18446744073709551615");
        assert_eq!((&value["kind"], &value["parts"]), (&json!("FIELD"), &json!([1, 128, 7])));
        assert_eq!((&value["inner"]["id"], &value["inner"]["kind"]), (&json!("p-0"), &json!("NONE")));
        assert_eq!((&value["notes"], &value["seal"]), (&json!({ "n": "-4" }), &json!("/w==")));
        assert_eq!((&value["paid"], &value["east"]), (&json!(true), &json!(-2)));
    }

    #[test]
    fn defaults_stand_and_absence_shows() {
        let due = json!({
            "id": "", "area": "0", "kind": "NONE", "parts": [], "notes": {}, "seal": "", "east": 0,
        });
        assert_eq!(decode(b"").unwrap(), due, "no message and no member of a oneof");
    }

    #[test]
    fn what_the_descriptor_does_not_know_or_that_says_two_things() {
        let note = Writer::new().bytes(1, b"n").done();
        for bytes in [
            Writer::new().uint(77, 1).done(),
            Writer::new().bytes(1, b"a").bytes(1, b"b").done(),
            Writer::new().uint(1, 4).done(),
            Writer::new().uint(4, 1 << 32).done(),
            Writer::new().uint(9, 2).done(),
            Writer::new().sfixed64(8, 1).done(),
            Writer::new().bytes(1, &[0xff]).done(),
            Writer::new().message(6, &note).message(6, &note).done(),
            vec![0x0a, 5],
        ] {
            assert_eq!(decode(&bytes).unwrap_err().reason(), "protobuf-malformed", "{bytes:?}");
        }
    }

    #[test]
    fn depth_bomb() {
        let mut bytes = Vec::new();
        for _ in 0..40 {
            bytes = Writer::new().message(5, &bytes).done();
        }
        assert_eq!(decode(&bytes).unwrap_err().reason(), "protobuf-malformed");
        let many = Writer::new().bytes(4, &vec![1; MAX_VALUES + 1]).done();
        assert_eq!(decode(&many).unwrap_err().reason(), "protobuf-malformed");
    }

    #[test]
    fn descriptors_that_lack_what_they_import() {
        let message = Writer::new().bytes(1, b"M").message(2, &field("x", 1, 1, 11, ".other.T").done()).done();
        let file = Writer::new().bytes(2, b"a").message(4, &message).done();
        let set = Writer::new().message(1, &file).done();
        assert_eq!(Descriptors::parse(&set).unwrap_err().reason(), "descriptor-malformed");
        assert_eq!(Descriptors::parse(&[0x0a]).unwrap_err().reason(), "descriptor-malformed");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = decode(&bytes);
            let _ = Descriptors::parse(&bytes);
        }
    }
}
