//! What the tests share.

pub(crate) mod client;
pub(crate) mod recorded;

use hufu_cometbft_devnet::{Devnet, DevnetConfig};

/// Four validators of power 10 and manual blocks.
pub(crate) async fn devnet() -> Devnet {
    Devnet::start(DevnetConfig { seed: [9; 32], power: 10, ..DevnetConfig::default() }).await.unwrap()
}

/// Makes so many blocks.
pub(crate) fn mine(devnet: &Devnet, count: usize) {
    for _ in 0..count {
        devnet.mine().unwrap();
    }
}
