//! Any text as a signed checkpoint: what is taken is written back as the same note, and no key that was not asked about
//! vouches for it.
#![no_main]

use hufu_schemas_core::checkpoint::SignedCheckpoint;
use hufu_schemas_core::signature::NoteSigner;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(signed) = SignedCheckpoint::parse(text) else { return };
    let Ok(again) = SignedCheckpoint::parse(&signed.to_string()) else { panic!("a note that was read is not written") };
    assert_eq!(again, signed);
    let lane = signed.claimed().lane.clone();
    assert!(signed.verify(&lane, &[]).is_err());
    let Ok(signer) = NoteSigner::from_seed("fuzz.example", &[42; 32]) else { return };
    assert!(signed.verify(&lane, &[signer.verifier()]).is_err(), "a key that signed nothing");
});
