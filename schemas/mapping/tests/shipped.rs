//! The mappings that ship with the project: their own tests pass, they check clean against the body schemas, and they
//! are the same mapping in both forms.

// Helpers of tests stop a test the same way the tests themselves do; clippy.toml lets only `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;

use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_mapping::{Applied, Mapping};
use proptest::prelude::*;
use serde_json::{Value, json};

fn schemas() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shipped() -> Vec<(String, Mapping)> {
    let folder = schemas().join("mappings");
    let mut mappings = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let mapping = Mapping::parse_yaml(&name, &fs::read(&path).unwrap());
            mappings.push((name, mapping.unwrap_or_else(|errors| panic!("{}", errors[0]))));
        }
    }
    mappings.sort_by(|one, other| one.0.cmp(&other.0));
    let names: Vec<_> = mappings.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["certificate.yaml", "clearance.yaml", "property-right.yaml"]);
    mappings
}

#[test]
fn embedded_tests_pass() {
    for (name, mapping) in shipped() {
        let outcomes = mapping.run_tests();
        assert!(outcomes.len() >= 7, "{name}: {} tests", outcomes.len());
        for outcome in outcomes {
            assert!(outcome.passed, "{name}: {}: {}", outcome.name, outcome.detail.unwrap_or_default());
        }
    }
}

#[test]
fn nothing_is_found_by_check() {
    for (name, mapping) in shipped() {
        let target = mapping.target();
        let file = schemas().join(format!("records/{}/{}.json", target.record_type(), target.schema()));
        let schema: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(mapping.check(Some(&schema)), [], "{name}");
    }
}

#[test]
fn both_forms_are_one_mapping() {
    for (name, mapping) in shipped() {
        let travelling = canonical::to_canonical(mapping.document());
        let arrived = canonical::parse_canonical(&travelling, &JsonLimits::DOCUMENT).unwrap();
        let arrived = Mapping::from_canonical(&arrived).unwrap();
        assert_eq!(arrived.digest(), mapping.digest(), "{name}");
        assert_eq!(arrived.document(), mapping.document(), "{name}");
        assert_eq!(arrived.explain(), mapping.explain(), "{name}");
        assert!(arrived.run_tests().is_empty(), "tests do not travel");
    }
}

#[test]
fn a_deployment_puts_its_own_contract_name_and_schema() {
    for (name, mapping) in shipped() {
        let contract = json!("0x00000000000000000000000000000000000000aa");
        let moved = mapping.replace_source("/contract", contract.clone()).unwrap();
        assert_eq!(moved.source()["contract"], contract, "{name}");
        assert_ne!(moved.digest(), mapping.digest(), "{name}: another contract is another mapping");
        let named = moved.replace_constant("/issuer/name", &json!("另一机构")).unwrap();
        assert!(named.run_tests().iter().all(|outcome| outcome.passed), "{name}: tests follow the constant");
        assert_eq!(named.run_tests().len(), mapping.run_tests().len());
        assert!(named.replace_source("/nothing", json!(1)).is_err());
        assert!(named.replace_constant("/body/nothing", &json!(1)).is_err());
        assert!(named.replace_constant("/sharing/openToPublic", &json!(true)).is_err(), "{name}: still checked");
    }
}

#[test]
fn a_draft_has_no_place_for_what_the_host_fills_in() {
    let (_, mapping) = shipped().remove(0);
    let input = json!({
        "contract": "0x0000000000000000000000000000000000000c01", "event": "CertificateChanged", "height": "7",
        "time": "2026-11-21T03:00:00Z", "transaction": 0, "index": 0,
        "args": {
            "certificateId": "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
            "operation": "01", "classCode": "11100000000013338W011", "className": "营业执照", "number": "", "name": "营业执照",
            "holderUscc": "91350100M000100Y43", "issuerUscc": "11430000006122244L", "issuedOn": "20230403", "state": "01",
        },
    });
    let Ok(Applied::Draft(draft)) = mapping.apply(&input) else { panic!("a draft") };
    let members: Vec<_> = draft.json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "body",
        "event",
        "issuer",
        "jurisdiction",
        "occurredAt",
        "recordKey",
        "sensitivity",
        "sharing",
        "status",
        "subjects",
    ];
    assert_eq!(members, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A file with a few characters changed is read or refused, and what is read maps the same events without a panic.
    #[test]
    fn a_damaged_file_is_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"-:{}[],&*!|>?'\"# \n\t%~.0a".to_vec())), 1..6),
        cut in any::<prop::sample::Index>(),
        truncate in prop::bool::weighted(0.3),
    ) {
        let mut bytes = fs::read(schemas().join("mappings/clearance.yaml")).unwrap();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(mapping) = Mapping::parse_yaml("damaged.yaml", &bytes) {
            mapping.run_tests();
            mapping.check(None);
        }
    }
}
