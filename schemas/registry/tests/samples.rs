//! Every sample is what its folder says it is, and every rule of a body schema has a sample that breaks it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at a broken fact"
)]

mod common;

use std::collections::BTreeSet;

use common::{RECORDS, files, read, registry, schemas};
use hufu_schemas_core::Record;
use hufu_schemas_registry::{Fault, Severity};
use serde_json::{Map, Value, json};

#[test]
fn valid_samples_are_records() {
    let registry = registry();
    for name in RECORDS {
        for path in files(&format!("records/{name}/samples/valid")) {
            let read = registry.read(read(&path));
            assert!(read.is_ok(), "{}: {read:?}", path.display());
        }
    }
}

#[test]
fn invalid_samples_break_the_rule_they_are_named_after_and_no_other() {
    let registry = registry();
    for name in RECORDS {
        for path in files(&format!("records/{name}/samples/invalid")) {
            let sample = read(&path);
            let expected =
                (sample["expect"]["pointer"].as_str().unwrap(), sample["expect"]["keyword"].as_str().unwrap());
            let faults = registry.read(sample["document"].clone()).expect_err(&path.display().to_string());
            let found: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.keyword.as_str())).collect();
            assert!(found.contains(&expected), "{}: expected {expected:?}, got {found:?}", path.display());
            assert!(found.iter().all(|(pointer, _)| *pointer == expected.0), "{}: also {found:?}", path.display());
        }
    }
}

/// The rules of a schema as (place, keyword); array indices are written `0`, and a missing property by its own place.
fn rules_of(schema: &Value, node: &Value, at: &str, found: &mut BTreeSet<(String, String)>) {
    let Value::Object(members) = node else { return };
    for (keyword, value) in members {
        let mut add = |at: &str| found.insert((at.to_owned(), keyword.clone()));
        match (keyword.as_str(), value) {
            (
                "enum" | "const" | "format" | "pattern" | "minimum" | "maximum" | "minItems" | "minProperties"
                | "uniqueItems" | "anyOf",
                _,
            ) => {
                add(at);
            }
            ("required", Value::Array(names)) => {
                for name in names {
                    add(&format!("{at}/{}", name.as_str().unwrap()));
                }
            }
            ("additionalProperties", Value::Bool(false)) => {
                add(&format!("{at}/unexpected"));
            }
            ("properties", Value::Object(named)) => {
                for (name, node) in named {
                    rules_of(schema, node, &format!("{at}/{name}"), found);
                }
            }
            ("items", node) => rules_of(schema, node, &format!("{at}/0"), found),
            ("$ref", target) => {
                let definition = schema.pointer(target.as_str().unwrap().trim_start_matches('#')).unwrap();
                rules_of(schema, definition, at, found);
            }
            _ => {}
        }
    }
}

#[test]
fn every_rule_has_a_sample_that_breaks_it() {
    for name in RECORDS {
        let schema = read(&schemas().join(format!("records/{name}/1.0.json")));
        let mut rules = BTreeSet::new();
        rules_of(&schema, &schema, if name == "envelope" { "" } else { "/body" }, &mut rules);
        assert!(rules.len() > 5, "{name}");
        for path in files(&format!("records/{name}/samples/invalid")) {
            let sample = read(&path);
            let text = |field: &str| sample["expect"][field].as_str().unwrap().to_owned();
            rules.remove(&(text("pointer"), text("keyword")));
        }
        assert_eq!(rules, BTreeSet::new(), "{name}: rules that no invalid sample breaks");
    }
}

/// Lengths and types are too many for files: each value of a full sample is replaced in turn.
#[test]
fn every_value_of_another_type_or_beyond_its_length_is_refused() {
    let registry = registry();
    for path in [
        "records/envelope/samples/valid/full.json",
        "records/property-right/samples/valid/full.json",
        "records/generic/samples/valid/full.json",
    ] {
        let document = read(&schemas().join(path));
        let mut pointers = Vec::new();
        pointers_of(&document, String::new(), &mut pointers);
        assert!(pointers.len() > 40);
        for pointer in pointers.iter().filter(|pointer| !pointer.starts_with("/ext/")) {
            for wrong in [Value::Null, json!({"no": "such"}), json!([[]]), json!("长".repeat(600)), json!(-7)] {
                let mut changed = document.clone();
                *changed.pointer_mut(pointer).unwrap() = wrong.clone();
                let faults = registry.check(&changed);
                let near =
                    |fault: &Fault| fault.pointer.starts_with(pointer.as_str()) || pointer.starts_with(&fault.pointer);
                assert!(faults.iter().any(near), "{path} {pointer} = {wrong}: {faults:?}");
            }
        }
    }
}

fn pointers_of(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            pointers_of(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found)
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers_of(value, format!("{at}/{index}"), found))
        }
        _ => {}
    }
    if !at.is_empty() {
        found.push(at);
    }
}

fn draft_of(path: &str) -> (Map<String, Value>, Value) {
    let Value::Object(mut envelope) = read(&schemas().join(path)) else { panic!("{path} is no object") };
    let body = envelope.remove("body").unwrap();
    for computed in ["recordId", "commitment", "quality"] {
        envelope.remove(computed);
    }
    (envelope, body)
}

#[test]
fn a_draft_becomes_the_record_that_others_read() {
    let registry = registry();
    let path = "records/property-right/samples/valid/full.json";
    let (envelope, body) = draft_of(path);
    let made = registry.conform(envelope, body).unwrap();
    assert_eq!(made, Record::open(read(&schemas().join(path))).unwrap());
}

#[test]
fn a_draft_with_faults_names_them_all() {
    let registry = registry();
    let (mut envelope, body) = draft_of("records/e-certificate/samples/valid/least.json");
    envelope.remove("status");
    envelope.insert("event".to_owned(), json!("explode"));
    let faults = registry.conform(envelope, body).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(places, ["/event", "/status"]);
    let said = faults[0].to_string();
    assert!(said.contains("issue") && said.contains("explode"), "{said}");
}

#[test]
fn faults_are_limited() {
    let registry = registry();
    let (envelope, mut body) = draft_of("records/e-certificate/samples/valid/least.json");
    for index in 0..5_000 {
        body[format!("extra{index}")] = json!(index);
    }
    assert_eq!(registry.conform(envelope, body).unwrap_err().len(), hufu_schemas_registry::MAX_FAULTS);
}

#[test]
fn decision_16_wrong_check_characters_are_quality_and_not_refusal() {
    let registry = registry();
    let path = schemas().join("records/e-certificate/samples/valid/wrong-check-characters-are-quality.json");
    let notes = registry.quality(&registry.read(read(&path)).unwrap());
    let found: Vec<_> = notes.iter().map(|note| (note.code, note.path.as_str(), note.severity)).collect();
    let expected = [
        ("certificate-class", "/body/classCode", Severity::Warn),
        ("certificate-id-check", "/body/certificateId", Severity::Warn),
        ("uscc-check", "/issuer/uscc", Severity::Warn),
        ("uscc-check", "/subjects/0/ref", Severity::Warn),
    ];
    assert_eq!(found, expected);
}

#[test]
fn good_samples_have_no_notes_and_the_notes_they_bring_are_not_believed() {
    let registry = registry();
    // Brings a note about its issuer's code, which is right.
    let path = schemas().join("records/envelope/samples/valid/full.json");
    assert_eq!(read(&path)["quality"][0]["code"], "uscc-check");
    assert_eq!(registry.quality(&registry.read(read(&path)).unwrap()), []);
    let path = schemas().join("records/property-right/samples/valid/operation-of-a-later-version.json");
    let notes = registry.quality(&registry.read(read(&path)).unwrap());
    assert_eq!(
        notes.iter().map(|note| (note.code, note.path.as_str())).collect::<Vec<_>>(),
        [("unknown-code", "/body/operation")]
    );
}

/// Decision 15: no person is named, whatever the scheme claims.
#[test]
fn decision_15_a_subject_is_never_a_resident_number() {
    let registry = registry();
    let (mut envelope, body) = draft_of("records/envelope/samples/valid/person-by-ledger-pseudonym.json");
    envelope["subjects"][0]["ref"] = json!(["110105", "19491231", "002X"].concat());
    let faults = registry.conform(envelope, body).unwrap_err();
    assert_eq!((faults[0].pointer.as_str(), faults[0].keyword.as_str()), ("/subjects/0/ref", "personal"));
    assert!(!faults[0].to_string().contains("19491231"), "the number itself is never repeated");
}
