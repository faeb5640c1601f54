//! Any JSON as a node's answers.
#![no_main]

use hufu_cometbft_light_client::rpc::{evidence, light};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(answer) = serde_json::from_slice::<Value>(data) else { return };
    let _ = light::header(&answer);
    let _ = light::signed_header(&answer);
    let _ = light::validators(&[answer.clone(), answer.clone()]);
    let _ = light::step(&answer, std::slice::from_ref(&answer), None);
    let _ = evidence::executed(&answer, &answer);
    let _ = evidence::included(&answer);
    let _ = evidence::queried(&answer);
});
