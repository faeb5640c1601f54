//! Any bytes as a step: what is read is written back as it was, and is judged without a panic.
#![no_main]

use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Family, Outcome, Step};
use hufu_cometbft_light_client::keys::Kind;
use hufu_cometbft_light_client::verify::{Rules, TrustLevel, Trusted};
use hufu_cometbft_light_client::{CometbftFamily, LightStep};
use hufu_schemas_core::{Height, Timestamp};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let Ok(step) = LightStep::parse(data) else { return };
    assert_eq!(LightStep::parse(&step.write()).as_ref(), Ok(&step), "what is written is read back");
    let Some(now) = Timestamp::from_seconds(4_000_000_000) else { return };
    let header = &step.signed_header.header;
    let rules = Rules {
        chain_id: header.chain_id.clone(),
        kinds: Kind::ALL.to_vec(),
        trust_level: TrustLevel::THIRD,
        trusting_period: u64::MAX,
        clock_drift: 10,
    };
    if let Some(validators) = &step.validators {
        let trusted = Trusted {
            height: header.height.saturating_sub(1),
            time: hufu_cometbft_light_client::Time::ZERO,
            next_validators_hash: validators.hash(),
            next_validators: Some(validators),
        };
        let judged = rules.verify(&trusted, &step.signed_header, validators, now, &mut Budget::for_update());
        let signed = step.signed_header.commit.signatures.iter().any(|entry| !entry.signature.is_empty());
        assert!(
            signed || matches!(judged, Err(Refusal::Reject(_) | Refusal::NotYet(_))),
            "nobody signed and it passed"
        );
    }
    let anchor = json!({
        "family": "cometbft", "chain_id": header.chain_id, "height": header.height, "hash": header.hash(),
        "genesis": header.hash(), "trusting_period": 1_000, "keys": ["ed25519", "secp256k1", "sm2"],
    });
    let Ok(client) = CometbftFamily.client(&anchor) else { return };
    let bytes = Step { height: Height::new(header.height), bytes: data.to_vec() };
    let advanced = client.advance(&client.anchor(), &[bytes], now, &mut Budget::for_update());
    if let Outcome::Accept(advanced) = advanced {
        assert!(advanced.blocks.is_empty(), "a block was trusted without a header above it");
    }
});
