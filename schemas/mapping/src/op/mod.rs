//! The operations of `do`: pure, total, linear in their input and bounded. None reads a clock, the environment, a time
//! zone database or a locale, so every receiver repeats them to the byte. The table of them is in the crate's own words.

mod bytes;
mod code;
mod json;
mod number;
mod text;
mod time;

use regex::Regex;
use serde_json::Value;

use crate::fault::{ErrorCode, FaultCode, Trouble};
use crate::limits::MAX_TEXT_BYTES;
use crate::pointer::Pointer;

pub(crate) use code::{CertificatePart, CodeKind};
pub(crate) use time::{Format, Offset};

/// What flows between operations: JSON, or bytes that are not text yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Json(Value),
    Bytes(Vec<u8>),
}

/// One operation with its arguments.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Trim,
    Upper,
    Lower,
    Nfkc,
    Strip(String),
    Split(String),
    PickIndex(usize),
    PickPointer(Pointer),
    Join(String),
    RegexExtract(Box<Regex>),
    JsonParse,
    Int,
    BigInt,
    Decimal,
    Shift(i8),
    Bool,
    Date { format: Format, tz: Option<Offset> },
    DateTime { format: Format, tz: Option<Offset> },
    Epoch { milliseconds: bool },
    Bytes(BytesFrom),
    Hex,
    Base64,
    Text,
    Digest,
    CertIdSplit(CertificatePart),
    DivisionOf(CodeKind),
}

/// How bytes are written in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BytesFrom {
    Hex,
    Base64,
    Utf8,
}

/// Why an operation of a document is refused.
pub(crate) type Refusal = (ErrorCode, String);

const NAMES: &str = "trim, upper, lower, nfkc, strip, split, pick, join, regex-extract, json-parse, int, bigint, decimal, \
                     shift, bool, date, datetime, epoch, bytes, hex, base64, text, digest, cert-id-split, division-of";

impl Op {
    /// Parses `trim` or `{split: ","}`.
    pub(crate) fn parse(value: &Value) -> Result<Self, Refusal> {
        if let Value::String(name) = value {
            return Self::bare(name);
        }
        let one = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
        let Some((name, argument)) = one else {
            return Err(form("expected an operation: a name, or one name with its argument"));
        };
        Self::with_argument(name, argument)
    }

    fn bare(name: &str) -> Result<Self, Refusal> {
        Ok(match name {
            "trim" => Self::Trim,
            "upper" => Self::Upper,
            "lower" => Self::Lower,
            "nfkc" => Self::Nfkc,
            "json-parse" => Self::JsonParse,
            "int" => Self::Int,
            "bigint" => Self::BigInt,
            "decimal" => Self::Decimal,
            "bool" => Self::Bool,
            "hex" => Self::Hex,
            "base64" => Self::Base64,
            "text" => Self::Text,
            "strip" | "split" | "pick" | "join" | "regex-extract" | "shift" | "date" | "datetime" | "epoch"
            | "bytes" | "digest" | "cert-id-split" | "division-of" => {
                return Err(form(&format!("expected an argument for {name}, as in {{{name}: …}}")));
            }
            other => return Err(unknown(other)),
        })
    }

    fn with_argument(name: &str, argument: &Value) -> Result<Self, Refusal> {
        Ok(match name {
            "strip" => Self::Strip(some_text(name, argument)?),
            "split" => Self::Split(some_text(name, argument)?),
            "join" => Self::Join(any_text(name, argument)?),
            "pick" => pick(argument)?,
            "regex-extract" => Self::RegexExtract(Box::new(text::expression(&some_text(name, argument)?)?)),
            "shift" => Self::Shift(number::places(argument)?),
            "date" => {
                let (format, tz) = time::arguments(argument)?;
                format.needs_date()?;
                Self::Date { format, tz }
            }
            "datetime" => {
                let (format, tz) = time::arguments(argument)?;
                format.needs_date()?;
                format.needs_offset(tz)?;
                Self::DateTime { format, tz }
            }
            "epoch" => Self::Epoch { milliseconds: choose(name, argument, &[("s", false), ("ms", true)])? },
            "bytes" => Self::Bytes(choose(
                name,
                argument,
                &[("hex", BytesFrom::Hex), ("base64", BytesFrom::Base64), ("utf8", BytesFrom::Utf8)],
            )?),
            "digest" => choose(name, argument, &[("sha-256", Self::Digest)])?,
            "cert-id-split" => Self::CertIdSplit(choose(name, argument, CertificatePart::NAMES)?),
            "division-of" => Self::DivisionOf(choose(name, argument, CodeKind::NAMES)?),
            other => {
                if Self::bare(other).is_ok() {
                    return Err(form(&format!("expected {other} without an argument")));
                }
                return Err(unknown(other));
            }
        })
    }

    /// Its name, for lineage.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::Upper => "upper",
            Self::Lower => "lower",
            Self::Nfkc => "nfkc",
            Self::Strip(_) => "strip",
            Self::Split(_) => "split",
            Self::PickIndex(_) | Self::PickPointer(_) => "pick",
            Self::Join(_) => "join",
            Self::RegexExtract(_) => "regex-extract",
            Self::JsonParse => "json-parse",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Decimal => "decimal",
            Self::Shift(_) => "shift",
            Self::Bool => "bool",
            Self::Date { .. } => "date",
            Self::DateTime { .. } => "datetime",
            Self::Epoch { .. } => "epoch",
            Self::Bytes(_) => "bytes",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Text => "text",
            Self::Digest => "digest",
            Self::CertIdSplit(_) => "cert-id-split",
            Self::DivisionOf(_) => "division-of",
        }
    }

    /// Runs it on one value.
    pub(crate) fn apply(&self, item: Item) -> Result<Item, Trouble> {
        let given = match self {
            Self::Trim => json_text(text::trim(self.text_of(&item)?)),
            Self::Upper => json_text(self.text_of(&item)?.to_ascii_uppercase()),
            Self::Lower => json_text(self.text_of(&item)?.to_ascii_lowercase()),
            Self::Nfkc => json_text(text::nfkc(self.text_of(&item)?)?),
            Self::Strip(set) => json_text(text::strip(self.text_of(&item)?, set)),
            Self::Split(separator) => Item::Json(text::split(self.text_of(&item)?, separator)?),
            Self::PickIndex(index) => text::pick_index(item, *index)?,
            Self::PickPointer(pointer) => text::pick_pointer(&item, pointer)?,
            Self::Join(separator) => json_text(text::join(&item, separator)?),
            Self::RegexExtract(expression) => json_text(text::extract(self.text_of(&item)?, expression)?),
            Self::JsonParse => Item::Json(json::parse(self.text_of(&item)?)?),
            Self::Int => Item::Json(number::int(&self.number_of(&item)?)?),
            Self::BigInt => json_text(number::bigint(&self.number_of(&item)?)?),
            Self::Decimal => json_text(number::decimal(&self.number_of(&item)?)?),
            Self::Shift(places) => json_text(number::shift(&self.number_of(&item)?, *places)?),
            Self::Bool => Item::Json(Value::Bool(number::truth(&item)?)),
            Self::Date { format, tz } => json_text(time::date(self.text_of(&item)?, format, *tz)?),
            Self::DateTime { format, tz } => json_text(time::date_time(self.text_of(&item)?, format, *tz)?),
            Self::Epoch { milliseconds } => json_text(time::epoch(&self.number_of(&item)?, *milliseconds)?),
            Self::Bytes(from) => Item::Bytes(bytes::read(self.text_of(&item)?, *from)?),
            Self::Hex => json_text(hex::encode(self.bytes_of(&item)?)),
            Self::Base64 => json_text(bytes::base64(self.bytes_of(&item)?)),
            Self::Text => json_text(bytes::utf8(self.bytes_of(&item)?)?),
            Self::Digest => Item::Bytes(bytes::digest(&item)?),
            Self::CertIdSplit(part) => json_text(code::certificate_part(self.text_of(&item)?, *part)?),
            Self::DivisionOf(kind) => json_text(code::division(self.text_of(&item)?, *kind)?),
        };
        bounded(given)
    }

    fn text_of<'i>(&self, item: &'i Item) -> Result<&'i str, Trouble> {
        match item {
            Item::Json(Value::String(text)) => Ok(text),
            other => Err(self.wrong_type("text", other)),
        }
    }

    fn bytes_of<'i>(&self, item: &'i Item) -> Result<&'i [u8], Trouble> {
        match item {
            Item::Bytes(bytes) => Ok(bytes),
            other => Err(self.wrong_type("bytes (put {bytes: …} before it)", other)),
        }
    }

    /// Text, or the digits of a JSON integer. A fraction in JSON has been through a binary float in some reader.
    fn number_of(&self, item: &Item) -> Result<String, Trouble> {
        match item {
            Item::Json(Value::String(text)) => Ok(text.clone()),
            Item::Json(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
            other => Err(self.wrong_type("text or an integer", other)),
        }
    }

    fn wrong_type(&self, expected: &str, got: &Item) -> Trouble {
        Trouble::new(FaultCode::Type, format!("{} takes {expected}, got {}", self.name(), kind_of(got)))
    }
}

/// What an item is, in a word.
pub(crate) fn kind_of(item: &Item) -> &'static str {
    match item {
        Item::Bytes(_) => "bytes",
        Item::Json(value) => kind_of_json(value),
    }
}

/// What a JSON value is, in a word.
pub(crate) fn kind_of_json(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn json_text(text: impl Into<String>) -> Item {
    Item::Json(Value::String(text.into()))
}

/// Text and bytes stay within their limit after every operation; lists and objects are weighed when they are written.
pub(crate) fn bounded(item: Item) -> Result<Item, Trouble> {
    let length = match &item {
        Item::Json(Value::String(text)) => text.len(),
        Item::Bytes(bytes) => bytes.len(),
        Item::Json(_) => 0,
    };
    if length > MAX_TEXT_BYTES {
        return Err(Trouble::new(FaultCode::Limit, format!("expected at most {MAX_TEXT_BYTES} bytes, got {length}")));
    }
    Ok(item)
}

fn form(detail: &str) -> Refusal {
    (ErrorCode::Form, detail.to_owned())
}

/// Words for the names that a reader may expect and that are kept out on purpose.
fn unknown(name: &str) -> Refusal {
    let why = match name {
        "subject" | "pseudonym" | "hmac" | "encrypt" => {
            "needs a key that the receiver does not hold, so it could not repeat the mapping; a pseudonym must already \
             stand on the ledger"
        }
        "now" | "today" | "random" | "uuid" | "env" | "fetch" | "http" => {
            "gives another value at every reader; a mapping has no clock, no chance, no environment and no network"
        }
        "expr" | "script" | "eval" | "jq" | "call" => "would run a program; a mapping is data",
        "const" | "default" | "table" | "keep" | "concat" | "optional" => {
            "is a member beside `do`, not an operation in it"
        }
        _ => {
            let shown: String = name.chars().take(40).collect();
            return (ErrorCode::UnknownOperation, format!("expected one of {NAMES}; got {shown:?}"));
        }
    };
    (ErrorCode::RefusedOperation, format!("{name} {why}"))
}

fn any_text(name: &str, argument: &Value) -> Result<String, Refusal> {
    argument.as_str().map(str::to_owned).ok_or_else(|| form(&format!("expected a text for {name}")))
}

fn some_text(name: &str, argument: &Value) -> Result<String, Refusal> {
    let text = any_text(name, argument)?;
    if text.is_empty() { Err(form(&format!("expected a text for {name} that is not empty"))) } else { Ok(text) }
}

fn choose<T: Clone>(name: &str, argument: &Value, choices: &[(&str, T)]) -> Result<T, Refusal> {
    let found = argument.as_str().and_then(|text| choices.iter().find(|(choice, _)| *choice == text));
    found.map(|(_, chosen)| chosen.clone()).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        form(&format!("expected {name} with one of {}", names.join(", ")))
    })
}

fn pick(argument: &Value) -> Result<Op, Refusal> {
    if let Some(pointer) = argument.as_str().filter(|text| !text.is_empty()) {
        let pointer = Pointer::parse(pointer).map_err(|detail| (ErrorCode::Pointer, detail))?;
        return Ok(Op::PickPointer(pointer));
    }
    let index = argument.as_u64().and_then(|index| usize::try_from(index).ok());
    index.map(Op::PickIndex).ok_or_else(|| form("expected pick with an index from 0 or a JSON Pointer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn op(value: Value) -> Op {
        Op::parse(&value).unwrap()
    }

    fn refused(value: Value) -> ErrorCode {
        Op::parse(&value).unwrap_err().0
    }

    #[test]
    fn unknown_operation() {
        for value in [json!("trimm"), json!({"trimm": 1}), json!("Trim"), json!("each")] {
            assert_eq!(refused(value), ErrorCode::UnknownOperation);
        }
    }

    #[test]
    fn operations_that_cannot_be_repeated_are_refused_by_name() {
        for name in ["subject", "pseudonym", "now", "random", "env", "expr"] {
            assert_eq!(refused(json!({name: "x"})), ErrorCode::RefusedOperation);
            assert_eq!(refused(json!(name)), ErrorCode::RefusedOperation);
        }
    }

    #[test]
    fn arguments_are_checked() {
        for value in [
            json!({"split": ""}),
            json!({"split": 1}),
            json!("split"),
            json!({"trim": 1}),
            json!({"pick": -1}),
            json!({"digest": "md5"}),
            json!({"shift": 400}),
            json!({"epoch": "minutes"}),
            json!({"regex-extract": "("}),
            json!({"trim": null, "upper": null}),
            json!(["trim"]),
        ] {
            assert_eq!(refused(value.clone()), ErrorCode::Form, "{value}");
        }
        assert_eq!(refused(json!({"pick": "a"})), ErrorCode::Pointer);
    }

    #[test]
    fn bytes_are_not_text() {
        let item = op(json!({"bytes": "hex"})).apply(json_text("0x414243")).unwrap();
        assert_eq!(item, Item::Bytes(b"ABC".to_vec()));
        assert_eq!(op(json!("upper")).apply(item.clone()).unwrap_err().code, FaultCode::Type);
        assert_eq!(op(json!("text")).apply(item).unwrap(), json_text("ABC"));
    }

    #[test]
    fn growth_is_bounded() {
        // One ligature unfolds to eighteen characters under NFKC.
        let text = "\u{fdfa}".repeat(MAX_TEXT_BYTES / 3);
        assert_eq!(op(json!("nfkc")).apply(json_text(text)).unwrap_err().code, FaultCode::Limit);
        let long = "a".repeat(MAX_TEXT_BYTES);
        assert_eq!(
            op(json!({"bytes": "utf8"})).apply(json_text(long.clone() + "a")).unwrap_err().code,
            FaultCode::Limit
        );
        let bytes = op(json!({"bytes": "utf8"})).apply(json_text(long)).unwrap();
        assert_eq!(op(json!("hex")).apply(bytes).unwrap_err().code, FaultCode::Limit);
    }

    fn any_op() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![
            json!("trim"),
            json!("upper"),
            json!("lower"),
            json!("nfkc"),
            json!({"strip": "-a"}),
            json!({"split": ","}),
            json!({"pick": 1}),
            json!({"pick": "/a/0"}),
            json!({"join": "-"}),
            json!({"regex-extract": "(\\d+)"}),
            json!("json-parse"),
            json!("int"),
            json!("bigint"),
            json!("decimal"),
            json!({"shift": -18}),
            json!({"shift": 38}),
            json!("bool"),
            json!({"date": "%Y%m%d"}),
            json!({"date": {"format": "%Y-%m-%dT%H:%M:%S%z", "tz": "+08:00"}}),
            json!({"datetime": {"format": "%Y-%m-%d", "tz": "Z"}}),
            json!({"epoch": "s"}),
            json!({"epoch": "ms"}),
            json!({"bytes": "hex"}),
            json!({"bytes": "base64"}),
            json!({"bytes": "utf8"}),
            json!("hex"),
            json!("base64"),
            json!("text"),
            json!({"digest": "sha-256"}),
            json!({"cert-id-split": "key"}),
            json!({"division-of": "uscc"}),
            json!({"division-of": "unit"}),
        ])
    }

    proptest! {
        #[test]
        fn every_operation_is_total(chain in prop::collection::vec(any_op(), 1..6), text in "[-+0-9a-zA-Z,.:{}\\[\\]\"% \\PC]{0,40}") {
            let mut item = json_text(text);
            for step in chain {
                match op(step).apply(item) {
                    Ok(next) => item = next,
                    Err(_) => break,
                }
            }
        }
    }
}
