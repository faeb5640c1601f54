//! One loaded schema: linted, compiled, identified.

use hufu_schemas_core::SchemaRef;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::content_id::content_id;
use crate::fault::{Fault, MAX_FAULTS, of_error};
use crate::formats;
use crate::lint::{self, Author, SchemaFault, SchemaRefused};

/// Where our own schemas live. It need not resolve: nothing is ever fetched.
const AUTHORITY: &str = "https://schemas.hufu.example/";

/// Bytes of one compiled pattern. The longest of ours compiles to a few KiB.
const PATTERN_BYTES: usize = 1 << 20;

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The envelope.
    Envelope,
    /// The body of a record type.
    Body,
    /// What a `generic` record carries; supplied by a department.
    Payload,
}

/// A schema that may judge records.
#[derive(Debug)]
pub struct Schema {
    reference: SchemaRef,
    kind: Kind,
    document: Value,
    validator: Validator,
    /// Whether any field is marked `x-personal`: most schemas have none, and then nobody need look.
    marks_personal: bool,
}

impl Schema {
    /// Reads one of ours.
    pub(crate) fn builtin(file: &str) -> Result<Self, SchemaRefused> {
        let document: Value = serde_json::from_str(file).unwrap_or_default();
        let name = document.get("$id").and_then(Value::as_str).unwrap_or("(builtin)").to_owned();
        Self::load(&name, document, Author::Builtin)
    }

    /// Takes a department's payload schema. `name` is for error texts: a file name.
    pub(crate) fn department(name: &str, document: Value) -> Result<Self, SchemaRefused> {
        let schema = Self::load(name, document, Author::Department)?;
        if schema.reference.id.starts_with(AUTHORITY) {
            let fault =
                SchemaFault::Root { expected: "an $id under an authority of your own", got: schema.reference.id };
            return Err(SchemaRefused { name: name.to_owned(), pointer: "/$id".to_owned(), fault });
        }
        Ok(schema)
    }

    fn load(name: &str, document: Value, author: Author) -> Result<Self, SchemaRefused> {
        let id = lint::check(name, &document, author)?;
        let validator = compile(&document).map_err(|(pointer, got)| SchemaRefused {
            name: name.to_owned(),
            pointer,
            fault: SchemaFault::Invalid { got },
        })?;
        let kind = match (author, body_name(&id)) {
            (Author::Department, _) => Kind::Payload,
            (Author::Builtin, Some("envelope") | None) => Kind::Envelope,
            (Author::Builtin, Some(_)) => Kind::Body,
        };
        let reference = SchemaRef { id, content_id: content_id(&document) };
        // A property *named* x-personal also sets this; that costs a walk and changes nothing.
        let marks_personal = document.to_string().contains("\"x-personal\"");
        Ok(Self { reference, kind, document, validator, marks_personal })
    }

    /// Its id and content id.
    pub const fn reference(&self) -> &SchemaRef {
        &self.reference
    }

    /// What it describes.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The schema itself.
    pub const fn document(&self) -> &Value {
        &self.document
    }

    /// The name of the record type, for a body schema: `e-certificate`.
    pub fn body_name(&self) -> Option<&str> {
        if self.kind == Kind::Body { body_name(&self.reference.id) } else { None }
    }

    /// The title in English.
    pub fn title(&self) -> &str {
        self.document.get("title").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether any field is marked `x-personal`.
    pub(crate) const fn marks_personal(&self) -> bool {
        self.marks_personal
    }

    /// The faults of `value`, at most [`MAX_FAULTS`], in the order of the document.
    pub(crate) fn faults(&self, value: &Value) -> Vec<Fault> {
        // Nearly everything is valid, and asking only that is several times cheaper than asking why not.
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        let errors = self.validator.iter_errors(value);
        let mut faults: Vec<Fault> = errors.flat_map(|error| of_error(&error)).take(MAX_FAULTS).collect();
        faults.sort();
        faults.dedup();
        faults
    }
}

/// `e-certificate` of `https://schemas.hufu.example/records/e-certificate/1.0`; `None` for an id that is not ours.
pub(crate) fn body_name(id: &str) -> Option<&str> {
    let (name, version) = id.strip_prefix(AUTHORITY)?.strip_prefix("records/")?.split_once('/')?;
    let (major, minor) = version.split_once('.')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(major) && number(minor)).then_some(name)
}

/// Compiles with formats asserted, unknown formats refused, patterns in linear time, and no way out of the process.
fn compile(document: &Value) -> Result<Validator, (String, String)> {
    let mut options = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
        .offline();
    for (name, check) in formats::CUSTOM {
        options = options.with_format(name, check);
    }
    let shown = |error: &dyn std::fmt::Display| error.to_string().chars().take(200).collect();
    options.build(document).map_err(|error| (error.instance_path().as_str().to_owned(), shown(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_our_ids_name_bodies() {
        assert_eq!(body_name("https://schemas.hufu.example/records/generic/1.0"), Some("generic"));
        for foreign in
            ["https://schemas.hufu.example/records/generic", "https://other.example/records/generic/1.0", "urn:x"]
        {
            assert_eq!(body_name(foreign), None);
        }
    }

    /// The linter refuses these first; the compiler must not fetch or shrug even if a way past the linter were found.
    #[test]
    fn the_compiler_itself_fetches_nothing_and_knows_its_formats() {
        assert!(compile(&json!({"$ref": "https://example.org/schema.json"})).is_err());
        assert!(compile(&json!({"$ref": "file:///etc/hostname"})).is_err());
        assert!(compile(&json!({"format": "daet"})).is_err());
        assert!(compile(&json!({"pattern": "(a)\\1"})).is_err(), "a backreference needs a backtracking engine");
        assert!(compile(&json!({"pattern": "(((a{1000}){1000}){1000})"})).is_err(), "a pattern of a billion states");
        assert!(compile(&json!({"type": "strng"})).is_err());
    }

    #[test]
    fn formats_are_asserted() {
        let validator = compile(&json!({"format": "date"})).unwrap();
        assert!(validator.is_valid(&json!("2024-02-29")));
        assert!(!validator.is_valid(&json!("2023-02-30")));
        let validator = compile(&json!({"format": "date-time"})).unwrap();
        assert!(validator.is_valid(&json!("2024-02-29T08:00:00+08:00")));
        assert!(!validator.is_valid(&json!("2024-02-29T08:00:00")), "an offset is required");
    }
}
