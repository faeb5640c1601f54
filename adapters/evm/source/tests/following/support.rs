//! A ledger, a source, and waiting for conditions.

use std::time::{Duration, Instant};

use hufu_evm_devnet::{Devnet, DevnetConfig};
use hufu_evm_source::{EvmSource, EvmSourceConfig, NodeConfig};
use hufu_schemas_core::Height;

pub(crate) const CONTRACT: [u8; 20] = [7; 20];
pub(crate) const EVENT: &str = "Granted(string,string)";
/// Longest wait for one condition; only a fault can use it up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A ledger of one validator with so many blocks; those at 2 and 5 hold an event.
pub(crate) async fn devnet(blocks: u64) -> Devnet {
    let devnet = Devnet::start(DevnetConfig { validators: 1, ..DevnetConfig::default() }).await.unwrap();
    for height in 1..=blocks {
        if height == 2 || height == 5 {
            devnet.emit_event(CONTRACT, EVENT, &[&height.to_string(), "ok"]).unwrap();
        }
        devnet.mine().unwrap();
    }
    devnet
}

/// Impatient where it costs a test time, patient where a machine may be slow.
pub(crate) fn config(devnet: &Devnet, nodes: Vec<NodeConfig>) -> EvmSourceConfig {
    let mut config = EvmSourceConfig::new(nodes, devnet.genesis_hash());
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

pub(crate) fn node(name: &str, url: &str) -> NodeConfig {
    NodeConfig::new(name, url).unwrap()
}

pub(crate) fn source(devnet: &Devnet, nodes: Vec<NodeConfig>) -> EvmSource {
    EvmSource::new(config(devnet, nodes)).unwrap()
}

pub(crate) fn benched(source: &EvmSource, name: &str) -> Option<&'static str> {
    use hufu_adapters_source::Source as _;
    source.describe().nodes.into_iter().find(|node| node.name == name).unwrap().benched
}

pub(crate) fn at(height: u64) -> Height {
    Height::new(height)
}

/// Waits for a condition; says what it waited for.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
