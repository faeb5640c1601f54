//! The content id of a schema: its identity without its wording.

use hufu_schemas_core::ContentId;
use hufu_schemas_core::canonical::to_canonical;
use serde_json::{Map, Value};

/// Keywords that say nothing about validity.
const ANNOTATIONS: [&str; 3] = ["title", "description", "x-title-zh"];

/// Keywords whose members are names chosen by the author, each with a schema: a property called `title` is not a title.
const NAMED_SCHEMAS: [&str; 2] = ["properties", "$defs"];

/// Keywords that hold one schema or a list of schemas.
const SCHEMAS: [&str; 11] = [
    "additionalProperties",
    "propertyNames",
    "items",
    "contains",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
];

/// SHA-256 of the canonical schema (RFC 8785) without `title`, `description` and `x-title-zh`.
///
/// The three are left out where they are keywords, and kept where they are data (property names, values of `const` and
/// `enum`), so that a wording fix changes nothing and every other change does.
///
/// Both sides must have read the schema strictly ([`hufu_schemas_core::canonical::parse`]).
pub fn content_id(schema: &Value) -> ContentId {
    ContentId::of(&to_canonical(&without_annotations(schema)))
}

fn without_annotations(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => Value::Object(members.iter().filter_map(keyword).collect()),
        Value::Array(schemas) => Value::Array(schemas.iter().map(without_annotations).collect()),
        other => other.clone(),
    }
}

fn keyword((name, value): (&String, &Value)) -> Option<(String, Value)> {
    let kept = match (name.as_str(), value) {
        (name, _) if ANNOTATIONS.contains(&name) => return None,
        (name, Value::Object(members)) if NAMED_SCHEMAS.contains(&name) => Value::Object(named(members)),
        (name, value) if SCHEMAS.contains(&name) => without_annotations(value),
        (_, value) => value.clone(),
    };
    Some((name.clone(), kept))
}

fn named(members: &Map<String, Value>) -> Map<String, Value> {
    members.iter().map(|(name, schema)| (name.clone(), without_annotations(schema))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wording_does_not_change_the_id_and_rules_do() {
        let one =
            json!({"type": "object", "title": "A", "properties": {"n": {"type": "string", "description": "old"}}});
        let wording =
            json!({"type": "object", "x-title-zh": "甲", "properties": {"n": {"type": "string", "title": "new"}}});
        let rule = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        assert_eq!(content_id(&one), content_id(&wording));
        assert_ne!(content_id(&one), content_id(&rule));
    }

    #[test]
    fn a_property_called_title_is_not_a_title() {
        let with = json!({"type": "object", "properties": {"title": {"type": "string"}, "n": {"type": "string"}}});
        let without = json!({"type": "object", "properties": {"n": {"type": "string"}}});
        let changed = json!({"type": "object", "properties": {"title": {"type": "integer"}, "n": {"type": "string"}}});
        assert_ne!(content_id(&with), content_id(&without));
        assert_ne!(content_id(&with), content_id(&changed));
        let definition = json!({"type": "object", "$defs": {"description": {"type": "string"}}});
        assert_ne!(content_id(&definition), content_id(&json!({"type": "object", "$defs": {}})));
    }

    #[test]
    fn data_called_title_is_not_a_title() {
        let one = json!({"const": {"title": "A"}});
        assert_ne!(content_id(&one), content_id(&json!({"const": {"title": "B"}})));
        assert_ne!(content_id(&json!({"enum": [{"title": 1}]})), content_id(&json!({"enum": [{}]})));
        assert_ne!(content_id(&json!({"required": ["title"]})), content_id(&json!({"required": []})));
    }

    #[test]
    fn titles_below_combinators_and_definitions_are_titles() {
        let one = json!({"allOf": [{"if": {"title": "x"}, "then": {"not": {"description": "y"}}}], "$defs": {"a": {"title": "z"}}});
        assert_eq!(
            content_id(&one),
            content_id(&json!({"allOf": [{"if": {}, "then": {"not": {}}}], "$defs": {"a": {}}}))
        );
    }
}
