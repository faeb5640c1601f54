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
    let known = [
        "certificate-state.yaml",
        "certificate.yaml",
        "clearance.yaml",
        "enforcement-notice.yaml",
        "food-trace.yaml",
        "property-right.yaml",
    ];
    assert_eq!(names, known);
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
        let (place, own) = match (mapping.source()["family"].as_str(), mapping.source()["kind"].as_str()) {
            (Some("cometbft"), Some("events")) => ("types", json!(["trace"])),
            (Some("cometbft"), _) => ("prefix", json!("6c616e642f")),
            _ => ("contract", json!("0x00000000000000000000000000000000000000aa")),
        };
        let moved = mapping.replace_source(&format!("/{place}"), own.clone()).unwrap();
        assert_eq!(moved.source()[place], own, "{name}");
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
    let (_, mapping) = shipped().remove(1);
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

/// What an application writes into the state for the event that the contract emits with the same fields.
fn as_state_key(event: &Value) -> Value {
    json!({
        "kind": "sequence", "store": "registry", "sequence": "1", "key": "63657274696669636174652f0000000000000001",
        "height": "9", "time": event["time"], "index": 0, "value": event["args"],
    })
}

#[test]
fn one_certificate_on_two_families_of_ledgers_is_one_body_under_one_key() {
    let mut mappings = shipped();
    let (_, on_evm) = mappings.remove(1);
    let (_, on_cometbft) = mappings.remove(0);
    let mut compared = 0;
    for (operation, state) in
        [("01", "01"), ("02", "01"), ("03", "02"), ("06", "01"), ("07", "03"), ("07", "07"), ("05", "04")]
    {
        for number in ["湘(2023)第0000403号", ""] {
            let event = json!({
                "contract": "0x0000000000000000000000000000000000000c01", "event": "CertificateChanged", "height": "120",
                "time": "2026-11-21T03:00:00Z", "transaction": 0, "index": 0,
                "args": {
                    "certificateId": " 1.2.156.3005.2.11100000000013338w011.11430000006122244L.20230000403.001.U ",
                    "operation": operation, "classCode": "11100000000013338W011", "className": "营业执照", "number": number,
                    "name": "示例科技有限公司 〇", "holderUscc": "91350100M000100Y43", "issuerUscc": "11430000006122244l",
                    "issuedOn": "20230403", "state": state,
                },
            });
            let (Ok(Applied::Draft(one)), Ok(Applied::Draft(other))) =
                (on_evm.apply(&event), on_cometbft.apply(&as_state_key(&event)))
            else {
                panic!("both make a draft of operation {operation}")
            };
            for member in ["body", "recordKey"] {
                let bytes = |draft: &Value| canonical::to_canonical(&draft[member]);
                assert_eq!(bytes(&one.json), bytes(&other.json), "{member} of operation {operation}");
            }
            // The rest is equal too: nothing in a draft says which family it came from.
            assert_eq!(one.json, other.json);
            compared += 1;
        }
    }
    assert_eq!(compared, 14);
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
