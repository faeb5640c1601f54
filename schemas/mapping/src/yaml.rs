//! YAML to JSON values with positions. A small part of YAML only: one document, no aliases, anchors or tags, no
//! duplicate keys, and no unquoted scalar that two readers could take for different values.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Value};
use unicode_normalization::is_nfc;

use crate::fault::{ErrorCode, Issue};
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, MAX_DOCUMENT_NODES, MAX_PLACE_BYTES, MAX_SAFE_INTEGER};
use crate::pointer::child;

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col().saturating_add(1) }
    }
}

/// A document and where each of its values stands.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) value: Value,
    places: HashMap<String, Place>,
}

impl Located {
    /// The position of `pointer`, or of the nearest container around it (a missing member has no place of its own).
    pub(crate) fn place_of(&self, pointer: &str) -> Option<Place> {
        let mut at = pointer;
        loop {
            if let Some(place) = self.places.get(at) {
                return Some(*place);
            }
            at = at.rsplit_once('/')?.0;
        }
    }
}

/// A fault of the file, with its position.
pub(crate) type Fault = (Option<Place>, Issue);

/// Reads one document.
pub(crate) fn read(bytes: &[u8]) -> Result<Located, Fault> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        let detail = format!("expected at most {MAX_DOCUMENT_BYTES} bytes, got {}", bytes.len());
        return Err((None, issue("", ErrorCode::Limit, detail)));
    }
    let text = std::str::from_utf8(bytes).map_err(|fault| {
        let detail = format!("expected UTF-8, got another byte at offset {}", fault.valid_up_to());
        (None, issue("", ErrorCode::Syntax, detail))
    })?;
    let mut reader = Reader::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|fault| reader.syntax(&fault))?;
        if matches!(event, Event::StreamEnd) {
            break;
        }
        reader.take(event, span)?;
    }
    reader.finish()
}

fn issue(pointer: &str, code: ErrorCode, detail: impl Into<String>) -> Issue {
    Issue { pointer: pointer.to_owned(), code, detail: detail.into() }
}

/// Refuses a key that stands twice, is too long, or is not in the one Unicode form.
fn check_key(pointer: &str, members: &Map<String, Value>, key: &str) -> Result<(), Issue> {
    if members.contains_key(key) {
        let detail = format!("expected each key once, got {key:?} again");
        return Err(issue(&child(pointer, key), ErrorCode::DuplicateKey, detail));
    }
    if !is_nfc(key) {
        return Err(issue(pointer, ErrorCode::Form, "expected a key in Unicode form NFC"));
    }
    if child(pointer, key).len() > MAX_PLACE_BYTES {
        let detail = format!("expected keys of at most {MAX_PLACE_BYTES} bytes with those around them");
        return Err(issue(pointer, ErrorCode::Limit, detail));
    }
    Ok(())
}

/// A container that is still open.
enum Open {
    List { pointer: String, items: Vec<Value> },
    Map { pointer: String, members: Map<String, Value>, key: Option<String> },
}

impl Open {
    fn pointer(&self) -> &str {
        match self {
            Self::List { pointer, .. } | Self::Map { pointer, .. } => pointer,
        }
    }
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    places: HashMap<String, Place>,
    documents: usize,
    nodes: usize,
    root: Option<Value>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let place = Place::from(span.start);
        match event {
            Event::DocumentStart(_) => self.start_document(place),
            Event::Alias(_) => Err(self.fault(place, ErrorCode::Alias, "expected the value itself, got an alias")),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(place, anchor, tag.is_some())?;
                self.scalar(&text, style, place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(place, anchor, tag.is_some())?;
                let pointer = self.enter(place)?;
                self.open.push(Open::List { pointer, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(place, anchor, tag.is_some())?;
                let pointer = self.enter(place)?;
                self.open.push(Open::Map { pointer, members: Map::new(), key: None });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(place),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, place: Place) -> Result<(), Fault> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(self.fault(place, ErrorCode::Syntax, "expected one YAML document, got a second"));
        }
        Ok(())
    }

    fn refuse_extras(&self, place: Place, anchor: usize, tagged: bool) -> Result<(), Fault> {
        if anchor != 0 {
            return Err(self.fault(place, ErrorCode::Alias, "expected a plain value, got an anchor"));
        }
        if tagged {
            return Err(self.fault(place, ErrorCode::Tag, "expected a plain value, got a tag"));
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Result<(), Fault> {
        if let Some(Open::Map { pointer, members, key: key @ None }) = self.open.last_mut() {
            check_key(pointer, members, text).map_err(|issue| (Some(place), issue))?;
            self.places.insert(child(pointer, text), place);
            *key = Some(text.to_owned());
            return Ok(());
        }
        self.count(place)?;
        let value = match style {
            ScalarStyle::Plain => {
                plain(text).map_err(|detail| self.fault(place, ErrorCode::AmbiguousScalar, detail))?
            }
            _ => Value::String(text.to_owned()),
        };
        let pointer = self.next_pointer();
        // A member's place is its key: that is what a reader looks for.
        self.places.entry(pointer).or_insert(place);
        self.put(value);
        Ok(())
    }

    /// Opens a container: counts it and says where it stands.
    fn enter(&mut self, place: Place) -> Result<String, Fault> {
        self.count(place)?;
        if self.open.len() >= MAX_DOCUMENT_DEPTH {
            let detail = format!("expected at most {MAX_DOCUMENT_DEPTH} levels");
            return Err(self.fault(place, ErrorCode::Limit, detail));
        }
        if matches!(self.open.last(), Some(Open::Map { key: None, .. })) {
            return Err(self.fault(place, ErrorCode::Syntax, "expected a text as key, got a container"));
        }
        let pointer = self.next_pointer();
        self.places.entry(pointer.clone()).or_insert(place);
        Ok(pointer)
    }

    fn leave(&mut self, place: Place) -> Result<(), Fault> {
        let value = match self.open.pop() {
            Some(Open::List { items, .. }) => Value::Array(items),
            Some(Open::Map { members, .. }) => Value::Object(members),
            None => return Err(self.fault(place, ErrorCode::Syntax, "expected a value, got an end")),
        };
        self.put(value);
        Ok(())
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map { members, key, .. }) => {
                if let Some(key) = key.take() {
                    members.insert(key, value);
                }
            }
            None => self.root = Some(value),
        }
    }

    fn next_pointer(&self) -> String {
        match self.open.last() {
            Some(Open::List { pointer, items }) => child(pointer, &items.len().to_string()),
            Some(Open::Map { pointer, key, .. }) => child(pointer, key.as_deref().unwrap_or("")),
            None => String::new(),
        }
    }

    fn count(&mut self, place: Place) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_DOCUMENT_NODES {
            let detail = format!("expected at most {MAX_DOCUMENT_NODES} values");
            return Err(self.fault(place, ErrorCode::Limit, detail));
        }
        Ok(())
    }

    fn syntax(&self, fault: &ScanError) -> Fault {
        self.fault(Place::from(*fault.marker()), ErrorCode::Syntax, format!("expected YAML: {}", fault.info()))
    }

    fn fault(&self, place: Place, code: ErrorCode, detail: impl Into<String>) -> Fault {
        (Some(place), issue(self.open.last().map_or("", Open::pointer), code, detail))
    }

    fn finish(self) -> Result<Located, Fault> {
        let missing = || (None, issue("", ErrorCode::Syntax, "expected a YAML document, got nothing"));
        Ok(Located { value: self.root.ok_or_else(missing)?, places: self.places })
    }
}

/// An unquoted scalar. `true`, `false`, `null` and plain integers are what they look like, words are text, and what
/// only some readers take for a number (`01`, `1.0`, `0x1F`, `1_000`) must be quoted.
fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" => return Ok(Value::Null),
        "true" => return Ok(Value::Bool(true)),
        "false" => return Ok(Value::Bool(false)),
        "Null" | "NULL" | "True" | "TRUE" | "False" | "FALSE" => return Err(quote_it(text)),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        let safe = (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&number);
        return if safe && number.to_string() == text { Ok(Value::from(number)) } else { Err(quote_it(text)) };
    }
    if looks_like_a_number(text) { Err(quote_it(text)) } else { Ok(Value::String(text.to_owned())) }
}

fn looks_like_a_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| unsigned.starts_with(prefix));
    let special = [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(&unsigned);
    let starts = unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit());
    let float = starts && unsigned.replace('_', "").parse::<f64>().is_ok();
    radix || special || float
}

fn quote_it(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("expected quotes around {shown:?}: readers of YAML disagree on its type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn refused(text: &str) -> (Place, Issue) {
        let (place, issue) = read(text.as_bytes()).unwrap_err();
        (place.expect("a position"), issue)
    }

    #[test]
    fn values_and_their_places() {
        let located = read(b"a: 1\nb:\n  - \"01\"\n  - {c: word, d: true, e: ~}\n").unwrap();
        assert_eq!(located.value, json!({"a": 1, "b": ["01", {"c": "word", "d": true, "e": null}]}));
        assert_eq!(located.place_of("/b/1/d"), Some(Place { line: 4, column: 15 }));
        assert_eq!(located.place_of("/b/0"), Some(Place { line: 3, column: 5 }));
        assert_eq!(located.place_of("/b/1/missing"), Some(Place { line: 4, column: 5 }));
    }

    #[test]
    fn alias_in_yaml() {
        assert_eq!(refused("a: &x 1\nb: *x\n").1.code, ErrorCode::Alias);
        assert_eq!(refused("a: &x [1]\n").1.code, ErrorCode::Alias);
        assert_eq!(refused("&x a: 1\n").1.code, ErrorCode::Alias);
    }

    #[test]
    fn tag_in_yaml() {
        for text in ["a: !!str 1\n", "a: !custom [1]\n", "!!map {a: 1}\n", "!x a: 1\n"] {
            assert_eq!(refused(text).1.code, ErrorCode::Tag, "{text}");
        }
    }

    #[test]
    fn duplicate_key() {
        let (place, issue) = refused("a: 1\nb:\n  c: 1\n  \"c\": 2\n");
        assert_eq!((issue.code, issue.pointer.as_str()), (ErrorCode::DuplicateKey, "/b/c"));
        assert_eq!(place, Place { line: 4, column: 3 });
        assert_eq!(refused("{a: {x: 1, x: 1}}").1.code, ErrorCode::DuplicateKey);
    }

    #[test]
    fn oversize() {
        let (_, issue) = read(&vec![b'a'; MAX_DOCUMENT_BYTES + 1]).unwrap_err();
        assert_eq!(issue.code, ErrorCode::Limit);
        let many = format!("[{}]", "1,".repeat(MAX_DOCUMENT_NODES));
        assert_eq!(refused(&many).1.code, ErrorCode::Limit);
    }

    #[test]
    fn long_keys_do_not_multiply() {
        let text = format!("{}: [{}]", "k".repeat(MAX_PLACE_BYTES), "1,".repeat(1_000));
        assert_eq!(refused(&text).1.code, ErrorCode::Limit);
    }

    #[test]
    fn deep_nesting() {
        for depth in [MAX_DOCUMENT_DEPTH + 1, 200, 100_000] {
            assert!(read("[".repeat(depth).as_bytes()).is_err());
            assert!(read("{a: ".repeat(depth).as_bytes()).is_err());
        }
        assert_eq!(refused(&"[".repeat(MAX_DOCUMENT_DEPTH + 1)).1.code, ErrorCode::Limit);
        let blocks = "- ".repeat(MAX_DOCUMENT_DEPTH + 1) + "x";
        assert_eq!(refused(&blocks).1.code, ErrorCode::Limit);
    }

    #[test]
    fn scalars_that_readers_disagree_on() {
        for text in ["01", "1.0", "0x1F", "+1", "1e3", ".5", ".inf", "0o7", "-0", "9007199254740992", "True", "NULL"] {
            assert_eq!(refused(&format!("a: {text}")).1.code, ErrorCode::AmbiguousScalar, "{text}");
        }
        for text in ["1.0.0", "2026-11-21", "word", "inf", "yes", "no", "a.b", "1-2", "e3"] {
            assert_eq!(read(format!("a: {text}").as_bytes()).unwrap().value, json!({"a": text}));
        }
    }

    #[test]
    fn keys_are_text_whatever_they_look_like() {
        let located = read("01: active\ntrue: x\n有效: y\n".as_bytes()).unwrap();
        assert_eq!(located.value, json!({"01": "active", "true": "x", "有效": "y"}));
    }

    #[test]
    fn what_is_not_one_document() {
        for text in ["", "# only a comment\n", "a: 1\n---\nb: 2\n", "? [a]\n: 1\n", "a: [1", "a: 'x"] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(read(&[0xff, 0xfe]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-a-z0-9:{}\\[\\],&*!|>?'\"# \n\t%~.]{0,200}") {
            let _ = read(text.as_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
