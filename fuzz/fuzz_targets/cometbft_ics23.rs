//! Any bytes as an ICS-23 proof: nothing is both there and not there, and nothing stops the process.
#![no_main]

use hufu_adapters_light_client::Budget;
use hufu_cometbft_light_client::ics23::{Proof, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((size, rest)) = data.split_first() else { return };
    let Some((key, rest)) = rest.split_at_checked(usize::from(size % 16)) else { return };
    let Some((root, bytes)) = rest.split_at_checked(32) else { return };
    for tree in [Tree::Iavl, Tree::Simple] {
        let Ok(proof) = Proof::parse(tree, bytes, &mut Budget::for_evidence()) else { continue };
        let (there, absent) = (proof.value_at(root, key).is_ok(), proof.nothing_at(root, key).is_ok());
        assert!(!(there && absent), "a key is there and is not");
    }
});
