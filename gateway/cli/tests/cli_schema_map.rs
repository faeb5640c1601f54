//! `hufu schema` and `hufu map`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::{hufu, hufu_with, text, workspace};

#[test]
fn every_schema_is_listed_and_shown_under_each_of_its_names() {
    let rows = hufu(&["schema", "list", "--json"]).rows();
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    for name in ["e-certificate", "property-right", "generic"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(rows[0]["kind"], "envelope");
    for row in &rows {
        for name in [&row["id"], &row["contentId"]] {
            let shown = hufu(&["schema", "show", name.as_str().unwrap(), "--json"]);
            assert_eq!(shown.json()["$id"], row["id"], "{shown}");
        }
    }
}

#[test]
fn samples_are_judged_as_the_registry_judges_them() {
    let samples = workspace().join("schemas/records/e-certificate/samples");
    for (folder, code) in [("valid", 0), ("invalid", 1)] {
        for entry in fs::read_dir(samples.join(folder)).unwrap().take(6) {
            let path = entry.unwrap().path();
            let document: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let record = document.get("document").unwrap_or(&document).to_string();
            let ran = hufu_with(&["schema", "validate", "--json", "-"], record.as_bytes());
            assert_eq!(ran.code, code, "{}: {ran}", path.display());
            let judged = ran.json();
            assert_eq!(judged["valid"], code == 0);
            if code == 1 {
                let fault = &judged["faults"][0];
                assert_eq!(fault["pointer"], document["expect"]["pointer"], "{}", path.display());
                assert!(fault["expected"].is_string() && fault["got"].is_string() && fault["keyword"].is_string());
            }
        }
    }
}

#[test]
fn a_body_alone_is_judged_and_doubts_are_shown() {
    let samples = workspace().join("schemas/records/e-certificate/samples/valid");
    let doubtful = samples.join("wrong-check-characters-are-quality.json");
    let ran = hufu(&["schema", "validate", "--json", text(&doubtful)]);
    assert_eq!(ran.code, 0, "quality refuses nothing: {ran}");
    assert!(!ran.json()["quality"].as_array().unwrap().is_empty(), "{ran}");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(&doubtful).unwrap()).unwrap();
    let body = record["body"].to_string();
    assert_eq!(hufu_with(&["schema", "validate", "--body", "e-certificate", "-"], body.as_bytes()).code, 0);
    let ran = hufu_with(&["schema", "validate", "--body", "e-certificate", "-"], b"{}");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("required"), "{ran}");
    assert_eq!(hufu_with(&["schema", "validate", "--body", "envelope", "-"], b"{}").code, 2);
}

#[test]
fn json_with_a_duplicate_key_is_no_record() {
    let ran = hufu_with(&["schema", "validate", "-", "--json"], br#"{"a": 1, "a": 2}"#);
    assert_eq!(ran.code, 1, "{ran}");
    assert_eq!(ran.json()["faults"].as_array().unwrap().len(), 1);
}

#[test]
fn a_departments_schema_is_refused_when_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("open.json"), r#"{"$id": "https://tax.example/s/1.0", "type": "object"}"#).unwrap();
    let ran = hufu(&["schema", "list", "--schemas", text(folder.path())]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("open.json"), "{ran}");
    let good = workspace().join("schemas/records/generic/samples/payload-schemas");
    let rows = hufu(&["schema", "list", "--json", "--schemas", text(&good)]).rows();
    assert!(rows.iter().any(|row| row["kind"] == "payload"));
}

#[test]
fn shipped_mappings_check_test_and_explain() {
    for name in ["certificate", "clearance", "property-right"] {
        let file = workspace().join("schemas/mappings").join(name).with_extension("yaml");
        for action in ["check", "test", "explain"] {
            let ran = hufu(&["map", action, "--json", text(&file)]);
            assert_eq!(ran.code, 0, "{name} {action}: {ran}");
        }
        let tested = hufu(&["map", "test", "--json", text(&file)]).json();
        let tests = tested["tests"].as_array().unwrap();
        assert!(tests.iter().any(|test| test["passed"] == true), "{name}");
        let judged = tests.iter().any(|test| test["bodyNotJudged"].is_string());
        assert_eq!(judged, name == "clearance", "{name}: only a department knows its payload schema");
    }
}

#[test]
fn a_draft_whose_body_breaks_its_schema_fails_the_test_although_it_is_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let written = fs::read_to_string(workspace().join("schemas/mappings/certificate.yaml")).unwrap();
    // A certificate that nobody issued on any day: the draft lacks what the body schema requires.
    let broken: String = written
        .lines()
        .filter(|line| !line.trim_start().starts_with("/body/issuedOn:"))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_ne!(broken, written);
    let file = folder.path().join("broken.yaml");
    fs::write(&file, broken).unwrap();
    let ran = hufu(&["map", "test", "--json", text(&file)]);
    assert_eq!(ran.code, 1, "{ran}");
    let tests = ran.json()["tests"].as_array().unwrap().clone();
    let faulty = tests.iter().find(|test| !test["bodyFaults"].as_array().unwrap().is_empty()).expect("a body fault");
    assert_eq!(faulty["bodyFaults"][0]["keyword"], "required", "{ran}");
}

#[test]
fn a_mapping_with_a_typo_is_refused_with_file_line_and_pointer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typo.yaml");
    let written = fs::read_to_string(workspace().join("schemas/mappings/certificate.yaml")).unwrap();
    fs::write(
        &file,
        written.replacen("/sharing/class: {const: conditional}", "/sharing/class: {konst: conditional}", 1),
    )
    .unwrap();
    let ran = hufu(&["map", "check", text(&file)]);
    assert_eq!(ran.code, 1, "{ran}");
    let line = 1 + written.lines().position(|line| line.contains("/sharing/class:")).unwrap();
    assert!(ran.stdout.contains(&format!("typo.yaml:{line}:")), "{ran}");
    let error = &hufu(&["map", "check", "--json", text(&file)]).json()["errors"][0];
    assert!(error["pointer"].as_str().unwrap().starts_with("/rules/0/set/"), "{error}");
}

#[test]
fn one_event_is_mapped_from_stdin_and_from_a_file() {
    let mapping = workspace().join("schemas/mappings/certificate.yaml");
    let event = serde_json::json!({
        "contract": "0x0000000000000000000000000000000000000c01", "event": "CertificateChanged", "height": "7",
        "time": "2026-11-21T03:00:00Z", "transaction": 0, "index": 0,
        "args": {
            "certificateId": "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
            "operation": "01", "classCode": "11100000000013338W011", "className": "营业执照", "number": "",
            "name": "营业执照", "holderUscc": "91350100M000100Y43", "issuerUscc": "11430000006122244L",
            "issuedOn": "20230403", "state": "01",
        },
    })
    .to_string();
    let ran = hufu_with(&["map", "run", text(&mapping), "--json"], event.as_bytes());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.json()["recordKey"].as_str().unwrap().starts_with("e-certificate:11430000006122244L:"), "{ran}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event.json");
    fs::write(&file, &event).unwrap();
    let same = hufu(&["map", "run", text(&mapping), "--input", text(&file), "--json"]);
    assert_eq!(same.stdout, ran.stdout);
    let other = hufu_with(&["map", "run", text(&mapping), "--json"], br#"{"event": "Other"}"#);
    assert_eq!(other.code, 1, "{other}");
    assert!(other.json()["notMatched"].is_string());
    let faulty =
        hufu_with(&["map", "run", text(&mapping), "--json"], event.replace("20230403", "yesterday").as_bytes());
    assert_eq!(faulty.code, 1, "{faulty}");
    assert_eq!(faulty.json()["fault"]["code"], "date");
    assert_eq!(hufu_with(&["map", "run", text(&mapping)], b"no json").code, 2);
}
