//! A mapping document: read, identified by its digest, applied.

use hufu_schemas_core::Digest;
use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use serde_json::{Map, Value};

use crate::embedded::Test;
use crate::fault::{ErrorCode, Issue, MappingError, MappingFault};
use crate::limits::{
    MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, MAX_DOCUMENT_NODES, MAX_RULES, MAX_TABLES, MAX_TESTS, MAX_TEXT_BYTES,
};
use crate::pointer::child;
use crate::reader::{At, Faults, Members};
use crate::rule::Rule;
use crate::source::{Table, Tables};
use crate::yaml;

const LIMITS: JsonLimits = JsonLimits {
    bytes: MAX_DOCUMENT_BYTES,
    depth: MAX_DOCUMENT_DEPTH,
    string: MAX_TEXT_BYTES,
    items: MAX_DOCUMENT_NODES,
};

const MEMBERS: [&str; 8] = ["mapping", "id", "version", "source", "target", "tables", "rules", "tests"];

/// A mapping, read and whole. The only ways to make one are [`Mapping::parse_yaml`] and [`Mapping::from_canonical`],
/// so a mapping that would write provenance or loosen sharing does not exist as a value.
#[derive(Debug, Clone)]
pub struct Mapping {
    document: Value,
    digest: Digest,
    id: String,
    version: String,
    source: Value,
    target: Target,
    pub(crate) tables: Tables,
    pub(crate) rules: Vec<Rule>,
    pub(crate) tests: Vec<Test>,
    /// The tests as they were written, for a document made from this one.
    written_tests: Option<Value>,
}

/// The record type and schema version that a mapping writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    record_type: String,
    schema: String,
}

impl Target {
    /// The record type, such as `e-certificate`.
    pub fn record_type(&self) -> &str {
        &self.record_type
    }

    /// The body schema's version, `<major>.<minor>`.
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// What a mapping makes of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// The parts of a record that come from the ledger.
    Draft(Draft),
    /// No rule is for this event. It is counted, with its reason; it is not a fault.
    NotMatched {
        /// In words, without values of the event.
        reason: String,
    },
}

/// A record draft: some of `event, issuer, jurisdiction, subjects, occurredAt, effective, status, links, sharing,
/// sensitivity, rights, body, ext`, and always `recordKey`. The host adds the rest and validates the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The members, as one JSON object.
    pub json: Value,
}

impl Mapping {
    /// Reads a mapping file. `file_name` is only used in errors.
    ///
    /// # Errors
    /// All faults of the document with line, column and pointer; for a fault of YAML itself that one alone.
    pub fn parse_yaml(file_name: &str, bytes: &[u8]) -> Result<Self, Vec<MappingError>> {
        let named = |place: Option<yaml::Place>, issue: Issue| MappingError {
            file: Some(file_name.to_owned()),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            pointer: issue.pointer,
            code: issue.code,
            detail: issue.detail,
        };
        let located = yaml::read(bytes).map_err(|(place, issue)| vec![named(place, issue)])?;
        Self::read(&located.value).map_err(|issues| {
            let mut errors: Vec<_> =
                issues.into_iter().map(|issue| named(located.place_of(&issue.pointer), issue)).collect();
            errors.sort_by_key(|error| (error.line, error.column));
            errors
        })
    }

    /// Reads the form in which a mapping travels: its JSON document, with or without `tests`.
    ///
    /// # Errors
    /// All faults of the document with their pointers.
    pub fn from_canonical(document: &Value) -> Result<Self, Vec<MappingError>> {
        let unnamed = |issue: Issue| MappingError {
            file: None,
            line: None,
            column: None,
            pointer: issue.pointer,
            code: issue.code,
            detail: issue.detail,
        };
        Self::read(document).map_err(|issues| issues.into_iter().map(unnamed).collect())
    }

    fn read(whole: &Value) -> Result<Self, Vec<Issue>> {
        let whole = normal(whole).map_err(|issue| vec![issue])?;
        let mut faults = Faults::default();
        let read = Self::read_members(&whole, &mut faults);
        let issues = faults.into_issues();
        match read {
            Some(mapping) if issues.is_empty() => Ok(mapping),
            _ => Err(issues),
        }
    }

    fn read_members(whole: &Value, faults: &mut Faults) -> Option<Self> {
        let members = At::root(whole).closed(&MEMBERS, faults)?;
        if let Some(major) = members.must("mapping", faults) {
            major.named("mapping: \"1\", the version of this format", |text| text == "1", faults);
        }
        let id = members.must("id", faults).and_then(|id| id.named("an id such as gov.example.land", is_id, faults));
        let version = members.must("version", faults);
        let version = version.and_then(|version| version.named("a version such as 1.0.0", is_version, faults));
        let source = source(&members, faults);
        let target = target(&members, faults);
        let tables = tables(&members, faults);
        let rules = rules(&members, &tables, faults);
        let tests = tests(&members, faults);
        let written_tests = members.may("tests").map(|tests| tests.value.clone());
        let document = without_tests(whole);
        let digest = Digest::of(&canonical::to_canonical(&document));
        Some(Self {
            document,
            digest,
            id: id?.to_owned(),
            version: version?.to_owned(),
            source: source?,
            target: target?,
            tables,
            rules,
            tests,
            written_tests,
        })
    }

    /// SHA-256 of the canonical form of the document without its tests. Tests say nothing about records, so adding
    /// one does not make another mapping.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The document without its tests: what the digest is taken over and what travels.
    pub const fn document(&self) -> &Value {
        &self.document
    }

    /// The document's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The document's version, `<major>.<minor>.<patch>`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the family's decoder reads (contract, ABI, …). Only `family` has a meaning here.
    pub const fn source(&self) -> &Value {
        &self.source
    }

    /// The family of ledger that the mapping is for.
    pub fn family(&self) -> &str {
        self.source.get("family").and_then(Value::as_str).unwrap_or("")
    }

    /// What it writes.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Maps one decoded event by the first rule whose conditions hold.
    ///
    /// # Errors
    /// A rule is for this event and cannot be carried out; the host writes a `skipped` leaf with the reason.
    pub fn apply(&self, input: &Value) -> Result<Applied, MappingFault> {
        let Some(rule) = self.rules.iter().find(|rule| rule.holds(input)) else {
            let reason = format!("expected an event for one of {} rules, got one that none is for", self.rules.len());
            return Ok(Applied::NotMatched { reason });
        };
        let json = rule.draft(&self.target.record_type, input, &self.tables)?;
        Ok(Applied::Draft(Draft { json }))
    }

    /// The same mapping over another source: a deployment puts its own contract here. `pointer` is within `source`,
    /// and what it names must be there.
    ///
    /// # Errors
    /// The pointer names nothing, or the new document is faulty.
    pub fn replace_source(&self, pointer: &str, value: Value) -> Result<Self, Vec<MappingError>> {
        let mut whole = self.whole();
        let place = whole.get_mut("source").and_then(|source| source.pointer_mut(pointer));
        let Some(place) = place else { return Err(vec![nothing_there(&format!("/source{pointer}"))]) };
        *place = value;
        Self::from_canonical(&whole)
    }

    /// The same mapping with another constant at `target` in each rule that has one there, and in what its tests
    /// expect: a deployment puts its own name, or its schema's content id, here.
    ///
    /// # Errors
    /// No rule has a constant there, or the new document is faulty.
    pub fn replace_constant(&self, target: &str, value: &Value) -> Result<Self, Vec<MappingError>> {
        let mut whole = self.whole();
        let mut replaced = false;
        for rule in list_mut(&mut whole, "rules") {
            let entry = rule.get_mut("set").and_then(|set| set.get_mut(target));
            if let Some(constant) = entry.and_then(|entry| entry.get_mut("const")) {
                *constant = value.clone();
                replaced = true;
            }
        }
        if !replaced {
            return Err(vec![nothing_there(&child("/rules/*/set", target))]);
        }
        for test in list_mut(&mut whole, "tests") {
            if let Some(expected) = test.get_mut("expect").and_then(|expect| expect.pointer_mut(target)) {
                *expected = value.clone();
            }
        }
        Self::from_canonical(&whole)
    }

    /// The document with its tests.
    fn whole(&self) -> Value {
        let mut whole = self.document.clone();
        if let (Value::Object(members), Some(tests)) = (&mut whole, &self.written_tests) {
            members.insert("tests".to_owned(), tests.clone());
        }
        whole
    }
}

fn list_mut<'v>(whole: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    whole.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn nothing_there(pointer: &str) -> MappingError {
    MappingError {
        file: None,
        line: None,
        column: None,
        pointer: pointer.to_owned(),
        code: ErrorCode::Pointer,
        detail: "expected a value to replace, got none".to_owned(),
    }
}

/// The document as a receiver of its canonical form reads it, within the same bounds for both forms. Read from
/// elsewhere, `1.0` and `1` would be two values under one digest.
fn normal(whole: &Value) -> Result<Value, Issue> {
    let issue = |detail: String| Issue { pointer: String::new(), code: ErrorCode::Limit, detail };
    if count(whole, 0).is_none() {
        let detail = format!("expected at most {MAX_DOCUMENT_NODES} values and {MAX_DOCUMENT_DEPTH} levels, got more");
        return Err(issue(detail));
    }
    canonical::parse(&canonical::to_canonical(whole), &LIMITS).map_err(|fault| issue(fault.to_string()))
}

/// Counts values; `None` beyond the limits.
fn count(value: &Value, depth: usize) -> Option<usize> {
    if depth > MAX_DOCUMENT_DEPTH {
        return None;
    }
    let add = |sum: usize, inner: &Value| {
        let sum = sum.checked_add(count(inner, depth + 1)?)?;
        (sum <= MAX_DOCUMENT_NODES).then_some(sum)
    };
    match value {
        Value::Array(items) => items.iter().try_fold(1, add),
        Value::Object(members) => members.values().try_fold(1, add),
        _ => Some(1),
    }
}

fn without_tests(whole: &Value) -> Value {
    let mut members = whole.as_object().cloned().unwrap_or_else(Map::new);
    members.remove("tests");
    Value::Object(members)
}

fn source(members: &Members<'_>, faults: &mut Faults) -> Option<Value> {
    let at = members.must("source", faults)?;
    let inner = at.object(faults)?;
    inner.must("family", faults)?.named("a ledger family such as those the gateway knows", is_slug, faults)?;
    Some(at.value.clone())
}

fn target(members: &Members<'_>, faults: &mut Faults) -> Option<Target> {
    let inner = members.must("target", faults)?.closed(&["type", "schema"], faults)?;
    let record_type = inner.must("type", faults)?.named("a record type such as e-certificate", is_slug, faults)?;
    let schema = inner.must("schema", faults)?;
    let schema = schema.named("a schema version such as \"1.0\"", |text| is_dotted(text, 2), faults)?;
    Some(Target { record_type: record_type.to_owned(), schema: schema.to_owned() })
}

fn tables(members: &Members<'_>, faults: &mut Faults) -> Tables {
    let mut tables = Tables::new();
    let Some(inner) = members.may("tables").and_then(|at| at.object(faults)) else { return tables };
    if inner.len() > MAX_TABLES {
        faults.add(
            &inner.pointer,
            ErrorCode::Limit,
            format!("expected at most {MAX_TABLES} tables, got {}", inner.len()),
        );
        return tables;
    }
    for (name, at) in inner.all() {
        let Some(rows) = at.object(faults) else { continue };
        let mut table = Table::new();
        for (code, row) in rows.all() {
            if let Some(value) = row.scalar(faults) {
                table.insert(code.to_owned(), value.clone());
            }
        }
        tables.insert(name.to_owned(), table);
    }
    tables
}

fn rules(members: &Members<'_>, tables: &Tables, faults: &mut Faults) -> Vec<Rule> {
    let Some(at) = members.must("rules", faults) else { return Vec::new() };
    let Some(list) = at.list(MAX_RULES, faults) else { return Vec::new() };
    if list.is_empty() {
        faults.add(&at.pointer, ErrorCode::Form, "expected at least one rule");
    }
    list.iter().filter_map(|at| Rule::parse(at, tables, faults)).collect()
}

fn tests(members: &Members<'_>, faults: &mut Faults) -> Vec<Test> {
    let list = members.may("tests").and_then(|tests| tests.list(MAX_TESTS, faults));
    list.unwrap_or_default().iter().filter_map(|at| Test::parse(at, faults)).collect()
}

fn is_slug(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    first && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_id(text: &str) -> bool {
    text.len() <= 128 && text.split('.').all(is_slug)
}

fn is_version(text: &str) -> bool {
    is_dotted(text, 3)
}

/// `count` numbers without leading zeros, joined by points.
fn is_dotted(text: &str, count: usize) -> bool {
    let number = |part: &str| part.parse::<u32>().is_ok_and(|number| number.to_string() == part);
    text.split('.').count() == count && text.split('.').all(number)
}
