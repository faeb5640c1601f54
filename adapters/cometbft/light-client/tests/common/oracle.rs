//! The same header and sets as types of `tendermint-light-client-verifier`, and its verdict. Shared by tests and benchmark.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests state facts too")]

use hufu_cometbft_light_client::keys::PublicKey;
use hufu_cometbft_light_client::{SignedHeader, ValidatorSet};
use serde_json::json;
use std::time::Duration;
use tendermint::validator;
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{TrustedBlockState, UntrustedBlockState};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};

/// A signed header with its validators, and those that it names as next.
pub(crate) struct Block {
    pub(crate) signed: tendermint::block::signed_header::SignedHeader,
    pub(crate) validators: validator::Set,
    pub(crate) next: validator::Set,
}

pub(crate) fn set(ours: &ValidatorSet) -> validator::Set {
    let info = |it: &hufu_cometbft_light_client::Validator| {
        let key = match it.pub_key {
            PublicKey::Ed25519(bytes) => tendermint::PublicKey::from_raw_ed25519(&bytes).unwrap(),
            PublicKey::Secp256k1(bytes) => tendermint::PublicKey::from_raw_secp256k1(&bytes).unwrap(),
            PublicKey::Sm2(_) => unreachable!("the oracle has no SM2"),
        };
        validator::Info::new(key, it.power.try_into().unwrap())
    };
    validator::Set::new(ours.validators().iter().map(info).collect(), None)
}

/// `None` where the oracle refuses to read what is signed.
pub(crate) fn block(signed: &SignedHeader, validators: &ValidatorSet, next: &ValidatorSet) -> Option<Block> {
    let signed = serde_json::from_value(json!({ "header": signed.header, "commit": signed.commit })).ok()?;
    Some(Block { signed, validators: set(validators), next: set(next) })
}

pub(crate) fn options(trusting_period: u64, clock_drift: u64) -> Options {
    Options {
        trust_threshold: tendermint_light_client_verifier::types::TrustThreshold::ONE_THIRD,
        trusting_period: Duration::from_secs(trusting_period),
        clock_drift: Duration::from_secs(clock_drift),
    }
}

pub(crate) fn verify(trusted: &Block, untrusted: &Block, options: &Options, now: i64) -> Verdict {
    let header = &trusted.signed.header;
    ProdVerifier::default().verify_update_header(
        UntrustedBlockState {
            signed_header: &untrusted.signed,
            validators: &untrusted.validators,
            next_validators: Some(&untrusted.next),
        },
        TrustedBlockState {
            chain_id: &header.chain_id,
            header_time: header.time,
            height: header.height,
            next_validators: &trusted.next,
            next_validators_hash: header.next_validators_hash,
        },
        options,
        tendermint::Time::from_unix_timestamp(now, 0).unwrap(),
    )
}
