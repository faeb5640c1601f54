//! Any bytes as an evidence file: what is taken is written back as the same file, and its parts are read as the verifier
//! reads them.
#![no_main]

use hufu_schemas_core::Record;
use hufu_schemas_core::checkpoint::SignedCheckpoint;
use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::statement::Statement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Evidence::parse(bytes) else { return };
    assert_eq!(Evidence::parse(&file.to_bytes()).as_ref(), Ok(&file));
    let _ = SignedCheckpoint::parse(&file.checkpoint);
    let _ = Statement::parse(file.leaf.statement.as_bytes());
    if let Ok(record) = Record::open(file.record) {
        assert_eq!(Record::open(record.to_json()).as_ref(), Ok(&record), "id and commitment still close");
    }
});
