//! What the light client costs, case by case: `cargo bench -p hufu-evm-light-client`. Comparisons with the unavoidable part
//! and with a node's own import, in one run: `hufu bench evm` (docs/bench.md).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a bench states facts, as a test does")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hufu_adapters_light_client::{Budget, DynLightClient, Family as _, Outcome, Selector, Step, StoredHead};
use hufu_evm_devnet::bare::{self, CliqueBlocks};
use hufu_evm_devnet::keys::Key;
use hufu_evm_light_client::account::verify_account;
use hufu_evm_light_client::body::WholeBlock;
use hufu_evm_light_client::receipt::write_evidence;
use hufu_evm_light_client::seal::Seal;
use hufu_evm_light_client::{Address, EvmFamily, Hash32, LogSelector, keccak256};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};
use std::hint::black_box;

const SEED: [u8; 32] = [0x68; 32];
const GENESIS_TIME: u64 = 1_700_000_000;
const YEAR: u64 = 365 * 86_400;
/// Headers of one update.
const UPDATE: u64 = 512;

/// A ledger up to `headers`, its anchor, and the head at genesis.
struct Ledger {
    anchor: Value,
    steps: Vec<Step>,
}

impl Ledger {
    fn new(consensus: &str, genesis: ([u8; 32], Vec<u8>), more: &[(&str, Value)]) -> Self {
        let mut anchor = json!({
            "family": "evm", "consensus": consensus, "height": 0, "hash": Hash32::new(genesis.0), "trusted_for": 2 * YEAR,
        });
        more.iter().for_each(|(key, value)| anchor[*key] = value.clone());
        Self { anchor, steps: vec![step(0, genesis.1)] }
    }

    fn of(validators: u64) -> Self {
        let keys = bare::keys(&SEED, validators);
        let genesis = bare::qbft_header([0; 32], 0, GENESIS_TIME, &keys, None);
        let mut parent = genesis.hash;
        let mut ledger = Self::new("qbft", (genesis.hash, genesis.rlp), &[]);
        for height in 1..=UPDATE {
            let header = bare::qbft_header(parent, height, GENESIS_TIME + height, &keys, None);
            parent = header.hash;
            ledger.steps.push(step(height, header.rlp));
        }
        ledger
    }

    /// A client that remembers nothing, with its head at genesis.
    fn fresh(&self) -> (Box<dyn DynLightClient>, StoredHead) {
        let client = EvmFamily.client(&self.anchor).unwrap();
        let head = advance(client.as_ref(), &client.anchor(), &self.steps[..1]);
        (client, head)
    }
}

fn step(height: u64, bytes: Vec<u8>) -> Step {
    Step { height: Height::new(height), bytes }
}

fn advance(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> StoredHead {
    let now = Timestamp::from_seconds(GENESIS_TIME + YEAR).unwrap();
    match client.advance(head, steps, now, &mut Budget::for_update()) {
        Outcome::Accept(advanced) => advanced.head,
        other => panic!("expected the headers to be taken, got {other:?}"),
    }
}

fn recovery(criterion: &mut Criterion) {
    let digest = keccak256(b"block");
    let seal = Key::derive(&SEED, "recovery", 0).sign(&(*digest.as_bytes()).into());
    let seal = Seal::parse(seal.as_slice()).unwrap();
    criterion.bench_function("recover one signer", |bench| bench.iter(|| black_box(&seal).recover(&digest).unwrap()));
}

fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("headers");
    group.throughput(Throughput::Elements(UPDATE)).sample_size(10);
    for validators in [4, 7, 21, 100] {
        let ledger = Ledger::of(validators);
        group.bench_function(format!("{validators} validators"), |bench| {
            let update = |(client, head): (Box<dyn DynLightClient>, StoredHead)| {
                advance(client.as_ref(), &head, &ledger.steps[1..])
            };
            bench.iter_batched(|| ledger.fresh(), update, BatchSize::PerIteration);
        });
        group.bench_function(format!("{validators} validators, seen before"), |bench| {
            let (client, head) = ledger.fresh();
            advance(client.as_ref(), &head, &ledger.steps[1..]);
            bench.iter(|| advance(client.as_ref(), &head, &ledger.steps[1..]));
        });
    }
    group.bench_function("Clique, 4 signers", |bench| {
        let mut chain = CliqueBlocks::new(bare::keys(&SEED, 4), GENESIS_TIME);
        let header = |block: Vec<u8>| WholeBlock::parse(&block).unwrap().header().raw().to_vec();
        let mut ledger = Ledger::new("clique", (chain.genesis_hash(), header(chain.genesis())), &[]);
        ledger.steps.extend((1..=UPDATE).map(|height| step(height, header(chain.next().unwrap()))));
        let update =
            |(client, head): (Box<dyn DynLightClient>, StoredHead)| advance(client.as_ref(), &head, &ledger.steps[1..]);
        bench.iter_batched(|| ledger.fresh(), update, BatchSize::PerIteration);
    });
    group.finish();
}

/// A year of one-second headers over which five of 21 validators are replaced, a header every four weeks.
fn a_year(criterion: &mut Criterion) {
    const STRIDE: u64 = 28 * 86_400;
    let all = bare::keys(&SEED, 26);
    let genesis = bare::qbft_header([0; 32], 0, GENESIS_TIME, &all[..21], None);
    let next = bare::qbft_header(genesis.hash, 1, GENESIS_TIME + 1, &all[..21], None);
    let mut ledger = Ledger::new("qbft", (genesis.hash, genesis.rlp), &[("skipping", json!(true))]);
    ledger.steps.push(step(1, next.rlp));
    let mut height = 1;
    while height < YEAR {
        height = YEAR.min(height + STRIDE);
        let replaced = usize::try_from(height * 5 / YEAR).unwrap();
        let set = &all[replaced..replaced + 21];
        ledger.steps.push(step(height, bare::qbft_header([9; 32], height, GENESIS_TIME + height, set, None).rlp));
    }
    criterion.bench_function("a year skipped, 21 validators", |bench| {
        let update =
            |(client, head): (Box<dyn DynLightClient>, StoredHead)| advance(client.as_ref(), &head, &ledger.steps[1..]);
        bench.iter_batched(|| ledger.fresh(), update, BatchSize::PerIteration);
    });
}

fn receipts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receipts trie");
    let selector: Selector =
        LogSelector::new(Address::new(bare::CONTRACT), vec![Hash32::new(bare::TOPIC)]).unwrap().to_selector();
    for count in [20, 200, 2_000] {
        let (root, receipts) = bare::receipts(count);
        let genesis = bare::qbft_header([0; 32], 0, GENESIS_TIME, &bare::keys(&SEED, 4), Some((root, root)));
        let ledger = Ledger::new("qbft", (genesis.hash, genesis.rlp), &[]);
        let client = EvmFamily.client(&ledger.anchor).unwrap();
        let now = Timestamp::from_seconds(GENESIS_TIME).unwrap();
        let advanced = client.advance(&client.anchor(), &ledger.steps, now, &mut Budget::for_update());
        let block = advanced.accepted().unwrap().blocks.remove(0);
        let evidence = write_evidence(&receipts);
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} receipts"), |bench| {
            bench.iter(|| {
                let found = client.matching(&block, &selector, Some(&evidence), &mut Budget::for_evidence());
                assert_eq!(found.accepted().unwrap().len() as u64, count);
            });
        });
    }
    group.finish();
}

fn accounts(criterion: &mut Criterion) {
    let (root, proofs) = bare::accounts(10_000, 100);
    let root = Hash32::new(root);
    let mut group = criterion.benchmark_group("account proofs");
    group.throughput(Throughput::Elements(proofs.len() as u64));
    group.bench_function("of 10,000 accounts", |bench| {
        bench.iter(|| {
            let mut budget = Budget::new(0, u64::MAX);
            for (address, nodes) in &proofs {
                assert!(verify_account(root, Address::new(*address), nodes, &mut budget).unwrap().is_some());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, recovery, headers, a_year, receipts, accounts);
criterion_main!(benches);
