//! Any bytes as a statement of a lane: what is taken has this one spelling.
#![no_main]

use hufu_schemas_core::statement::Statement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(statement) = Statement::parse(bytes) else { return };
    assert_eq!(statement.bytes(), bytes, "the digest is taken over these very bytes");
    let Ok(again) = Statement::make(statement.leaf().clone(), [7; 16]) else {
        panic!("a leaf that was read cannot be written: {}", statement.leaf().kind())
    };
    assert_eq!(again.leaf(), statement.leaf());
});
