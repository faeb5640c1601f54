//! JSON in and out: strict before anything is hashed, canonical (RFC 8785) where it is hashed.
//!
//! serde_json alone keeps the last of two equal keys and rounds large integers; both would let two readers see two
//! documents under one digest. So foreign text goes through [`parse`], which refuses duplicate keys at any depth,
//! integers outside ±(2^53−1), keys that are not NFC, lone surrogates, a byte-order mark and trailing data.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use unicode_normalization::is_nfc;

use crate::limits::JsonLimits;

/// The largest integer a JSON number may hold here: 2^53 − 1 (RFC 8785, section 3.2.2.3; larger ones are strings).
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Why a text is not a document of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Longer than allowed.
    #[error("expected at most {most} bytes of JSON, got {got}")]
    TooLong {
        /// Bytes allowed.
        most: usize,
        /// Bytes given.
        got: usize,
    },
    /// Not strict JSON; the text says what and where.
    #[error("not strict JSON: {0}")]
    Malformed(String),
    /// Good JSON in another form than the canonical one.
    #[error("expected canonical JSON (RFC 8785), got another spelling of the same document")]
    NotCanonical,
}

impl JsonFault {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "json-too-long",
            Self::Malformed(_) => "json-malformed",
            Self::NotCanonical => "json-not-canonical",
        }
    }
}

/// Parses foreign JSON within `limits`.
pub fn parse(bytes: &[u8], limits: &JsonLimits) -> Result<Value, JsonFault> {
    if bytes.len() > limits.bytes {
        return Err(JsonFault::TooLong { most: limits.bytes, got: bytes.len() });
    }
    let malformed = |fault: serde_json::Error| JsonFault::Malformed(fault.to_string());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { limits, depth: 0 }.deserialize(&mut deserializer).map_err(malformed)?;
    deserializer.end().map_err(malformed)?;
    Ok(value)
}

/// Parses foreign JSON that must already be in canonical form: its digest is taken over these very bytes.
pub fn parse_canonical(bytes: &[u8], limits: &JsonLimits) -> Result<Value, JsonFault> {
    let value = parse(bytes, limits)?;
    if to_canonical(&value) != bytes {
        return Err(JsonFault::NotCanonical);
    }
    Ok(value)
}

/// The canonical form (RFC 8785) of a value that came through [`parse`] or was built by us from strings, booleans and
/// integers within ±(2^53−1).
pub fn to_canonical(value: &Value) -> Vec<u8> {
    // The writer fails only on non-finite numbers, which `Value` cannot hold.
    serde_json_canonicalizer::to_vec(value).unwrap_or_default()
}

/// Builds values while checking what serde_json does not.
#[derive(Clone, Copy)]
struct Strict<'a> {
    limits: &'a JsonLimits,
    depth: usize,
}

impl Strict<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.limits.depth {
            return Err(E::custom(format_args!("expected at most {} levels of nesting, got more", self.limits.depth)));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn text<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.len() > self.limits.string {
            return Err(E::custom(format_args!(
                "expected strings of at most {} bytes, got {}",
                self.limits.string,
                text.len()
            )));
        }
        Ok(())
    }

    fn room<E: de::Error>(self, items: usize) -> Result<(), E> {
        if items >= self.limits.items {
            return Err(E::custom(format_args!("expected at most {} items, got more", self.limits.items)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_SAFE_INTEGER {
            return Err(E::custom(format_args!(
                "expected an integer within ±(2^53-1), got {value}: write it as a string"
            )));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MAX_SAFE_INTEGER {
            return Err(E::custom(format_args!(
                "expected an integer within ±(2^53-1), got {value}: write it as a string"
            )));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // Beyond 2^53 a float is an integer that already lost its last digits.
        if value.abs() > MAX_SAFE_INTEGER as f64 {
            return Err(E::custom(format_args!(
                "expected a number within ±(2^53-1), got {value}: write it as a string"
            )));
        }
        // One number, one value: `1.0` and `-0` are written `1` and `0` in the canonical form, so that is what they are.
        if value.fract() == 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "an integer within ±(2^53-1), as just checked")]
            let whole = value as i64;
            return Ok(Value::Number(whole.into()));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.text(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.text(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            self.room(items.len())?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.room(members.len())?;
            self.text(&key)?;
            if !is_nfc(&key) {
                return Err(de::Error::custom(format_args!("expected keys in NFC, got {key:?}")));
            }
            if members.contains_key(&key) {
                return Err(de::Error::custom(format_args!("expected each key once, got {key:?} again")));
            }
            let value = access.next_value_seed(inner)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: JsonLimits = JsonLimits { bytes: 4_096, depth: 8, string: 100, items: 50 };

    fn refused(text: &str, words: &str) {
        let fault = parse(text.as_bytes(), &LIMITS).unwrap_err().to_string();
        assert!(fault.contains(words), "{text}: {fault}");
    }

    #[test]
    fn what_would_let_two_readers_see_two_documents_is_refused() {
        refused(r#"{"a":1,"a":2}"#, "again");
        refused(r#"{"x":{"a":1,"b":2,"\u0061":3}}"#, "again");
        refused("9007199254740993", "2^53");
        refused("-9007199254740992", "2^53");
        refused("9007199254740993.0", "2^53");
        refused(r#""\ud800""#, "not strict JSON");
        refused("{\"e\u{301}\":1}", "NFC");
        refused("\u{feff}{}", "not strict JSON");
        refused("{} {}", "trailing");
        refused("1e400", "not strict JSON");
        assert!(parse(b"\"\xff\"", &LIMITS).is_err());
    }

    #[test]
    fn oversize_and_deeply_nested_json_is_refused() {
        refused(&format!("\"{}\"", "x".repeat(101)), "at most 100 bytes");
        refused(&format!("{}{}", "[".repeat(9), "]".repeat(9)), "levels of nesting");
        refused(&format!("[{}0]", "0,".repeat(50)), "at most 50 items");
        assert!(matches!(parse(&[b' '; 5_000], &LIMITS), Err(JsonFault::TooLong { most: 4_096, got: 5_000 })));
        let bomb = "[".repeat(2_000);
        assert!(parse(bomb.as_bytes(), &LIMITS).is_err());
    }

    #[test]
    fn canonical_form_of_rfc_8785() {
        let value =
            parse("{\"b\":[1.0,true,null],\"a\":\"\\u20ac\",\"\u{1f600}\":0,\"\u{ff21}\":0}".as_bytes(), &LIMITS);
        let text = String::from_utf8(to_canonical(&value.unwrap())).unwrap();
        // Keys sort by UTF-16 units: the emoji (d83d) before U+FF21.
        assert_eq!(text, "{\"a\":\"€\",\"b\":[1,true,null],\"\u{1f600}\":0,\"\u{ff21}\":0}");
        assert_eq!(parse_canonical(b"{ }", &LIMITS), Err(JsonFault::NotCanonical));
        assert!(parse_canonical(b"{}", &LIMITS).is_ok());
    }

    /// Found by fuzzing: the canonical form of `-0` is `0`, which was another value.
    #[test]
    fn a_number_is_the_value_of_its_canonical_form() {
        for (text, canonical) in [("-0", "0"), ("-0.0", "0"), ("1.0", "1"), ("1e3", "1000"), ("-2.50", "-2.5")] {
            let value = parse(text.as_bytes(), &LIMITS).unwrap();
            assert_eq!(to_canonical(&value), canonical.as_bytes(), "{text}");
            assert_eq!(parse(canonical.as_bytes(), &LIMITS).unwrap(), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_canonical_form_is_stable(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = parse(&bytes, &LIMITS) {
                let canonical = to_canonical(&value);
                prop_assert_eq!(parse_canonical(&canonical, &LIMITS).unwrap(), value);
            }
        }

        #[test]
        fn json_like_text(text in r#"[\[\]{}",:0-9a-e.\\u-]{0,60}"#) {
            if let Ok(value) = parse(text.as_bytes(), &LIMITS) {
                let canonical = to_canonical(&value);
                prop_assert_eq!(to_canonical(&parse(&canonical, &LIMITS).unwrap()), canonical);
            }
        }
    }
}
