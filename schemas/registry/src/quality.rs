//! What is doubtful about a record without being malformed. Whoever reads a record computes this anew: the notes that
//! travel with it are somebody else's opinion (design, decision 16).

use serde::Serialize;
use serde_json::Value;

use crate::check_digit;
use crate::walk::{Visit, push, walk};

/// Notes made on one record; further ones are not looked for.
pub const MAX_NOTES: usize = 256;

/// How much a note should weigh. Policy decides; nothing here refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Probably wrong in the source.
    Warn,
    /// Should not have been published.
    Error,
}

/// One doubt about one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct QualityNote {
    /// From a closed set: `uscc-check`, `certificate-id-check`, `certificate-class`, `unknown-code`, `resident-id`.
    pub code: &'static str,
    /// JSON Pointer into the whole document.
    pub path: String,
    /// How much it weighs.
    pub severity: Severity,
    /// In words, without repeating what may be personal.
    pub detail: String,
}

/// Collects notes up to the limit.
#[derive(Default)]
pub(crate) struct Notes(Vec<QualityNote>);

impl Notes {
    fn add(&mut self, code: &'static str, path: String, severity: Severity, detail: &str) {
        if self.0.len() < MAX_NOTES {
            self.0.push(QualityNote { code, path, severity, detail: detail.to_owned() });
        }
    }

    /// What a schema marks, of the value that stands at `prefix`.
    pub(crate) fn of_schema(&mut self, schema: &Value, value: &Value, prefix: &str) {
        walk(schema, value, &mut |visit| {
            if visit.certain {
                self.format(visit, prefix);
                self.code(visit, prefix);
            }
        });
    }

    fn format(&mut self, visit: &Visit<'_>, prefix: &str) {
        let (Some(format), Some(text)) = (visit.schema.get("format").and_then(Value::as_str), visit.value.as_str())
        else {
            return;
        };
        let path = || format!("{prefix}{}", visit.pointer);
        if format == "cn-uscc" && !check_digit::uscc_is_consistent(text) {
            self.add("uscc-check", path(), Severity::Warn, WRONG_CHECK);
        }
        if format == "cn-e-certificate-id" && !check_digit::certificate_id_is_consistent(text) {
            self.add("certificate-id-check", path(), Severity::Warn, WRONG_CHECK);
        }
    }

    /// A value that an open list does not know is kept and treated as `other` (records.md 3.10).
    fn code(&mut self, visit: &Visit<'_>, prefix: &str) {
        let known = visit.schema.get("x-values").and_then(Value::as_array);
        if known.is_some_and(|known| !known.contains(visit.value)) {
            self.add(
                "unknown-code",
                format!("{prefix}{}", visit.pointer),
                Severity::Info,
                "not in the list of this version",
            );
        }
    }

    /// What stands between fields.
    pub(crate) fn of_document(&mut self, document: &Value) {
        self.subjects(document);
        self.certificate_class(document);
        self.resident_ids(document, &mut String::new());
        self.0.sort();
        self.0.dedup();
    }

    /// The format of a subject's `ref` hangs on its scheme, so no single subschema describes it.
    fn subjects(&mut self, document: &Value) {
        let subjects = document.get("subjects").and_then(Value::as_array);
        for (at, subject) in subjects.into_iter().flatten().enumerate() {
            let field = |name: &str| subject.get(name).and_then(Value::as_str).unwrap_or_default();
            if field("scheme") == "cn-uscc" && !check_digit::uscc_is_consistent(field("ref")) {
                self.add("uscc-check", format!("/subjects/{at}/ref"), Severity::Warn, WRONG_CHECK);
            }
        }
    }

    fn certificate_class(&mut self, document: &Value) {
        let field = |name: &str| document.pointer(&format!("/body/{name}")).and_then(Value::as_str);
        let (Some(id), Some(class)) = (field("certificateId"), field("classCode")) else { return };
        if id.split('.').nth(5) != Some(class) {
            let detail = "the class inside certificateId is another one";
            self.add("certificate-class", "/body/classCode".to_owned(), Severity::Warn, detail);
        }
    }

    /// Looks everywhere, `ext` and payloads too, because a number that slipped through stands where nobody put it.
    fn resident_ids(&mut self, value: &Value, path: &mut String) {
        let here = path.len();
        match value {
            Value::String(text) if holds_resident_id(text) => {
                let detail = "holds what reads as a resident identity number";
                self.add("resident-id", path.clone(), Severity::Error, detail);
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    push(path, &at.to_string());
                    self.resident_ids(item, path);
                    path.truncate(here);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    if holds_resident_id(name) {
                        // Not looked into: its path would repeat the number.
                        let detail = "a property name holds what reads as a resident identity number";
                        self.add("resident-id", path.clone(), Severity::Error, detail);
                        continue;
                    }
                    push(path, name);
                    self.resident_ids(member, path);
                    path.truncate(here);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn finish(self) -> Vec<QualityNote> {
        self.0
    }
}

const WRONG_CHECK: &str = "the check character is not the one its standard computes";

fn holds_resident_id(text: &str) -> bool {
    if text.len() < 18 {
        return false;
    }
    let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    // An organisation's code may, rarely, read as a date too; its own check character tells.
    words.any(|word| check_digit::is_resident_id(word) && !check_digit::uscc_is_consistent(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notes(document: &Value) -> Vec<(&'static str, String)> {
        let mut notes = Notes::default();
        notes.of_document(document);
        notes.finish().into_iter().map(|note| (note.code, note.path)).collect()
    }

    #[test]
    fn resident_ids_are_found_wherever_they_hide_and_never_repeated() {
        let number = ["110105", "19491231", "002X"].concat();
        let mut members = serde_json::Map::new();
        members.insert(format!("k {number}"), json!(1));
        let document = json!({"ext": {"cn.gov": {"a": [format!("持证人 {number}。")]}}, "m": members, "long": format!("{number}0")});
        let mut all = Notes::default();
        all.of_document(&document);
        let all = all.finish();
        assert_eq!(all.iter().map(|note| note.path.as_str()).collect::<Vec<_>>(), ["/ext/cn.gov/a/0", "/m"]);
        assert!(all.iter().all(|note| note.severity == Severity::Error && !format!("{note:?}").contains(&number)));
    }

    #[test]
    fn wrong_check_characters_are_noted() {
        let subject = |uscc: &str| json!({"subjects": [{"scheme": "cn-uscc", "ref": uscc}]});
        assert_eq!(notes(&subject("91350211M0000XUF46")), [("uscc-check", "/subjects/0/ref".to_owned())]);
        assert!(notes(&subject("91440604MA40000040")).is_empty());
    }

    #[test]
    fn codes_outside_an_open_list_are_noted() {
        let schema = json!({"properties": {"kind": {"type": "string", "x-enum": "open", "x-values": ["a"]}}});
        let mut notes = Notes::default();
        notes.of_schema(&schema, &json!({"kind": "b"}), "/body");
        notes.of_schema(&schema, &json!({"kind": "a"}), "/body");
        let notes = notes.finish();
        assert_eq!((notes.len(), notes[0].code, notes[0].path.as_str()), (1, "unknown-code", "/body/kind"));
    }

    #[test]
    fn notes_are_limited() {
        let number = ["110105", "19491231", "002X"].concat();
        assert_eq!(notes(&json!(vec![number; 10 * MAX_NOTES])).len(), MAX_NOTES);
    }
}
