//! Any bytes as evidence of code or of storage slots, as a slot's change, and as code.
#![no_main]

use hufu_evm_light_client::slots::{Change, evidence};
use hufu_evm_light_client::{bytecode, control};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = bytecode::mutability(data);
    if let Ok((receipts, proofs)) = control::split(data)
        && !proofs.is_empty()
    {
        assert_eq!(control::join(receipts, &proofs), data, "evidence has one spelling");
    }
    if let Ok((before, after)) = evidence::read(data) {
        assert_eq!(evidence::write(&before, &after), data, "evidence has one spelling");
    }
    if let Ok(change) = Change::parse(data) {
        assert_eq!(change.to_native(), data, "a change has one spelling");
    }
});
