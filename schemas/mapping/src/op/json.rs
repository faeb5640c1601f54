//! `json-parse`: JSON inside a text, read as strictly as every other foreign JSON.

use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use serde_json::Value;

use crate::fault::{FaultCode, Trouble};
use crate::limits::{MAX_PIECES, MAX_TEXT_BYTES, MAX_VALUE_DEPTH};

const LIMITS: JsonLimits =
    JsonLimits { bytes: MAX_TEXT_BYTES, depth: MAX_VALUE_DEPTH, string: MAX_TEXT_BYTES, items: MAX_PIECES };

pub(super) fn parse(text: &str) -> Result<Value, Trouble> {
    // The parser's own words may quote the text; the fault must not.
    let fault =
        |_| Trouble::new(FaultCode::Json, "expected JSON without duplicate keys, unsafe integers or deep nesting");
    canonical::parse(text.as_bytes(), &LIMITS).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_json() {
        assert_eq!(parse(r#" {"a": [1, -2, true, null, "x"]} "#).unwrap(), json!({"a": [1, -2, true, null, "x"]}));
    }

    #[test]
    fn json_without_a_canonical_form() {
        for text in [r#"{"a":1,"a":2}"#, "9007199254740992", "{} {}", "", "{", r#""\ud800""#] {
            assert_eq!(parse(text).unwrap_err().code, FaultCode::Json, "{text}");
        }
    }

    #[test]
    fn deep_json_in_a_text() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(parse(&nested(10_000)).unwrap_err().code, FaultCode::Json);
        assert_eq!(parse(&nested(MAX_VALUE_DEPTH + 1)).unwrap_err().code, FaultCode::Json);
        assert!(parse(&nested(MAX_VALUE_DEPTH)).is_ok());
    }
}
