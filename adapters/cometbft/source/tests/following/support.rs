//! A ledger, a source, and what the light client makes of what it shows.

use std::time::Duration;

use hufu_adapters_light_client::{Budget, DynLightClient, Family as _, Outcome, Selector, Step, TrustedBlock};
use hufu_adapters_source::{Source as _, SourceError};
use hufu_cometbft_devnet::{Devnet, DevnetConfig};
use hufu_cometbft_light_client::{Anchor, CometbftFamily};
use hufu_cometbft_source::{CometbftSource, CometbftSourceConfig, NodeConfig};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

/// Longest wait for one condition; only a fault can use it up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn at(height: u64) -> Height {
    Height::new(height)
}

pub(crate) fn node(name: &str, url: &str) -> NodeConfig {
    NodeConfig::new(name, url).unwrap()
}

/// Impatient where it costs a test time, patient where a machine may be slow.
pub(crate) fn config(anchor: &Value, nodes: Vec<NodeConfig>) -> CometbftSourceConfig {
    let mut config = CometbftSourceConfig::new(nodes, Anchor::parse(anchor).unwrap());
    let patience = &mut config.patience;
    patience.poll = Duration::ZERO;
    patience.backoff = Duration::from_millis(1);
    patience.backoff_most = Duration::from_millis(50);
    patience.bench = Duration::from_secs(60);
    patience.bench_most_failing = Duration::from_secs(60);
    patience.socket_backoff = Duration::from_millis(5);
    patience.socket_backoff_most = Duration::from_millis(50);
    config
}

pub(crate) fn source(anchor: &Value, nodes: Vec<NodeConfig>) -> CometbftSource {
    CometbftSource::new(config(anchor, nodes)).unwrap()
}

pub(crate) fn client(anchor: &Value) -> Box<dyn DynLightClient> {
    CometbftFamily.client(anchor).unwrap()
}

pub(crate) fn benched(source: &CometbftSource, name: &str) -> Option<&'static str> {
    source.describe().nodes.into_iter().find(|node| node.name == name).unwrap().benched
}

/// Some time after the last block of any test here.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + 360 * 86_400).unwrap()
}

/// A ledger of so many blocks of four validators.
pub(crate) async fn devnet(blocks: u64) -> Devnet {
    let devnet = Devnet::start(DevnetConfig { power: 10, ..DevnetConfig::default() }).await.unwrap();
    mine(&devnet, blocks - 1);
    devnet
}

pub(crate) fn mine(devnet: &Devnet, blocks: u64) {
    for _ in 0..blocks {
        devnet.mine().unwrap();
    }
}

/// What the light client trusts after these steps.
pub(crate) fn trusted(anchor: &Value, steps: &[Step]) -> Vec<TrustedBlock> {
    let client = client(anchor);
    match client.advance(&client.anchor(), steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => advanced.blocks,
        no => panic!("expected the steps to be accepted, got {no:?}"),
    }
}

/// Native items of these blocks, as one source shows and the light client proves them.
pub(crate) async fn proven(
    anchor: &Value,
    source: &CometbftSource,
    blocks: &[TrustedBlock],
    selector: &Selector,
) -> Result<Vec<(u64, Value)>, SourceError> {
    let client = client(anchor);
    let told = source.evidence(blocks, selector).await?;
    let mut all = Vec::new();
    for (block, told) in blocks.iter().zip(told) {
        let budget = &mut Budget::for_evidence();
        match client.matching(block, selector, told.evidence.as_deref(), budget) {
            Outcome::Accept(items) => all.extend(
                items.iter().map(|item| (block.height().get(), serde_json::from_slice(item.native()).unwrap())),
            ),
            no => panic!("block {}: expected proof, got {no:?}", block.height()),
        }
    }
    Ok(all)
}

pub(crate) fn transactions() -> Selector {
    Selector::new(json!({ "kind": "transactions" }))
}
