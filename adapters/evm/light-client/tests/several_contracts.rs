//! One lane over several contracts and several events: the example of docs/evm.md, from a log's bytes to a draft.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests state facts too")]

use alloy_dyn_abi::DynSolValue;
use hufu_evm_light_client::receipt::Log;
use hufu_evm_light_client::{Address, EvmDecoder, LogSelector, keccak256, rlp};
use hufu_schemas_mapping::{Applied, Mapping};
use serde_json::json;

const DOCS: &str = include_str!("../../../../docs/evm.md");
const BODY: &str = include_str!("../../../../schemas/records/generic/1.0.json");

fn example() -> Mapping {
    let (_, rest) = DOCS.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    Mapping::parse_yaml("docs/evm.md", yaml.as_bytes()).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn log(contract: Address, signature: &str, texts: &[&str]) -> Vec<u8> {
    let mut topics = Vec::new();
    rlp::write_string(keccak256(signature.as_bytes()).as_bytes(), &mut topics);
    let values = texts.iter().map(|text| DynSolValue::String((*text).to_owned())).collect();
    let mut items = Vec::new();
    rlp::write_string(contract.as_bytes(), &mut items);
    rlp::write_list(&topics, &mut items);
    rlp::write_string(&DynSolValue::Tuple(values).abi_encode_params(), &mut items);
    let mut out = Vec::new();
    rlp::write_list(&items, &mut out);
    out
}

#[test]
fn the_example_checks_clean_and_its_tests_pass() {
    let mapping = example();
    assert_eq!(mapping.check(Some(&serde_json::from_str(BODY).unwrap())), []);
    let outcomes = mapping.run_tests();
    assert!(outcomes.len() >= 3 && outcomes.iter().all(|outcome| outcome.passed), "{outcomes:?}");
}

#[test]
fn events_of_each_contract_become_records_by_the_rule_that_is_for_them() {
    let mapping = example();
    let decoder = EvmDecoder::from_source(mapping.source()).unwrap();
    let selector = LogSelector::read(hufu_adapters_light_client::Decoder::selector(&decoder)).unwrap();
    let contracts: Vec<Address> = mapping.source()["contracts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["contract"].as_str().unwrap().parse().unwrap())
        .collect();
    let (permits, archive) = (contracts[0], contracts[1]);
    let granted = "Granted(string,string)";
    for (contract, signature, expected) in [
        (permits, granted, Some("grant")),
        (permits, "Withdrawn(string,string)", Some("withdraw")),
        (archive, granted, Some("archive")),
        // The archive has this event too, and the lane does not read it there.
        (archive, "Withdrawn(string,string)", None),
        (Address::ZERO, granted, None),
    ] {
        let bytes = log(contract, signature, &["P-17", "20260401"]);
        assert_eq!(selector.matches(&Log::parse(&bytes).unwrap()), expected.is_some(), "{contract} {signature}");
        let Some(expected) = expected else {
            assert!(decoder.decode_log(&bytes).is_err(), "{contract} {signature}");
            continue;
        };
        let mut event = decoder.decode_log(&bytes).unwrap().value;
        event["time"] = json!("2026-11-21T03:00:00Z");
        let Ok(Applied::Draft(draft)) = mapping.apply(&event) else { panic!("a draft of {signature}") };
        assert_eq!(draft.json["event"], expected);
        assert_eq!(draft.json["recordKey"], "generic:11430000006122244L:P-17");
    }
}
