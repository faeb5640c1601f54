//! Descriptor sets: what `protoc --descriptor_set_out` and `buf build` write (google/protobuf/descriptor.proto).

use crate::fault::{Fault, Reason};
use crate::wire::{Field as WireField, Reader};
use std::collections::BTreeMap;

/// Bytes of the largest descriptor set; those of one module with what it imports have some tens of KiB.
pub const MAX_DESCRIPTOR_BYTES: usize = 1 << 20;
/// Message and enum types of one set.
pub const MAX_TYPES: usize = 4_096;
/// Messages inside messages, in descriptors.
const MAX_NESTING: usize = 16;

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    Message(String),
    Enum(String),
    /// Floating point numbers and groups.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// The oneof it belongs to; then its absence shows.
    pub(super) oneof: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MessageType {
    pub(super) fields: BTreeMap<u32, Field>,
    pub(super) is_map_entry: bool,
}

/// The message and enum types of one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptors {
    messages: BTreeMap<String, MessageType>,
    enums: BTreeMap<String, BTreeMap<i32, String>>,
}

impl Descriptors {
    /// Reads a `FileDescriptorSet`.
    ///
    /// # Errors
    /// [`Fault`] if it is none, is too large, or a field names a type that is not in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > MAX_DESCRIPTOR_BYTES {
            return Err(fault(&format!("at most {MAX_DESCRIPTOR_BYTES} bytes"), bytes.len()));
        }
        let mut all = Self::default();
        for file in fields(bytes, 1)? {
            let package = fields(file, 2)?.first().map_or(Ok(""), |name| text(name))?;
            all.read_types(file, 4, 5, package, 0)?;
        }
        all.require_whole()?;
        Ok(all)
    }

    pub(super) fn message(&self, name: &str) -> Option<&MessageType> {
        self.messages.get(name)
    }

    pub(super) fn value_name(&self, of: &str, number: i32) -> Option<&str> {
        self.enums.get(of)?.get(&number).map(String::as_str)
    }

    /// Whether a message type is in the set.
    pub fn holds(&self, name: &str) -> bool {
        self.messages.contains_key(name)
    }

    fn read_types(
        &mut self,
        inside: &[u8],
        messages: u32,
        enums: u32,
        prefix: &str,
        depth: usize,
    ) -> Result<(), Fault> {
        if depth > MAX_NESTING {
            return Err(fault(&format!("at most {MAX_NESTING} messages inside messages"), "more"));
        }
        for bytes in fields(inside, messages)? {
            let name = named(bytes, prefix)?;
            self.read_types(bytes, 3, 4, &name, depth + 1)?;
            self.messages.insert(name, read_message(bytes)?);
        }
        for bytes in fields(inside, enums)? {
            let name = named(bytes, prefix)?;
            self.enums.insert(name, read_enum(bytes)?);
        }
        if self.messages.len() + self.enums.len() > MAX_TYPES {
            return Err(fault(&format!("at most {MAX_TYPES} types"), "more"));
        }
        Ok(())
    }

    fn require_whole(&self) -> Result<(), Fault> {
        for field in self.messages.values().flat_map(|message| message.fields.values()) {
            let found = match &field.kind {
                Kind::Message(name) => self.messages.contains_key(name),
                Kind::Enum(name) => self.enums.contains_key(name),
                _ => true,
            };
            if !found {
                return Err(fault(
                    "a set with all that it imports",
                    format!("field {} of {:?}", field.name, field.kind),
                ));
            }
        }
        Ok(())
    }
}

fn fault(expected: &str, got: impl std::fmt::Display) -> Fault {
    Fault::new(Reason::Descriptor, expected, got)
}

fn each<'a>(bytes: &'a [u8]) -> Result<Vec<(u32, WireField<'a>)>, Fault> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while !reader.is_empty() {
        all.push(reader.field().map_err(|inner| fault("a descriptor set", inner))?);
    }
    Ok(all)
}

/// All fields of this number that have a length.
fn fields(bytes: &[u8], number: u32) -> Result<Vec<&[u8]>, Fault> {
    let mine = each(bytes)?.into_iter().filter(|(found, _)| *found == number);
    mine.map(|(_, field)| field.bytes().map_err(|inner| fault("a descriptor set", inner))).collect()
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| fault("a name in UTF-8", "other bytes"))
}

fn named(bytes: &[u8], prefix: &str) -> Result<String, Fault> {
    let names = fields(bytes, 1)?;
    let name = text(names.first().ok_or_else(|| fault("a name", "none"))?)?;
    Ok(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") })
}

fn read_enum(bytes: &[u8]) -> Result<BTreeMap<i32, String>, Fault> {
    let mut values = BTreeMap::new();
    for value in fields(bytes, 2)? {
        let number = each(value)?.into_iter().find_map(|(number, field)| match (number, field) {
            (2, WireField::Varint(value)) => Some(value),
            _ => None,
        });
        let number =
            i32::try_from(number.unwrap_or(0).cast_signed()).map_err(|_| fault("an enum value of 32 bits", "more"))?;
        // Where two names have one number (`allow_alias`), the first is its name.
        values.entry(number).or_insert(named(value, "")?);
    }
    Ok(values)
}

fn read_message(bytes: &[u8]) -> Result<MessageType, Fault> {
    let mut message = MessageType::default();
    for field in fields(bytes, 2)? {
        let (number, field) = read_field(field)?;
        message.fields.insert(number, field);
    }
    for options in fields(bytes, 7)? {
        message.is_map_entry |= each(options)?.contains(&(7, WireField::Varint(1)));
    }
    Ok(message)
}

fn read_field(bytes: &[u8]) -> Result<(u32, Field), Fault> {
    let name = named(bytes, "")?;
    let (mut number, mut label, mut kind, mut type_name, mut oneof) = (0, 0, 0, String::new(), None);
    for found in each(bytes)? {
        match found {
            (3, WireField::Varint(value)) => number = value,
            (4, WireField::Varint(value)) => label = value,
            (5, WireField::Varint(value)) => kind = value,
            (6, field) => {
                let name = field.text().map_err(|inner| fault("a type's name", inner))?;
                // Compilers write the full name with a point in front.
                type_name = name.strip_prefix('.').ok_or_else(|| fault("a full name", name))?.to_owned();
            }
            (9, WireField::Varint(value)) => oneof = Some(value),
            _ => {}
        }
    }
    let number =
        u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| fault("a field number", number))?;
    Ok((number, Field { name, kind: read_kind(kind, type_name)?, repeated: label == 3, oneof }))
}

fn read_kind(kind: u64, type_name: String) -> Result<Kind, Fault> {
    Ok(match kind {
        1 | 2 | 10 => Kind::Refused,
        3 => Kind::Int64,
        4 => Kind::Uint64,
        5 => Kind::Int32,
        6 => Kind::Fixed64,
        7 => Kind::Fixed32,
        8 => Kind::Bool,
        9 => Kind::Text,
        11 => Kind::Message(type_name),
        12 => Kind::Bytes,
        13 => Kind::Uint32,
        14 => Kind::Enum(type_name),
        15 => Kind::Sfixed32,
        16 => Kind::Sfixed64,
        17 => Kind::Sint32,
        18 => Kind::Sint64,
        other => return Err(fault("a field type from 1 to 18", other)),
    })
}
