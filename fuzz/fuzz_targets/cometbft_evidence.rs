//! Any bytes as evidence, as a transaction, as a descriptor set and as the message of one.
#![no_main]

use hufu_adapters_light_client::{Budget, Standing};
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_cometbft_light_client::hash::sha256;
use hufu_cometbft_light_client::protobuf::Descriptors;
use hufu_cometbft_light_client::selector::{HexBytes, Lane};
use hufu_cometbft_light_client::{cosmos, evidence};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = cosmos::inside(data);
    if let Ok(types) = Descriptors::parse(data) {
        let _ = types.decode("a", data);
    }
    let root = sha256(b"root");
    let state = BlockState {
        validators_hash: root,
        data_hash: Some(root),
        results_hash: Some(root),
        app_hash_before: vec![1; 32],
        app_hash: vec![2; 32],
    };
    let lanes = [
        Lane::Transactions { messages: None },
        Lane::Events { types: vec!["a".to_owned()] },
        Lane::State { store: Some("a".to_owned()), keys: vec![HexBytes(vec![1])] },
        Lane::Sequence { store: None, prefix: HexBytes(vec![1]), first: 1 },
    ];
    for lane in &lanes {
        for whole in [true, false] {
            if let Ok(found) = evidence::find(lane, &state, data, whole, &mut Budget::for_evidence()) {
                let proven = found.iter().filter(|it| it.standing == Standing::Proven);
                assert_eq!(proven.count(), 0, "something was proven under roots that nobody has a preimage of");
            }
        }
    }
});
