//! A mapping cannot loosen sharing (design, decision 5). Class and sensitivity are decided by the department that
//! wrote the mapping, not by text on the ledger; and what is open to the public is of the unconditional class.

use serde_json::{Value, json};

use crate::fault::{ErrorCode, FaultCode, MappingFault, Trouble};
use crate::pointer::{Pointer, child};
use crate::reader::Faults;
use crate::source::{Source, Tables};

const OPEN: &str = "/sharing/openToPublic";
const CLASS: &str = "/sharing/class";
const FIELDS: &str = "/sharing/fields";

/// Refuses a rule that could publish what its class does not allow. `place` is the pointer of the rule's `set`.
pub(crate) fn check_rule(place: &str, entries: &[(Pointer, Source)], tables: &Tables, faults: &mut Faults) {
    for (target, source) in entries {
        let root = target.tokens().first().map_or("", String::as_str);
        if !["sharing", "sensitivity"].contains(&root) || source.closed_values(tables).is_some() {
            continue;
        }
        let detail = format!("expected const or table for {target}: sharing is not decided by text on the ledger");
        faults.add(&child(place, &target.to_string()), ErrorCode::LoosenedSharing, detail);
    }
    check_whole(place, entries, tables, faults);
    check_open(place, entries, tables, faults);
}

/// `/sharing` written as one constant.
fn check_whole(place: &str, entries: &[(Pointer, Source)], tables: &Tables, faults: &mut Faults) {
    let Some((_, source)) = entries.iter().find(|(target, _)| target.to_string() == "/sharing") else { return };
    for value in source.closed_values(tables).unwrap_or_default() {
        if let Some(fault) = loosened(&json!({ "sharing": value })) {
            faults.add(&child(place, "/sharing"), ErrorCode::LoosenedSharing, fault.detail);
        }
    }
}

/// Where class or openness is fixed, every combination must hold. Where both come from tables, the rows belong
/// together and each draft is checked.
fn check_open(place: &str, entries: &[(Pointer, Source)], tables: &Tables, faults: &mut Faults) {
    let values = |wanted: &str| {
        let entry = entries.iter().find(|(target, _)| target.to_string() == wanted);
        entry.and_then(|(_, source)| source.closed_values(tables))
    };
    let Some(open) = values(OPEN) else { return };
    let classes = values(CLASS).unwrap_or_else(|| vec![Value::Null]);
    if open.len() > 1 && classes.len() > 1 {
        return;
    }
    let can_be_open = open.contains(&Value::Bool(true));
    if can_be_open && classes.iter().any(|class| class != "unconditional") {
        let detail = "expected openToPublic: true only with class unconditional";
        faults.add(&child(place, OPEN), ErrorCode::LoosenedSharing, detail);
    }
}

/// The fault of a draft that would be shared more widely than its class allows.
pub(crate) fn loosened(draft: &Value) -> Option<MappingFault> {
    let fault = |path: &str, detail: &str| Some(Trouble::new(FaultCode::Sharing, detail).at(path));
    let class = draft.pointer(CLASS).and_then(Value::as_str);
    if draft.pointer(OPEN) == Some(&Value::Bool(true)) && class != Some("unconditional") {
        return fault(OPEN, "expected openToPublic: true only with class unconditional");
    }
    let fields = draft.pointer(FIELDS)?.as_object()?;
    let least = class.and_then(strictness)?;
    let looser = |class: &Value| class.as_str().and_then(strictness).is_none_or(|field| field < least);
    if fields.values().any(looser) {
        return fault(FIELDS, "expected field classes at least as strict as the record's");
    }
    None
}

fn strictness(class: &str) -> Option<u8> {
    match class {
        "unconditional" => Some(0),
        "conditional" => Some(1),
        "prohibited" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openness_follows_the_class() {
        let shared = |class: &str, open: bool| json!({"sharing": {"class": class, "openToPublic": open}});
        assert!(loosened(&shared("unconditional", true)).is_none());
        assert!(loosened(&shared("conditional", false)).is_none());
        assert!(loosened(&shared("conditional", true)).is_some());
        assert!(loosened(&shared("prohibited", true)).is_some());
        assert!(loosened(&json!({"sharing": {"openToPublic": true}})).is_some());
        assert!(loosened(&json!({})).is_none());
    }

    #[test]
    fn a_field_is_never_looser_than_its_record() {
        let with = |class: &str, field: &str| json!({"sharing": {"class": class, "fields": {"/body/name": field}}});
        assert!(loosened(&with("conditional", "prohibited")).is_none());
        assert!(loosened(&with("conditional", "conditional")).is_none());
        assert!(loosened(&with("conditional", "unconditional")).is_some());
        assert!(loosened(&with("conditional", "secret")).is_some());
    }
}
