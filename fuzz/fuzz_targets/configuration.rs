//! An operator's files: a mistake is an error with a line, never a crash.
#![no_main]

use hufu_gateway_verify::TrustPolicy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = TrustPolicy::parse("policy.toml", text);
});
