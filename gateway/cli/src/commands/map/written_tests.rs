//! The inputs of the tests that a mapping file carries, read from the file itself: a mapping keeps its tests to itself.
//!
//! Only for files that [`hufu_schemas_mapping::Mapping::parse_yaml`] accepted: it has refused aliases, tags, duplicate
//! keys, ambiguous scalars and whatever is too large or too deep.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The `input` of each test, in order.
pub(super) fn inputs(yaml: &str) -> Vec<Value> {
    let whole = read(yaml).unwrap_or_default();
    let tests = whole.get("tests").and_then(Value::as_array).cloned().unwrap_or_default();
    tests.iter().map(|test| test.get("input").cloned().unwrap_or_default()).collect()
}

enum Open {
    List(Vec<Value>),
    Members(Map<String, Value>, Option<String>),
}

fn read(yaml: &str) -> Option<Value> {
    let mut parser = Parser::new_from_str(yaml);
    let mut open = Vec::new();
    while let Some(event) = parser.next_event() {
        let value = match event.ok()?.0 {
            Event::StreamEnd => break,
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Members(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop()? {
                Open::List(items) => Value::Array(items),
                Open::Members(members, _) => Value::Object(members),
            },
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Members(_, key @ None)) = open.last_mut() {
                    *key = Some(text.into_owned());
                    continue;
                }
                scalar(&text, style)
            }
            _ => continue,
        };
        match open.last_mut() {
            None => return Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Members(members, key)) => {
                members.insert(key.take()?, value);
            }
        }
    }
    None
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = (style == ScalarStyle::Plain).then(|| serde_json::from_str::<Value>(text).ok()).flatten();
    plain.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_come_in_order() {
        let yaml = "id: x\ntests:\n  - {name: a, input: {n: 1, s: \"1\", t: plain words, b: true}}\n  - name: b\n    input:\n      list: [1, x]\n";
        assert_eq!(inputs(yaml), [json!({"n": 1, "s": "1", "t": "plain words", "b": true}), json!({"list": [1, "x"]})]);
        assert!(inputs("id: x\n").is_empty());
    }
}
