//! The events that a mapping's source describes, and which of them a rule is for. For `map check` alone: what is decoded
//! is the business of the family's decoder.

use serde_json::Value;

use crate::rule::{Rule, Test};

/// An event as the source describes it.
pub(crate) struct Event<'s> {
    pub(crate) name: &'s str,
    pub(crate) fields: Vec<&'s str>,
    /// The contract that emits it, where the source names it.
    pub(crate) contract: Option<&'s str>,
}

/// The events that are read: those of `abi` in the source, or in each of its `contracts`, of which one without an `abi`
/// of its own has the source's. `None` where the source describes none.
pub(crate) fn described_events(source: &Value) -> Option<Vec<Event<'_>>> {
    let events: Vec<_> = match source.get("contracts").and_then(Value::as_array) {
        Some(contracts) => contracts.iter().flat_map(|part| events_of(part, source)).collect(),
        None => events_of(source, source),
    };
    (!events.is_empty()).then_some(events)
}

fn events_of<'s>(part: &'s Value, source: &'s Value) -> Vec<Event<'s>> {
    let abi = part.get("abi").or_else(|| source.get("abi")).and_then(Value::as_array);
    let contract = part.get("contract").and_then(Value::as_str);
    let read = abi.into_iter().flatten().filter(|entry| is_read(part, entry));
    read.filter_map(|entry| described_event(entry, contract)).collect()
}

fn described_event<'s>(entry: &'s Value, contract: Option<&'s str>) -> Option<Event<'s>> {
    if entry.get("type")?.as_str()? != "event" {
        return None;
    }
    let inputs = entry.get("inputs")?.as_array()?;
    let fields = inputs.iter().filter_map(|input| input.get("name")?.as_str()).filter(|name| !name.is_empty());
    Some(Event { name: entry.get("name")?.as_str()?, fields: fields.collect(), contract })
}

/// Whether `event` or `events` names it; without them every event is read that is not anonymous.
fn is_read(part: &Value, entry: &Value) -> bool {
    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
    let many = part.get("events").and_then(Value::as_array).into_iter().flatten();
    let mut wanted = part.get("event").into_iter().chain(many).filter_map(Value::as_str).peekable();
    if wanted.peek().is_none() {
        return entry.get("anonymous") != Some(&Value::Bool(true));
    }
    wanted.any(|text| is_named(text, name))
}

/// Whether a text is this name, or a signature with it.
fn is_named(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
}

/// Whether a rule's conditions let this event of this contract through.
pub(crate) fn serves(rule: &Rule, event: &Event<'_>) -> bool {
    rule.when.iter().all(|condition| {
        let said = |is: &dyn Fn(&str) -> bool| match &condition.test {
            Test::OneOf(values) => values.iter().any(|value| value.as_str().is_some_and(is)),
            Test::Present(wanted) => *wanted,
        };
        match (condition.path.to_string().as_str(), event.contract) {
            ("/event", _) => said(&|text| is_named(text, event.name)),
            ("/contract", Some(contract)) => said(&|text| text.eq_ignore_ascii_case(contract)),
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;
    use serde_json::json;

    fn event(name: &str, field: &str) -> Value {
        json!({"type": "event", "name": name, "inputs": [{"name": field, "type": "string"}]})
    }

    fn rule(conditions: &Value, field: &str) -> Value {
        let set = json!({"/key": {"path": format!("/args/{field}")}, "/issuer/uscc": {"const": "11430000006122244L"}});
        json!({"when": conditions, "set": set, "unmapped": "error"})
    }

    /// Findings about events and their fields.
    fn findings(source: &Value, rules: &[Value]) -> Vec<(&'static str, String)> {
        let mut source = source.clone();
        source["family"] = json!("simulated");
        let document = json!({
            "mapping": "1", "id": "gov.example.check", "version": "1.0.0", "source": source,
            "target": {"type": "generic", "schema": "1.0"}, "rules": rules,
        });
        let findings = Mapping::from_canonical(&document).unwrap().check(None).into_iter();
        let about_events = findings.filter(|finding| finding.code.contains("event") || finding.code.contains("field"));
        about_events.map(|finding| (finding.code, finding.subject)).collect()
    }

    #[test]
    fn each_contract_has_its_own_events() {
        let source = json!({"abi": [event("Granted", "number")], "contracts": [
            {"contract": "0xA1"}, {"contract": "0xa2", "abi": [event("Granted", "file"), event("Closed", "file")]}]});
        let of = |contract: &str| json!({"path": "/contract", "equals": contract});
        let [first, second] = ["0xa1", "0xa2"].map(|contract| json!([of(contract)]));
        assert_eq!(findings(&source, &[rule(&first, "number"), rule(&second, "file")]), []);
        let only_first = [("event-without-rule", "Granted".into()), ("event-without-rule", "Closed".into())];
        assert_eq!(findings(&source, &[rule(&first, "number")]), only_first);
        let crossed = findings(&source, &[rule(&first, "file"), rule(&second, "file")]);
        assert_eq!(crossed, [("unread-field", "/args/number".into()), ("unknown-field", "/args/file".into())]);
        let stranger = rule(&json!([of("0xa3")]), "file");
        let both = [rule(&first, "number"), rule(&second, "file"), stranger];
        assert_eq!(findings(&source, &both), [("unknown-event", "/event".into())]);
    }

    #[test]
    fn events_that_are_not_read_need_no_rule() {
        let mut quiet = event("Quiet", "number");
        quiet["anonymous"] = json!(true);
        let abi = json!([event("Granted", "number"), event("Closed", "number"), quiet]);
        let rules = [rule(&json!([{"path": "/event", "equals": "Granted"}]), "number")];
        let without = |source: Value| findings(&source, &rules).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(without(json!({"abi": abi})), ["Closed"]);
        assert!(without(json!({"abi": abi, "event": "Granted"})).is_empty());
        assert_eq!(without(json!({"abi": abi, "events": ["Granted(string)", "Quiet"]})), ["Quiet"]);
    }

    #[test]
    fn a_rule_may_name_an_event_by_its_signature() {
        let rules = [rule(&json!([{"path": "/event", "equals": "Granted(string)"}]), "number")];
        assert_eq!(findings(&json!({"abi": [event("Granted", "number")]}), &rules), []);
    }
}
