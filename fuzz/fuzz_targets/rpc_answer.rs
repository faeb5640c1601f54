//! What a ledger node answers, or says over a socket: read as JSON-RPC, and as what each family asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    hufu_evm_source::fuzzing::answer(body);
    hufu_cometbft_source::fuzzing::answer(body);
});
