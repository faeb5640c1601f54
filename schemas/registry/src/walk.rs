//! A document and its schema, side by side: for what a schema *marks* (open code lists, personal fields, formats with a
//! check character) and a validator does not judge.

use serde_json::{Map, Value};

use crate::fault::token;
use crate::lint::definition_name;

/// One value under one subschema that describes it.
pub(crate) struct Visit<'a> {
    /// The subschema.
    pub(crate) schema: &'a Map<String, Value>,
    /// The value.
    pub(crate) value: &'a Value,
    /// JSON Pointer to the value.
    pub(crate) pointer: &'a str,
    /// False below `anyOf` and `oneOf`, where another branch may be the one that holds.
    pub(crate) certain: bool,
}

/// Visits every value of `document` with each subschema that describes it. Conditions (`if`, `not`, `allOf`, …) are not
/// visited: the loader refuses marks there.
///
/// Ends, because the loader refuses definitions that contain themselves.
pub(crate) fn walk(schema: &Value, document: &Value, visitor: &mut dyn FnMut(&Visit<'_>)) {
    let definitions = schema.get("$defs").and_then(Value::as_object);
    Walker { definitions, visitor, pointer: String::new() }.descend(schema, document, true);
}

struct Walker<'a> {
    definitions: Option<&'a Map<String, Value>>,
    visitor: &'a mut dyn FnMut(&Visit<'_>),
    /// Where the walk stands. One buffer, because nearly no visit keeps it.
    pointer: String,
}

impl<'a> Walker<'a> {
    fn descend(&mut self, schema: &Value, value: &Value, certain: bool) {
        let Value::Object(node) = schema else { return };
        (self.visitor)(&Visit { schema: node, value, pointer: &self.pointer, certain });
        if let Some(definition) = self.definition(node) {
            self.descend(definition, value, certain);
        }
        for branches in ["anyOf", "oneOf"].iter().filter_map(|keyword| node.get(*keyword)?.as_array()) {
            for branch in branches {
                self.descend(branch, value, false);
            }
        }
        match value {
            Value::Object(members) => self.members(node, members, certain),
            Value::Array(items) => self.items(node, items, certain),
            _ => {}
        }
    }

    fn definition(&self, node: &Map<String, Value>) -> Option<&'a Value> {
        self.definitions?.get(definition_name(node.get("$ref")?)?)
    }

    fn members(&mut self, node: &Map<String, Value>, members: &Map<String, Value>, certain: bool) {
        let named = node.get("properties").and_then(Value::as_object);
        for (name, value) in members {
            let schema = named.and_then(|named| named.get(name)).or_else(|| node.get("additionalProperties"));
            let Some(schema) = schema else { continue };
            let here = self.pointer.len();
            push(&mut self.pointer, name);
            self.descend(schema, value, certain);
            self.pointer.truncate(here);
        }
    }

    fn items(&mut self, node: &Map<String, Value>, items: &[Value], certain: bool) {
        let Some(schema) = node.get("items") else { return };
        for (at, value) in items.iter().enumerate() {
            let here = self.pointer.len();
            push(&mut self.pointer, &at.to_string());
            self.descend(schema, value, certain);
            self.pointer.truncate(here);
        }
    }
}

/// One token further.
pub(crate) fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&token(name));
}
