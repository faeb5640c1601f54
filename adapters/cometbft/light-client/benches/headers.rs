//! One header beside `tendermint-light-client-verifier`, in one run: both check the same predicates over bytes that were
//! parsed before, and only as many signatures as the quorum needs.
//!
//! `cargo bench -p hufu-cometbft-light-client` prints both for each number of validators; what is asked of ours is at
//! most 1.5 times the oracle's time. Ours checks the signatures of one commit together, by the same cofactored equation as
//! one by one (`keys/ed25519.rs`).
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark states facts")]

#[path = "../src/testing/chain.rs"]
mod chain;
#[path = "../tests/common/oracle.rs"]
mod oracle;

use chain::{Chain, GENESIS_TIME, Voters};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hufu_adapters_light_client::Budget;
use hufu_cometbft_light_client::LightStep;
use hufu_cometbft_light_client::keys::Kind;
use hufu_cometbft_light_client::verify::{Rules, TrustLevel, Trusted};
use hufu_schemas_core::Timestamp;
use std::hint::black_box;
use tendermint_light_client_verifier::Verdict;

fn headers(criterion: &mut Criterion) {
    let rules = Rules {
        chain_id: "land-1".to_owned(),
        kinds: vec![Kind::Ed25519],
        trust_level: TrustLevel::THIRD,
        trusting_period: 1_000,
        clock_drift: 10,
    };
    let seconds = GENESIS_TIME + 500;
    let now = Timestamp::from_seconds(seconds.unsigned_abs()).unwrap();
    for (kind, height) in [("next", 2), ("skipping", 9)] {
        let mut group = criterion.benchmark_group(format!("header/{kind}"));
        group.sample_size(20);
        for count in [4, 21, 100, 175] {
            let mut chain = Chain::new("land-1", Voters::new(0..count, 10));
            chain.mine(9);
            let (first, later) = (&chain.steps[0], &chain.steps[height - 1]);
            let read = |step: &LightStep| {
                let (at, next) = (step.validators.as_ref().unwrap(), step.next_validators.as_ref().unwrap());
                oracle::block(&step.signed_header, at, next).unwrap()
            };
            let header = &first.signed_header.header;
            let trusted = Trusted {
                height: header.height,
                time: header.time,
                next_validators_hash: header.next_validators_hash,
                next_validators: first.next_validators.as_ref(),
            };
            let validators = later.validators.as_ref().unwrap();
            group.bench_function(BenchmarkId::new("ours", count), |bencher| {
                bencher.iter(|| {
                    // The oracle hashes both sets each time; ours are hashed when they are made.
                    let set = hufu_cometbft_light_client::ValidatorSet::new(validators.validators().to_vec()).unwrap();
                    let budget = &mut Budget::for_update();
                    rules.verify(black_box(&trusted), &later.signed_header, black_box(&set), now, budget).unwrap();
                });
            });
            let (theirs, next, options) = (read(first), read(later), oracle::options(1_000, 10));
            group.bench_function(BenchmarkId::new("tendermint-rs", count), |bencher| {
                bencher.iter(|| {
                    let verdict = oracle::verify(black_box(&theirs), black_box(&next), &options, seconds);
                    assert_eq!(verdict, Verdict::Success);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, headers);
criterion_main!(benches);
