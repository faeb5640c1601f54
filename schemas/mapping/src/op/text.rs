//! Operations on text and lists.

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use super::{Item, Refusal, form, kind_of};
use crate::fault::{FaultCode, Trouble};
use crate::limits::{MAX_PIECES, MAX_REGEX_BYTES, MAX_REGEX_COMPILED, MAX_TEXT_BYTES};
use crate::pointer::Pointer;

pub(super) fn trim(text: &str) -> &str {
    text.trim()
}

/// NFKC may unfold one character into eighteen: the limit holds while it unfolds, not after.
pub(super) fn nfkc(text: &str) -> Result<String, Trouble> {
    let mut normal = String::with_capacity(text.len());
    for character in text.nfkc() {
        if normal.len() > MAX_TEXT_BYTES {
            break;
        }
        normal.push(character);
    }
    within(normal)
}

pub(super) fn strip(text: &str, set: &str) -> String {
    text.chars().filter(|character| !set.contains(*character)).collect()
}

pub(super) fn split(text: &str, separator: &str) -> Result<Value, Trouble> {
    let pieces: Vec<Value> = text.split(separator).take(MAX_PIECES + 1).map(Value::from).collect();
    if pieces.len() > MAX_PIECES {
        return Err(Trouble::new(FaultCode::Limit, format!("expected at most {MAX_PIECES} pieces from split")));
    }
    Ok(Value::Array(pieces))
}

pub(super) fn pick_index(item: Item, index: usize) -> Result<Item, Trouble> {
    let Item::Json(Value::Array(mut items)) = item else {
        return Err(Trouble::new(FaultCode::Type, format!("pick takes a list, got {}", kind_of(&item))));
    };
    if index >= items.len() {
        return Err(Trouble::new(
            FaultCode::Pick,
            format!("expected an element {index}, got a list of {}", items.len()),
        ));
    }
    Ok(Item::Json(items.swap_remove(index)))
}

pub(super) fn pick_pointer(item: &Item, pointer: &Pointer) -> Result<Item, Trouble> {
    let Item::Json(value) = item else {
        return Err(Trouble::new(FaultCode::Type, "pick takes JSON, got bytes"));
    };
    let missing = || Trouble::new(FaultCode::Pick, format!("expected a value at {pointer} of the parsed text"));
    pointer.find(value).cloned().map(Item::Json).ok_or_else(missing)
}

pub(super) fn join(item: &Item, separator: &str) -> Result<String, Trouble> {
    let Item::Json(Value::Array(items)) = item else {
        return Err(Trouble::new(FaultCode::Type, format!("join takes a list of texts, got {}", kind_of(item))));
    };
    let mut joined = String::new();
    for (index, part) in items.iter().enumerate() {
        let Value::String(part) = part else {
            let detail = format!("join takes a list of texts, got another value at index {index}");
            return Err(Trouble::new(FaultCode::Type, detail));
        };
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
        if joined.len() > MAX_TEXT_BYTES {
            break;
        }
    }
    within(joined)
}

/// Compiles an expression. The engine has no backtracking, so matching is linear in the text.
pub(super) fn expression(source: &str) -> Result<Regex, Refusal> {
    if source.len() > MAX_REGEX_BYTES {
        return Err(form(&format!("expected an expression of at most {MAX_REGEX_BYTES} bytes, got {}", source.len())));
    }
    let built = RegexBuilder::new(source).size_limit(MAX_REGEX_COMPILED).dfa_size_limit(MAX_REGEX_COMPILED).build();
    built.map_err(|fault| form(&format!("expected a regular expression: {fault}")))
}

pub(super) fn extract(text: &str, expression: &Regex) -> Result<String, Trouble> {
    let none = || Trouble::new(FaultCode::Regex, "expected a text that matches the expression, got another");
    let groups = expression.captures(text).ok_or_else(none)?;
    let wanted = usize::from(expression.captures_len() > 1);
    groups.get(wanted).map(|found| found.as_str().to_owned()).ok_or_else(none)
}

fn within(text: String) -> Result<String, Trouble> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Trouble::new(FaultCode::Limit, format!("expected at most {MAX_TEXT_BYTES} bytes of text")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts() {
        assert_eq!(trim(" \u{3000}a b\u{a0}\n"), "a b");
        assert_eq!(nfkc("ＡＢ１２").unwrap(), "AB12");
        assert_eq!(strip("1-2 3-4", "- "), "1234");
        assert_eq!(split("a,b,,c", ",").unwrap(), json!(["a", "b", "", "c"]));
        assert_eq!(split(&",".repeat(MAX_PIECES), ",").unwrap_err().code, FaultCode::Limit);
        assert_eq!(join(&Item::Json(json!(["a", "b"])), "-").unwrap(), "a-b");
        assert_eq!(join(&Item::Json(json!(["a", 1])), "-").unwrap_err().code, FaultCode::Type);
        assert_eq!(pick_index(Item::Json(json!(["a"])), 1).unwrap_err().code, FaultCode::Pick);
    }

    #[test]
    fn extraction_gives_the_first_group_or_the_whole_match() {
        assert_eq!(extract("No. 42 of 7", &expression(r"No\. (\d+)").unwrap()).unwrap(), "42");
        assert_eq!(extract("No. 42 of 7", &expression(r"\d+").unwrap()).unwrap(), "42");
        assert_eq!(extract("none", &expression(r"\d+").unwrap()).unwrap_err().code, FaultCode::Regex);
        // A group that took no part in the match is no value.
        assert_eq!(extract("b", &expression("(a)|b").unwrap()).unwrap_err().code, FaultCode::Regex);
    }

    #[test]
    fn an_expression_that_would_fill_memory_is_refused() {
        assert!(expression(r"(\d{1000}){1000}").is_err());
        assert!(expression(&"a".repeat(MAX_REGEX_BYTES + 1)).is_err());
    }
}
