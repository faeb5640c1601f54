//! What was released stays as it was, and what is in the folder keeps the house rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at a broken fact"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{RECORDS, read, registry, schemas};
use hufu_schemas_core::Digest;
use hufu_schemas_registry::{Registry, content_id, is_resident_id, uscc_is_consistent};
use serde_json::{Value, json};

/// To release a new version: add `records/<name>/<major>.<minor>.json` with its samples, run this test, and add the line
/// it prints to `released.lock.json`. Never change a line that is there.
#[test]
fn released_schemas_are_frozen_by_content_and_by_bytes() {
    let lock = read(&schemas().join("released.lock.json"));
    let mut listed = BTreeSet::new();
    for line in lock["schemas"].as_array().unwrap() {
        let path = line["path"].as_str().unwrap();
        assert!(schemas().join(path).is_file(), "{path} was released and is gone");
        assert_eq!(&line_of(path), line, "{path} was released and has changed; add a new version instead");
        assert!(listed.insert(path.to_owned()), "{path} is listed twice");
    }
    for path in schema_files() {
        assert!(
            listed.contains(&path),
            "not in released.lock.json; if it is to be released, add\n{:#}",
            line_of(&path)
        );
    }
}

fn line_of(path: &str) -> Value {
    let schema = read(&schemas().join(path));
    let bytes = fs::read(schemas().join(path)).unwrap();
    json!({"id": schema["$id"], "path": path, "contentId": content_id(&schema), "sha256": Digest::of(&bytes)})
}

fn schema_files() -> Vec<String> {
    let mut found = Vec::new();
    for folder in fs::read_dir(schemas().join("records")).unwrap() {
        let folder = folder.unwrap();
        if !folder.path().is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".json") {
                found.push(format!("records/{}/{name}", folder.file_name().into_string().unwrap()));
            }
        }
    }
    found
}

#[test]
fn released_code_lists_are_frozen_by_bytes() {
    let lock = read(&schemas().join("released.lock.json"));
    let mut listed = BTreeSet::new();
    for line in lock["codelists"].as_array().unwrap() {
        let path = line["path"].as_str().unwrap();
        let bytes = fs::read(schemas().join(path)).unwrap_or_else(|fault| panic!("{path} was released: {fault}"));
        assert_eq!(line["sha256"], json!(Digest::of(&bytes)), "{path} was released and has changed");
        listed.insert(path.to_owned());
    }
    for path in common::files("codelists") {
        let path = format!("codelists/{}", path.file_name().unwrap().to_str().unwrap());
        assert!(listed.contains(&path), "{path} is not in released.lock.json");
    }
}

#[test]
fn the_registry_holds_what_the_lock_lists() {
    let registry = Registry::builtin().unwrap();
    let lock = read(&schemas().join("released.lock.json"));
    let mut held: Vec<_> =
        registry.list().chain([registry.envelope()]).map(|schema| json!(schema.reference())).collect();
    let mut locked: Vec<_> = lock["schemas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| json!({"id": line["id"], "contentId": line["contentId"]}))
        .collect();
    held.sort_by_key(ToString::to_string);
    locked.sort_by_key(ToString::to_string);
    assert_eq!(held, locked);
    assert_eq!(locked.len(), RECORDS.len());
    for schema in registry.list() {
        assert_eq!(registry.by_content_id(&schema.reference().content_id).unwrap().reference(), schema.reference());
        assert_eq!(registry.schema(&schema.reference().id).unwrap().reference(), schema.reference());
    }
}

/// Every field has a title in two languages, every `enum` says whether it is open, every object is closed.
#[test]
fn released_schemas_keep_the_house_rules() {
    for path in schema_files() {
        let schema = read(&schemas().join(&path));
        assert_eq!(schema["$id"], format!("https://schemas.hufu.example/{}", path.trim_end_matches(".json")));
        house_rules(&schema, &path, true);
    }
}

fn house_rules(node: &Value, at: &str, field: bool) {
    let Value::Object(members) = node else { return };
    if field {
        for title in ["title", "x-title-zh"] {
            assert!(
                members.get(title).is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())),
                "{at}: {title}"
            );
        }
    }
    if members.contains_key("enum") {
        assert_eq!(members.get("x-enum"), Some(&json!("closed")), "{at}: an enum refuses, so it says closed");
    }
    if members.get("type") == Some(&json!("object")) {
        let closed =
            members.get("additionalProperties").is_some_and(|closed| closed == &json!(false) || closed.is_object());
        let named =
            ["/properties/ext", "/properties/body", "/properties/payload"].iter().any(|open| at.ends_with(open));
        assert!(closed || (named && members.contains_key("x-open")), "{at}: an open object");
    }
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(named)) => {
                // Below a condition a property restates one that has its titles elsewhere.
                named.iter().for_each(|(name, node)| house_rules(node, &format!("{at}/properties/{name}"), field));
            }
            ("items" | "additionalProperties", node) => house_rules(node, &format!("{at}/{keyword}"), field),
            ("$defs", Value::Object(named)) => {
                named.iter().for_each(|(name, node)| house_rules(node, &format!("{at}/$defs/{name}"), true))
            }
            ("if" | "then" | "else" | "not" | "propertyNames", node) => {
                house_rules(node, &format!("{at}/{keyword}"), false)
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                all.iter().for_each(|node| house_rules(node, &format!("{at}/{keyword}"), false))
            }
            _ => {}
        }
    }
}

#[test]
fn no_fixture_holds_a_resident_identity_number() {
    let mut read = 0;
    scan(&schemas(), &mut read);
    assert!(read > 100, "expected the whole schemas folder, read {read} files");
}

fn scan(folder: &Path, read: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scan(&path, read);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        *read += 1;
        let found = text
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| is_resident_id(word) && !uscc_is_consistent(word));
        assert!(!found, "{} holds a number that reads as a person's", path.display());
    }
}

fn payload(id: &str, properties: Value) -> (String, Value) {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": id, "type": "object",
        "properties": properties, "additionalProperties": false
    });
    ("payload.json".to_owned(), schema)
}

fn refused(id: &str, properties: Value) -> (String, &'static str) {
    let refused = Registry::builtin().unwrap().with_department_schemas(vec![payload(id, properties)]).unwrap_err();
    assert_eq!(refused.name, "payload.json");
    (refused.pointer, refused.fault.reason())
}

#[test]
fn nothing_is_fetched() {
    let remote = refused("https://tax.example/s/1.0", json!({"a": {"$ref": "https://example.org/s.json"}}));
    assert_eq!(remote, ("/properties/a/$ref".to_owned(), "schema-reference"));
    // Not even from the schemas of this registry: a payload schema stands alone.
    let ours = refused(
        "https://tax.example/s/1.0",
        json!({"a": {"$ref": "https://schemas.hufu.example/records/generic/1.0"}}),
    );
    assert_eq!(ours.1, "schema-reference");
}

#[test]
fn unknown_format_is_a_build_error() {
    assert_eq!(
        refused("https://tax.example/s/1.0", json!({"a": {"type": "string", "format": "cn-ucss"}})).1,
        "unknown-format"
    );
}

#[test]
fn a_department_cannot_take_our_names_nor_one_name_twice() {
    assert_eq!(
        refused("https://schemas.hufu.example/records/e-certificate/2.0", json!({})),
        ("/$id".to_owned(), "schema-root")
    );
    let twice = vec![payload("https://tax.example/s/1.0", json!({})), payload("https://tax.example/s/1.0", json!({}))];
    let refused = Registry::builtin().unwrap().with_department_schemas(twice).unwrap_err();
    assert_eq!(refused.fault.reason(), "duplicate-schema");
}

#[test]
fn a_schema_that_is_no_schema_is_refused_by_the_meta_schema() {
    assert_eq!(refused("https://tax.example/s/1.0", json!({"a": {"type": "strng"}})).1, "invalid-schema");
    assert_eq!(
        refused("https://tax.example/s/1.0", json!({"a": {"type": "string", "minLength": -1}})).1,
        "invalid-schema"
    );
    assert_eq!(
        refused("https://tax.example/s/1.0", json!({"a": {"type": "string", "pattern": "(?=a)"}})).1,
        "invalid-schema"
    );
}

#[test]
fn a_department_schema_is_listed_as_payload() {
    let registry = registry();
    let schema = registry.schema("https://tax.example/schemas/clearance/1.0").unwrap();
    assert_eq!(schema.kind(), hufu_schemas_registry::Kind::Payload);
    assert_eq!((schema.title(), schema.body_name()), ("Tax clearance", None));
}
