//! What a schema must be before it may judge records: closed, local, small, and of known words.
//!
//! A validator ignores what it does not know. Here a misspelt keyword or format would be a rule that nobody keeps, and
//! an open object a place where personal fields leak; both are refused when the schema is loaded.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fault::{shown, token};
use crate::formats;

/// Subschemas of one schema, with every reference written out. A record body of 1,000 fields stays below it; chains of
/// definitions that double at each step do not.
pub const MAX_SUBSCHEMAS: usize = 16_384;

/// Nesting of subschemas, with every reference written out. Records nest 32 deep at most.
pub const MAX_SCHEMA_DEPTH: usize = 64;

/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords that may stand anywhere. Left out of JSON Schema on purpose: what reaches outside (`$dynamicRef`, `$anchor`,
/// `$vocabulary`), what depends on other keywords' results (`unevaluated…`), what names properties by pattern.
const KEYWORDS: [&str; 44] = [
    "$comment",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "default",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "x-enum",
    "x-open",
    "x-personal",
    "x-title-zh",
    "x-values",
];

/// Keywords of the root alone: a nested `$id` would move the base of every reference below it.
const ROOT_KEYWORDS: [&str; 3] = ["$schema", "$id", "$defs"];

/// A schema that was not loaded, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schema {name}, at {pointer:?}: {fault}")]
pub struct SchemaRefused {
    /// The name under which the schema was supplied: a file name, or its id.
    pub name: String,
    /// JSON Pointer into the schema.
    pub pointer: String,
    /// What is wrong there.
    pub fault: SchemaFault,
}

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaFault {
    /// The root is no object schema with an `$id`.
    #[error("expected {expected}, got {got}")]
    Root {
        /// What the root must have.
        expected: &'static str,
        /// What it has.
        got: String,
    },
    /// A keyword that is not kept here.
    #[error("expected a keyword of the closed list, got {got:?}")]
    UnknownKeyword {
        /// The keyword.
        got: String,
    },
    /// A format that is not checked here.
    #[error("expected a format of the registry, got {got}")]
    UnknownFormat {
        /// The format.
        got: String,
    },
    /// A reference out of the document (nothing is ever fetched), or one inside a condition (marks would hide there).
    #[error("expected a reference to \"#/$defs/<name>\" of this document, outside conditions; got {got}")]
    Reference {
        /// The reference.
        got: String,
    },
    /// A definition that contains itself.
    #[error("expected definitions that do not contain themselves, got a cycle through {got:?}")]
    Cycle {
        /// The definition.
        got: String,
    },
    /// An object or an array that takes what no schema describes.
    #[error("expected {expected}, got an open place")]
    Open {
        /// What closes it.
        expected: &'static str,
    },
    /// More subschemas than [`MAX_SUBSCHEMAS`], or nested deeper than [`MAX_SCHEMA_DEPTH`].
    #[error("expected at most {limit} {what}, got more")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A mark in a place where nobody would look for it.
    #[error("expected x-personal on a property, an item or a definition, got it inside a condition")]
    MisplacedMark,
    /// An id that another schema has.
    #[error("expected an id of its own, got {got:?}")]
    Duplicate {
        /// The id.
        got: String,
    },
    /// The meta-schema or the compiler refuses it.
    #[error("expected a valid JSON Schema 2020-12, got: {got}")]
    Invalid {
        /// What the compiler said.
        got: String,
    },
}

impl SchemaFault {
    /// A label from a closed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Root { .. } => "schema-root",
            Self::UnknownKeyword { .. } => "unknown-keyword",
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Reference { .. } => "schema-reference",
            Self::Cycle { .. } => "reference-cycle",
            Self::Open { .. } => "open-schema",
            Self::TooLarge { .. } => "schema-too-large",
            Self::MisplacedMark => "misplaced-mark",
            Self::Duplicate { .. } => "duplicate-schema",
            Self::Invalid { .. } => "invalid-schema",
        }
    }
}

/// Who wrote the schema. Only ours may leave a place open, because code closes it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    Builtin,
    Department,
}

/// How a subschema stands to its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It alone describes the value, so it must close it.
    Whole,
    /// A condition on a value that another subschema describes.
    Part,
}

type At = (String, SchemaFault);

/// Checks a whole schema; answers its `$id`.
pub(crate) fn check(name: &str, schema: &Value, author: Author) -> Result<String, SchemaRefused> {
    let refuse = |(pointer, fault): At| SchemaRefused { name: name.to_owned(), pointer, fault };
    let (id, root) = check_root(schema).map_err(refuse)?;
    let empty = Map::new();
    let definitions = match root.get("$defs") {
        Some(Value::Object(members)) => members,
        _ => &empty,
    };
    // First that it is finite, then what it says: the second walk may recurse freely.
    Expansion { definitions, sizes: BTreeMap::new() }.measure_root(schema).map_err(refuse)?;
    check_node(root, "", Place::Whole, author, true).map_err(refuse)?;
    for (name, definition) in definitions {
        check_value(definition, &format!("/$defs/{}", token(name)), Place::Whole, author).map_err(refuse)?;
    }
    Ok(id)
}

fn check_root(schema: &Value) -> Result<(String, &Map<String, Value>), At> {
    let fault = |pointer: &str, expected, got: Option<&Value>| {
        (pointer.to_owned(), SchemaFault::Root { expected, got: got.map_or_else(|| "nothing".to_owned(), shown) })
    };
    let Value::Object(root) = schema else { return Err(fault("", "an object", Some(schema))) };
    if root.get("$schema").and_then(Value::as_str) != Some(DIALECT) {
        return Err(fault("/$schema", "JSON Schema 2020-12", root.get("$schema")));
    }
    if root.get("type").and_then(Value::as_str) != Some("object") {
        return Err(fault("/type", "\"object\"", root.get("type")));
    }
    match root.get("$id").and_then(Value::as_str) {
        Some(id) if is_id(id) => Ok((id.to_owned(), root)),
        _ => Err(fault(
            "/$id",
            "an https or urn identifier of at most 256 characters, without a fragment",
            root.get("$id"),
        )),
    }
}

fn is_id(id: &str) -> bool {
    let rest = id.strip_prefix("https://").or_else(|| id.strip_prefix("urn:"));
    let graphic = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    id.len() <= 256 && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(graphic))
}

fn check_value(schema: &Value, at: &str, place: Place, author: Author) -> Result<(), At> {
    match (schema, place) {
        (Value::Object(members), _) => check_node(members, at, place, author, false),
        (Value::Bool(true), Place::Whole) => Err(open(at, "a schema that describes the value")),
        // What is not a schema at all is the meta-schema's to refuse.
        _ => Ok(()),
    }
}

fn check_node(node: &Map<String, Value>, at: &str, place: Place, author: Author, root: bool) -> Result<(), At> {
    for (keyword, value) in node {
        check_keyword(keyword, value, at, root)?;
    }
    if node.contains_key("x-personal") && place == Place::Part {
        return Err((at.to_owned(), SchemaFault::MisplacedMark));
    }
    if let (Some(target), Place::Part) = (node.get("$ref"), place) {
        return Err((format!("{at}/$ref"), SchemaFault::Reference { got: shown(target) }));
    }
    if place == Place::Whole {
        check_closed(node, at, author)?;
    }
    for (pointer, child, position) in children(node) {
        check_value(child, &format!("{at}/{pointer}"), position.within(place), author)?;
    }
    Ok(())
}

impl Place {
    /// Whatever stands inside a condition is a condition.
    fn within(self, outer: Self) -> Self {
        if outer == Self::Part { Self::Part } else { self }
    }
}

fn check_keyword(keyword: &str, value: &Value, at: &str, root: bool) -> Result<(), At> {
    let here = || format!("{at}/{}", token(keyword));
    let known = KEYWORDS.contains(&keyword) || (root && ROOT_KEYWORDS.contains(&keyword));
    if !known {
        return Err((here(), SchemaFault::UnknownKeyword { got: keyword.to_owned() }));
    }
    if keyword == "format" && !value.as_str().is_some_and(formats::is_known) {
        return Err((here(), SchemaFault::UnknownFormat { got: shown(value) }));
    }
    Ok(())
}

fn check_closed(node: &Map<String, Value>, at: &str, author: Author) -> Result<(), At> {
    if author == Author::Builtin && node.contains_key("x-open") {
        return Ok(());
    }
    if node.contains_key("x-open") {
        return Err(open(at, "no x-open, which is for the envelope alone"));
    }
    let describes = ["type", "const", "enum", "$ref", "anyOf", "oneOf"];
    if !describes.iter().any(|keyword| node.contains_key(*keyword)) {
        return Err(open(at, "a type, a const, an enum, a $ref, an anyOf or a oneOf"));
    }
    let closed = matches!(node.get("additionalProperties"), Some(Value::Bool(false) | Value::Object(_)));
    if (may_be(node, "object") || node.contains_key("properties")) && !closed {
        return Err(open(at, "additionalProperties: false, or one schema for all values"));
    }
    if may_be(node, "array") && !matches!(node.get("items"), Some(Value::Bool(false) | Value::Object(_))) {
        return Err(open(at, "items with a schema"));
    }
    Ok(())
}

fn may_be(node: &Map<String, Value>, kind: &str) -> bool {
    match node.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

fn open(at: &str, expected: &'static str) -> At {
    (at.to_owned(), SchemaFault::Open { expected })
}

/// The subschemas of a node, with where each stands and how.
fn children(node: &Map<String, Value>) -> Vec<(String, &Value, Place)> {
    let mut found = Vec::new();
    for (keyword, value) in node {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(members)) => {
                found.extend(
                    members.iter().map(|(name, one)| (format!("properties/{}", token(name)), one, Place::Whole)),
                );
            }
            ("additionalProperties" | "items", one) => found.push((keyword.clone(), one, Place::Whole)),
            ("anyOf" | "oneOf", Value::Array(all)) => {
                found.extend(all.iter().enumerate().map(|(at, one)| (format!("{keyword}/{at}"), one, Place::Whole)));
            }
            ("allOf", Value::Array(all)) => {
                found.extend(all.iter().enumerate().map(|(at, one)| (format!("allOf/{at}"), one, Place::Part)));
            }
            ("propertyNames" | "contains" | "not" | "if" | "then" | "else", one) => {
                found.push((keyword.clone(), one, Place::Part));
            }
            _ => {}
        }
    }
    found
}

/// The schema with every reference written out: finite, and how large. Written out, it bounds the work per value.
struct Expansion<'s> {
    definitions: &'s Map<String, Value>,
    /// Size and depth of each definition; `None` while it is being measured.
    sizes: BTreeMap<&'s str, Option<(usize, usize)>>,
}

impl<'s> Expansion<'s> {
    fn measure_root(&mut self, schema: &'s Value) -> Result<(), At> {
        let (mut total, _) = self.measure(schema, "", 0)?;
        for (name, definition) in self.definitions {
            let (size, _) = self.measure(definition, &format!("/$defs/{}", token(name)), 0)?;
            total += size;
        }
        if total > MAX_SUBSCHEMAS {
            return Err((String::new(), SchemaFault::TooLarge { what: "subschemas", limit: MAX_SUBSCHEMAS }));
        }
        Ok(())
    }

    fn measure(&mut self, schema: &'s Value, at: &str, level: usize) -> Result<(usize, usize), At> {
        let Value::Object(node) = schema else { return Ok((1, 1)) };
        if level > MAX_SCHEMA_DEPTH {
            return Err((at.to_owned(), SchemaFault::TooLarge { what: "nested schemas", limit: MAX_SCHEMA_DEPTH }));
        }
        let (mut size, mut depth) = (1, 1);
        if let Some(target) = node.get("$ref") {
            let (below, deep) = self.reference(target, at, level + 1)?;
            (size, depth) = (size + below, depth + deep);
        }
        for (pointer, child, _) in children(node) {
            let (below, deep) = self.measure(child, &format!("{at}/{pointer}"), level + 1)?;
            (size, depth) = (size + below, depth.max(deep + 1));
            if size > MAX_SUBSCHEMAS {
                return Err((at.to_owned(), SchemaFault::TooLarge { what: "subschemas", limit: MAX_SUBSCHEMAS }));
            }
        }
        if level + depth > MAX_SCHEMA_DEPTH {
            return Err((at.to_owned(), SchemaFault::TooLarge { what: "nested schemas", limit: MAX_SCHEMA_DEPTH }));
        }
        Ok((size, depth))
    }

    fn reference(&mut self, target: &'s Value, at: &str, level: usize) -> Result<(usize, usize), At> {
        let here = || format!("{at}/$ref");
        let fault = || (here(), SchemaFault::Reference { got: shown(target) });
        let name = definition_name(target).ok_or_else(fault)?;
        match self.sizes.get(name) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Err((here(), SchemaFault::Cycle { got: name.to_owned() })),
            None => {}
        }
        let definition = self.definitions.get(name).ok_or_else(fault)?;
        self.sizes.insert(name, None);
        let measured = self.measure(definition, &format!("/$defs/{name}"), level)?;
        self.sizes.insert(name, Some(measured));
        Ok(measured)
    }
}

/// The definition that a `$ref` names: `#/$defs/<plain name>` is the only form.
pub(crate) fn definition_name(target: &Value) -> Option<&str> {
    let name = target.as_str()?.strip_prefix("#/$defs/")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (plain && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(properties: Value) -> Value {
        json!({"$schema": DIALECT, "$id": "urn:x:1", "type": "object", "properties": properties, "additionalProperties": false})
    }

    fn refused(schema: &Value) -> (String, &'static str) {
        let refused = check("test", schema, Author::Department).unwrap_err();
        (refused.pointer, refused.fault.reason())
    }

    #[test]
    fn a_closed_local_schema_is_taken() {
        let mut schema = with(json!({
            "title": {"type": "string"},
            "list": {"type": "array", "items": {"$ref": "#/$defs/one"}},
            "map": {"type": "object", "propertyNames": {"pattern": "^a"}, "additionalProperties": {"type": "integer"}},
            "either": {"oneOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "fixed": {"const": {"format": "no keyword, but data"}}
        }));
        schema["$defs"] = json!({"one": {"enum": ["a", "b"], "x-enum": "closed"}});
        assert_eq!(check("test", &schema, Author::Department), Ok("urn:x:1".to_owned()));
    }

    #[test]
    fn unknown_format_is_a_build_error() {
        let schema = with(json!({"day": {"type": "string", "format": "daet"}}));
        assert_eq!(refused(&schema), ("/properties/day/format".to_owned(), "unknown-format"));
        // Known to JSON Schema, but validators differ in what they take.
        let schema = with(json!({"mail": {"type": "string", "format": "email"}}));
        assert_eq!(refused(&schema).1, "unknown-format");
    }

    #[test]
    fn misspelt_keyword_is_refused_instead_of_ignored() {
        let schema = with(json!({"a": {"type": "string", "maxLenght": 3}}));
        assert_eq!(refused(&schema), ("/properties/a/maxLenght".to_owned(), "unknown-keyword"));
        let schema = with(json!({"a": {"type": "string", "x-personnal": true}}));
        assert_eq!(refused(&schema).1, "unknown-keyword");
    }

    #[test]
    fn remote_reference_is_refused() {
        for target in
            ["https://example.org/s", "other.json", "#", "#/properties/a", "file:///etc/hostname", "#/$defs/none"]
        {
            let schema = with(json!({"a": {"$ref": target}}));
            assert_eq!(refused(&schema), ("/properties/a/$ref".to_owned(), "schema-reference"), "{target}");
        }
        let nested = with(json!({"a": {"type": "string", "$id": "https://example.org/s"}}));
        assert_eq!(refused(&nested).1, "unknown-keyword");
        let dynamic = with(json!({"a": {"$dynamicRef": "https://example.org/s"}}));
        assert_eq!(refused(&dynamic).1, "unknown-keyword");
    }

    #[test]
    fn open_places_are_refused() {
        for open in [
            json!({"type": "object"}),
            json!({"type": "object", "additionalProperties": true}),
            json!({"type": "object", "additionalProperties": {}}),
            json!({"type": ["object", "null"]}),
            json!({"type": "array"}),
            json!({"type": "array", "items": true}),
            json!({"type": "array", "items": {}}),
            json!({"type": "object", "x-open": "payloadSchema"}),
            json!({"anyOf": [{"type": "string"}, {"type": "object"}]}),
            json!({"title": "anything"}),
            json!({"allOf": [{"type": "object"}]}),
            json!(true),
        ] {
            assert_eq!(refused(&with(json!({"a": open}))).1, "open-schema", "{open}");
        }
    }

    #[test]
    fn definitions_that_grow_without_end_are_refused() {
        let mut cycle = with(json!({"a": {"$ref": "#/$defs/a"}}));
        cycle["$defs"] = json!({"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}});
        assert_eq!(refused(&cycle).1, "reference-cycle");

        let mut doubling = with(json!({"a": {"$ref": "#/$defs/d0"}}));
        for step in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", step + 1)});
            doubling["$defs"][format!("d{step}")] = json!({"anyOf": [next, next]});
        }
        doubling["$defs"]["d30"] = json!({"type": "string"});
        assert_eq!(refused(&doubling).1, "schema-too-large");

        let mut deep = json!({"type": "string"});
        for _ in 0..100 {
            deep = json!({"not": deep});
        }
        assert_eq!(refused(&with(json!({"a": {"type": "string", "not": deep}}))).1, "schema-too-large");
    }

    #[test]
    fn personal_mark_inside_a_condition_is_refused() {
        let schema = with(json!({"a": {"type": "string", "allOf": [{"x-personal": true}]}}));
        assert_eq!(refused(&schema).1, "misplaced-mark");
        let mut behind = with(json!({"a": {"type": "string", "allOf": [{"$ref": "#/$defs/p"}]}}));
        behind["$defs"] = json!({"p": {"type": "string", "x-personal": true}});
        assert_eq!(refused(&behind), ("/properties/a/allOf/0/$ref".to_owned(), "schema-reference"));
    }

    #[test]
    fn a_root_must_say_what_it_is() {
        assert_eq!(refused(&json!([])).1, "schema-root");
        for missing in ["$schema", "$id", "type"] {
            let mut schema = with(json!({}));
            schema.as_object_mut().unwrap().remove(missing);
            assert_eq!(refused(&schema), (format!("/{missing}"), "schema-root"));
        }
    }
}
