//! Foreign JSON: whatever the strict parser takes has one canonical form, which it takes again as the same document.
#![no_main]

use hufu_schemas_core::canonical::{parse, parse_canonical, to_canonical};
use hufu_schemas_core::limits::JsonLimits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = parse(bytes, &JsonLimits::RECORD) {
        let canonical = to_canonical(&value);
        assert_eq!(parse_canonical(&canonical, &JsonLimits::RECORD).as_ref(), Ok(&value));
    }
});
