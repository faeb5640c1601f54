//! What is wrong with a document, said so that a person can mend it.

use std::borrow::Cow;
use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde::Serialize;
use serde_json::Value;

/// Faults reported of one document. A reader mends a few at a time; a hostile document can hold thousands.
pub const MAX_FAULTS: usize = 32;

/// Characters repeated of a foreign value.
const SHOWN: usize = 80;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// JSON Pointer to the value at fault. A missing or unexpected property is named by where it would stand.
    pub pointer: String,
    /// The JSON Schema keyword that refused, or the name of a rule in code: `recordKey`, `type`, `position`, `schema`,
    /// `payloadSchema`, `sharing`, `shares`, `party`, `personal`, `commitment`, `recordId`.
    pub keyword: String,
    /// What the rule wants.
    pub expected: String,
    /// What stood there, shortened.
    pub got: String,
}

impl Fault {
    /// A fault found by a rule in code.
    pub(crate) fn new(pointer: &str, keyword: &str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), keyword: keyword.to_owned(), expected: expected.into(), got: got.into() }
    }

    /// The same fault of a document in which this one stands at `prefix`.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "(whole document)" } else { &self.pointer };
        write!(f, "{pointer}: {}: expected {}, got {}", self.keyword, self.expected, self.got)
    }
}

/// One token of a JSON Pointer, escaped (RFC 6901).
pub(crate) fn token(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) { Cow::Owned(name.replace('~', "~0").replace('/', "~1")) } else { Cow::Borrowed(name) }
}

/// A foreign value in a few words: never more than a reader can use, and never a whole document.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(members) => format!("an object of {}", members.len()),
        Value::String(text) if text.chars().nth(SHOWN).is_some() => {
            format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
        }
        other => other.to_string(),
    }
}

/// The faults behind one error of the validator.
pub(crate) fn of_error(error: &ValidationError<'_>) -> Vec<Fault> {
    let at = error.instance_path().as_str();
    let keyword = error.kind().keyword();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Fault::new(&format!("{at}/{}", token(name)), keyword, "this property", "nothing")]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let one = |name: &String| {
                let got = shown(&Value::String(name.clone()));
                Fault::new(&format!("{at}/{}", token(name)), keyword, "only the properties the schema names", got)
            };
            unexpected.iter().take(MAX_FAULTS).map(one).collect()
        }
        ValidationErrorKind::PropertyNames { error: inner } => {
            let name = inner.instance().as_str().unwrap_or_default();
            let expected = format!("a name that is {}", expected(inner.kind()));
            vec![Fault::new(&format!("{at}/{}", token(name)), keyword, expected, shown(inner.instance()))]
        }
        kind => vec![Fault::new(at, keyword, expected(kind), shown(error.instance()))],
    }
}

fn expected(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Constant { expected_value } => shown(expected_value),
        ValidationErrorKind::Enum { options } => {
            let names = options.as_array().map(|all| all.iter().map(shown).collect::<Vec<_>>().join(", "));
            format!("one of {}", names.unwrap_or_default())
        }
        ValidationErrorKind::FalseSchema => "no such property here".to_owned(),
        ValidationErrorKind::Format { format } => format!("of format {format}"),
        ValidationErrorKind::Pattern { pattern } => format!("matching {pattern}"),
        ValidationErrorKind::MaxItems { limit } => format!("at most {limit} items"),
        ValidationErrorKind::MinItems { limit } => format!("at least {limit} items"),
        ValidationErrorKind::MaxLength { limit } => format!("at most {limit} characters"),
        ValidationErrorKind::MinLength { limit } => format!("at least {limit} characters"),
        ValidationErrorKind::MaxProperties { limit } => format!("at most {limit} properties"),
        ValidationErrorKind::MinProperties { limit } => format!("at least {limit} properties"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::UniqueItems => "items that differ".to_owned(),
        ValidationErrorKind::Type { kind } => format!("{kind:?}"),
        other => format!("what {} asks", other.keyword()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_foreign_value_is_never_repeated_whole() {
        assert!(shown(&json!("x".repeat(10_000))).len() < 100);
        assert_eq!(shown(&json!([1, 2, 3])), "an array of 3");
        assert_eq!(shown(&json!("short")), "\"short\"");
    }

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(token("a/b~c"), "a~1b~0c");
    }
}
