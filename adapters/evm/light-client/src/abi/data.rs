//! The data of a log: heads, then the tails of the dynamic values in the same order.
//!
//! No offset is followed, so nothing is read twice and an offset that points at itself is only a wrong number. Every
//! length is held against the bytes that are there before anything is allocated for it. So work and memory grow with
//! the data, whatever it says.

use super::kind::{Kind, Param, Type};
use super::word::hex_text;
use super::{MAX_DATA_BYTES, WORD};
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::uint::U256;
use serde_json::{Value, json};

/// What is wrong, and in which argument, field or element, innermost first.
#[derive(Debug)]
struct Misfit {
    fault: Fault,
    place: Vec<String>,
}

impl From<Fault> for Misfit {
    fn from(fault: Fault) -> Self {
        Self { fault, place: Vec::new() }
    }
}

impl Misfit {
    fn within(mut self, name: impl ToString) -> Self {
        self.place.push(name.to_string().replace('~', "~0").replace('/', "~1"));
        self
    }

    /// The fault with the JSON Pointer of the value.
    fn named(self) -> Fault {
        let pointer: String = self.place.iter().rev().flat_map(|name| ["/", name]).collect();
        if pointer.is_empty() { self.fault } else { self.fault.within(&format!("/args{pointer}")) }
    }
}

/// Decodes the arguments that are not indexed, which make up the whole data.
pub(super) fn decode_data(params: &[&Param], data: &[u8]) -> Result<Vec<Value>, Fault> {
    let parts = params.iter().map(|param| (param.name.as_str(), &param.kind));
    let (values, used) = decode_sequence(parts, data).map_err(Misfit::named)?;
    if used != data.len() {
        return Err(Fault::new(Reason::DataTrailing, format!("{used} bytes of data"), data.len()));
    }
    Ok(values)
}

/// Decodes an indexed argument: its one word, or the hash that stands for it.
pub(super) fn decode_topic(param: &Param, topic: &Hash32) -> Result<Value, Fault> {
    match param.kind.kind() {
        Kind::Word(word) => {
            word.decode(topic.as_bytes()).map_err(|fault| Misfit::from(fault).within(&param.name).named())
        }
        _ => Ok(json!({ "hash": topic })),
    }
}

/// Decodes the value that starts at `bytes`; gives it with the number of bytes it takes there.
fn decode(kind: &Type, bytes: &[u8]) -> Result<(Value, usize), Misfit> {
    match kind.kind() {
        Kind::Word(word) => {
            let (bytes, _) = split_word(bytes)?;
            Ok((word.decode(bytes)?, WORD))
        }
        Kind::Bytes => {
            let (content, used) = decode_bytes(bytes)?;
            Ok((Value::String(hex_text(content)), used))
        }
        Kind::String => {
            let (content, used) = decode_bytes(bytes)?;
            Ok((Value::String(utf8(content)?.to_owned()), used))
        }
        Kind::Array(element) => {
            let (length, rest) = split_length(bytes)?;
            let room = rest.len() / WORD / element.head_words();
            if length > room {
                let expected = format!("an array of at most {room} elements");
                return Err(Fault::new(Reason::DataLength, expected, length).into());
            }
            let (values, used) = decode_elements(element, length, rest)?;
            Ok((Value::Array(values), WORD + used))
        }
        Kind::FixedArray(element, length) => {
            let (values, used) = decode_elements(element, *length, bytes)?;
            Ok((Value::Array(values), used))
        }
        Kind::Tuple(params) => {
            let parts = params.iter().map(|param| (param.name.as_str(), &param.kind));
            let (values, used) = decode_sequence(parts, bytes)?;
            let fields = params.iter().map(|param| param.name.clone()).zip(values).collect();
            Ok((Value::Object(fields), used))
        }
    }
}

fn decode_elements(element: &Type, length: usize, bytes: &[u8]) -> Result<(Vec<Value>, usize), Misfit> {
    decode_sequence((0..length).map(|index| (index, element)), bytes)
}

/// Decodes named values that stand side by side: heads first, then the tails of the dynamic ones in the same order.
/// Gives them with the number of bytes of heads and tails.
fn decode_sequence<'t, N: ToString>(
    parts: impl ExactSizeIterator<Item = (N, &'t Type)> + Clone,
    bytes: &[u8],
) -> Result<(Vec<Value>, usize), Misfit> {
    let head_words = parts.clone().fold(0usize, |sum, (_, kind)| sum.saturating_add(kind.head_words()));
    require_room(bytes, head_words)?;
    let mut tail = head_words.saturating_mul(WORD);
    let mut head = bytes;
    let mut values = Vec::with_capacity(parts.len());
    for (name, kind) in parts {
        let used_in_head;
        let value = if kind.is_dynamic() {
            let (value, used) = decode_tail(kind, bytes, head, tail).map_err(|misfit| misfit.within(name))?;
            tail = tail.saturating_add(used);
            used_in_head = WORD;
            value
        } else {
            let (value, used) = decode(kind, head).map_err(|misfit| misfit.within(name))?;
            used_in_head = used;
            value
        };
        values.push(value);
        head = head.get(used_in_head..).unwrap_or_default();
    }
    Ok((values, tail))
}

/// Decodes a dynamic value, whose offset stands at `head` and must be `tail`, where the tails so far end.
fn decode_tail(kind: &Type, bytes: &[u8], head: &[u8], tail: usize) -> Result<(Value, usize), Misfit> {
    let (offset, _) = split_length(head)?;
    if offset != tail {
        return Err(Fault::new(Reason::DataOffset, format!("offset {tail}"), offset).into());
    }
    decode(kind, bytes.get(tail..).unwrap_or_default())
}

fn utf8(content: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(content).map_err(|error| {
        let at = error.valid_up_to();
        Fault::new(Reason::DataUtf8, format!("UTF-8 at byte {at}"), format!("none, of {} bytes", content.len()))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn params(types: &[&str]) -> Vec<Param> {
        let named = types.iter().enumerate();
        named
            .map(|(place, text)| Param { name: format!("a{place}"), kind: Type::read(text, &[], 0).unwrap() })
            .collect()
    }

    fn data(words: &str) -> Vec<u8> {
        hex::decode(words.split_whitespace().map(|word| format!("{word:0>64}")).collect::<String>()).unwrap()
    }

    /// Text padded on the right to one word.
    fn left(hex_digits: &str) -> String {
        format!("{hex_digits:0<64}")
    }

    fn decode_bytes(types: &[&str], data: &[u8]) -> Result<Vec<Value>, Fault> {
        decode_data(&params(types).iter().collect::<Vec<_>>(), data)
    }

    fn decode(types: &[&str], words: &str) -> Result<Vec<Value>, &'static str> {
        decode_bytes(types, &data(words)).map_err(|fault| fault.reason())
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
    fn offset_bombs_that_point_at_themselves_or_at_one_place_many_times() {
        // An array whose two elements are the array itself: followed, it would never end.
        assert_eq!(decode(&["string[][]"], "20 2 0 0"), Err("event-data-offset"));
        assert_eq!(decode(&["bytes[]"], "20 2 0 0 0"), Err("event-data-offset"));
        assert_eq!(decode(&["bytes[][]"], "0 2"), Err("event-data-offset"));
        // A thousand elements that share one tail: a thousand times what was sent.
        let shared = format!("20 3e8 {} 1 {}", "7d00 ".repeat(1000), left("61"));
        assert_eq!(decode(&["string[]"], &shared), Err("event-data-offset"));
    }

    #[test]
    fn trailing_bytes() {
        assert_eq!(decode(&["bool"], "1 0"), Err("event-data-trailing"));
        assert_eq!(decode(&[], "0"), Err("event-data-trailing"));
        let mut odd = data("1");
        odd.push(0);
        assert_eq!(decode_bytes(&["bool"], &odd).unwrap_err().reason(), "event-data-trailing");
    }

    #[test]
    fn dirty_bytes_behind_a_text() {
        assert_eq!(decode(&["string"], &format!("20 1 {}", left("6162"))), Err("event-data-padding"));
    }

    #[test]
    fn lengths_beyond_what_is_there() {
        assert_eq!(decode(&["bytes"], "20 21 0"), Err("event-data-length"));
        assert_eq!(decode(&["uint8[]"], "20 2 0"), Err("event-data-length"));
        assert_eq!(decode(&["uint8[]"], &format!("20 {}", "f".repeat(64))), Err("event-data-length"));
        assert_eq!(decode(&["uint8[4][]"], "20 100000 0"), Err("event-data-length"));
        assert_eq!(decode(&["uint8", "uint8"], "1"), Err("event-data-short"));
        assert_eq!(decode(&["string[5]"], "20 1"), Err("event-data-short"));
    }

    #[test]
    fn a_string_that_is_not_utf8_is_named_with_its_place() {
        let words = format!("20 2 40 80 2 {} 3 {}", left("6162"), left("61c328"));
        let fault = decode_bytes(&["string[]"], &data(&words)).unwrap_err();
        assert_eq!(fault.reason(), "event-data-utf8");
        assert_eq!(fault.expected(), "UTF-8 at byte 1 in /args/a0/1");
        assert!(!fault.to_string().contains("c3"), "{fault}");
    }

    #[test]
    fn a_fault_names_its_argument() {
        let fault = decode_bytes(&["bool", "uint8[2]"], &data("1 1 100")).unwrap_err();
        assert_eq!(fault.expected(), "uint8 padded with 00 in /args/a1/1");
    }
}
