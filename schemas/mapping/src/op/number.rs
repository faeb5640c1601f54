//! Operations on numbers. They work on decimal digits as text: no binary fraction ever touches an amount.

use serde_json::Value;

use super::{Item, Refusal, form, kind_of};
use crate::fault::{FaultCode, Trouble};
use crate::limits::MAX_SAFE_INTEGER;

/// `big-int` of records.md 3.4: enough for 256 bits.
const MAX_BIGINT_DIGITS: usize = 78;
/// `decimal` of records.md 3.4.
const MAX_WHOLE_DIGITS: usize = 16;
const MAX_FRACTION_DIGITS: usize = 8;
/// A shift beyond 256 bits of digits has no use.
const MAX_SHIFT: i64 = 78;

/// A decimal number taken apart; `whole` has no leading zeros beyond one digit.
struct Digits<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl<'t> Digits<'t> {
    /// Reads `-12.50`; no exponent, no plus, no digit groups.
    fn read(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        let trimmed = whole.trim_start_matches('0');
        let zero = trimmed.is_empty() && fraction.bytes().all(|byte| byte == b'0');
        let whole = if trimmed.is_empty() { "0" } else { trimmed };
        Some(Self { negative: text.len() != unsigned.len() && !zero, whole, fraction })
    }

    fn sign(&self) -> &'static str {
        if self.negative { "-" } else { "" }
    }
}

fn fault(expected: &str) -> Trouble {
    Trouble::new(FaultCode::Number, format!("expected {expected}, got another text"))
}

fn integer(text: &str) -> Result<String, Trouble> {
    let digits = Digits::read(text).filter(|digits| digits.fraction.is_empty() && !text.contains('.'));
    let digits = digits.ok_or_else(|| fault("an integer in decimal digits"))?;
    Ok(format!("{}{}", digits.sign(), digits.whole))
}

/// A JSON integer that every reader takes for the same number.
pub(super) fn int(text: &str) -> Result<Value, Trouble> {
    let number: Option<i64> = integer(text)?.parse().ok();
    let safe = number.filter(|number| (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(number));
    safe.map(Value::from).ok_or_else(|| fault("an integer within 2^53 - 1 (use bigint)"))
}

/// An integer of any size as text.
pub(super) fn bigint(text: &str) -> Result<String, Trouble> {
    let digits = integer(text)?;
    if digits.trim_start_matches('-').len() > MAX_BIGINT_DIGITS {
        return Err(fault("an integer of at most 78 digits"));
    }
    Ok(digits)
}

/// A decimal number as text; the digits behind the point stay as they are, since they say how exact it is.
pub(super) fn decimal(text: &str) -> Result<String, Trouble> {
    let digits = Digits::read(text).ok_or_else(|| fault("a decimal number such as 12.50"))?;
    write_decimal(digits.sign(), digits.whole, digits.fraction)
}

fn write_decimal(sign: &str, whole: &str, fraction: &str) -> Result<String, Trouble> {
    if whole.len() > MAX_WHOLE_DIGITS || fraction.len() > MAX_FRACTION_DIGITS {
        return Err(fault("at most 16 digits before and 8 behind the point"));
    }
    let point = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

/// Moves the point by `places` to the right (to the left where negative). Nothing is rounded: zeros at the end fall
/// away, and other digits that do not fit are a fault.
pub(super) fn shift(text: &str, places: i8) -> Result<String, Trouble> {
    let digits = Digits::read(text).ok_or_else(|| fault("a decimal number such as 12.50"))?;
    if digits.whole.len() > MAX_BIGINT_DIGITS || digits.fraction.len() > MAX_BIGINT_DIGITS {
        return Err(fault("at most 78 digits on each side of the point"));
    }
    let distance = usize::from(places.unsigned_abs());
    let zeros = "0".repeat(distance);
    // Enough zeros on both sides for the point to land between digits whichever way it moves.
    let all = format!("{zeros}{}{}{zeros}", digits.whole, digits.fraction);
    let old_point = distance + digits.whole.len();
    let new_point = if places < 0 { old_point.saturating_sub(distance) } else { old_point + distance };
    let (whole, fraction) = all.split_at_checked(new_point).ok_or_else(|| fault("a decimal number"))?;
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    write_decimal(digits.sign(), whole, fraction.trim_end_matches('0'))
}

/// The argument of `shift`.
pub(super) fn places(argument: &Value) -> Result<i8, Refusal> {
    let places = argument.as_i64().filter(|places| (-MAX_SHIFT..=MAX_SHIFT).contains(places));
    let places = places.and_then(|places| i8::try_from(places).ok());
    places.ok_or_else(|| form(&format!("expected shift with a number of places from -{MAX_SHIFT} to {MAX_SHIFT}")))
}

/// `true`, `false`, `1`, `0`; every other wording goes through a table.
pub(super) fn truth(item: &Item) -> Result<bool, Trouble> {
    let text = match item {
        Item::Json(Value::Bool(truth)) => return Ok(*truth),
        Item::Json(Value::String(text)) => text.to_ascii_lowercase(),
        Item::Json(Value::Number(number)) => number.to_string(),
        other => {
            let detail = format!("bool takes text, a number or a truth value, got {}", kind_of(other));
            return Err(Trouble::new(FaultCode::Type, detail));
        }
    };
    match text.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Trouble::new(FaultCode::Bool, "expected true, false, 1 or 0 (use a table for other words)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn integers() {
        assert_eq!(int("007").unwrap(), json!(7));
        assert_eq!(int("-0").unwrap(), json!(0));
        assert_eq!(int("9007199254740991").unwrap(), json!(9_007_199_254_740_991_i64));
        for text in ["9007199254740992", "", "-", "1.0", "1.", "+1", "0x1", "1e3", "１", " 1"] {
            assert_eq!(int(text).unwrap_err().code, FaultCode::Number, "{text}");
        }
        assert_eq!(bigint(&"9".repeat(78)).unwrap(), "9".repeat(78));
        assert!(bigint(&"9".repeat(79)).is_err());
    }

    #[test]
    fn decimals_keep_their_exactness() {
        for (text, expected) in [("0120.50", "120.50"), ("-0.00", "0.00"), ("-0.10", "-0.10"), ("000", "0")] {
            assert_eq!(decimal(text).unwrap(), expected);
        }
        for text in ["1.", ".5", "1e3", "1,000", "0.123456789", "12345678901234567", "--1", "1.2.3", "NaN"] {
            assert_eq!(decimal(text).unwrap_err().code, FaultCode::Number, "{text}");
        }
    }

    #[test]
    fn shifts_never_round() {
        for (text, places, expected) in [
            ("12345", -2, "123.45"),
            ("5", -3, "0.005"),
            ("-5", -3, "-0.005"),
            ("1.5", 2, "150"),
            ("100", -2, "1"),
            ("1000000000000000000", -18, "1"),
            ("0", -18, "0"),
            ("12.34", 0, "12.34"),
        ] {
            assert_eq!(shift(text, places).unwrap(), expected, "{text} by {places}");
        }
        assert!(shift("1", -9).is_err());
        assert!(shift("1", 16).is_err());
    }

    #[test]
    fn truths() {
        for (value, expected) in [(json!("TRUE"), true), (json!("0"), false), (json!(1), true), (json!(false), false)] {
            assert_eq!(truth(&Item::Json(value)).unwrap(), expected);
        }
        assert_eq!(truth(&Item::Json(json!("yes"))).unwrap_err().code, FaultCode::Bool);
        assert_eq!(truth(&Item::Json(json!(null))).unwrap_err().code, FaultCode::Type);
    }

    proptest! {
        #[test]
        fn shifting_there_and_back_is_the_number(number in 0..=9_999_999_i64, places in 0..=8_i8) {
            let there = shift(&number.to_string(), -places).unwrap();
            prop_assert_eq!(shift(&there, places).unwrap(), number.to_string());
        }

        #[test]
        fn shift_by_two_is_division_by_a_hundred(number in 0..=999_999_999_999_i64) {
            let text = shift(&number.to_string(), -2).unwrap();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let cents = format!("{fraction:0<2}");
            prop_assert_eq!(whole.parse::<i64>().unwrap() * 100 + cents.parse::<i64>().unwrap(), number);
        }
    }
}
