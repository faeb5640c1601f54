//! Which input fields a rule reads or drops. A field that nobody thought of may be personal: with `unmapped: error`
//! it stops the record instead of slipping by.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fault::{FaultCode, MappingFault, Trouble};
use crate::limits::MAX_VALUE_DEPTH;
use crate::pointer::{Pointer, child};

/// Members that a decoder itself writes around the ledger's fields. They describe the event; nobody must read them.
pub(crate) const FRAME: [&str; 6] = ["contract", "event", "height", "time", "transaction", "index"];

/// Characters of a field's pointer in a fault.
const MAX_SHOWN: usize = 200;

/// A set of pointers with everything under them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cover {
    whole: bool,
    inner: BTreeMap<String, Cover>,
}

impl Cover {
    /// A cover of the frame only.
    pub(crate) fn of_frame() -> Self {
        let whole = || Self { whole: true, inner: BTreeMap::new() };
        Self { whole: false, inner: FRAME.iter().map(|name| ((*name).to_owned(), whole())).collect() }
    }

    pub(crate) fn add(&mut self, pointer: &Pointer) {
        let mut cover = self;
        for token in pointer.tokens() {
            cover = cover.inner.entry(token.clone()).or_default();
        }
        cover.whole = true;
    }

    /// Whether the value at `pointer`, or something in it, is read or dropped.
    pub(crate) fn touches(&self, pointer: &Pointer) -> bool {
        let mut cover = self;
        for token in pointer.tokens() {
            if cover.whole {
                return true;
            }
            let Some(inner) = cover.inner.get(token) else { return false };
            cover = inner;
        }
        true
    }

    /// The fault of the first field that is not covered.
    pub(crate) fn first_outside(&self, input: &Value) -> Option<MappingFault> {
        outside(input, Some(self), "", 0)
    }
}

fn outside(value: &Value, cover: Option<&Cover>, at: &str, depth: usize) -> Option<MappingFault> {
    let Some(cover) = cover else { return Some(unmapped(at)) };
    if cover.whole {
        return None;
    }
    if depth > MAX_VALUE_DEPTH {
        let trouble = Trouble::new(FaultCode::Limit, format!("expected at most {MAX_VALUE_DEPTH} levels"));
        return Some(trouble.at(at));
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().find_map(|(key, inner)| outside(inner, cover.inner.get(key), &child(at, key), depth + 1))
        }
        Value::Array(items) if !items.is_empty() => items.iter().enumerate().find_map(|(index, inner)| {
            let token = index.to_string();
            outside(inner, cover.inner.get(&token), &child(at, &token), depth + 1)
        }),
        _ => Some(unmapped(at)),
    }
}

fn unmapped(at: &str) -> MappingFault {
    // The names of fields are the ledger's text too, and this text is published.
    let at: String = at.chars().take(MAX_SHOWN).collect();
    Trouble::new(FaultCode::Unmapped, "expected each field of the event in set, when or drop, got one more").at(&at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn first_outside(pointers: &[&str], input: &Value) -> Option<String> {
        let mut cover = Cover::of_frame();
        pointers.iter().for_each(|text| cover.add(&Pointer::parse(text).unwrap()));
        cover.first_outside(input).map(|fault| fault.path)
    }

    #[test]
    fn unmapped_field_is_an_error() {
        let input = json!({"event": "E", "height": "1", "args": {"a": 1, "b": {"c": 2, "d": [3]}}});
        assert_eq!(first_outside(&["/args"], &input), None);
        assert_eq!(first_outside(&["/args/a", "/args/b"], &input), None);
        assert_eq!(first_outside(&["/args/a"], &input), Some("/args/b".into()));
        assert_eq!(first_outside(&["/args/a", "/args/b/c"], &input), Some("/args/b/d".into()));
        assert_eq!(first_outside(&["/args/a", "/args/b/c", "/args/b/d/0"], &input), None);
        // A field that used to be an object and is now a text is another field.
        assert_eq!(first_outside(&["/args/a/x", "/args/b"], &input), Some("/args/a".into()));
        assert_eq!(first_outside(&[""], &input), None);
        assert_eq!(first_outside(&["/args"], &json!({"args": 1, "more": null})), Some("/more".into()));
    }
}
