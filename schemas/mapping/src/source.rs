//! Where one value of the draft comes from: a pointer, a constant or a concatenation, then operations, then a table.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fault::{ErrorCode, FaultCode, Trouble};
use crate::limits::{MAX_DRAFT_WEIGHT, MAX_OPS, MAX_PARTS, MAX_TEXT_BYTES, MAX_VALUE_DEPTH, NODE_WEIGHT};
use crate::op::{Item, Op, bounded, kind_of_json};
use crate::pointer::Pointer;
use crate::reader::{At, Faults, Members};

/// Codes to values; both are scalars.
pub(crate) type Table = BTreeMap<String, Value>;
/// The tables of a mapping by name.
pub(crate) type Tables = BTreeMap<String, Table>;

/// One entry of `set`.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) origin: Origin,
    pub(crate) ops: Vec<Op>,
    pub(crate) table: Option<String>,
    /// Where the code goes that the table was asked for.
    pub(crate) keep: Option<Pointer>,
    pub(crate) default: Option<Value>,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Path(Pointer),
    Const(Value),
    Concat(Vec<Source>),
}

/// What a source gives; `None` is a value that is absent and may be.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Resolved {
    pub(crate) value: Option<Value>,
    pub(crate) kept: Option<Value>,
}

const ORIGINS: [&str; 3] = ["path", "const", "concat"];
const MEMBERS: [&str; 8] = ["path", "const", "concat", "do", "table", "keep", "default", "optional"];

impl Source {
    /// Parses an entry of `set`.
    pub(crate) fn parse(at: &At<'_>, tables: &Tables, faults: &mut Faults) -> Option<Self> {
        Self::parse_within(at, tables, false, faults)
    }

    fn parse_within(at: &At<'_>, tables: &Tables, part: bool, faults: &mut Faults) -> Option<Self> {
        let members = at.closed(&MEMBERS, faults)?;
        let origins: Vec<_> = ORIGINS.iter().filter(|name| members.may(name).is_some()).collect();
        if origins.len() != 1 {
            let detail = format!("expected one of path, const and concat, got {}", origins.len());
            faults.add(&at.pointer, ErrorCode::Form, detail);
            return None;
        }
        if members.may("const").is_some() && members.len() > 1 {
            faults.add(&at.pointer, ErrorCode::Form, "expected const alone: nothing can happen to a constant");
            return None;
        }
        let origin = origin(&members, tables, part, faults)?;
        let table = table_name(&members, tables, faults);
        let keep = keep(&members, part, faults);
        let default = members.may("default").and_then(|default| default.scalar(faults).cloned());
        let optional = members.may("optional").is_some_and(|optional| optional.truth(faults).unwrap_or(false));
        if optional && default.is_some() {
            faults.add(&at.pointer, ErrorCode::Form, "expected optional or default, got both");
        }
        Some(Self { origin, ops: operations(&members, faults), table, keep, default, optional })
    }

    /// The value for one event.
    pub(crate) fn resolve(&self, input: &Value, tables: &Tables) -> Result<Resolved, Trouble> {
        let Some(start) = self.origin.read(input, tables)? else { return self.absent() };
        if matches!(self.origin, Origin::Const(_)) {
            return Ok(Resolved { value: Some(start), kept: None });
        }
        let item = self.ops.iter().try_fold(bounded(Item::Json(start))?, |item, op| op.apply(item))?;
        let value = match item {
            Item::Json(value) => value,
            Item::Bytes(_) => {
                return Err(Trouble::new(FaultCode::Type, "expected JSON at the end, got bytes: add hex or base64"));
            }
        };
        if is_absent(&value) {
            return self.absent();
        }
        let Some(name) = &self.table else { return Ok(Resolved { value: Some(value), kept: None }) };
        let found = look_up(&value, name, tables)?;
        Ok(Resolved { value: Some(found), kept: Some(value) })
    }

    fn absent(&self) -> Result<Resolved, Trouble> {
        if self.default.is_some() {
            return Ok(Resolved { value: self.default.clone(), kept: None });
        }
        if self.optional {
            return Ok(Resolved::default());
        }
        let detail = match &self.origin {
            Origin::Path(pointer) => {
                format!("expected a value at {pointer}, got none (say optional or default if it may be absent)")
            }
            _ => "expected a value, got none".to_owned(),
        };
        Err(Trouble::new(FaultCode::Missing, detail))
    }

    /// Every value it can give without looking at the event; `None` where the event's own text comes through.
    pub(crate) fn closed_values(&self, tables: &Tables) -> Option<Vec<Value>> {
        if let Origin::Const(value) = &self.origin {
            return Some(vec![value.clone()]);
        }
        let table = tables.get(self.table.as_ref()?)?;
        Some(table.values().chain(&self.default).cloned().collect())
    }

    /// The input pointers it reads.
    pub(crate) fn reads(&self) -> Vec<&Pointer> {
        match &self.origin {
            Origin::Path(pointer) => vec![pointer],
            Origin::Const(_) => Vec::new(),
            Origin::Concat(parts) => parts.iter().flat_map(Self::reads).collect(),
        }
    }

    /// The tables it asks.
    pub(crate) fn tables(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match &self.origin {
            Origin::Concat(parts) => parts.iter().flat_map(Self::tables).collect(),
            _ => Vec::new(),
        };
        names.extend(self.table.as_deref());
        names
    }
}

impl Origin {
    fn read(&self, input: &Value, tables: &Tables) -> Result<Option<Value>, Trouble> {
        match self {
            Self::Const(value) => Ok(Some(value.clone())),
            Self::Path(pointer) => {
                let Some(found) = pointer.find(input).filter(|found| !is_absent(found)) else { return Ok(None) };
                // Weighed before it is copied.
                weigh(found)?;
                Ok(Some(found.clone()))
            }
            Self::Concat(parts) => {
                let mut joined = String::new();
                for part in parts {
                    let Some(value) = part.resolve(input, tables)?.value else { continue };
                    joined.push_str(&as_text(&value)?);
                    if joined.len() > MAX_TEXT_BYTES {
                        return Err(Trouble::new(
                            FaultCode::Limit,
                            format!("expected at most {MAX_TEXT_BYTES} bytes of text"),
                        ));
                    }
                }
                Ok(Some(Value::String(joined)).filter(|joined| !is_absent(joined)))
            }
        }
    }
}

fn origin(members: &Members<'_>, tables: &Tables, part: bool, faults: &mut Faults) -> Option<Origin> {
    if let Some(path) = members.may("path") {
        return path.json_pointer(faults).map(Origin::Path);
    }
    if let Some(constant) = members.may("const") {
        if constant.value.is_null() {
            constant.wrong("a value", faults);
            return None;
        }
        return Some(Origin::Const(constant.value.clone()));
    }
    let concat = members.may("concat")?;
    if part {
        faults.add(&concat.pointer, ErrorCode::Form, "expected path or const in a part, got another concat");
        return None;
    }
    let parts = concat.list(MAX_PARTS, faults)?;
    let parts: Vec<_> = parts.iter().filter_map(|part| Source::parse_within(part, tables, true, faults)).collect();
    Some(Origin::Concat(parts))
}

fn operations(members: &Members<'_>, faults: &mut Faults) -> Vec<Op> {
    let Some(list) = members.may("do").and_then(|ops| ops.list(MAX_OPS, faults)) else { return Vec::new() };
    let mut ops = Vec::new();
    for at in list {
        match Op::parse(at.value) {
            Ok(op) => ops.push(op),
            Err((code, detail)) => faults.add(&at.pointer, code, detail),
        }
    }
    ops
}

fn table_name(members: &Members<'_>, tables: &Tables, faults: &mut Faults) -> Option<String> {
    let at = members.may("table")?;
    let name = at.text(faults)?;
    if !tables.contains_key(name) {
        let shown: String = name.chars().take(40).collect();
        faults.add(&at.pointer, ErrorCode::UnknownTable, format!("expected a table of this document, got {shown:?}"));
        return None;
    }
    Some(name.to_owned())
}

fn keep(members: &Members<'_>, part: bool, faults: &mut Faults) -> Option<Pointer> {
    let at = members.may("keep")?;
    if part || members.may("table").is_none() {
        faults.add(&at.pointer, ErrorCode::Form, "expected keep beside table only: it holds the code before the table");
        return None;
    }
    at.json_pointer(faults)
}

fn look_up(value: &Value, name: &str, tables: &Tables) -> Result<Value, Trouble> {
    let code = as_text(value)?;
    let found = tables.get(name).and_then(|table| table.get(&code));
    // The code itself is the event's; the operator finds it in the kept input.
    found
        .cloned()
        .ok_or_else(|| Trouble::new(FaultCode::Table, format!("expected a code of table {name:?}, got another")))
}

fn as_text(value: &Value) -> Result<String, Trouble> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        other => Err(Trouble::new(
            FaultCode::Type,
            format!("expected text, an integer or a truth value, got {}", kind_of_json(other)),
        )),
    }
}

/// Ledgers of texts write "no value" as an empty one.
pub(crate) fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// How heavy a value is, and whether it is within depth and weight.
pub(crate) fn weigh(value: &Value) -> Result<usize, Trouble> {
    let weight = weigh_within(value, 0)?;
    if weight > MAX_DRAFT_WEIGHT {
        return Err(too_heavy());
    }
    Ok(weight)
}

fn weigh_within(value: &Value, depth: usize) -> Result<usize, Trouble> {
    if depth > MAX_VALUE_DEPTH {
        return Err(Trouble::new(FaultCode::Limit, format!("expected at most {MAX_VALUE_DEPTH} levels")));
    }
    let mut weight = NODE_WEIGHT;
    match value {
        Value::String(text) => weight = weight.saturating_add(text.len()),
        Value::Array(items) => {
            for item in items {
                weight = weight.saturating_add(weigh_within(item, depth + 1)?);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                weight = weight.saturating_add(key.len()).saturating_add(weigh_within(member, depth + 1)?);
            }
        }
        _ => {}
    }
    Ok(weight)
}

pub(crate) fn too_heavy() -> Trouble {
    Trouble::new(FaultCode::Limit, format!("expected a draft of at most {MAX_DRAFT_WEIGHT} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tables() -> Tables {
        Tables::from([("state".to_owned(), Table::from([("01".to_owned(), json!("active"))]))])
    }

    fn parsed(document: &Value) -> Result<Source, Vec<crate::fault::Issue>> {
        let mut faults = Faults::default();
        let source = Source::parse(&At::root(document), &tables(), &mut faults);
        let issues = faults.into_issues();
        if issues.is_empty() { Ok(source.expect("a source or a fault")) } else { Err(issues) }
    }

    fn resolved(document: Value, input: &Value) -> Result<Option<Value>, FaultCode> {
        let given = parsed(&document).unwrap().resolve(input, &tables());
        given.map(|given| given.value).map_err(|trouble| trouble.code)
    }

    #[test]
    fn values_of_an_event() {
        let input = json!({"a": " x ", "n": 7, "empty": "", "code": "01", "null": null});
        assert_eq!(resolved(json!({"path": "/a", "do": ["trim", "upper"]}), &input), Ok(Some(json!("X"))));
        assert_eq!(resolved(json!({"path": "/n"}), &input), Ok(Some(json!(7))));
        assert_eq!(resolved(json!({"const": {"k": []}}), &input), Ok(Some(json!({"k": []}))));
        assert_eq!(resolved(json!({"path": "/code", "table": "state"}), &input), Ok(Some(json!("active"))));
        assert_eq!(resolved(json!({"path": "/a", "table": "state"}), &input), Err(FaultCode::Table));
        let concat =
            json!({"concat": [{"path": "/n"}, {"const": "-"}, {"path": "/none", "optional": true}, {"path": "/code"}]});
        assert_eq!(resolved(concat, &input), Ok(Some(json!("7-01"))));
    }

    #[test]
    fn an_empty_text_is_an_absent_value() {
        let input = json!({"empty": "  ", "null": null, "dash": "-"});
        for path in ["/empty", "/null", "/none", "/null/deeper"] {
            assert_eq!(resolved(json!({"path": path}), &input), Err(FaultCode::Missing), "{path}");
            assert_eq!(resolved(json!({"path": path, "optional": true}), &input), Ok(None));
            assert_eq!(resolved(json!({"path": path, "default": "d"}), &input), Ok(Some(json!("d"))));
        }
        let stripped = json!({"path": "/dash", "do": [{"strip": "-"}], "optional": true});
        assert_eq!(resolved(stripped, &input), Ok(None));
    }

    #[test]
    fn sources_that_say_two_things_or_nothing() {
        for (document, code) in [
            (json!({}), ErrorCode::Form),
            (json!({"path": "/a", "const": 1}), ErrorCode::Form),
            (json!({"const": 1, "do": ["trim"]}), ErrorCode::Form),
            (json!({"const": null}), ErrorCode::Form),
            (json!({"path": "a"}), ErrorCode::Pointer),
            (json!({"path": "/a", "optional": true, "default": 1}), ErrorCode::Form),
            (json!({"path": "/a", "keep": "/b"}), ErrorCode::Form),
            (json!({"path": "/a", "table": "none"}), ErrorCode::UnknownTable),
            (json!({"path": "/a", "Do": []}), ErrorCode::UnknownMember),
            (json!({"concat": [{"concat": []}]}), ErrorCode::Form),
            (json!("/a"), ErrorCode::Form),
        ] {
            assert_eq!(parsed(&document).unwrap_err()[0].code, code, "{document}");
        }
    }

    #[test]
    fn a_heavy_or_deep_value_is_not_copied() {
        let heavy = json!({"a": vec!["x".repeat(1_000); 2_000]});
        assert_eq!(resolved(json!({"path": "/a"}), &heavy), Err(FaultCode::Limit));
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(resolved(json!({"path": "/a"}), &json!({"a": deep})), Err(FaultCode::Limit));
    }

    #[test]
    fn bytes_do_not_reach_a_draft() {
        assert_eq!(
            resolved(json!({"path": "/a", "do": [{"bytes": "hex"}]}), &json!({"a": "00"})),
            Err(FaultCode::Type)
        );
    }
}
