//! Any bytes are a mapping or are refused; what is read is the same mapping in its canonical form.
#![no_main]

use hufu_schemas_mapping::Mapping;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mapping) = Mapping::parse_yaml("fuzz.yaml", bytes) else { return };
    let again = Mapping::from_canonical(mapping.document()).expect("a mapping's own document is a mapping");
    assert_eq!(again.digest(), mapping.digest());
    assert_eq!(again.explain(), mapping.explain());
    mapping.check(None);
    mapping.run_tests();
});
