//! Any document that is a mapping meets any event without a panic, writes nothing that the host fills in, and gives
//! the same draft twice. Input: two JSON texts with a zero byte between them.
#![no_main]

use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_mapping::{Applied, Mapping};
use libfuzzer_sys::fuzz_target;

const HOST_MEMBERS: [&str; 7] = ["provenance", "commitment", "recordId", "envelope", "schema", "type", "recordedAt"];

fuzz_target!(|bytes: &[u8]| {
    let Some(middle) = bytes.iter().position(|byte| *byte == 0) else { return };
    let (document, event) = (&bytes[..middle], &bytes[middle + 1..]);
    let Ok(document) = canonical::parse(document, &JsonLimits::DOCUMENT) else { return };
    let Ok(event) = canonical::parse(event, &JsonLimits::RECORD) else { return };
    let Ok(mapping) = Mapping::from_canonical(&document) else { return };
    let applied = mapping.apply(&event);
    assert_eq!(applied, mapping.apply(&event));
    let Ok(Applied::Draft(draft)) = applied else { return };
    let prefix = format!("{}:", mapping.target().record_type());
    assert!(draft.json["recordKey"].as_str().is_some_and(|key| key.starts_with(&prefix)));
    assert!(HOST_MEMBERS.iter().all(|member| draft.json.get(member).is_none()));
});
