//! Values as they stand in a contract's storage: packed into words from the low end, not padded as in event data.
//!
//! Source: Solidity documentation, "Layout of State Variables in Storage". A text or byte string of at most 31 bytes stands
//! in its own word, its length twice in the lowest byte; a longer one stands elsewhere, and the word says its length alone.

use super::WORD;
use super::kind::{Kind, Type, Word};
use super::word::hex_text;
use crate::fault::{Fault, Reason};
use crate::keccak::parse_hex;
use serde_json::Value;

/// Bytes of the longest text that stands in one word.
const SHORT: usize = WORD - 1;

/// The type of a value that stands in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotType(Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Word(Word),
    Text,
    Bytes,
}

impl SlotType {
    /// Reads a type by its canonical spelling.
    ///
    /// # Errors
    /// [`Fault`] for arrays, tuples, and what is no type.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match Type::read(text, &[], 0)?.kind() {
            Kind::Word(word) => Ok(Self(Form::Word(*word))),
            Kind::String => Ok(Self(Form::Text)),
            Kind::Bytes => Ok(Self(Form::Bytes)),
            Kind::Array(_) | Kind::FixedArray(..) | Kind::Tuple(_) => {
                Err(Fault::new(Reason::Abi, "a type whose value stands in one word", text))
            }
        }
    }

    /// Bytes that a value takes of its word.
    pub const fn bytes(self) -> usize {
        match self.0 {
            Form::Text | Form::Bytes => WORD,
            Form::Word(word) => match word {
                Word::Uint { bytes }
                | Word::Int { bytes }
                | Word::Ufixed { bytes, .. }
                | Word::Fixed { bytes, .. }
                | Word::FixedBytes { bytes } => bytes,
                Word::Address => 20,
                Word::Bool => 1,
                Word::Function => 24,
            },
        }
    }

    /// Decodes the value that begins `offset` bytes above the word's low end.
    ///
    /// # Errors
    /// [`Fault`] if it is no value of the type, or a text that stands elsewhere.
    pub fn decode(self, word: &[u8; WORD], offset: usize) -> Result<Value, Fault> {
        let end = WORD.saturating_sub(offset);
        let part = word.get(end.saturating_sub(self.bytes())..end).unwrap_or_default();
        let kind = match self.0 {
            Form::Word(kind) => kind,
            Form::Text | Form::Bytes => return self.decode_short(word),
        };
        let at_start = matches!(kind, Word::FixedBytes { .. } | Word::Function);
        let signed = matches!(kind, Word::Int { .. } | Word::Fixed { .. });
        let negative = signed && part.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut padded = [if negative { 0xff } else { 0 }; WORD];
        let place = if at_start { 0..part.len() } else { WORD - part.len()..WORD };
        if let Some(room) = padded.get_mut(place) {
            room.copy_from_slice(part);
        }
        kind.decode(&padded)
    }

    fn decode_short(self, word: &[u8; WORD]) -> Result<Value, Fault> {
        let twice = word.last().copied().unwrap_or_default();
        let length = usize::from(twice / 2);
        if twice % 2 == 1 || length > SHORT {
            return Err(Fault::new(Reason::DataLength, format!("at most {SHORT} bytes in the word itself"), "more"));
        }
        let (text, rest) = word.split_at_checked(length).unwrap_or_default();
        if rest.iter().take(SHORT.saturating_sub(length)).any(|byte| *byte != 0) {
            return Err(Fault::new(Reason::DataPadding, "zeros behind a short text", "other bytes"));
        }
        match self.0 {
            Form::Text => std::str::from_utf8(text)
                .map(|text| Value::String(text.to_owned()))
                .map_err(|fault| Fault::new(Reason::DataUtf8, "UTF-8", format!("byte {}", fault.valid_up_to()))),
            Form::Bytes | Form::Word(_) => Ok(Value::String(hex_text(text))),
        }
    }

    /// The bytes that a mapping hashes in front of its slot for this key.
    ///
    /// # Errors
    /// [`Fault`] if the text is no value of the type, or the type is none that is read as a key here.
    pub fn key(self, text: &str) -> Result<Vec<u8>, Fault> {
        let bad =
            || Fault::new(Reason::Selector, format!("a key of type {self}"), text.chars().take(80).collect::<String>());
        let mut word = [0; WORD];
        match self.0 {
            Form::Text => return Ok(text.as_bytes().to_vec()),
            Form::Bytes => {
                let digits = text.strip_prefix("0x").ok_or_else(bad)?;
                return hex::decode(digits).map_err(|_| bad());
            }
            Form::Word(Word::Uint { bytes }) => {
                // Larger ones are not spelled by hand; 16 bytes of 32.
                let number: u128 = text.parse().map_err(|_| bad())?;
                let canonical = number.to_string() == text;
                let digits = number.to_be_bytes();
                let unused = digits.iter().take_while(|byte| **byte == 0).count();
                if !canonical || digits.len() - unused > bytes {
                    return Err(bad());
                }
                word.get_mut(WORD - digits.len()..).ok_or_else(bad)?.copy_from_slice(&digits);
            }
            Form::Word(Word::Address) => {
                let address: [u8; 20] = parse_hex(text).map_err(|_| bad())?;
                word.get_mut(12..).ok_or_else(bad)?.copy_from_slice(&address);
            }
            Form::Word(Word::FixedBytes { bytes }) => {
                let value = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok()).ok_or_else(bad)?;
                if value.len() != bytes {
                    return Err(bad());
                }
                word.get_mut(..bytes).ok_or_else(bad)?.copy_from_slice(&value);
            }
            Form::Word(_) => return Err(bad()),
        }
        Ok(word.to_vec())
    }
}

impl std::fmt::Display for SlotType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Form::Word(word) => word.fmt(f),
            Form::Text => f.write_str("string"),
            Form::Bytes => f.write_str("bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn word(hex_digits: &str) -> [u8; WORD] {
        hex::decode(format!("{hex_digits:0>64}")).unwrap().try_into().unwrap()
    }

    fn decoded(kind: &str, word: &[u8; WORD], offset: usize) -> Result<Value, &'static str> {
        SlotType::parse(kind).unwrap().decode(word, offset).map_err(|fault| fault.reason())
    }

    #[test]
    fn values_are_packed_from_the_low_end() {
        // uint8 7, bool true, address, bytes4, int16 -2: in this order, as Solidity packs them.
        let packed = word(&format!("fffe01020304{}0107", "aa".repeat(20)));
        for (kind, offset, value) in [
            ("uint8", 0, json!("7")),
            ("bool", 1, json!(true)),
            ("address", 2, json!(format!("0x{}", "aa".repeat(20)))),
            ("bytes4", 22, json!("0x01020304")),
            ("int16", 26, json!("-2")),
        ] {
            assert_eq!(decoded(kind, &packed, offset), Ok(value), "{kind}");
        }
        assert_eq!(decoded("bool", &packed, 0), Err("event-data-padding"));
    }

    #[test]
    fn short_texts_stand_in_their_word_and_long_ones_do_not() {
        let mut text = [0; WORD];
        text[..2].copy_from_slice(b"ok");
        text[31] = 4;
        assert_eq!(decoded("string", &text, 0), Ok(json!("ok")));
        assert_eq!(decoded("bytes", &text, 0), Ok(json!("0x6f6b")));
        assert_eq!(decoded("string", &[0; WORD], 0), Ok(json!("")));
        text[5] = 1;
        assert_eq!(decoded("string", &text, 0), Err("event-data-padding"));
        assert_eq!(decoded("string", &word("81"), 0), Err("event-data-length"), "64 bytes, elsewhere");
        let mut bad = [0; WORD];
        bad[0] = 0xff;
        bad[31] = 2;
        assert_eq!(decoded("string", &bad, 0), Err("event-data-utf8"));
    }

    #[test]
    fn keys_as_a_mapping_hashes_them() {
        let key = |kind: &str, text: &str| SlotType::parse(kind).unwrap().key(text).map_err(|fault| fault.reason());
        assert_eq!(key("string", "京").unwrap(), "京".as_bytes());
        assert_eq!(key("bytes", "0x0102").unwrap(), [1, 2]);
        assert_eq!(key("uint256", "258").unwrap(), word("102"));
        assert_eq!(key("address", &format!("0x{}", "aa".repeat(20))).unwrap(), word(&"aa".repeat(20)));
        assert_eq!(key("bytes4", "0x01020304").unwrap()[..5], [1, 2, 3, 4, 0]);
        for (kind, text) in [
            ("uint8", "256"),
            ("uint256", "007"),
            ("uint256", "-1"),
            ("bytes4", "0x0102"),
            ("address", "0x01"),
            ("bytes", "01"),
            ("bool", "true"),
            ("int8", "1"),
        ] {
            assert_eq!(key(kind, text), Err("selector-malformed"), "{kind} {text}");
        }
        for kind in ["uint8[]", "uint8[2]", "tuple", "enum"] {
            assert!(SlotType::parse(kind).is_err(), "{kind}");
        }
    }
}
