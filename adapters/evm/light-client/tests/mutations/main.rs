//! Structured mutations of valid proofs, evidence and sealed headers, captured and made: each is refused, or says what
//! the valid one says.
//!
//! `HUFU_MUTATIONS` is how many (here a few thousand; `just mutate` runs ten million in a release build), and
//! `HUFU_MUTATIONS_SEED` where they start. Work is cut into jobs that a seed and a number determine, so the figures do
//! not depend on how many threads there are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

mod answers;
mod captured;
mod corpus;
mod evidence;
mod headers;
#[path = "../ledger/mod.rs"]
mod ledger;
mod proofs;
mod random;
mod report;
#[path = "../../src/testing.rs"]
#[allow(dead_code, reason = "the builders of the unit tests, of which this file uses a part")]
mod testing;
mod tree;

// What the builders of the unit tests name by `crate::`.
use hufu_evm_light_client::{address, bft, clique, fault, header, keccak, rlp, seal, trie};

use random::Random;
use report::{Outcome, Report};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const DEFAULT_COUNT: u64 = 20_000;
const DEFAULT_SEED: u64 = 0x4875_6675;
/// Mutations of one job.
const JOB: u64 = 1_000;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}: expected a number, got {text:?}")),
        Err(_) => default,
    }
}

/// Everything valid that is there to be mutated.
struct Valid {
    proofs: corpus::Corpus,
    answers: Vec<answers::Answered>,
    evidence: Vec<evidence::Evidence>,
    headers: Vec<headers::Sealed>,
}

impl Valid {
    fn gather() -> Self {
        let captured = captured::Captured::read();
        let valid = Self {
            proofs: corpus::Corpus::gather(captured.as_ref()),
            answers: answers::gather(captured.as_ref()),
            evidence: evidence::gather(captured.as_ref()),
            headers: headers::gather(captured.as_ref()),
        };
        let Self { proofs, answers, evidence, headers } = &valid;
        println!(
            "valid: {} proofs under {} roots, {} answers to eth_getProof, whole receipts of {} blocks, {} sealed headers",
            proofs.proofs.len(),
            proofs.tries.len(),
            answers.len(),
            evidence.len(),
            headers.len()
        );
        valid
    }

    /// Mutates something. Of a hundred, ten are headers: they cost the most and have the fewest places to change.
    fn mutate(&self, random: &mut Random) -> Outcome {
        match random.below(100) {
            0..10 => headers::mutate(&self.headers, random),
            10..16 => evidence::mutate(&self.evidence, random),
            16..20 if !self.answers.is_empty() => answers::mutate(&self.answers, random),
            _ => proofs::mutate(&self.proofs, random),
        }
    }
}

#[test]
fn no_mutation_of_what_is_valid_says_anything_else() {
    let (count, seed) = (number("HUFU_MUTATIONS", DEFAULT_COUNT), number("HUFU_MUTATIONS_SEED", DEFAULT_SEED));
    println!("HUFU_MUTATIONS={count} HUFU_MUTATIONS_SEED={seed}");
    let valid = Valid::gather();
    let next = AtomicU64::new(0);
    let whole = Mutex::new(Report::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut report = Report::default();
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    let Some(left) = count.checked_sub(job * JOB).filter(|left| *left > 0) else { break };
                    let mut random = Random::of(seed, job);
                    (0..left.min(JOB)).for_each(|_| report.add(&valid.mutate(&mut random)));
                }
                whole.lock().unwrap().merge(report);
            });
        }
    });
    let report = whole.into_inner().unwrap();
    println!("{}", report.words());
    assert_eq!(report.total(), count);
    let first: Vec<&String> = report.wrong.iter().take(5).collect();
    assert!(first.is_empty(), "{} accepted and wrong, for instance {first:#?}", report.wrong.len());
    // A run that never got to the verifier would refuse nothing, or all for one reason.
    if count >= DEFAULT_COUNT {
        assert!(report.refused() > count / 2 && report.refused() < count, "{}", report.words());
        assert!(report.reasons() >= 20, "{}", report.words());
    }
}
