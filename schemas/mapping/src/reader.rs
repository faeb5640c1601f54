//! Reading a document's members: one place that knows where a value stands and collects the faults.

use serde_json::{Map, Value};

use crate::fault::{ErrorCode, Issue};
use crate::limits::MAX_FAULTS;
use crate::op::kind_of_json;
use crate::pointer::{Pointer, child};

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    issues: Vec<Issue>,
}

impl Faults {
    pub(crate) fn add(&mut self, pointer: &str, code: ErrorCode, detail: impl Into<String>) {
        if self.issues.len() < MAX_FAULTS {
            self.issues.push(Issue { pointer: pointer.to_owned(), code, detail: detail.into() });
        }
    }

    pub(crate) fn into_issues(self) -> Vec<Issue> {
        self.issues
    }
}

/// A value of the document and its pointer.
#[derive(Clone)]
pub(crate) struct At<'d> {
    pub(crate) value: &'d Value,
    pub(crate) pointer: String,
}

/// An object of the document and its pointer.
pub(crate) struct Members<'d> {
    map: &'d Map<String, Value>,
    pub(crate) pointer: String,
}

impl<'d> At<'d> {
    pub(crate) const fn root(value: &'d Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// Any object.
    pub(crate) fn object(&self, faults: &mut Faults) -> Option<Members<'d>> {
        let Value::Object(map) = self.value else {
            self.wrong("an object", faults);
            return None;
        };
        Some(Members { map, pointer: self.pointer.clone() })
    }

    /// An object with none but these members.
    pub(crate) fn closed(&self, known: &[&str], faults: &mut Faults) -> Option<Members<'d>> {
        let members = self.object(faults)?;
        for key in members.map.keys().filter(|key| !known.contains(&key.as_str())) {
            let shown: String = key.chars().take(40).collect();
            let detail = format!("expected only {}; got {shown:?}", known.join(", "));
            faults.add(&child(&self.pointer, key), ErrorCode::UnknownMember, detail);
        }
        Some(members)
    }

    /// A list of at most `most` values.
    pub(crate) fn list(&self, most: usize, faults: &mut Faults) -> Option<Vec<At<'d>>> {
        let Value::Array(items) = self.value else {
            self.wrong("a list", faults);
            return None;
        };
        if items.len() > most {
            faults.add(
                &self.pointer,
                ErrorCode::Limit,
                format!("expected at most {most} entries, got {}", items.len()),
            );
            return None;
        }
        let at = |(index, value)| At { value, pointer: child(&self.pointer, &format!("{index}")) };
        Some(items.iter().enumerate().map(at).collect())
    }

    pub(crate) fn text(&self, faults: &mut Faults) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong("a text", faults);
        }
        text
    }

    pub(crate) fn truth(&self, faults: &mut Faults) -> Option<bool> {
        let truth = self.value.as_bool();
        if truth.is_none() {
            self.wrong("true or false", faults);
        }
        truth
    }

    pub(crate) fn json_pointer(&self, faults: &mut Faults) -> Option<Pointer> {
        let text = self.text(faults)?;
        Pointer::parse(text).map_err(|detail| faults.add(&self.pointer, ErrorCode::Pointer, detail)).ok()
    }

    /// A text, number or truth value.
    pub(crate) fn scalar(&self, faults: &mut Faults) -> Option<&'d Value> {
        if is_scalar(self.value) {
            return Some(self.value);
        }
        self.wrong("a text, a number or a truth value", faults);
        None
    }

    /// A text that `check` accepts.
    pub(crate) fn named(&self, expected: &str, check: fn(&str) -> bool, faults: &mut Faults) -> Option<&'d str> {
        let text = self.text(faults)?;
        if !check(text) {
            let shown: String = text.chars().take(80).collect();
            faults.add(&self.pointer, ErrorCode::Form, format!("expected {expected}, got {shown:?}"));
            return None;
        }
        Some(text)
    }

    pub(crate) fn wrong(&self, expected: &str, faults: &mut Faults) {
        let got = kind_of_json(self.value);
        faults.add(&self.pointer, ErrorCode::Form, format!("expected {expected}, got {got}"));
    }
}

impl<'d> Members<'d> {
    /// A member that may be absent.
    pub(crate) fn may(&self, name: &str) -> Option<At<'d>> {
        self.map.get(name).map(|value| At { value, pointer: child(&self.pointer, name) })
    }

    /// A member that must be there.
    pub(crate) fn must(&self, name: &str, faults: &mut Faults) -> Option<At<'d>> {
        let found = self.may(name);
        if found.is_none() {
            faults.add(&self.pointer, ErrorCode::MissingMember, format!("expected a member {name:?}"));
        }
        found
    }

    /// All members in the order of their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'d str, At<'d>)> + '_ {
        self.map.iter().map(|(name, value)| (name.as_str(), At { value, pointer: child(&self.pointer, name) }))
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

pub(crate) const fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}
