//! `map check`: what a reviewer of a mapping should see. Faults that make a mapping unsafe are not here: such a
//! document is not a [`Mapping`] at all.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::described::{Event, described_events, serves};
use crate::limits::MAX_VALUE_DEPTH;
use crate::mapping::Mapping;
use crate::pointer::{Pointer, child};
use crate::rule::Rule;
use crate::source::{Origin, Source};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should have a look.
    Warning,
    /// Records of this rule will fail.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// One of `unused-table`, `unread-field`, `unknown-field`, `unknown-event`, `event-without-rule`,
    /// `missing-target`, `optional-target`, `unknown-target`, `named-person`.
    pub code: &'static str,
    /// The rule, from 0, where it is about one.
    pub rule: Option<usize>,
    /// An input pointer, a draft pointer or a table's name.
    pub subject: String,
    /// In words.
    pub detail: String,
}

/// What an envelope requires of a draft (records.md 3.3).
const REQUIRED: [&str; 15] = [
    "/event",
    "/issuer/kind",
    "/issuer/name",
    "/jurisdiction/code",
    "/subjects",
    "/occurredAt",
    "/status/state",
    "/status/since",
    "/sharing/class",
    "/sharing/openToPublic",
    "/sensitivity/grade",
    "/sensitivity/level",
    "/sensitivity/personalInfo",
    "/sensitivity/minor",
    "/body",
];

impl Mapping {
    /// Checks the mapping against the events its source describes (`abi`, of the source or of each of its `contracts`) and
    /// against the JSON Schema of its target's body, where one is given. Errors come first.
    pub fn check(&self, body_schema: Option<&Value>) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_tables(&mut findings);
        self.check_events(&mut findings);
        for (index, rule) in self.rules.iter().enumerate() {
            let mut about = About { rule: index, findings: &mut findings };
            required_members(rule, &mut about);
            named_persons(rule, &mut about);
            if let Some(schema) = body_schema {
                let walk = Walk { rule, root: schema };
                walk.object(schema, "/body", 0, &mut about);
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    fn check_tables(&self, findings: &mut Vec<Finding>) {
        let sources =
            self.rules.iter().flat_map(|rule| rule.entries.iter().map(|(_, source)| source).chain([&rule.key]));
        let used: BTreeSet<&str> = sources.flat_map(|source| source.tables()).collect();
        for name in self.tables.keys().filter(|name| !used.contains(name.as_str())) {
            findings.push(Finding {
                severity: Severity::Warning,
                code: "unused-table",
                rule: None,
                subject: name.clone(),
                detail: "no rule asks this table".to_owned(),
            });
        }
    }

    fn check_events(&self, findings: &mut Vec<Finding>) {
        let Some(events) = described_events(self.source()) else { return };
        for event in &events {
            if !self.rules.iter().any(|rule| serves(rule, event)) {
                findings.push(Finding {
                    severity: Severity::Warning,
                    code: "event-without-rule",
                    rule: None,
                    subject: event.name.to_owned(),
                    detail: match event.contract {
                        None => "the source describes this event, and no rule is for it".to_owned(),
                        Some(contract) => {
                            format!("the source describes this event of {contract}, and no rule is for it")
                        }
                    },
                });
            }
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let mut about = About { rule: index, findings };
            let served: Vec<_> = events.iter().filter(|event| serves(rule, event)).collect();
            if served.is_empty() {
                about.add(Severity::Error, "unknown-event", "/event", "the source describes no event of this rule");
                continue;
            }
            unread_fields(rule, &served, &mut about);
            unknown_fields(rule, &served, &mut about);
        }
    }
}

struct About<'f> {
    rule: usize,
    findings: &'f mut Vec<Finding>,
}

impl About<'_> {
    fn add(&mut self, severity: Severity, code: &'static str, subject: &str, detail: &str) {
        self.findings.push(Finding {
            severity,
            code,
            rule: Some(self.rule),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        });
    }
}

fn unread_fields(rule: &Rule, served: &[&Event<'_>], about: &mut About<'_>) {
    let fields: BTreeSet<&str> = served.iter().flat_map(|event| event.fields.iter().copied()).collect();
    for field in fields {
        let text = child("/args", field);
        if Pointer::parse(&text).is_ok_and(|pointer| rule.cover.touches(&pointer)) {
            continue;
        }
        if rule.strict {
            about.add(
                Severity::Error,
                "unread-field",
                &text,
                "neither read nor dropped, and unmapped: error refuses it",
            );
        } else {
            about.add(Severity::Warning, "unread-field", &text, "neither read nor dropped; it falls away in silence");
        }
    }
}

fn unknown_fields(rule: &Rule, served: &[&Event<'_>], about: &mut About<'_>) {
    let read: BTreeSet<String> = rule
        .entries
        .iter()
        .map(|(_, source)| source)
        .chain([&rule.key])
        .flat_map(|source| source.reads())
        .chain(rule.when.iter().map(|condition| &condition.path))
        .filter(|pointer| pointer.tokens().first().is_some_and(|root| root == "args"))
        .filter_map(|pointer| pointer.tokens().get(1).cloned())
        .collect();
    for field in read {
        if !served.iter().any(|event| event.fields.contains(&field.as_str())) {
            let detail = "read here, and no event of this rule has it";
            about.add(Severity::Error, "unknown-field", &child("/args", &field), detail);
        }
    }
}

fn required_members(rule: &Rule, about: &mut About<'_>) {
    for text in REQUIRED {
        requires(rule, text, about);
    }
}

/// A member that the record must have, and how the rule writes it.
fn requires(rule: &Rule, text: &str, about: &mut About<'_>) {
    match written(rule, text) {
        Written::No => about.add(Severity::Error, "missing-target", text, "required, and no entry of set writes it"),
        Written::Maybe => {
            about.add(Severity::Warning, "optional-target", text, "required, and its source may be absent (optional)");
        }
        Written::Yes => {}
    }
}

/// Schemes of references that name a person without naming them (the envelope schema's).
const PSEUDONYMS: [&str; 2] = ["pseud-1", "ledger-pseudonym"];

#[derive(PartialEq, Eq)]
enum Written {
    No,
    Maybe,
    Yes,
}

/// Whether a rule writes a place: itself, as part of a larger value, or by what is inside it.
fn written(rule: &Rule, text: &str) -> Written {
    let mut found = Written::No;
    for (target, source) in &rule.entries {
        let at = target.to_string();
        let around = text == at || is_inside(text, &at);
        if around && let Origin::Const(value) = &source.origin {
            let rest = text.get(at.len()..).unwrap_or("");
            if value.pointer(rest).is_some() {
                return Written::Yes;
            }
            continue;
        }
        if around || is_inside(&at, text) {
            if !source.optional {
                return Written::Yes;
            }
            found = Written::Maybe;
        }
        if source.keep.as_ref().is_some_and(|keep| keep.to_string() == text) {
            found = Written::Maybe;
        }
    }
    found
}

fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// Subjects of records are organisations, things, places, or pseudonyms that already stand on the ledger.
fn named_persons(rule: &Rule, about: &mut About<'_>) {
    let constant = |wanted: &str| {
        rule.entries.iter().find_map(|(target, source)| match &source.origin {
            Origin::Const(value) if target.to_string() == wanted => value.as_str(),
            _ => None,
        })
    };
    for (target, _) in &rule.entries {
        let text = target.to_string();
        let Some(subject) = text.strip_suffix("/kind").filter(|subject| subject.starts_with("/subjects/")) else {
            continue;
        };
        let person = constant(&text) == Some("person");
        let pseudonym = constant(&format!("{subject}/scheme")).is_some_and(|scheme| PSEUDONYMS.contains(&scheme));
        if person && !pseudonym {
            let detail = "a person is named by a pseudonym that already stands on the ledger or not at all";
            about.add(Severity::Error, "named-person", subject, detail);
        }
    }
}

/// A walk over the body schema along the places that a rule writes.
struct Walk<'s> {
    rule: &'s Rule,
    root: &'s Value,
}

impl Walk<'_> {
    fn object(&self, schema: &Value, at: &str, depth: usize, about: &mut About<'_>) {
        if depth > MAX_VALUE_DEPTH {
            return;
        }
        let schema = self.resolved(schema);
        // A value taken whole is the business of validation, not of this walk.
        let whole = self
            .rule
            .entries
            .iter()
            .any(|(target, source)| target.to_string() == at && !matches!(source.origin, Origin::Const(_)));
        if whole {
            return;
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required {
            let member = child(at, name);
            let leaves_whole =
                depth > 0 && written(self.rule, &member) == Written::Maybe && self.count_from_event(at) == 1;
            if !leaves_whole {
                requires(self.rule, &member, about);
            }
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            for name in self.members_of(at).iter().filter(|name| !properties.contains_key(*name)) {
                let detail = "the schema has no such member and allows no others";
                about.add(Severity::Error, "unknown-target", &child(at, name), detail);
            }
        }
        for (name, property) in properties {
            let inner = child(at, name);
            if self.resolved(property).get("properties").is_some() && written(self.rule, &inner) != Written::No {
                self.object(property, &inner, depth + 1, about);
            }
        }
    }

    /// How many values of the event are written under a place. Where it is one, its absence takes the place with it.
    fn count_from_event(&self, at: &str) -> usize {
        let under = |(target, source): &&(Pointer, Source)| {
            is_inside(&target.to_string(), at) && !matches!(source.origin, Origin::Const(_))
        };
        self.rule.entries.iter().filter(under).count()
    }

    /// The names written directly under a place.
    fn members_of(&self, at: &str) -> BTreeSet<String> {
        let Ok(at) = Pointer::parse(at) else { return BTreeSet::new() };
        let targets = self.rule.entries.iter().flat_map(|(target, source)| [Some(target), source.keep.as_ref()]);
        let under = |target: &Pointer| target.tokens().strip_prefix(at.tokens())?.first().cloned();
        targets.flatten().filter_map(under).collect()
    }

    /// Follows one `$ref` within the document; others are left to the registry.
    fn resolved<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        reference.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }
}
