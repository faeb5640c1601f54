//! Values of one word: what stands in it and what its padding must be.

use super::WORD;
use super::kind::Word;
use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::uint::U256;
use serde_json::{Value, json};

/// Bytes of a `function`: an address and the four bytes that select the function.
const FUNCTION: usize = 24;

impl Word {
    /// Decodes a value.
    pub(super) fn decode(self, word: &[u8; WORD]) -> Result<Value, Fault> {
        match self {
            Self::Uint { bytes } => {
                self.require_padding(word, WORD - bytes, false, 0)?;
                Ok(Value::String(U256::new(*word).to_string()))
            }
            Self::Int { bytes } => {
                self.require_sign(word, bytes)?;
                Ok(Value::String(U256::new(*word).to_signed_decimal()))
            }
            Self::Ufixed { bytes, decimals } => {
                self.require_padding(word, WORD - bytes, false, 0)?;
                Ok(Value::String(with_point(&U256::new(*word).to_string(), decimals)))
            }
            Self::Fixed { bytes, decimals } => {
                self.require_sign(word, bytes)?;
                Ok(Value::String(with_point(&U256::new(*word).to_signed_decimal(), decimals)))
            }
            Self::Address => {
                self.require_padding(word, 12, false, 0)?;
                Ok(json!(Address::new(word.last_chunk().copied().unwrap_or_default())))
            }
            Self::FixedBytes { bytes } => self.decode_bytes(word, bytes),
            Self::Function => self.decode_bytes(word, FUNCTION),
            Self::Bool => {
                self.require_padding(word, WORD - 1, false, 0)?;
                match word.last() {
                    Some(0) => Ok(Value::Bool(false)),
                    Some(1) => Ok(Value::Bool(true)),
                    _ => Err(Fault::new(Reason::DataPadding, "bool 0 or 1", "another number")),
                }
            }
        }
    }

    fn decode_bytes(self, word: &[u8; WORD], bytes: usize) -> Result<Value, Fault> {
        self.require_padding(word, WORD - bytes, true, 0)?;
        Ok(Value::String(hex_text(word.get(..bytes).unwrap_or_default())))
    }

    /// Asserts that what stands before the value repeats its sign bit.
    fn require_sign(self, word: &[u8; WORD], bytes: usize) -> Result<(), Fault> {
        let negative = word.get(WORD - bytes).is_some_and(|byte| byte & 0x80 != 0);
        self.require_padding(word, WORD - bytes, false, if negative { 0xff } else { 0 })
    }

    /// Asserts that `count` bytes at one end of the word are all `fill`.
    fn require_padding(self, word: &[u8; WORD], count: usize, at_end: bool, fill: u8) -> Result<(), Fault> {
        let padding = if at_end { word.get(WORD - count..) } else { word.get(..count) };
        if padding.is_some_and(|bytes| bytes.iter().all(|byte| *byte == fill)) {
            return Ok(());
        }
        Err(Fault::new(Reason::DataPadding, format!("{self} padded with {fill:02x}"), "other bytes"))
    }
}

/// `0x` and lower-case digits.
pub(super) fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The integer's text divided by 10^`decimals`, exactly, without zeros at its end.
fn with_point(integer: &str, decimals: usize) -> String {
    let (sign, digits) = integer.strip_prefix('-').map_or(("", integer), |digits| ("-", digits));
    let digits = format!("{digits:0>least$}", least = decimals + 1);
    let (whole, rest) = digits.split_at_checked(digits.len() - decimals).unwrap_or((&digits, ""));
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(hex_digits: &str) -> [u8; WORD] {
        hex::decode(format!("{hex_digits:0>64}")).unwrap().try_into().unwrap()
    }

    /// Digits padded on the right to one word.
    fn left(hex_digits: &str) -> [u8; WORD] {
        word(&format!("{hex_digits:0<64}"))
    }

    #[test]
    fn one_value_of_each_kind() {
        let minus_one = [0xff; WORD];
        for (kind, bytes, value) in [
            (Word::Uint { bytes: 1 }, word("ff"), json!("255")),
            (Word::Uint { bytes: 32 }, minus_one, json!(U256::new(minus_one).to_string())),
            (Word::Int { bytes: 1 }, minus_one, json!("-1")),
            (Word::Int { bytes: 1 }, word("7f"), json!("127")),
            (Word::Int { bytes: 32 }, minus_one, json!("-1")),
            (Word::Ufixed { bytes: 16, decimals: 2 }, word("fa"), json!("2.5")),
            (Word::Ufixed { bytes: 16, decimals: 2 }, word("0"), json!("0")),
            (Word::Ufixed { bytes: 1, decimals: 3 }, word("7"), json!("0.007")),
            (Word::Fixed { bytes: 1, decimals: 1 }, minus_one, json!("-0.1")),
            (Word::Fixed { bytes: 1, decimals: 1 }, word("64"), json!("10")),
            (Word::Bool, word("1"), json!(true)),
            (Word::FixedBytes { bytes: 4 }, left("01020304"), json!("0x01020304")),
            (Word::Address, word(&"aa".repeat(20)), json!(format!("0x{}", "aa".repeat(20)))),
            (Word::Function, left(&"bb".repeat(24)), json!(format!("0x{}", "bb".repeat(24)))),
        ] {
            assert_eq!(kind.decode(&bytes).unwrap(), value, "{kind}");
        }
    }

    #[test]
    fn padding_that_is_not_the_types() {
        for (kind, bytes) in [
            (Word::Uint { bytes: 1 }, word("100")),
            (Word::Int { bytes: 1 }, word("80")),
            (Word::Int { bytes: 1 }, word(&format!("{}7f", "f".repeat(62)))),
            (Word::Ufixed { bytes: 2, decimals: 1 }, word("10000")),
            (Word::Fixed { bytes: 2, decimals: 1 }, word("8000")),
            (Word::Bool, word("2")),
            (Word::Bool, word("100")),
            (Word::Address, word(&"aa".repeat(21))),
            (Word::FixedBytes { bytes: 4 }, left("0102030405")),
            (Word::Function, left(&"bb".repeat(25))),
            (Word::Function, word(&"bb".repeat(24))),
        ] {
            assert_eq!(kind.decode(&bytes).unwrap_err().reason(), "event-data-padding", "{kind}");
        }
    }

    proptest! {
        #[test]
        fn a_fixed_number_is_its_integer_moved_by_its_decimals(value in any::<i128>(), decimals in 1usize..=80) {
            let text = with_point(&value.to_string(), decimals);
            let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert!(rest.len() <= decimals && !rest.ends_with('0'));
            let digits = format!("{whole}{rest:0<decimals$}");
            let magnitude = value.unsigned_abs().to_string();
            prop_assert_eq!(digits.trim_start_matches(['-', '0']), magnitude.trim_start_matches('0'));
            prop_assert_eq!(text.starts_with('-'), value < 0);
        }
    }
}
