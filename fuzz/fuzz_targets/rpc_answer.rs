//! What a ledger node answers: read as JSON-RPC, as a block and as receipts, and written as consensus bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| hufu_evm_source::fuzzing::answer(body));
