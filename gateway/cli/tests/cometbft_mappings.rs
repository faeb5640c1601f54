//! The shipped mappings of CometBFT ledgers read what the family's own decoder gives: from the ledger's bytes to a draft.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stand outside test functions, where clippy.toml does not reach"
)]

mod support;

use std::fs;

use hufu_cometbft_light_client::CometbftDecoder;
use hufu_cometbft_light_client::hash::sha256;
use hufu_cometbft_light_client::native::{Attribute, Base64, Event, Native};
use hufu_cometbft_light_client::selector::HexBytes;
use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_mapping::{Applied, Draft, Mapping};
use serde_json::{Value, json};
use support::workspace;

fn mapping(name: &str) -> Mapping {
    let path = workspace().join("schemas/mappings").join(name).with_extension("yaml");
    Mapping::parse_yaml(name, &fs::read(path).unwrap()).unwrap()
}

/// The draft of an item, by the decoder that the mapping's own source asks for.
fn draft(mapping: &Mapping, native: &Native) -> Draft {
    let decoder = CometbftDecoder::from_source(mapping.source()).unwrap();
    let (_, _, mut decoded) = decoder.decode_native(&native.write()).unwrap();
    // What the position in the block adds.
    decoded.insert("height".to_owned(), json!("7"));
    decoded.insert("time".to_owned(), json!("2026-11-21T03:00:00Z"));
    decoded.insert("index".to_owned(), json!(0));
    applied(mapping, &Value::Object(decoded))
}

fn applied(mapping: &Mapping, decoded: &Value) -> Draft {
    match mapping.apply(decoded) {
        Ok(Applied::Draft(draft)) => draft,
        Ok(Applied::NotMatched { .. }) => panic!("no rule is for {decoded}"),
        Err(fault) => panic!("{fault}: {decoded}"),
    }
}

/// A value under a prefix and its first number.
fn state_key(store: &str, prefix: &str, value: &Value) -> Native {
    let key = HexBytes([prefix.as_bytes(), &1_u64.to_be_bytes()].concat());
    let value = Base64(value.to_string().into_bytes());
    Native::Sequence { store: Some(store.to_owned()), sequence: 1, key, value }
}

#[test]
fn a_certificate_in_the_state_is_the_body_and_key_that_the_contracts_event_gives() {
    let fields = json!({
        "certificateId": "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U", "operation": "01",
        "classCode": "11100000000013338W011", "className": "营业执照", "number": "湘(2023)第0000403号",
        "name": "示例科技有限公司 〇", "holderUscc": "91350100M000100Y43", "issuerUscc": "11430000006122244L",
        "issuedOn": "20230403", "state": "01",
    });
    let here = draft(&mapping("certificate-state"), &state_key("registry", "certificate/", &fields));
    let event = json!({
        "contract": "0x0000000000000000000000000000000000000c01", "event": "CertificateChanged", "height": "120",
        "time": "2026-11-21T03:00:00Z", "transaction": 0, "index": 0, "args": fields,
    });
    let there = applied(&mapping("certificate"), &event);
    for member in ["body", "recordKey"] {
        assert_eq!(to_canonical(&here.json[member]), to_canonical(&there.json[member]), "{member}");
    }
}

#[test]
fn an_enforcement_notice_in_the_state() {
    let fields = json!({
        "noticeNo": "环责改字〔2026〕001号", "caseNo": "430100-2026-000017", "subjectUscc": "91350100M000100Y43",
        "issuerUscc": "11430000006122244L", "measure": "rectify", "state": "in-force", "issuedOn": "20261120", "dueOn": "",
    });
    let draft = draft(&mapping("enforcement-notice"), &state_key("notices", "notice/", &fields));
    assert_eq!(draft.json["recordKey"], "generic:11430000006122244L:430100-2026-000017");
    assert_eq!(draft.json["body"]["payload"]["measure"], "rectify");
}

#[test]
fn a_step_of_a_food_chain_as_a_node_tells_it() {
    let attributes = [
        ("lot", "ROU-20261120-0007"),
        ("serial", "3"),
        ("step", "slaughter"),
        ("role", "slaughterhouse"),
        ("actorUscc", "91350100M000100Y43"),
        ("issuerUscc", "11430000006122244L"),
        ("kilograms", "86.50"),
        ("place", "示例市第一屠宰场"),
    ];
    let attribute = |(key, value): (&str, &str)| Attribute { key: key.to_owned(), value: value.to_owned() };
    let event = Event { kind: "food_trace".to_owned(), attributes: attributes.map(attribute).to_vec() };
    let draft = draft(&mapping("food-trace"), &Native::Event { tx: sha256(b"tx"), event });
    assert_eq!(draft.json["recordKey"], "generic:11430000006122244L:ROU-20261120-0007-3");
    assert_eq!(draft.json["body"]["payload"]["quantity"], json!({ "value": "86.50", "unit": "KGM" }));
}
