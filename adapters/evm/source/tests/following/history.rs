//! Blocks far back: read in batches, with progress; and nodes that no longer keep them.

use hufu_adapters_light_client::{Budget, Family as _, Selector, TrustedBlock};
use hufu_adapters_source::{Source as _, SourceError};
use hufu_evm_devnet::{Devnet, DevnetConfig, Misbehave};
use hufu_evm_light_client::{Address, EvmFamily, Hash32, LogSelector, keccak256};
use hufu_evm_source::EvmSource;
use hufu_schemas_core::Timestamp;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::support::{CONTRACT, EVENT, at, benched, config, devnet, node, source};

const TIP: u64 = 40;

async fn trusted(devnet: &Devnet, count: usize) -> Vec<TrustedBlock> {
    let steps = source(devnet, vec![node("one", &devnet.url())]).steps(at(0), count).await.unwrap();
    let hash = Hash32::new(devnet.genesis_hash());
    let anchor = json!({ "family": "evm", "consensus": "qbft", "height": 0, "hash": hash });
    let client = EvmFamily.client(&anchor).unwrap();
    let now = Timestamp::from_seconds(DevnetConfig::default().genesis_time + 3_600).unwrap();
    client.advance(&client.anchor(), &steps, now, &mut Budget::for_update()).accepted().unwrap().blocks
}

fn selector() -> Selector {
    LogSelector::new(Address::new(CONTRACT), vec![keccak256(EVENT.as_bytes())]).unwrap().to_selector()
}

/// A node without what lies below `lowest`: for that it gives `answer`.
fn pruned(devnet: &Devnet, lowest: u64, answer: Value) -> Fake {
    Fake::of(devnet).calls(move |method, height| {
        let old = height > 0 && height < lowest;
        (old && method != "eth_blockNumber").then(|| answer.clone())
    })
}

#[tokio::test]
async fn a_back_fill_from_genesis_shows_how_far_it_is() {
    let tip = 700;
    let devnet = devnet(tip).await;
    let mut config = config(&devnet, vec![node("archive", &devnet.url())]);
    config.limits.batch = 20;
    let source = EvmSource::new(config).unwrap();
    assert_eq!(source.progress(), None, "nothing was read");
    let (mut next, mut shown) = (0, Vec::new());
    while next <= tip {
        let steps = source.steps(at(next), 128).await.unwrap();
        assert!(steps.iter().zip(next..).all(|(step, height)| step.height.get() == height));
        next += steps.len() as u64;
        shown.push(source.progress().map(|progress| (progress.height.get(), progress.target.get())));
    }
    let far = |height| Some((height, tip));
    assert_eq!(shown, [far(0), far(127), far(255), far(383), None, None]);
}

#[tokio::test]
async fn history_that_no_node_keeps_asks_for_an_archive_node_by_name() {
    let devnet = devnet(TIP).await;
    let error = |code: i64, message: &str| json!({ "error": { "code": code, "message": message } });
    for answer in [
        json!({ "result": null }),
        error(4444, "pruned history unavailable"),
        error(-32000, "missing trie node 0d0e (path )"),
        error(-32000, "header not found"),
        error(-32000, "History pruned"),
    ] {
        let (_, url) = pruned(&devnet, 30, answer.clone()).serve().await;
        let alone = source(&devnet, vec![node("pruned", &url)]);
        let fault = alone.steps(at(2), 9).await.unwrap_err();
        assert!(matches!(&fault, SourceError::Pruned { what } if what.contains("block 2")), "{answer}: {fault}");
        assert!(fault.to_string().contains("add one that keeps history"), "{fault}");
        assert_eq!(alone.steps(at(35), 9).await.unwrap().len(), 6, "lacking history is no fault");
        assert_eq!(benched(&alone, "pruned"), None);
        let both = source(&devnet, vec![node("pruned", &url), node("archive", &devnet.url())]);
        assert_eq!(both.steps(at(2), 9).await.unwrap().len(), 9);
    }
}

#[tokio::test]
async fn receipts_that_no_node_keeps() {
    let devnet = devnet(TIP).await;
    let blocks = trusted(&devnet, 10).await;
    let only_receipts = Fake::of(&devnet).calls(|method, height| {
        (method == "debug_getRawReceipts" && height < 30)
            .then(|| json!({ "error": { "code": 4444, "message": "pruned history unavailable" } }))
    });
    let (_, url) = only_receipts.serve().await;
    let alone = source(&devnet, vec![node("pruned", &url)]);
    let fault = alone.evidence(&blocks, &selector()).await.unwrap_err();
    assert!(matches!(&fault, SourceError::Pruned { what } if what.contains("receipts of block 2")), "{fault}");
    let both = source(&devnet, vec![node("pruned", &url), node("archive", &devnet.url())]);
    let told = both.evidence(&blocks, &selector()).await.unwrap();
    assert_eq!(told.iter().filter(|told| told.evidence.is_some()).count(), 2);
}

/// A node whose receipts of block 5 are more than [`READ`] bytes.
fn crowded(devnet: &Devnet) -> Fake {
    Fake::of(devnet).calls(|method, height| {
        (method == "debug_getRawReceipts" && height == 5).then(|| json!({ "result": ["0".repeat(READ)] }))
    })
}

const READ: usize = 100_000;

#[tokio::test]
async fn a_block_that_one_user_makes_too_large_is_named_and_benches_nobody() {
    let devnet = devnet(TIP).await;
    let blocks = trusted(&devnet, 10).await;
    let ((_, one), (_, two)) = (crowded(&devnet).serve().await, crowded(&devnet).serve().await);
    let mut config = config(&devnet, vec![node("one", &one), node("two", &two)]);
    config.limits.response_bytes = READ;
    let both = EvmSource::new(config.clone()).unwrap();
    for _ in 0..2 {
        let fault = both.evidence(&blocks, &selector()).await.unwrap_err();
        assert!(matches!(&fault, SourceError::TooLarge { height, .. } if *height == at(5)), "{fault}");
        assert_eq!((benched(&both, "one"), benched(&both, "two")), (None, None));
    }
    // The blocks before it are read all the same.
    assert_eq!(both.evidence(&blocks[..5], &selector()).await.unwrap().len(), 5);
    // What one node says alone is no more than that: another gives the block, or is waited for.
    config.nodes = vec![node("one", &one), node("two", &devnet.url())];
    let honest = EvmSource::new(config.clone()).unwrap();
    let told = honest.evidence(&blocks, &selector()).await.unwrap();
    assert_eq!(told.iter().filter(|told| told.evidence.is_some()).count(), 2);
    devnet.first_node().stop();
    let fault = EvmSource::new(config).unwrap().evidence(&blocks, &selector()).await.unwrap_err();
    assert!(matches!(&fault, SourceError::Unavailable { .. }), "{fault}");
}

/// A reader that has come some way and whose archive node is gone must not wait for ever for blocks to come.
#[tokio::test]
async fn history_that_is_lost_half_way_is_not_taken_for_blocks_to_come() {
    let devnet = devnet(TIP).await;
    let (_, url) = pruned(&devnet, 30, json!({ "result": null })).serve().await;
    let source = source(&devnet, vec![node("pruned", &url)]);
    // Blocks 0 and 1 hold nothing, so that nobody is asked; but from now on the source knows where the reader stands.
    let quiet = trusted(&devnet, 2).await;
    assert!(source.evidence(&quiet, &selector()).await.unwrap().iter().all(|told| told.evidence.is_none()));
    let fault = source.steps(at(2), 9).await.unwrap_err();
    assert!(matches!(&fault, SourceError::Pruned { .. }), "{fault}");
}

#[tokio::test]
async fn a_height_that_is_claimed_and_not_shown_is_no_pruned_history() {
    let devnet = devnet(TIP).await;
    let boasting = Fake::of(&devnet)
        .calls(|method, _| (method == "eth_blockNumber").then(|| json!({ "result": "0xf4240" })))
        .serve()
        .await;
    let source = source(&devnet, vec![node("boasting", &boasting.1)]);
    let fault = source.steps(at(TIP + 1), 9).await.unwrap_err();
    assert!(
        matches!(&fault, SourceError::Unavailable { detail, .. } if detail.contains("does not show it")),
        "{fault}"
    );
    assert_eq!(benched(&source, "boasting"), Some("lying"));
}

#[tokio::test]
async fn evidence_that_is_too_much_together_is_fetched_block_by_block() {
    let devnet = devnet(TIP).await;
    let blocks = trusted(&devnet, 10).await;
    let padded = devnet.add_node().await.unwrap();
    padded.misbehave(Misbehave::Oversized { padding: 4_000 }).unwrap();
    let mut config = config(&devnet, vec![node("one", &padded.url())]);
    config.limits.receipts_batch = 1;
    // An answer of 4 KB of blanks and about 2 KB of receipts: one is held, two are too much.
    config.limits.response_bytes = 9_000;
    config.limits.held_bytes = 9_000;
    let source = EvmSource::new(config).unwrap();
    let told = source.evidence(&blocks, &selector()).await.unwrap();
    assert_eq!(told.iter().filter(|told| told.evidence.is_some()).count(), 2);
}
