//! The tests that a mapping carries. They stay out of its digest and run at every gateway that loads it.

use serde::Serialize;
use serde_json::Value;

use crate::fault::{ErrorCode, FaultCode};
use crate::mapping::{Applied, Mapping};
use crate::pointer::child;
use crate::reader::{At, Faults};

const DEPTH: usize = crate::limits::MAX_VALUE_DEPTH;

/// One embedded test.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    name: String,
    input: Value,
    expected: Expected,
}

#[derive(Debug, Clone)]
enum Expected {
    Draft(Value),
    Fault { path: String, code: String },
    NotMatched,
}

/// What became of one embedded test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// The test's name.
    pub name: String,
    /// Whether what it expects came.
    pub passed: bool,
    /// Expected and got, where it failed.
    pub detail: Option<String>,
}

impl Test {
    pub(crate) fn parse(at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let members = at.closed(&["name", "input", "expect", "expectError", "expectNotMatched"], faults)?;
        let name = members.must("name", faults)?.text(faults)?.to_owned();
        let input = members.must("input", faults)?.value.clone();
        let expected = if let Some(draft) = members.may("expect") {
            Some(Expected::Draft(draft.value.clone()))
        } else if let Some(fault) = members.may("expectError") {
            expected_fault(&fault, faults)
        } else {
            members
                .may("expectNotMatched")
                .and_then(|at| at.truth(faults))
                .filter(|truth| *truth)
                .map(|_| Expected::NotMatched)
        };
        if members.len() != 3 {
            let detail = "expected name, input and one of expect, expectError and expectNotMatched: true";
            faults.add(&at.pointer, ErrorCode::Form, detail);
        }
        Some(Self { name, input, expected: expected? })
    }

    fn run(&self, mapping: &Mapping) -> TestOutcome {
        let detail = self.difference(mapping);
        TestOutcome { name: self.name.clone(), passed: detail.is_none(), detail }
    }

    fn difference(&self, mapping: &Mapping) -> Option<String> {
        match (&self.expected, mapping.apply(&self.input)) {
            (Expected::Draft(expected), Ok(Applied::Draft(draft))) => first_difference(expected, &draft.json),
            (Expected::NotMatched, Ok(Applied::NotMatched { .. })) => None,
            (Expected::Fault { path, code }, Err(fault)) if *path == fault.path && *code == fault.code.as_str() => None,
            (expected, got) => Some(format!("expected {expected}, got {}", shown(&got))),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Draft(_) => f.write_str("a draft"),
            Self::Fault { path, code } => write!(f, "the fault {code} at {path}"),
            Self::NotMatched => f.write_str("no rule to match"),
        }
    }
}

fn shown(got: &Result<Applied, crate::fault::MappingFault>) -> String {
    match got {
        Ok(Applied::Draft(_)) => "a draft".to_owned(),
        Ok(Applied::NotMatched { .. }) => "no matching rule".to_owned(),
        Err(fault) => format!("the fault {fault}"),
    }
}

fn expected_fault(at: &At<'_>, faults: &mut Faults) -> Option<Expected> {
    let members = at.closed(&["path", "code"], faults)?;
    let path = members.must("path", faults)?.text(faults)?.to_owned();
    let code = members.must("code", faults)?;
    let text = code.text(faults)?;
    if !FaultCode::ALL.iter().any(|known| known.as_str() == text) {
        let known: Vec<_> = FaultCode::ALL.iter().map(|known| known.as_str()).collect();
        faults.add(&code.pointer, ErrorCode::Form, format!("expected one of {}", known.join(", ")));
        return None;
    }
    Some(Expected::Fault { path, code: text.to_owned() })
}

/// The first place where two values differ, in words.
fn first_difference(expected: &Value, got: &Value) -> Option<String> {
    if expected == got { None } else { difference(expected, got, "", 0) }
}

fn difference(expected: &Value, got: &Value, at: &str, depth: usize) -> Option<String> {
    if let (Value::Object(one), Value::Object(other)) = (expected, got)
        && depth < DEPTH
    {
        let mut keys = one.keys().chain(other.keys());
        let key = keys.find(|key| one.get(*key) != other.get(*key))?;
        let (one, other) = (one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null));
        return difference(one, other, &child(at, key), depth + 1);
    }
    Some(format!("{at}: expected {expected}, got {got}"))
}

impl Mapping {
    /// Runs the embedded tests, in their order.
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        self.tests.iter().map(|test| test.run(self)).collect()
    }
}
